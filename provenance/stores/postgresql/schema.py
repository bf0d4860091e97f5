"""The tables of a ledger in PostgreSQL, and which versions of them this code reads.

Invariants: the schema `provenance` holds the ledger and nothing else; its table `ledger` says that it is one and which
version it has, and changes in the transaction that changes the tables. A newer version is refused, an older one is
brought up a step at a time. Rows that cannot be right (a leaf hash of 31 bytes, two live anchors of one size) are
refused by the schema itself, whatever the code above does. The tables are those of `provenance.stores.sqlite.schema`.

Text is compared byte for byte (COLLATE "C"). A key is at most a third of a page, so that paths are found by their hash.
"""

from __future__ import annotations

from typing import Final

from provenance.errors import StoreError
from provenance.limits import MAX_ENTRY_BYTES
from provenance.log.tile import TILE_WIDTH
from provenance.stores.postgresql.connections import begin_writing
from provenance.stores.postgresql.failures import guarded
from provenance.stores.postgresql.sessions import SCHEMA, Session
from provenance.stores.sql.segments import SEGMENT_BYTES, WITH_ENTRIES

SCHEMA_VERSION: Final = 2

_LOG: Final = (
    f"""CREATE TABLE entries (
        idx bigint PRIMARY KEY CHECK (idx >= 0),
        leaf_hash bytea NOT NULL CHECK (length(leaf_hash) = 32),
        envelope bytea NOT NULL CHECK (length(envelope) BETWEEN 1 AND {MAX_ENTRY_BYTES})
    )""",
    """CREATE TABLE tiles (
        level smallint NOT NULL CHECK (level BETWEEN 0 AND 63),
        idx bigint NOT NULL CHECK (idx >= 0),
        data bytea NOT NULL CHECK (length(data) BETWEEN 32 AND 8192 AND length(data) % 32 = 0),
        PRIMARY KEY (level, idx)
    )""",
    # Hashes do not compress.
    "ALTER TABLE tiles ALTER COLUMN data SET STORAGE EXTERNAL",
    """CREATE TABLE checkpoint (
        id smallint PRIMARY KEY CHECK (id = 1),
        size bigint NOT NULL CHECK (size >= 0),
        root bytea NOT NULL CHECK (length(root) = 32),
        note bytea NOT NULL
    )""",
    """CREATE TABLE kept_checkpoints (
        size bigint PRIMARY KEY CHECK (size >= 0),
        root bytea NOT NULL CHECK (length(root) = 32),
        note bytea NOT NULL
    )""",
)

_OUTBOX: Final = (
    """CREATE TABLE outbox (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        chain_id bigint NOT NULL CHECK (chain_id > 0),
        kind text COLLATE "C" NOT NULL CHECK (kind IN ('deploy', 'anchor')),
        publisher text COLLATE "C" NOT NULL,
        contract text COLLATE "C",
        origin text COLLATE "C",
        size bigint CHECK (size > 0),
        root bytea CHECK (length(root) = 32),
        nonce bigint NOT NULL CHECK (nonce >= 0),
        raw bytea NOT NULL CHECK (length(raw) > 0),
        tx bytea NOT NULL CHECK (length(tx) = 32),
        state text COLLATE "C" NOT NULL CHECK (state IN ('signed', 'broadcast', 'mined', 'final', 'failed')),
        attempts bigint NOT NULL DEFAULT 0,
        receipt bytea,
        created_s bigint NOT NULL,
        error text COLLATE "C",
        CHECK (kind = 'deploy' OR
               (contract IS NOT NULL AND origin IS NOT NULL AND size IS NOT NULL AND root IS NOT NULL))
    )""",
    # A failed attempt is kept and does not stand in the way of the next one.
    """CREATE UNIQUE INDEX outbox_anchored_once ON outbox (chain_id, lower(contract), origin, size)
        WHERE kind = 'anchor' AND state <> 'failed'""",
    """CREATE UNIQUE INDEX outbox_nonce_once ON outbox (chain_id, lower(publisher), nonce)
        WHERE state IN ('signed', 'broadcast')""",
    "CREATE INDEX outbox_anchors ON outbox (size, id) WHERE kind = 'anchor'",
    "CREATE INDEX outbox_pending ON outbox (id) WHERE state IN ('signed', 'broadcast', 'mined')",
)

