"""What an attester has checked: how far it is in each log, its signed attestations, what it found, what it waived.

Invariants: an attestation and how far it reaches are one transaction, so that after a kill nothing counts as checked
that no attestation says, and nothing that one says is checked again; attestations of a log follow one another without
a gap; a checkpoint may be cosigned exactly if one of them ends with its size and root. All of it is in the witness's
file, beside what was cosigned; what else is to be signed of a checkpoint that was checked asks `attested_root`, too.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from provenance.encoding import Digest
from provenance.errors import ConflictError, NotFoundError
from provenance.limits import MAX_PAGE_ITEMS
from provenance.log import Checkpoint
from provenance.merkle import HASH_BYTES, CompactRange
from provenance.witnesses.state_file import StateFile

MAX_FINDINGS: Final = 1_000
"""Findings that are kept of one log: the newest."""
ATTESTED_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS places (origin TEXT PRIMARY KEY, url TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS progress (
    origin TEXT PRIMARY KEY, began INTEGER NOT NULL, size INTEGER NOT NULL, root BLOB NOT NULL,
    reached INTEGER NOT NULL, nodes BLOB NOT NULL, note BLOB NOT NULL, attestation BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS attestations (
    origin TEXT, size INTEGER, root BLOB NOT NULL, envelope BLOB NOT NULL, PRIMARY KEY (origin, size)
);
CREATE TABLE IF NOT EXISTS registered (
    origin TEXT, key BLOB, entry INTEGER NOT NULL, PRIMARY KEY (origin, key)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS revoked (
    origin TEXT, keyid TEXT, entry INTEGER NOT NULL, PRIMARY KEY (origin, keyid)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS findings (
    id INTEGER PRIMARY KEY, origin TEXT NOT NULL, entry INTEGER NOT NULL, kind TEXT NOT NULL, reason TEXT NOT NULL,
    leaf BLOB, evidence BLOB, time INTEGER NOT NULL, UNIQUE (origin, entry, kind)
);
CREATE TABLE IF NOT EXISTS waived (
    origin TEXT, entry INTEGER, leaf BLOB NOT NULL, reason TEXT NOT NULL, time INTEGER NOT NULL,
    PRIMARY KEY (origin, entry)
) WITHOUT ROWID;
"""
MAX_SIZE: Final = 2**53 - 1
"""Of a log: what JSON carries exactly, and SQLite holds."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a log's entries were checked, from the one numbered `began` on: the first `size`, whose tree has `root`.

    `reached` is the range of the full bundles among them; `note` the signed checkpoint that they were shown to be of;
    `attestation` the SHA-256 of the last attestation's envelope.
    """

    origin: str
    began: int
    size: int
    root: bytes
    reached: CompactRange
    note: bytes
    attestation: Digest


@dataclass(frozen=True, slots=True)
class Attested:
    """A signed attestation (its envelope's bytes), how far it takes the log, and what its entries add: keys of
    `registered` with their entries, ids of revoked keys with theirs."""

    progress: Progress
    envelope: bytes
    registered: Sequence[tuple[bytes, int]] = ()
    revoked: Sequence[tuple[str, int]] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """Why a checkpoint was not cosigned: an entry that failed a check (`kind`), with its leaf hash and, as `evidence`,
    the signed attestation that says so; or what is wrong with the log from an entry on, with evidence of a fork."""

    origin: str
    entry: int
    kind: str
    reason: str
    time_s: int
    leaf: bytes | None = None
    evidence: bytes | None = None


@dataclass(frozen=True, slots=True)
class Waiver:
    """That whoever runs this attester lets an entry pass, by its leaf hash, whatever is wrong with it."""

    entry: int
    leaf: bytes
    reason: str
    time_s: int


