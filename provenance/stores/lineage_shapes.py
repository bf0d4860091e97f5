"""Shapes: what runs of one job read, wrote and declared, counted instead of repeated.

Invariants: the shape of a run is what its rows in `io` and `said` are, or none once it failed; a shape's count is that
of the runs which have it; each is written within one transaction. A run of more than `SHARED_ROWS` datasets has a shape
that no other run has, and which grows row by row, so that a small event never copies a large run.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from typing import Final

from provenance.stores.lineage_schema import FAILED, LINEAGE, SHARED_ROWS

PIECE_ROWS: Final = 500
"""Rows that are written at a time, while nobody else writes."""
_MAX_KNOWN: Final = 20_000
_ROWS: Final = f"""SELECT io.role, io.dataset, said.text FROM io LEFT JOIN said
    ON said.run = io.run AND said.role = io.role AND said.dataset = io.dataset AND said.kind = '{LINEAGE}'
    WHERE io.run = ?1"""  # noqa: S608 - a word of this project
_GROW: Final = f"""INSERT INTO shape_io SELECT ?4, role, dataset, text
    FROM ({_ROWS} AND io.role = ?2 AND io.dataset = ?3)
    WHERE true ON CONFLICT DO UPDATE SET lineage = excluded.lineage"""  # noqa: S608 - likewise
_COPY: Final = f"""INSERT INTO shape_io SELECT ?4, role, dataset, text
    FROM ({_ROWS} AND (io.role, io.dataset) > (?2, ?3) ORDER BY io.role, io.dataset LIMIT ?5)
    WHERE true ON CONFLICT DO UPDATE SET lineage = excluded.lineage RETURNING role, dataset"""  # noqa: S608 - likewise
_ORDERED: Final = f"{_ROWS} ORDER BY io.role, io.dataset LIMIT ?2"
_OWN: Final = "SELECT id, own FROM runs WHERE id IN (SELECT value FROM json_each(?)) AND own IS NOT NULL"
_RUN: Final = f"SELECT job, trust, shape, own, state IN {FAILED} FROM runs WHERE id = ?"  # noqa: S608 - likewise
_Row = tuple[int, int, int | None]


class ShapeWriter:
    """Keeps shapes up to date over one connection, within transactions of its caller."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._known: dict[bytes, int] = {}

    def forget(self) -> None:
        """Forget what a transaction wrote that was rolled back."""
        self._known.clear()

    def reshape(self, runs: Iterable[int]) -> Iterator[None]:
        """Give these runs the shapes of what they are now; pauses as `EventWriter.write`."""
        counts, work = Counter[int](), 0
        for run in runs:
            rows: list[_Row] = self._db.execute(_ORDERED, (run, SHARED_ROWS + 1)).fetchall()
            if len(rows) > SHARED_ROWS:
                self._count(counts)
                yield from self._copy(run)
            self._reshape(run, rows, counts)
            work += len(rows) + 1
            if work >= PIECE_ROWS:
                self._count(counts)
                work = 0
                yield
        self._count(counts)

    def _reshape(self, run: int, rows: list[_Row], counts: Counter[int]) -> None:
        job, trust, before, own, has_failed = self._db.execute(_RUN, (run,)).fetchone()
        if has_failed or not rows:
            after = None
        elif len(rows) > SHARED_ROWS:
            after = own
        else:
            after = self._shared(job, trust, rows)
        if after != before:
            self._db.execute("UPDATE runs SET shape = ? WHERE id = ?", (after, run))
            if before is not None:
                counts[before] -= 1
            if after is not None:
                counts[after] += 1

    def grow(self, io: Sequence[tuple[int, int, int]]) -> None:
        """Add to the shapes of their own that runs have: (run, role, dataset), which are in `io` and `said`."""
        owners = dict(self._db.execute(_OWN, (json.dumps(sorted({run for run, _, _ in io})),)).fetchall())
        if owners:
            self._db.executemany(_GROW, [(*row, owners[row[0]]) for row in io if row[0] in owners])

    def _count(self, counts: Counter[int]) -> None:
        rows = [(step, shape) for shape, step in counts.items() if step]
        self._db.executemany("UPDATE shapes SET runs = runs + ? WHERE id = ?", rows)
        counts.clear()

    def _shared(self, job: int, trust: int, rows: list[_Row]) -> int:
        """The shape that all runs of a job with these rows have, of those that are trusted or of those that are not."""
        digest = sha256(repr((job, trust, rows)).encode()).digest()
        if (known := self._known.get(digest)) is not None:
            return known
        found = self._db.execute("SELECT id FROM shapes WHERE digest = ?", (digest,)).fetchone()
        if found is None:
            made = "INSERT INTO shapes (digest, job, trust, runs) VALUES (?, ?, ?, 0) RETURNING id"
            found = self._db.execute(made, (digest, job, trust)).fetchone()
            self._db.executemany("INSERT INTO shape_io VALUES (?, ?, ?, ?)", [(found[0], *row) for row in rows])
        if len(self._known) > _MAX_KNOWN:
            self._known.clear()
        self._known[digest] = int(found[0])
        return int(found[0])

    def _copy(self, run: int) -> Iterator[None]:
        """Give a run a shape of its own, if it has none, with all that it has by now."""
        query = "SELECT job, trust, own, is_copied FROM runs WHERE id = ?"
        job, trust, own, is_copied = self._db.execute(query, (run,)).fetchone()
        if is_copied:
            return
        if own is None:
            made = "INSERT INTO shapes (job, trust, runs) VALUES (?, ?, 0) RETURNING id"
            (own,) = self._db.execute(made, (job, trust)).fetchone()
            self._db.execute("UPDATE runs SET own = ? WHERE id = ?", (own, run))  # from now on it grows with the run
        place, copied = (-1, -1), PIECE_ROWS
        while copied == PIECE_ROWS:
            rows = self._db.execute(_COPY, (run, *place, own, PIECE_ROWS)).fetchall()
            place, copied = max(rows, default=place), len(rows)
            yield
        self._db.execute("UPDATE runs SET is_copied = 1 WHERE id = ?", (run,))