_INDEX: Final = (
    """CREATE TABLE index_state (
        id smallint PRIMARY KEY CHECK (id = 1),
        size bigint NOT NULL CHECK (size >= 0)
    )""",
    "INSERT INTO index_state VALUES (1, 0)",
    """CREATE TABLE datasets (
        entry_index bigint PRIMARY KEY REFERENCES entries (idx),
        namespace text COLLATE "C" NOT NULL,
        name text COLLATE "C" NOT NULL,
        version text COLLATE "C" NOT NULL,
        digest bytea NOT NULL CHECK (length(digest) = 32),
        file_root bytea NOT NULL CHECK (length(file_root) = 32),
        kind text COLLATE "C" NOT NULL,
        sensitivity text COLLATE "C" NOT NULL,
        license text COLLATE "C",
        keyid text COLLATE "C" NOT NULL,
        created text COLLATE "C" NOT NULL,
        manifest bytea CHECK (length(manifest) = 32),
        oms bytea CHECK (length(oms) = 32),
        record_root bytea CHECK (length(record_root) = 32),
        UNIQUE (namespace, name, version)
    )""",
    "CREATE INDEX datasets_by_name ON datasets (namespace, name, entry_index)",
    "CREATE INDEX datasets_by_namespace ON datasets (namespace, entry_index)",
    "CREATE INDEX datasets_by_digest ON datasets (digest)",
    "CREATE INDEX datasets_by_root ON datasets (file_root)",
    "CREATE INDEX datasets_by_record_root ON datasets (record_root) WHERE record_root IS NOT NULL",
    """CREATE TABLE parents (
        child bigint NOT NULL REFERENCES datasets (entry_index),
        position bigint NOT NULL CHECK (position >= 0),
        namespace text COLLATE "C" NOT NULL,
        name text COLLATE "C" NOT NULL,
        version text COLLATE "C" NOT NULL,
        digest bytea NOT NULL CHECK (length(digest) = 32),
        parent_entry bigint,
        PRIMARY KEY (child, position)
    )""",
    "CREATE INDEX parents_by_parent ON parents (parent_entry, child) WHERE parent_entry IS NOT NULL",
    "CREATE INDEX parents_unresolved ON parents (digest) WHERE parent_entry IS NULL",
    """CREATE TABLE files (
        digest bytea NOT NULL CHECK (length(digest) = 32),
        dataset bigint NOT NULL REFERENCES datasets (entry_index),
        path text COLLATE "C" NOT NULL
    )""",
    # Text as `queries.encoded` writes it reads as bytes, too.
    "CREATE UNIQUE INDEX files_once ON files (digest, dataset, sha256(path::bytea))",
    "CREATE INDEX files_by_dataset ON files (dataset)",
    """CREATE TABLE events (
        entry_index bigint PRIMARY KEY REFERENCES entries (idx),
        about bytea NOT NULL CHECK (length(about) = 32),
        type text COLLATE "C" NOT NULL,
        keyid text COLLATE "C" NOT NULL,
        created text COLLATE "C" NOT NULL
    )""",
    "CREATE INDEX events_by_about ON events (about, entry_index)",
    "CREATE INDEX events_by_signer ON events (about, keyid, type, created)",
    # Paths of a machine are bytes: they need not be UTF-8.
    """CREATE TABLE locations (
        entry_index bigint NOT NULL REFERENCES entries (idx),
        path bytea NOT NULL CHECK (length(path) > 0),
        registered_s bigint NOT NULL
    )""",
    "CREATE UNIQUE INDEX locations_once ON locations (entry_index, sha256(path))",
    "CREATE INDEX locations_by_path ON locations USING hash (path)",
)

