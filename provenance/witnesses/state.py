"""What a witness of ours has seen: the checkpoint it cosigned last of each log, in one SQLite file.

Invariants: to check that a checkpoint extends the last one and to remember it is one transaction, durable before
anything is signed; the size of a log never goes back; a log that signed two roots for one size, or one that its last
checkpoint does not lead to, has both notes kept as evidence; times of cosignatures never go back.

Source: c2sp.org/tlog-witness, c2sp.org/tlog-cosignature.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from provenance.errors import (
    ConflictError,
    MalformedError,
    NotFoundError,
    PolicyError,
    VerificationError,
)
from provenance.log import (
    Checkpoint,
    NoteVerifier,
    WitnessSigner,
    encode_vkey,
    open_note,
    parse_checkpoint,
    parse_note,
    parse_vkey,
)
from provenance.log.add_checkpoint import AddCheckpoint
from provenance.log.checkpoint import check_log_key
from provenance.log.note import encode_signature_line
from provenance.merkle import verify_consistency
from provenance.witnesses.attested import ATTESTED_SCHEMA, attested_root
from provenance.witnesses.state_file import StateFile

MAX_LOGS: Final = 10_000
MAX_EVIDENCE: Final = 1_000
"""Pairs of notes that are kept of one log; more of the same prove nothing more."""
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS keys (origin TEXT, vkey TEXT, PRIMARY KEY (origin, vkey)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS seen (
    origin TEXT PRIMARY KEY, size TEXT NOT NULL, root BLOB NOT NULL, note BLOB NOT NULL, time INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS evidence (
    id INTEGER PRIMARY KEY, origin TEXT NOT NULL, earlier BLOB NOT NULL, later BLOB NOT NULL, time INTEGER NOT NULL,
    UNIQUE (origin, earlier, later)
);
"""


class SizeConflictError(ConflictError):
    """The witness saw another size of this log last: `size`."""

    def __init__(self, size: int, what: str) -> None:
        super().__init__(what, expected=f"size {size}")
        self.size = size


@dataclass(frozen=True, slots=True)
class Seen:
    """A log that is watched: its keys, and the last checkpoint that was cosigned, as a signed note; None if none
    was."""

    origin: str
    vkeys: tuple[str, ...]
    size: int = 0
    root: bytes = b""
    note: bytes | None = None
    time_s: int | None = None
    evidence: int = 0


class NotAttestedError(PolicyError):
    """The checkpoint's entries were not checked, which this witness does before it cosigns."""


