"""The keys of a log and of its witnesses, and which of them count for which checkpoint.

Invariants: a line counts only where its key holds: a log's key for tree sizes, a witness's key for the times that its
cosignatures state; every signature of a listed key is verified, and one that fails rejects the checkpoint. A log's
checkpoint counts only with a signature of every type (Ed25519, ML-DSA-44) that a listed key of the log holds for at its
size; a witness, only with one of every type that a listed key of its name holds for at the time. So a key that signs
beside another strengthens it, and two of one type that overlap may stand in for each other. A witness counts once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from provenance.errors import MalformedError, VerificationError
from provenance.log.algorithm import ALGORITHMS, ED25519, MAX_TIME_S, cosignature_time
from provenance.log.body import Checkpoint, parse_checkpoint
from provenance.log.checkpoint import check_log_key
from provenance.log.cosignature import Cosigner, check_witnesses
from provenance.log.note import NoteSignature, NoteSigner, NoteVerifier, open_note

_NO_TIME = 0


@dataclass(frozen=True, slots=True)
class LogKey:
    """A log's key, and the tree sizes it holds for: `from_size` to `until_size`, both included; None: for ever."""

    verifier: NoteVerifier
    from_size: int = 0
    until_size: int | None = None

    def __post_init__(self) -> None:
        check_log_key(self.verifier)
        if self.until_size is not None and self.until_size < self.from_size:
            expected = f"{self.from_size} or more"
            raise MalformedError("log key ends before it begins", expected=expected, got=self.until_size)

    def holds(self, size: int) -> bool:
        """Whether the key's signature of a tree of this size counts."""
        return self.from_size <= size and (self.until_size is None or size <= self.until_size)

    @property
    def span(self) -> str:
        """The sizes in words."""
        return f"{self.from_size} or more" if self.until_size is None else f"{self.from_size} to {self.until_size}"


@dataclass(frozen=True, slots=True)
class WitnessKey:
    """A witness's key, and the times in Unix seconds it holds for, both included."""

    verifier: NoteVerifier
    from_s: int = 0
    until_s: int = MAX_TIME_S

    def __post_init__(self) -> None:
        check_witnesses([self.verifier])
        if self.until_s < self.from_s:
            raise MalformedError("witness key ends before it begins", expected=self.from_s, got=self.until_s)

    def holds(self, time_s: int) -> bool:
        """Whether the key's cosignature of this time counts."""
        return self.from_s <= time_s <= self.until_s


@dataclass(frozen=True, slots=True)
class CountedCheckpoint:
    """A checkpoint that its log's keys vouch for, the names of the witnesses that count, each once, and the algorithms
    that the log's signatures were counted by."""

    checkpoint: Checkpoint
    witnesses: tuple[str, ...]
    algorithms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LogSigner:
    """A log's keys, which sign side by side. A `CheckpointSigner`. An ML-DSA-44 key of a log states no time (0)."""

    keys: tuple[NoteSigner | Cosigner, ...]

    def __post_init__(self) -> None:
        for key in self.keys:
            check_log_key(key.verifier)
        if not self.keys or len({key.name for key in self.keys}) != 1:
            names = ", ".join(sorted({key.name for key in self.keys})) or "none"
            raise MalformedError("a log's keys are named after its origin", expected="one key at least", got=names)

    @property
    def name(self) -> str:
        """The log's origin."""
        return self.keys[0].name

    @property
    def verifiers(self) -> tuple[NoteVerifier, ...]:
        """The public halves, in the order of the lines."""
        return tuple(key.verifier for key in self.keys)

    def sign_lines(self, checkpoint: Checkpoint) -> tuple[NoteSignature, ...]:
        """The signatures of a checkpoint, a key each."""
        return tuple(
            line
            for key in self.keys
            for line in (
                key.sign_lines(checkpoint) if isinstance(key, NoteSigner) else (key.cosign(checkpoint, _NO_TIME),)
            )
        )