_SEGMENTS: Final = (
    f"""CREATE TABLE segments (
        first bigint PRIMARY KEY CHECK (first >= 0),
        count smallint NOT NULL CHECK (count >= 1 AND first % {TILE_WIDTH} + count <= {TILE_WIDTH}),
        data bytea NOT NULL CHECK (length(data) BETWEEN 3 * count AND {2 + MAX_ENTRY_BYTES} * count)
    )""",
    # Entries, which had a row each: neighbours together, while a bundle lasts and until they have some 32 KiB.
    f"""INSERT INTO segments SELECT min(idx), count(*),
            string_agg(substr(int4send(length(envelope)), 3, 2) || envelope, ''::bytea ORDER BY idx)
        FROM (SELECT idx, envelope, idx - row_number() OVER (ORDER BY idx) AS island,
            (sum(length(envelope)) OVER (PARTITION BY idx / {TILE_WIDTH} ORDER BY idx) - 1) / {SEGMENT_BYTES} AS part
            FROM entries) AS one
        GROUP BY idx / {TILE_WIDTH}, island, part""",  # noqa: S608 - constants
    *(f"ALTER TABLE {table} DROP CONSTRAINT {table}_entry_index_fkey" for table in WITH_ENTRIES),
    "DROP TABLE entries",
    # What the index says is of entries that are there. A foreign key cannot say so of entries in segments.
    f"""CREATE FUNCTION refuse_without_entry() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF new.entry_index >= coalesce(
            (SELECT s.first + s.count FROM {SCHEMA}.segments s ORDER BY s.first DESC LIMIT 1), 0) THEN
            RAISE EXCEPTION 'there is no such entry' USING ERRCODE = 'foreign_key_violation';
        END IF;
        RETURN new;
    END $$""",  # noqa: S608 - a constant
    *(
        f"""CREATE TRIGGER {table}_of_entries BEFORE INSERT ON {table}
            FOR EACH ROW EXECUTE FUNCTION refuse_without_entry()"""
        for table in WITH_ENTRIES
    ),
)

_STEPS: Final = (_LOG + _OUTBOX + _INDEX, _SEGMENTS)
"""Statements that bring version n to n + 1, at position n."""

_MARK: Final = (
    """CREATE TABLE IF NOT EXISTS ledger (
        id smallint PRIMARY KEY CHECK (id = 1),
        version integer NOT NULL CHECK (version > 0)
    )""",
    "COMMENT ON TABLE ledger IS 'provenance ledger'",
)
_SAY: Final = "INSERT INTO ledger VALUES (1, %s) ON CONFLICT (id) DO UPDATE SET version = excluded.version"
_TABLES: Final = """SELECT c.relname, obj_description(c.oid, 'pg_class') FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relkind IN ('r', 'p', 'v', 'm', 'f')"""


def prepare(session: Session, location: str, *, create: bool) -> None:
    """Bring the database to this schema; `StoreError` if it is another program's, newer, or blank and not `create`.

    An existing ledger of this schema is only read.
    """
    if identify(session, location, create=create) == SCHEMA_VERSION:
        return
    begin_writing(session, location)
    try:
        # Another process may have been faster.
        version = identify(session, location, create=create)
        with guarded(location, "making the tables"):
            if version == 0:
                session.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
            if version < SCHEMA_VERSION:
                # In one message: forty round trips are felt.
                statements = (*_MARK, *(one for step in _STEPS[version:] for one in step))
                session.execute("; ".join(statements).encode())
                session.execute(_SAY, (SCHEMA_VERSION,))
            session.execute("COMMIT")
    except BaseException:
        if not session.closed:
            session.close()
        raise


def identify(session: Session, location: str, *, create: bool) -> int:
    """The schema version of the database, 0 if it is blank and may be filled; `StoreError` as `prepare`."""
    with guarded(location, "looking for a ledger"):
        tables: dict[str, str | None] = dict(session.execute(_TABLES, (SCHEMA,)).fetchall())
    if not tables:
        if not create:
            hint = "make a ledger with `provenance init --database URL`"
            raise StoreError("the database holds no ledger", where=location, hint=hint)
        return 0
    if tables.get("ledger") != "provenance ledger":
        raise StoreError(
            f"the schema {SCHEMA} of the database is another program's",
            expected="a table `ledger` with the comment `provenance ledger`",
            got=f"{len(tables)} other tables",
            where=location,
            hint="check the URL; make a database for the ledger alone: createdb NAME",
        )
    return _version(session, location)


def _version(session: Session, location: str) -> int:
    with guarded(location, "reading the schema's version"):
        row = session.execute(f"SELECT version FROM {SCHEMA}.ledger").fetchone()  # noqa: S608 - a constant
    version = 0 if row is None else int(row[0])
    if version > SCHEMA_VERSION:
        raise StoreError(
            "the ledger was written by a newer release",
            expected=f"schema {SCHEMA_VERSION} or older",
            got=f"schema {version}",
            where=location,
            hint="install the current release: pip install --upgrade provenance-ledger",
        )
    if version < 1:
        raise StoreError("the ledger names no schema", expected=f"1 to {SCHEMA_VERSION}", got=version, where=location)
    return version