class WitnessState(StateFile):
    """The state in one file. Threads and processes may share it."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, _SCHEMA + ATTESTED_SCHEMA)

    def watch(self, vkey: str) -> str:
        """Cosign for the log with this verifier key, besides its other keys; its origin."""
        verifier = parse_vkey(vkey)
        check_log_key(verifier)
        with self._transaction("writing"):
            (count,) = self._db.execute("SELECT count(DISTINCT origin) FROM keys").fetchone()
            if count >= MAX_LOGS:
                raise ConflictError("too many logs are watched", expected=f"at most {MAX_LOGS}")
            self._db.execute("INSERT OR IGNORE INTO keys VALUES (?, ?)", (verifier.name, encode_vkey(verifier)))
        return verifier.name

    def forget(self, vkey: str) -> None:
        """Take a log's key for good no more; what was seen of the log stays. `NotFoundError` if it is not taken."""
        verifier = parse_vkey(vkey)
        with self._transaction("writing"):
            done = self._db.execute(
                "DELETE FROM keys WHERE origin = ? AND vkey = ?", (verifier.name, encode_vkey(verifier))
            )
            if not done.rowcount:
                raise NotFoundError("no such key of a log", got=verifier.name)

    def logs(self) -> tuple[Seen, ...]:
        """All logs that are watched or were, by origin."""
        with self._failing("reading"):
            rows = self._db.execute("SELECT origin FROM keys UNION SELECT origin FROM seen ORDER BY 1").fetchall()
            return tuple(self._seen(str(origin)) for (origin,) in rows)

    def last(self, origin: str) -> Seen:
        """What was cosigned last of a log."""
        with self._failing("reading"):
            return self._seen(origin)

    def evidence(self, origin: str) -> tuple[tuple[bytes, bytes], ...]:
        """Pairs of signed checkpoints of a log that cannot both be true, in the order they came."""
        with self._failing("reading"):
            rows = self._db.execute("SELECT earlier, later FROM evidence WHERE origin = ? ORDER BY id", (origin,))
            return tuple((bytes(earlier), bytes(later)) for earlier, later in rows)

    def opened(self, request: AddCheckpoint) -> Checkpoint:
        """The checkpoint of a request, signed by a key of its log. `NotFoundError` for a log that is not watched,
        `PolicyError` if none of its keys signed it, `MalformedError` for what makes no sense."""
        origin = parse_checkpoint(parse_note(request.note).text).origin
        verifiers = self._verifiers(origin)
        if not verifiers:
            raise NotFoundError("log is not watched here", got=origin)
        try:
            return parse_checkpoint(open_note(request.note, verifiers).text)
        except VerificationError as error:
            raise PolicyError("checkpoint is not signed by a key of its log", got=error.what, where=origin) from error

    def cosign(
        self, request: AddCheckpoint, cosigner: WitnessSigner, now_s: int, *, only_attested: bool = False
    ) -> bytes:
        """The cosignature lines for a checkpoint that extends what was seen last, which it is from now on.

        `only_attested`: and whose entries were checked, up to its end (`NotAttestedError`): in the same transaction.

        `NotFoundError` for a log that is not watched, `PolicyError` if none of its keys signed the checkpoint,
        `SizeConflictError` if another size was seen last or the same with another root, `VerificationError` if the
        proof does not hold, `MalformedError` for what makes no sense.
        """
        checkpoint = self.opened(request)
        if request.old > checkpoint.size:
            raise MalformedError("log goes back", expected=f"an old size up to {checkpoint.size}", got=request.old)
        if not checkpoint.size:
            raise MalformedError("checkpoint is of an empty log", expected="an entry at least")
        told: SizeConflictError | VerificationError | None = None
        with self._transaction("cosigning"):
            seen = self._seen(checkpoint.origin)
            told = self._compare(request, checkpoint, seen, now_s)
            if told is None and only_attested and attested_root(self._db, checkpoint) != checkpoint.root:
                what = "entries of the checkpoint were not checked"
                raise NotAttestedError(what, got=f"size {checkpoint.size}", where=checkpoint.origin)
            time_s = max(now_s, seen.time_s or 0)
            if told is None:
                self._db.execute(
                    """INSERT INTO seen VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
                       size = excluded.size, root = excluded.root, note = excluded.note, time = excluded.time""",
                    (checkpoint.origin, str(checkpoint.size), checkpoint.root, request.note, time_s),
                )
        if told is not None:  # after the transaction: the evidence stays
            raise told
        return b"".join(encode_signature_line(line) for line in cosigner.cosign_lines(checkpoint, time_s))

    def _compare(
        self, request: AddCheckpoint, checkpoint: Checkpoint, seen: Seen, now_s: int
    ) -> SizeConflictError | VerificationError | None:
        """What is wrong with a checkpoint after what was seen; a fork is kept as evidence."""
        if checkpoint.size == seen.size and checkpoint.root != seen.root:
            self._keep(checkpoint.origin, seen.note, request.note, now_s)
            return SizeConflictError(seen.size, "another root of this size was cosigned")
        if request.old != seen.size:
            return SizeConflictError(seen.size, "another size was cosigned last")
        if not seen.size:
            return None
        try:
            verify_consistency(seen.size, checkpoint.size, seen.root, checkpoint.root, request.proof)
        except (VerificationError, MalformedError) as error:
            return VerificationError("checkpoint is not shown to extend the last one", got=error.what)
        return None

    def _keep(self, origin: str, earlier: bytes | None, later: bytes, now_s: int) -> None:
        (count,) = self._db.execute("SELECT count(*) FROM evidence WHERE origin = ?", (origin,)).fetchone()
        if earlier is not None and count < MAX_EVIDENCE:
            self._db.execute(
                "INSERT OR IGNORE INTO evidence (origin, earlier, later, time) VALUES (?, ?, ?, ?)",
                (origin, earlier, later, now_s),
            )

    def _verifiers(self, origin: str) -> Sequence[NoteVerifier]:
        with self._failing("reading"):
            rows = self._db.execute("SELECT vkey FROM keys WHERE origin = ? ORDER BY vkey", (origin,)).fetchall()
        return [parse_vkey(vkey) for (vkey,) in rows]

    def _seen(self, origin: str) -> Seen:
        vkeys = tuple(encode_vkey(one) for one in self._verifiers(origin))
        (evidence,) = self._db.execute("SELECT count(*) FROM evidence WHERE origin = ?", (origin,)).fetchone()
        row = self._db.execute("SELECT size, root, note, time FROM seen WHERE origin = ?", (origin,)).fetchone()
        if row is None:
            return Seen(origin, vkeys, evidence=evidence)
        size, root, note, time_s = row
        return Seen(origin, vkeys, int(size), bytes(root), bytes(note), time_s, evidence)