def attested_root(db: sqlite3.Connection, checkpoint: Checkpoint) -> bytes | None:
    """The root up to which a log of the checkpoint's size was checked; None if no attestation ends there."""
    if checkpoint.size > MAX_SIZE:
        return None
    row = db.execute(
        "SELECT root FROM attestations WHERE origin = ? AND size = ?", (checkpoint.origin, checkpoint.size)
    ).fetchone()
    return None if row is None else bytes(row[0])


class AttestedState(StateFile):
    """The state in a witness's file. Threads and processes may share it."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, ATTESTED_SCHEMA)

    def set_place(self, origin: str, url: str) -> None:
        """Read the entries of a log there."""
        with self._transaction("writing"):
            self._db.execute("INSERT OR REPLACE INTO places VALUES (?, ?)", (origin, url))

    def place(self, origin: str) -> str | None:
        """Where the entries of a log are read; None if that was not told."""
        with self._failing("reading"):
            row = self._db.execute("SELECT url FROM places WHERE origin = ?", (origin,)).fetchone()
            return None if row is None else str(row[0])

    def is_attested(self, checkpoint: Checkpoint) -> bool:
        """Whether all entries of a checkpoint were checked."""
        with self._failing("reading"):
            return attested_root(self._db, checkpoint) == checkpoint.root

    def progress(self, origin: str) -> Progress | None:
        """How far a log was checked; None if no entry was."""
        with self._failing("reading"):
            row = self._db.execute(
                "SELECT began, size, root, reached, nodes, note, attestation FROM progress WHERE origin = ?", (origin,)
            ).fetchone()
        if row is None:
            return None
        began, size, root, reached, nodes, note, attestation = row
        tree = _range(reached, bytes(nodes))
        return Progress(origin, began, size, bytes(root), tree, bytes(note), Digest(bytes(attestation)))

    def advance(self, attested: Attested, *, since: int | None) -> None:
        """Keep an attestation, durably, of what follows the first `since` entries (None: it is the first of its log).

        `ConflictError` if another process has got further meanwhile.
        """
        one = attested.progress
        nodes = b"".join(root for _, root in one.reached.nodes)
        with self._transaction("writing"):
            row = self._db.execute("SELECT size FROM progress WHERE origin = ?", (one.origin,)).fetchone()
            if (None if row is None else row[0]) != since:
                raise ConflictError("entries were checked by another process meanwhile", expected=since, got=one.size)
            self._db.execute(
                "INSERT OR REPLACE INTO progress VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (one.origin, one.began, one.size, one.root, one.reached.size, nodes, one.note, one.attestation.raw),
            )
            self._db.execute(
                "INSERT INTO attestations VALUES (?, ?, ?, ?)", (one.origin, one.size, one.root, attested.envelope)
            )
            self._db.executemany(
                "INSERT OR IGNORE INTO registered VALUES (?, ?, ?)",
                [(one.origin, key, entry) for key, entry in attested.registered],
            )
            self._db.executemany(
                "INSERT OR IGNORE INTO revoked VALUES (?, ?, ?)",
                [(one.origin, keyid, entry) for keyid, entry in attested.revoked],
            )

    def registered(self, origin: str, key: bytes) -> int | None:
        """The entry that a key of `registered` was kept with."""
        with self._failing("reading"):
            row = self._db.execute(
                "SELECT entry FROM registered WHERE origin = ? AND key = ?", (origin, key)
            ).fetchone()
            return None if row is None else int(row[0])

    def revoked(self, origin: str, keyid: str) -> int | None:
        """The entry that revoked a key."""
        with self._failing("reading"):
            row = self._db.execute(
                "SELECT entry FROM revoked WHERE origin = ? AND keyid = ?", (origin, keyid)
            ).fetchone()
            return None if row is None else int(row[0])

    def attestation(self, origin: str, size: int) -> bytes | None:
        """The envelope of the attestation that ends with the first `size` entries; None if none does."""
        with self._failing("reading"):
            row = self._db.execute(
                "SELECT envelope FROM attestations WHERE origin = ? AND size = ?", (origin, min(size, MAX_SIZE))
            ).fetchone()
            return None if row is None else bytes(row[0])

    def sizes(self, origin: str, *, after: int = 0, limit: int = MAX_PAGE_ITEMS) -> tuple[int, ...]:
        """Where the attestations of a log end, ascending, above `after`."""
        with self._failing("reading"):
            rows = self._db.execute(
                "SELECT size FROM attestations WHERE origin = ? AND size > ? ORDER BY size LIMIT ?",
                (origin, min(after, MAX_SIZE), limit),
            )
            return tuple(int(size) for (size,) in rows)

    def keep_finding(self, finding: Finding) -> None:
        """Remember why a checkpoint was not cosigned, in place of what was said of the same before."""
        one = finding
        with self._transaction("writing"):
            self._db.execute(
                """INSERT INTO findings (origin, entry, kind, reason, leaf, evidence, time) VALUES (?, ?, ?, ?, ?, ?, ?)
                   ON CONFLICT (origin, entry, kind) DO UPDATE SET reason = excluded.reason, leaf = excluded.leaf,
                   evidence = excluded.evidence, time = excluded.time""",
                (one.origin, one.entry, one.kind, one.reason, one.leaf, one.evidence, one.time_s),
            )
            self._db.execute(
                """DELETE FROM findings WHERE origin = ? AND id NOT IN
                   (SELECT id FROM findings WHERE origin = ? ORDER BY time DESC, id DESC LIMIT ?)""",
                (one.origin, one.origin, MAX_FINDINGS),
            )

    def findings(self, origin: str) -> tuple[Finding, ...]:
        """What was found in a log, the newest first."""
        with self._failing("reading"):
            rows = self._db.execute(
                """SELECT origin, entry, kind, reason, time, leaf, evidence FROM findings WHERE origin = ?
                   ORDER BY time DESC, id DESC""",
                (origin,),
            )
            return tuple(Finding(*row) for row in rows)

    def waive(self, origin: str, entry: int, reason: str, now_s: int) -> Waiver:
        """Let an entry pass that failed a check. `NotFoundError` if it did not, by what is remembered."""
        with self._transaction("writing"):
            row = self._db.execute(
                """SELECT leaf FROM findings WHERE origin = ? AND entry = ? AND leaf IS NOT NULL
                   ORDER BY time DESC, id DESC LIMIT 1""",
                (origin, min(entry, MAX_SIZE)),
            ).fetchone()
            if row is None:
                hint = "the witness's page shows what failed"
                raise NotFoundError("no such entry failed a check", got=f"entry {entry}", where=origin, hint=hint)
            waiver = Waiver(entry, bytes(row[0]), reason, now_s)
            self._db.execute(
                "INSERT OR REPLACE INTO waived VALUES (?, ?, ?, ?, ?)", (origin, entry, waiver.leaf, reason, now_s)
            )
        return waiver

    def waiver(self, origin: str, entry: int) -> Waiver | None:
        """That an entry is let pass; None if it is not."""
        with self._failing("reading"):
            row = self._db.execute(
                "SELECT entry, leaf, reason, time FROM waived WHERE origin = ? AND entry = ?", (origin, entry)
            ).fetchone()
            return None if row is None else Waiver(*row)

    def waivers(self, origin: str) -> tuple[Waiver, ...]:
        """All entries of a log that are let pass."""
        with self._failing("reading"):
            rows = self._db.execute(
                "SELECT entry, leaf, reason, time FROM waived WHERE origin = ? ORDER BY entry", (origin,)
            )
            return tuple(Waiver(*row) for row in rows)


def _range(size: int, nodes: bytes) -> CompactRange:
    found, at = CompactRange(), 0
    for level in range(size.bit_length() - 1, -1, -1):
        if size >> level & 1:
            found.append_subtree(level, nodes[at : at + HASH_BYTES])
            at += HASH_BYTES
    return found
