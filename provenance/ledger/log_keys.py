"""This log's own keys: which sign beside each other, which signed before, and for which sizes each holds.

Invariants: a key's file is durable before it is listed, and is never replaced; the list is read again whenever it
changed, so that a process that runs on signs with the keys of now; sizes are set while nothing can be appended (the
caller holds the store's transaction), so that no checkpoint is signed by a key that does not hold for its size; there
is always one key in force of every type there was, so that verifiers who ask for a type go on being given it.

`keys/log.json` (canonical JSON; a ledger from before there were several has none, and the one key `keys/log.key`):

    {"format":"urn:provenance-ledger:log-keys:1","keys":[{"file":"log.key","key":"<vkey>","untilSize":500},
    {"file":"log-0a1b2c3d.key","fromSize":480,"key":"<vkey>"}]}
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from provenance.encoding import Fields, JsonValue, canonical_json, parse_json
from provenance.errors import ConflictError, MalformedError, NotFoundError, SignerError, StoreError
from provenance.ledger.layout import exists, read_bounded, write_private
from provenance.limits import MAX_CONFIG_BYTES, MAX_KEY_BYTES
from provenance.log import (
    Checkpoint,
    Cosigner,
    LogKey,
    LogSigner,
    NoteSignature,
    NoteSigner,
    NoteVerifier,
    encode_vkey,
    parse_vkey,
)
from provenance.log.algorithm import ED25519, ML_DSA_44
from provenance.policy import SizeSpan
from provenance.signers.note import load_note_key, new_note_key

FORMAT: Final = "urn:provenance-ledger:log-keys:1"
MAX_LOG_KEYS: Final = 64
"""Keys of one log over its whole life."""
_FIRST: Final = "log.key"
_FIRST_ML_DSA: Final = "log-ml-dsa-44.key"
_FILE: Final = re.compile(r"log(?:-[a-z0-9-]{1,32})?\.key")
_Signer = NoteSigner | Cosigner


@dataclass(frozen=True, slots=True)
class OwnLogKey:
    """A key of this log: its file in `keys/`, its public half, and the tree sizes it holds for."""

    file: str
    key: LogKey

    @property
    def vkey(self) -> str:
        """The verifier key."""
        return encode_vkey(self.key.verifier)

    @property
    def is_in_force(self) -> bool:
        """Whether it signs what comes next."""
        return self.key.until_size is None

    @property
    def span(self) -> SizeSpan:
        """As trust roots list it."""
        return SizeSpan(self.vkey, self.key.from_size, self.key.until_size)


@dataclass(frozen=True, slots=True)
class _State:
    """What was read, and what the list's file was like then."""

    seen: tuple[int, int, int] | None
    keys: tuple[OwnLogKey, ...]
    signers: dict[str, _Signer]