def open_counted(data: bytes, logs: Sequence[LogKey], witnesses: Sequence[WitnessKey] = ()) -> CountedCheckpoint:
    """The checkpoint of a signed note, if the keys of its log vouch for it, and which witnesses count.

    How many witnesses are enough is the caller's policy. `VerificationError` if a known key's signature fails, if the
    checkpoint is of no listed log, or if it lacks a signature that its log's keys owe it; `MalformedError` for what is
    no checkpoint, or for keys that cannot be one list.
    """
    check_witnesses([key.verifier for key in witnesses])
    if both := {key.verifier for key in logs} & {key.verifier for key in witnesses}:
        raise MalformedError("a key is a log's and a witness's", got=next(iter(both)).name)
    note = open_note(data, [*(key.verifier for key in logs), *(key.verifier for key in witnesses)])
    checkpoint = parse_checkpoint(note.text)
    signed = {(line.name, line.key_id): line for line in note.verified}
    types = _check_log(checkpoint, logs, signed)
    return CountedCheckpoint(checkpoint, _counted(witnesses, signed), tuple(ALGORITHMS[one].label for one in types))


def describe(verifier: NoteVerifier) -> str:
    """A key in a few characters: its name, key id and algorithm."""
    return f"{verifier.name}+{verifier.key_id.hex()} ({ALGORITHMS[verifier.type_byte].label})"


_Signed = dict[tuple[str, bytes], NoteSignature]


def _line(verifier: NoteVerifier, signed: _Signed) -> NoteSignature | None:
    return signed.get((verifier.name, verifier.key_id))


def _check_log(checkpoint: Checkpoint, logs: Sequence[LogKey], signed: _Signed) -> list[int]:
    """The types of key that the log has at this size; raise unless one of each signed."""
    own = [key for key in logs if key.verifier.name == checkpoint.origin]
    if not own:
        others = [key.verifier.name for key in logs if _line(key.verifier, signed) is not None]
        if others:
            raise VerificationError("checkpoint is of another log", expected=others[0], got=checkpoint.origin)
        raise VerificationError(
            "checkpoint is not signed by its log", expected="a log in the trust roots", got=checkpoint.origin
        )
    counting = [key for key in own if key.holds(checkpoint.size)]
    signers = [key for key in own if _line(key.verifier, signed) is not None]
    types = sorted({key.verifier.type_byte for key in counting})
    for type_byte in types or [ED25519]:
        owed = [key for key in counting if key.verifier.type_byte == type_byte]
        if any(key in signers for key in owed):
            continue
        stale = [key for key in signers if key.verifier.type_byte == type_byte]
        if stale:
            what = "checkpoint is signed by a key of its log that does not hold for its size"
            where = describe(stale[0].verifier)
            raise VerificationError(what, expected=f"size {stale[0].span}", got=f"size {checkpoint.size}", where=where)
        missing = "" if type_byte == ED25519 else f" with {ALGORITHMS[type_byte].label}"
        raise VerificationError(
            f"checkpoint is not signed by its log{missing}",
            expected=" or ".join(describe(key.verifier) for key in owed) or "a key that holds for its size",
            got=f"size {checkpoint.size}, signed by {', '.join(describe(key.verifier) for key in signers) or 'none'}",
        )
    return types


def _counted(witnesses: Iterable[WitnessKey], signed: _Signed) -> tuple[str, ...]:
    """The names of the witnesses of which a key of every type that held at its time cosigned."""
    by_name: dict[str, list[WitnessKey]] = {}
    for key in witnesses:
        by_name.setdefault(key.verifier.name, []).append(key)
    return tuple(name for name, keys in by_name.items() if _is_counted(keys, signed))


def _is_counted(keys: Sequence[WitnessKey], signed: _Signed) -> bool:
    times = {key: cosignature_time(line.signature) for key in keys if (line := _line(key.verifier, signed)) is not None}
    good = {key.verifier.type_byte for key, time_s in times.items() if key.holds(time_s)}
    owed = {key.verifier.type_byte for time_s in times.values() for key in keys if key.holds(time_s)}
    return bool(good) and owed <= good
