"""A witness's own keys: which cosign beside each other, and which did before.

Invariants: a key's file is durable before it is listed, and is never replaced; the list is read again whenever it
changed, so that a witness that is serving cosigns with the keys of now; there is always one key in force of every type
there was. Times say when a key was taken up or given up, for those who list it in trust roots.

`keys.json` in the witness's folder (canonical JSON; a witness from before there were several has none, and one Ed25519
key, `witness.key`). A key file is the seed: 32 bytes.

    {"format":"urn:provenance-ledger:witness-keys:1","keys":[{"file":"witness.key","key":"<vkey>","untilTime":".."}]}
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from provenance.encoding import Fields, JsonValue, canonical_json, parse_json
from provenance.errors import ConflictError, MalformedError, NotFoundError, SignerError, StoreError
from provenance.ledger.layout import exists, read_bounded, write_private
from provenance.limits import MAX_CONFIG_BYTES, MAX_KEY_BYTES
from provenance.log import Checkpoint, Cosigner, Cosigners, NoteSignature, NoteVerifier, encode_vkey, parse_vkey
from provenance.log.algorithm import ED25519_COSIGNATURE, ML_DSA_44
from provenance.log.note import SEED_BYTES
from provenance.signers.secret_file import read_secret, write_secret
from provenance.statement.frame import check_time

FORMAT: Final = "urn:provenance-ledger:witness-keys:1"
MAX_WITNESS_KEYS: Final = 64
"""Keys of one witness over its whole life."""
_FIRST: Final = "witness.key"
_FIRST_ML_DSA: Final = "witness-ml-dsa-44.key"
_FILE: Final = re.compile(r"witness(?:-[a-z0-9-]{1,32})?\.key")
_TIME_CHARS: Final = 20


@dataclass(frozen=True, slots=True)
class OwnWitnessKey:
    """A key of a witness: its file, its public half, and since when and until when (RFC 3339 in UTC) it cosigns."""

    file: str
    verifier: NoteVerifier
    from_time: str | None = None
    until_time: str | None = None

    @property
    def vkey(self) -> str:
        """The verifier key."""
        return encode_vkey(self.verifier)

    @property
    def is_in_force(self) -> bool:
        """Whether it cosigns what comes next."""
        return self.until_time is None


class WitnessKeys:
    """The keys of the witness called `name` whose key files are in `folder`. A `WitnessSigner`."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name
        self._state: tuple[tuple[int, int, int] | None, tuple[OwnWitnessKey, ...], Cosigners] | None = None

    def create(self, *, post_quantum: bool) -> None:
        """Make the witness's first keys. `ConflictError` if there are some."""
        types = [(_FIRST, ED25519_COSIGNATURE), *([(_FIRST_ML_DSA, ML_DSA_44)] if post_quantum else [])]
        for _, type_byte in types:  # a name that a key cannot have leaves nothing behind
            Cosigner(self._name, bytes(SEED_BYTES), type_byte)
        self._write(tuple(self._new(file, type_byte, None) for file, type_byte in types))

    def listed(self) -> tuple[OwnWitnessKey, ...]:
        """All keys, retired ones too, in the order they came. `SignerError` if the list or a key file is damaged."""
        return self._read()[0]

    @property
    def name(self) -> str:
        """See `WitnessSigner`."""
        return self._name

    @property
    def verifier(self) -> NoteVerifier:
        """The first key in force."""
        return self.verifiers[0]

    @property
    def verifiers(self) -> tuple[NoteVerifier, ...]:
        """See `WitnessSigner`."""
        return self._read()[1].verifiers

    def cosign_lines(self, checkpoint: Checkpoint, time_s: int) -> tuple[NoteSignature, ...]:
        """See `WitnessSigner`: a line by every key that is in force now."""
        return self._read()[1].cosign_lines(checkpoint, time_s)

    def add_ml_dsa(self, now: str) -> OwnWitnessKey:
        """Have an ML-DSA-44 key cosign, too. `ConflictError` if there was one."""
        if any(own.verifier.type_byte == ML_DSA_44 for own in self.listed()):
            hint = "`provenance witness keys rotate` makes another"
            raise ConflictError("witness has an ML-DSA-44 key already", expected="none yet", hint=hint)
        return self._extend([ML_DSA_44], now)[0]

    def rotate(self, now: str) -> tuple[OwnWitnessKey, ...]:
        """Have a new key of every type cosign beside the old one. `ConflictError` while the last rotation lasts."""
        types = [own.verifier.type_byte for own in self.listed() if own.is_in_force]
        if len(set(types)) != len(types):
            hint = "retire the old keys first: `provenance witness keys retire DIR KEY`"
            raise ConflictError("witness's keys are being rotated already", expected="one key of each type", hint=hint)
        return self._extend(types, now)

    def retire(self, name: str, now: str) -> OwnWitnessKey:
        """Have a key, by its key id or verifier key, cosign no more. `NotFoundError` if there is none in force,
        `ConflictError` if it is the last of its type."""
        listed = self.listed()
        found = [own for own in listed if own.is_in_force and name in (own.vkey, own.verifier.key_id.hex())]
        if len(found) != 1:
            raise NotFoundError("no such key in force", got=name, hint="`provenance witness keys list DIR` shows them")
        old = found[0]
        if [own.verifier.type_byte for own in listed if own.is_in_force].count(old.verifier.type_byte) == 1:
            hint = "`provenance witness keys rotate DIR` makes another, which cosigns beside it for a while"
            raise ConflictError("key is the last of its type", expected="another in force", got=name, hint=hint)
        ended = replace(old, until_time=now)
        self._write(tuple(ended if own == old else own for own in listed))
        return ended

    def _extend(self, types: list[int], now: str) -> tuple[OwnWitnessKey, ...]:
        listed = self.listed()
        if len(listed) + len(types) > MAX_WITNESS_KEYS:
            raise ConflictError("witness has had too many keys", expected=f"at most {MAX_WITNESS_KEYS}")
        made: list[OwnWitnessKey] = []
        for type_byte in types:
            number = 2
            while exists(self._folder / f"witness-{number}.key"):
                number += 1
            made.append(self._new(f"witness-{number}.key", type_byte, now))
        self._write((*listed, *made))
        return tuple(made)

    def _new(self, file: str, type_byte: int, from_time: str | None) -> OwnWitnessKey:
        seed = os.urandom(SEED_BYTES)
        verifier = Cosigner(self._name, seed, type_byte).verifier
        write_secret(self._folder / file, seed)
        return OwnWitnessKey(file, verifier, from_time)

    @property
    def _list(self) -> Path:
        return self._folder / "keys.json"

    def _read(self) -> tuple[tuple[OwnWitnessKey, ...], Cosigners]:
        seen, known = self._look(), self._state
        if known is None or known[0] != seen:
            keys = self._only() if seen is None else self._parse()
            known = (seen, keys, Cosigners(tuple(self._load(own) for own in keys if own.is_in_force)))
            self._state = known
        return known[1:]

    def _look(self) -> tuple[int, int, int] | None:
        try:
            status = self._list.stat()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise SignerError(
                "list of the witness's keys cannot be read", got=error.strerror, where=self._list
            ) from None
        return status.st_mtime_ns, status.st_ino, status.st_size

    def _only(self) -> tuple[OwnWitnessKey, ...]:
        """The one key of a witness from before there were several."""
        return (OwnWitnessKey(_FIRST, Cosigner(self._name, read_secret(self._folder / _FIRST)).verifier),)

    def _parse(self) -> tuple[OwnWitnessKey, ...]:
        try:
            keys = parse_witness_keys(read_bounded(self._list, "list of keys", max_bytes=MAX_CONFIG_BYTES))
        except (OSError, MalformedError, StoreError) as error:
            what = error.strerror if isinstance(error, OSError) else error.what
            hint = "restore it from a backup: it says which key cosigns"
            raise SignerError("list of the witness's keys is damaged", got=what, where=self._list, hint=hint) from None
        return keys

    def _load(self, own: OwnWitnessKey) -> Cosigner:
        cosigner = Cosigner(self._name, read_secret(self._folder / own.file), own.verifier.type_byte)
        if cosigner.verifier != own.verifier:
            expected, got = own.verifier.key_id.hex(), cosigner.verifier.key_id.hex()
            raise SignerError("witness key file holds another key", expected=expected, got=got, where=own.file)
        return cosigner

    def _write(self, keys: tuple[OwnWitnessKey, ...]) -> None:
        data = encode_witness_keys(keys)
        parse_witness_keys(data)  # what could not be read back is never written
        write_private(self._list, data)


