"""The tables of `ledger.db`, and which versions of them this code reads.

Invariants: `application_id` says that a file is a ledger, `user_version` which schema it has; both change in the
transaction that changes the tables. A newer schema is refused, an older one is brought up a step at a time. Tables are
STRICT. Rows that cannot be right (a leaf hash of 31 bytes, two live anchors of one size) are refused by the schema
itself, whatever the code above does.

The log's tables hold what is signed and served; `datasets`, `parents`, `files` and `events` are derived from them and
from blobs; `locations` and `outbox` are this machine's own.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

from provenance.errors import StoreError
from provenance.limits import MAX_ENTRY_BYTES
from provenance.stores.sqlite.segment_step import SEGMENTS, Step

APPLICATION_ID: Final = 0x50524C47
"""ASCII "PRLG", at byte 68 of the file."""
SCHEMA_VERSION: Final = 5
MIN_SQLITE: Final = (3, 37, 0)
"""STRICT tables."""

_LOG = (
    f"""CREATE TABLE entries (
        idx INTEGER PRIMARY KEY CHECK (idx >= 0),
        leaf_hash BLOB NOT NULL CHECK (length(leaf_hash) = 32),
        envelope BLOB NOT NULL CHECK (length(envelope) BETWEEN 1 AND {MAX_ENTRY_BYTES})
    ) STRICT""",
    # Eight bytes of a hash tell entries apart and keep the index a third of the size.
    "CREATE INDEX entries_by_leaf ON entries (substr(leaf_hash, 1, 8))",
    """CREATE TABLE tiles (
        level INTEGER NOT NULL CHECK (level BETWEEN 0 AND 63),
        idx INTEGER NOT NULL CHECK (idx >= 0),
        data BLOB NOT NULL CHECK (length(data) BETWEEN 32 AND 8192 AND length(data) % 32 = 0),
        PRIMARY KEY (level, idx)
    ) STRICT""",
    """CREATE TABLE checkpoint (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        size INTEGER NOT NULL CHECK (size >= 0),
        root BLOB NOT NULL CHECK (length(root) = 32),
        note BLOB NOT NULL
    ) STRICT""",
    """CREATE TABLE kept_checkpoints (
        size INTEGER PRIMARY KEY CHECK (size >= 0),
        root BLOB NOT NULL CHECK (length(root) = 32),
        note BLOB NOT NULL
    ) STRICT""",
)

_OUTBOX = (
    """CREATE TABLE outbox (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        chain_id INTEGER NOT NULL CHECK (chain_id > 0),
        kind TEXT NOT NULL CHECK (kind IN ('deploy', 'anchor')),
        publisher TEXT NOT NULL COLLATE NOCASE,
        contract TEXT COLLATE NOCASE,
        origin TEXT,
        size INTEGER CHECK (size > 0),
        root BLOB CHECK (length(root) = 32),
        nonce INTEGER NOT NULL CHECK (nonce >= 0),
        raw BLOB NOT NULL CHECK (length(raw) > 0),
        tx BLOB NOT NULL CHECK (length(tx) = 32),
        state TEXT NOT NULL CHECK (state IN ('signed', 'broadcast', 'mined', 'final', 'failed')),
        attempts INTEGER NOT NULL DEFAULT 0,
        receipt BLOB,
        created_s INTEGER NOT NULL,
        error TEXT,
        CHECK (kind = 'deploy' OR
               (contract IS NOT NULL AND origin IS NOT NULL AND size IS NOT NULL AND root IS NOT NULL))
    ) STRICT""",
    # A failed attempt is kept and does not stand in the way of the next one.
    """CREATE UNIQUE INDEX outbox_anchored_once ON outbox (chain_id, contract, origin, size)
        WHERE kind = 'anchor' AND state <> 'failed'""",
    """CREATE UNIQUE INDEX outbox_nonce_once ON outbox (chain_id, publisher, nonce)
        WHERE state IN ('signed', 'broadcast')""",
    "CREATE INDEX outbox_anchors ON outbox (size, id) WHERE kind = 'anchor'",
    "CREATE INDEX outbox_pending ON outbox (id) WHERE state IN ('signed', 'broadcast', 'mined')",
)

_INDEX = (
    """CREATE TABLE index_state (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        size INTEGER NOT NULL CHECK (size >= 0)
    ) STRICT""",
    "INSERT INTO index_state VALUES (1, 0)",
    """CREATE TABLE datasets (
        entry_index INTEGER PRIMARY KEY REFERENCES entries (idx),
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
        UNIQUE (namespace, name, version)
    ) STRICT""",
    "CREATE INDEX datasets_by_name ON datasets (namespace, name, entry_index)",
    "CREATE INDEX datasets_by_namespace ON datasets (namespace, entry_index)",
    "CREATE INDEX datasets_by_digest ON datasets (digest)",
    "CREATE INDEX datasets_by_root ON datasets (file_root)",
    """CREATE TABLE parents (
        child INTEGER NOT NULL REFERENCES datasets (entry_index),
        position INTEGER NOT NULL CHECK (position >= 0),
        namespace TEXT NOT NULL,
        name TEXT NOT NULL,
        version TEXT NOT NULL,
        digest BLOB NOT NULL CHECK (length(digest) = 32),
        parent_entry INTEGER,
        PRIMARY KEY (child, position)
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX parents_by_parent ON parents (parent_entry, child) WHERE parent_entry IS NOT NULL",
    "CREATE INDEX parents_unresolved ON parents (digest) WHERE parent_entry IS NULL",
    """CREATE TABLE files (
        digest BLOB NOT NULL CHECK (length(digest) = 32),
        dataset INTEGER NOT NULL REFERENCES datasets (entry_index),
        path TEXT NOT NULL,
        PRIMARY KEY (digest, dataset, path)
    ) STRICT, WITHOUT ROWID""",
    # Paths of this machine are bytes: they need not be UTF-8.
    """CREATE TABLE locations (
        entry_index INTEGER NOT NULL REFERENCES entries (idx),
        path BLOB NOT NULL CHECK (length(path) > 0),
        registered_s INTEGER NOT NULL,
        PRIMARY KEY (entry_index, path)
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX locations_by_path ON locations (path, entry_index)",
)

_RECORDS = (
    "ALTER TABLE datasets ADD COLUMN record_root BLOB CHECK (length(record_root) = 32)",
    "CREATE INDEX datasets_by_record_root ON datasets (record_root) WHERE record_root IS NOT NULL",
)

_EVENTS = (
    """CREATE TABLE events (
        entry_index INTEGER PRIMARY KEY REFERENCES entries (idx),
        about BLOB NOT NULL CHECK (length(about) = 32),
        type TEXT NOT NULL,
        keyid TEXT NOT NULL,
        created TEXT NOT NULL
    ) STRICT""",
    "CREATE INDEX events_by_about ON events (about, entry_index)",
)

_SAID = (
    # Nobody asked for an entry by its leaf hash, and to keep that index cost more than everything else of an append.
    "DROP INDEX IF EXISTS entries_by_leaf",
    "CREATE INDEX events_by_signer ON events (about, keyid, type, created)",
)

_STEPS: Final[tuple[Step, ...]] = (_LOG + _OUTBOX + _INDEX, _RECORDS, _EVENTS, _SAID, SEGMENTS)
"""Statements that bring schema n to n + 1, at position n."""


def prepare(connection: sqlite3.Connection, path: Path, *, create: bool) -> None:
    """Bring the file to this schema; `StoreError` if it is another program's, newer, or blank and not `create`.

    An existing ledger of this schema is only read.
    """
    if identify(connection, path, create=create) == SCHEMA_VERSION:
        return
    # Tables are made anew on the way, and others refer to them.
    connection.execute("PRAGMA foreign_keys = OFF")
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Another process may have been faster.
        for step in _STEPS[identify(connection, path, create=create) :]:
            for statement in step:
                if isinstance(statement, str):
                    connection.execute(statement)
                else:
                    statement(connection)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    connection.execute("PRAGMA foreign_keys = ON")


def identify(connection: sqlite3.Connection, path: Path, *, create: bool) -> int:
    """The schema version of the file, 0 if it is blank and may be filled; `StoreError` as `prepare`."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if application == 0 and version == 0 and tables == 0:
        if not create:
            raise StoreError("the ledger database is blank", where=path, hint="make a ledger with `provenance init`")
        return 0
    if application != APPLICATION_ID:
        raise StoreError(
            "the file is another program's database",
            expected=f"application id {APPLICATION_ID:#x}",
            got=f"{application:#x}",
            where=path,
            hint="check the path",
        )
    if version > SCHEMA_VERSION:
        raise StoreError(
            "the ledger was written by a newer release",
            expected=f"schema {SCHEMA_VERSION} or older",
            got=f"schema {version}",
            where=path,
            hint="install the current release: pip install --upgrade provenance-ledger",
        )
    if version < 1:
        raise StoreError("the ledger names no schema", expected=f"1 to {SCHEMA_VERSION}", got=version, where=path)
    return int(version)