class LogKeys:
    """The keys of the log whose key files are in `folder`. A `CheckpointSigner`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._state: _State | None = None

    @property
    def first_path(self) -> Path:
        """The file of the log's first Ed25519 key."""
        return self._folder / _FIRST

    def create(self, origin: str, *, post_quantum: bool) -> None:
        """Make the log's first keys, or those that a run which was cut off did not come to."""
        if not exists(self.first_path):
            new_note_key(self.first_path, origin)
        if exists(self._list):
            return
        first = load_note_key(self.first_path)
        keys = [OwnLogKey(_FIRST, LogKey(first.verifier))]
        if post_quantum:
            path = self._folder / _FIRST_ML_DSA
            if not exists(path):
                new_note_key(path, first.name, ML_DSA_44)
            keys.append(OwnLogKey(_FIRST_ML_DSA, LogKey(load_note_key(path).verifier)))
        self._write(tuple(keys))

    def listed(self) -> tuple[OwnLogKey, ...]:
        """All keys of the log, retired ones too, in the order they came. `SignerError` if the list is damaged."""
        return self._read().keys

    def keys(self) -> tuple[LogKey, ...]:
        """The public halves with their sizes."""
        return tuple(own.key for own in self.listed())

    def spans(self) -> tuple[SizeSpan, ...]:
        """The keys as trust roots list them."""
        return tuple(own.span for own in self.listed())

    def signer(self) -> LogKeys:
        """This, once every key in force was loaded. `SignerError` if one is missing, unsafe, damaged or another."""
        self._read()
        return self

    @property
    def name(self) -> str:
        """The origin. See `CheckpointSigner`."""
        return self.listed()[0].key.verifier.name

    @property
    def verifiers(self) -> tuple[NoteVerifier, ...]:
        """The keys in force, the newest Ed25519 key first. See `CheckpointSigner`."""
        found = [own.key.verifier for own in reversed(self.listed()) if own.is_in_force]
        return tuple(sorted(found, key=lambda verifier: verifier.type_byte))

    def sign_lines(self, checkpoint: Checkpoint) -> tuple[NoteSignature, ...]:
        """The signatures of every key that holds for the checkpoint's size. See `CheckpointSigner`."""
        state = self._read()
        able = [own for own in state.keys if own.is_in_force and own.key.holds(checkpoint.size)]
        return LogSigner(tuple(state.signers[own.vkey] for own in able)).sign_lines(checkpoint)

    def add_ml_dsa(self, size: int) -> OwnLogKey:
        """Have an ML-DSA-44 key sign, too, from the next checkpoint of a log of `size` on. `ConflictError` if one
        does."""
        if any(own.key.verifier.type_byte == ML_DSA_44 for own in self.listed()):
            hint = "`provenance log keys rotate` makes another"
            raise ConflictError("log has an ML-DSA-44 key already", expected="none yet", hint=hint)
        (made,) = self._extend([ML_DSA_44], size)
        return made

    def rotate(self, size: int) -> tuple[OwnLogKey, ...]:
        """Have a new key of every type sign beside the old one, from the next checkpoint of a log of `size` on.

        `ConflictError` while the last rotation's old keys still sign.
        """
        types = [own.key.verifier.type_byte for own in self.listed() if own.is_in_force]
        if len(set(types)) != len(types):
            hint = "retire the old keys first: `provenance log keys retire KEY`"
            raise ConflictError("log's keys are being rotated already", expected="one key of each type", hint=hint)
        return self._extend(types, size)

    def retire(self, name: str, size: int) -> OwnLogKey:
        """Have a key sign nothing after the checkpoint of `size`, which is the log's; what it signed holds.

        `name` is its key id (8 hex digits) or its verifier key. `NotFoundError` if there is none in force,
        `ConflictError` if it is the last of its type or signed nothing yet.
        """
        listed = self.listed()
        found = [own for own in listed if own.is_in_force and name in (own.vkey, own.key.verifier.key_id.hex())]
        if len(found) != 1:
            raise NotFoundError("no such key in force", got=name, hint="`provenance log keys list` shows them")
        old = found[0]
        kind = old.key.verifier.type_byte
        if not any(own.is_in_force and own.key.verifier.type_byte == kind for own in listed if own != old):
            hint = "`provenance log keys rotate` makes another, which signs beside it for a while"
            raise ConflictError("key is the last of its type", expected="another in force", got=name, hint=hint)
        if size < old.key.from_size:
            raise ConflictError("key has signed nothing yet", expected=f"a log of {old.key.from_size}", got=size)
        ended = replace(old, key=replace(old.key, until_size=size))
        self._write(tuple(ended if own == old else own for own in listed))
        return ended

    def _extend(self, types: list[int], size: int) -> tuple[OwnLogKey, ...]:
        listed = self.listed()
        if len(listed) + len(types) > MAX_LOG_KEYS:
            raise ConflictError("log has had too many keys", expected=f"at most {MAX_LOG_KEYS}", got=len(listed))
        origin, from_size = listed[0].key.verifier.name, size + 1 if size else 0
        made = tuple(self._new(origin, type_byte, from_size) for type_byte in types)
        self._write((*listed, *made))
        return made

    def _new(self, origin: str, type_byte: int, from_size: int) -> OwnLogKey:
        number = 2
        while exists(self._folder / f"log-{number}.key"):
            number += 1
        file = f"log-{number}.key"
        signer = new_note_key(self._folder / file, origin, type_byte)
        return OwnLogKey(file, LogKey(signer.verifier, from_size))

    @property
    def _list(self) -> Path:
        return self._folder / "log.json"

    def _read(self) -> _State:
        seen, known = self._look(), self._state
        if known is None or known.seen != seen:
            keys = self._parse() if seen is not None else self._only()
            signers = {own.vkey: self._load(own) for own in keys if own.is_in_force}
            self._state = known = _State(seen, keys, signers)
        return known

    def _look(self) -> tuple[int, int, int] | None:
        try:
            status = self._list.stat()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise SignerError("list of log keys cannot be read", got=error.strerror, where=self._list) from None
        return status.st_mtime_ns, status.st_ino, status.st_size

    def _only(self) -> tuple[OwnLogKey, ...]:
        """The one key of a ledger from before there were several."""
        return (OwnLogKey(_FIRST, LogKey(load_note_key(self.first_path).verifier)),)

    def _parse(self) -> tuple[OwnLogKey, ...]:
        try:
            data = read_bounded(self._list, "list of log keys", max_bytes=MAX_CONFIG_BYTES)
            keys = parse_log_keys(data)
        except (OSError, MalformedError, StoreError) as error:
            what = error.what if isinstance(error, MalformedError | StoreError) else error.strerror
            hint = "restore it from a backup: it says which key signs what"
            raise SignerError("list of log keys is damaged", got=what, where=self._list, hint=hint) from None
        return keys

    def _load(self, own: OwnLogKey) -> _Signer:
        path = self._folder / own.file
        signer = load_note_key(path)
        if signer.verifier != own.key.verifier:
            got = f"key {signer.verifier.key_id.hex()}"
            raise SignerError(
                "log key file holds another key", expected=f"key {own.key.verifier.key_id.hex()}", got=got, where=path
            )
        return signer

    def _write(self, keys: tuple[OwnLogKey, ...]) -> None:
        data = encode_log_keys(keys)
        parse_log_keys(data)  # what could not be read back is never written
        write_private(self._list, data)