def encode_witness_keys(keys: tuple[OwnWitnessKey, ...]) -> bytes:
    """The list of a witness's keys: canonical JSON and a newline."""
    items: list[JsonValue] = []
    for own in keys:
        item: dict[str, JsonValue] = {"file": own.file, "key": own.vkey}
        if own.from_time is not None:
            item["fromTime"] = own.from_time
        if own.until_time is not None:
            item["untilTime"] = own.until_time
        items.append(item)
    return canonical_json({"format": FORMAT, "keys": items}) + b"\n"


def parse_witness_keys(data: bytes) -> tuple[OwnWitnessKey, ...]:
    """The keys in a list's bytes: of one witness, one in force at least, none twice; `MalformedError`."""
    fields = Fields(parse_json(data, what="list of keys", max_bytes=MAX_CONFIG_BYTES), "witness keys")
    fields.constant("format", FORMAT)
    keys = tuple(_parse_key(item) for item in fields.array("keys", max_items=MAX_WITNESS_KEYS))
    fields.end()
    names = {own.verifier.name for own in keys}
    if len(names) != 1 or len({own.vkey for own in keys}) != len(keys) or len({own.file for own in keys}) != len(keys):
        raise MalformedError("keys are not of one witness, each there once", got=", ".join(sorted(names)) or "none")
    if not any(own.is_in_force for own in keys):
        raise MalformedError("witness has no key in force", expected="one without untilTime")
    return keys


def _parse_key(item: JsonValue) -> OwnWitnessKey:
    fields = Fields(item, "witness keys")
    file, vkey = fields.string("file", max_chars=64), fields.string("key", max_chars=MAX_KEY_BYTES)
    if not _FILE.fullmatch(file):
        raise MalformedError("not a witness key's file", expected="witness.key or witness-....key", got=file)
    ends = [fields.optional_string(name, max_chars=_TIME_CHARS) for name in ("fromTime", "untilTime")]
    fields.end()
    for end in ends:
        if end is not None:
            check_time(end)
    return OwnWitnessKey(file, parse_vkey(vkey), *ends)
