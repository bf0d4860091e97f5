"""The step that gathers entries, which had a row each, into segments.

Invariants: it runs in the transaction of the schema's version, so that an older file is brought up whole or stays as it
was; entries are copied as they are, and one that is missing is missing after; a page of them is in memory at a time.

The index had foreign keys to the rows of entries. It is made anew without them; triggers say now that it names no entry
that is not there.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Final

from provenance.limits import MAX_ENTRY_BYTES
from provenance.log.tile import TILE_WIDTH
from provenance.stores.sql.segments import pack


def _gather(connection: sqlite3.Connection) -> None:
    base = 0
    while True:
        row = connection.execute("SELECT min(idx) FROM entries WHERE idx >= ?", (base,)).fetchone()
        if row[0] is None:
            return
        base = row[0] - row[0] % TILE_WIDTH
        rows = connection.execute(
            "SELECT idx, envelope FROM entries WHERE idx >= ? AND idx < ? ORDER BY idx", (base, base + TILE_WIDTH)
        ).fetchall()
        base += TILE_WIDTH
        while rows:
            first = rows[0][0]
            count = next((n for n, (index, _) in enumerate(rows) if index != first + n), len(rows))
            segments = pack(first, [envelope for _, envelope in rows[:count]])
            connection.executemany("INSERT INTO segments VALUES (?, ?, ?)", segments)
            del rows[:count]


def _guard(table: str) -> str:
    return f"""CREATE TRIGGER {table}_of_entries BEFORE INSERT ON {table}
        WHEN new.entry_index >= coalesce((SELECT first + count FROM segments ORDER BY first DESC LIMIT 1), 0)
        BEGIN SELECT RAISE(ABORT, 'there is no such entry'); END"""  # noqa: S608 - a table of the schema


Step = tuple[str | Callable[[sqlite3.Connection], None], ...]
"""Statements and functions, in order."""

SEGMENTS: Final[Step] = (
    f"""CREATE TABLE segments (
        first INTEGER PRIMARY KEY CHECK (first >= 0),
        count INTEGER NOT NULL CHECK (count >= 1 AND first % {TILE_WIDTH} + count <= {TILE_WIDTH}),
        data BLOB NOT NULL CHECK (length(data) BETWEEN 3 * count AND {2 + MAX_ENTRY_BYTES} * count)
    ) STRICT""",
    _gather,
    """CREATE TABLE new_datasets (
        entry_index INTEGER PRIMARY KEY,
        namespace TEXT NOT NULL,
        name TEXT NOT NULL,
        version TEXT NOT NULL,
        digest BLOB NOT NULL CHECK (length(digest) = 32),
        file_root BLOB NOT NULL CHECK (length(file_root) = 32),
        kind TEXT NOT NULL,
        sensitivity TEXT NOT NULL,
        license TEXT,
        keyid TEXT NOT NULL,
        created TEXT NOT NULL,
        manifest BLOB CHECK (length(manifest) = 32),
        oms BLOB CHECK (length(oms) = 32),
        record_root BLOB CHECK (length(record_root) = 32),
        UNIQUE (namespace, name, version)
    ) STRICT""",
    "INSERT INTO new_datasets SELECT * FROM datasets",
    "DROP TABLE datasets",
    "ALTER TABLE new_datasets RENAME TO datasets",
    "CREATE INDEX datasets_by_name ON datasets (namespace, name, entry_index)",
    "CREATE INDEX datasets_by_namespace ON datasets (namespace, entry_index)",
    "CREATE INDEX datasets_by_digest ON datasets (digest)",
    "CREATE INDEX datasets_by_root ON datasets (file_root)",
    "CREATE INDEX datasets_by_record_root ON datasets (record_root) WHERE record_root IS NOT NULL",
    """CREATE TABLE new_events (
        entry_index INTEGER PRIMARY KEY,
        about BLOB NOT NULL CHECK (length(about) = 32),
        type TEXT NOT NULL,
        keyid TEXT NOT NULL,
        created TEXT NOT NULL
    ) STRICT""",
    "INSERT INTO new_events SELECT * FROM events",
    "DROP TABLE events",
    "ALTER TABLE new_events RENAME TO events",
    "CREATE INDEX events_by_about ON events (about, entry_index)",
    "CREATE INDEX events_by_signer ON events (about, keyid, type, created)",
    """CREATE TABLE new_locations (
        entry_index INTEGER NOT NULL,
        path BLOB NOT NULL CHECK (length(path) > 0),
        registered_s INTEGER NOT NULL,
        PRIMARY KEY (entry_index, path)
    ) STRICT, WITHOUT ROWID""",
    "INSERT INTO new_locations SELECT * FROM locations",
    "DROP TABLE locations",
    "ALTER TABLE new_locations RENAME TO locations",
    "CREATE INDEX locations_by_path ON locations (path, entry_index)",
    "DROP TABLE entries",
    *(_guard(table) for table in ("datasets", "events", "locations")),
)