def encode_log_keys(keys: tuple[OwnLogKey, ...]) -> bytes:
    """The list of a log's keys: canonical JSON and a newline."""
    items: list[JsonValue] = []
    for own in keys:
        item: dict[str, JsonValue] = {"file": own.file, "key": own.vkey}
        if own.key.from_size:
            item["fromSize"] = own.key.from_size
        if own.key.until_size is not None:
            item["untilSize"] = own.key.until_size
        items.append(item)
    return canonical_json({"format": FORMAT, "keys": items}) + b"\n"


def parse_log_keys(data: bytes) -> tuple[OwnLogKey, ...]:
    """The keys in a list's bytes: of one log, one Ed25519 key in force at least, none twice; `MalformedError`."""
    fields = Fields(parse_json(data, what="list of log keys", max_bytes=MAX_CONFIG_BYTES), "log keys")
    fields.constant("format", FORMAT)
    keys = tuple(_parse_key(item) for item in fields.array("keys", max_items=MAX_LOG_KEYS))
    fields.end()
    names = {own.key.verifier.name for own in keys}
    if len(names) != 1 or len({own.vkey for own in keys}) != len(keys) or len({own.file for own in keys}) != len(keys):
        raise MalformedError("log keys are not of one log, each there once", got=", ".join(sorted(names)) or "none")
    if not any(own.is_in_force and own.key.verifier.type_byte == ED25519 for own in keys):
        raise MalformedError("log has no key in force", expected="an Ed25519 key without untilSize")
    return keys


def _parse_key(item: JsonValue) -> OwnLogKey:
    fields = Fields(item, "log keys")
    file, vkey = fields.string("file", max_chars=64), fields.string("key", max_chars=MAX_KEY_BYTES)
    if not _FILE.fullmatch(file):
        raise MalformedError("not a log key's file", expected="log.key or log-....key", got=file)
    ends = [fields.integer(name) if fields.has(name) else None for name in ("fromSize", "untilSize")]
    fields.skip("fromSize")
    fields.skip("untilSize")
    fields.end()
    return OwnLogKey(file, LogKey(parse_vkey(vkey), ends[0] or 0, ends[1]))
