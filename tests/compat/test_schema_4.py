"""A database that the release before segments wrote, a row an entry: it opens, and holds what it held.

`schema_4/ledger.db.gz` is never made again. Entries, datasets and the rest are those of `samples`.
"""

from __future__ import annotations

import gzip
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from provenance.encoding import Digest
from provenance.errors import ProvenanceError, StoreError
from provenance.ledger.growth import Growth
from provenance.log import LogKey, NoteSigner, TileReader, entry_leaf, open_counted
from provenance.merkle import root_of
from provenance.stores import EventRow, LocationRow, Store, StoreTransaction, open_store
from provenance.stores.postgresql import schema as postgresql_schema
from provenance.stores.sqlite import schema
from tests.conformance.stores.samples import anchor, dataset, envelope, parent
from tests.paths import PROJECT
from tests.postgresql import PostgresServer

FILE = Path(__file__).parent / "schema_4" / "ledger.db.gz"
SIZE = 300
SIGNER = NoteSigner("example.org/log", b"\x01" * 32)
DATA = {"tiles": 3, "checkpoint": 4, "kept_checkpoints": 3, "index_state": 2, "datasets": 14, "events": 5}
DATA |= {"locations": 3, "parents": 7, "files": 3}
"""Tables and their columns, apart from entries and the outbox."""


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "ledger.db"
    path.write_bytes(gzip.decompress(FILE.read_bytes()))
    return path


def assert_as_it_was(store: Store, size: int = SIZE) -> None:
    """Entries, the tree over them, and every row of the index."""
    envelopes = [envelope(index) for index in range(size)]
    assert [(row.index, row.envelope) for row in store.entries(0, size + 1)] == list(enumerate(envelopes))
    for index in range(0, size, 7):
        row = store.entry(index)
        assert row is not None and row.envelope == envelopes[index]
    checkpoint = store.checkpoint()
    assert checkpoint is not None and checkpoint.size == store.size() == size
    assert open_counted(checkpoint.note, [LogKey(SIGNER.verifier)]).checkpoint.root == checkpoint.root
    reader = TileReader(lambda level, index: store.tile(level, index) or b"", size)
    assert reader.root_at(size) == checkpoint.root == root_of(map(entry_leaf, envelopes))
    assert [row.size for row in store.checkpoints()] == [1, 2, 256, 257, 300]
    assert store.datasets_page() == [dataset(index) for index in range(0, 40, 2)]
    for index in range(0, 40, 2):
        assert store.parents(index) == ([parent(index, 0, dataset(index - 2))] if index else [])
        assert [match.path for match in store.datasets_by_file(Digest.of(b"%d" % index))] == [f"{index}.csv"]
        assert store.locations(index) == [LocationRow(index, f"/data/{index}", index)]
        said = EventRow(index + 1, Digest.of(envelope(index)), "urn:example:event", "ab" * 32, "2026-01-01T00:00:00Z")
        assert store.events_about(said.about) == [said]
    assert [(row.size, row.raw) for row in store.outbox_pending()] == [(300, anchor(300).raw)]
    assert (store.index_size(), store.check()) == (40, [])


def grow(store: Store) -> None:
    """Ten entries more, on top of what was signed then."""
    with store.transaction() as tx:
        growth = Growth(tx, SIGNER)
        assert growth.add(*(envelope(index) for index in range(SIZE, SIZE + 10))) == SIZE
        growth.finish()


def index_beyond(tx: StoreTransaction) -> None:
    tx.add_dataset(dataset(SIZE), [], [])


def say_beyond(tx: StoreTransaction) -> None:
    tx.add_event(EventRow(SIZE, Digest.of(b"x"), "urn:example:event", "ab" * 32, "2026-01-01T00:00:00Z"))


def locate_beyond(tx: StoreTransaction) -> None:
    tx.add_location(LocationRow(SIZE, "/data/x", 1))


BEYOND = [index_beyond, say_beyond, locate_beyond]


def test_it_holds_what_it_held_and_grows(old: Path) -> None:
    with pytest.raises(StoreError, match="older release"):
        open_store(old, read_only=True)
    with open_store(old) as store:
        assert_as_it_was(store)
        grow(store)
        assert_as_it_was(store, SIZE + 10)
    with open_store(old, read_only=True) as store:
        assert_as_it_was(store, SIZE + 10)
    with sqlite3.connect(old) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
        assert "entries" not in tables and not any(name.startswith("new_") for name in tables)
        assert connection.execute("SELECT count(*) FROM segments").fetchone()[0] < SIZE / 10
    connection.close()


@pytest.mark.parametrize("write", BEYOND)
def test_its_index_names_no_entry_that_is_not_there(old: Path, write: Callable[[StoreTransaction], None]) -> None:
    with open_store(old) as store:
        with pytest.raises(ProvenanceError), store.transaction() as tx:
            write(tx)
        assert_as_it_was(store)


@pytest.mark.parametrize("missing", [[0], [57], [255], [256], [299], [0, 100, 101, 299]])
def test_what_was_missing_is_missing_after(old: Path, missing: list[int]) -> None:
    with sqlite3.connect(old) as connection:
        connection.executemany("DELETE FROM entries WHERE idx = ?", [(index,) for index in missing])
    connection.close()
    with open_store(old) as store:
        for index in range(SIZE):
            row = store.entry(index)
            assert (None if row is None else row.envelope) == (None if index in missing else envelope(index))
        if missing == [SIZE - 1]:
            assert store.size() == SIZE - 1
        else:
            with pytest.raises(StoreError, match=f"entry {missing[0]} is missing"):
                list(store.entries(0, SIZE))


def test_a_step_that_fails_leaves_the_file_as_it_was(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    *others, last = schema._STEPS
    for at in range(len(last) + 1):
        broken = (*last[:at], "INSERT INTO nowhere VALUES (1)")
        monkeypatch.setattr(schema, "_STEPS", (*others, broken))
        with pytest.raises(StoreError):
            open_store(old)
        with sqlite3.connect(old) as connection:
            assert connection.execute("PRAGMA user_version").fetchone() == (4,)
            assert connection.execute("SELECT count(*) FROM entries").fetchone() == (SIZE,)
        connection.close()
    monkeypatch.undo()
    with open_store(old) as store:
        assert_as_it_was(store)


def test_kill_9_on_the_way(old: Path) -> None:
    """Whenever it comes, the file is of the old schema or of the new one, whole; most come in the middle."""
    command = [sys.executable, "-c", "import sys; from provenance.stores import open_store; print(flush=True);"]
    command[-1] += "[open_store(sys.argv[1]).close() for _ in range(1)]"
    whole, states = old.read_bytes(), set[int]()
    for number in range(24):
        old.write_bytes(whole)
        for beside in old.parent.glob("ledger.db-*"):
            beside.unlink()
        process = subprocess.Popen([*command, str(old)], cwd=PROJECT, stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.001 * number)
        process.send_signal(signal.SIGKILL)
        process.wait(60)
        process.stdout.close()
        with sqlite3.connect(old) as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            states.add(version)
            table = "entries" if version == 4 else "segments"
            assert connection.execute(f"SELECT count(*) > 0 FROM {table}").fetchone() == (1,)
        connection.close()
        with open_store(old) as store:
            assert_as_it_was(store)
    assert 4 in states and states <= {4, schema.SCHEMA_VERSION}


@pytest.fixture
def old_database(old: Path, database: str) -> str:
    """The same rows in PostgreSQL, in the tables of its first version."""
    with (
        psycopg.connect(database, autocommit=True) as connection,
        sqlite3.connect(old) as file,
        connection.transaction(),
    ):
        connection.execute("CREATE SCHEMA provenance")
        connection.execute("SET LOCAL search_path = provenance")
        for statement in (*postgresql_schema._MARK, *postgresql_schema._STEPS[0]):
            connection.execute(statement.encode())
        connection.execute("INSERT INTO ledger VALUES (1, 1)")
        connection.execute("DELETE FROM index_state")
        for table, columns in {"entries": 3, **DATA}.items():
            marks = ", ".join(["%s"] * columns)
            rows = file.execute(f"SELECT * FROM {table}").fetchall()
            connection.cursor().executemany(f"INSERT INTO {table} VALUES ({marks})".encode(), rows)
        names = "chain_id, kind, publisher, contract, origin, size, root, nonce, raw, tx, state, attempts, created_s"
        for row in file.execute(f"SELECT {names} FROM outbox").fetchall():
            marks = ", ".join(["%s"] * len(row))
            connection.execute(f"INSERT INTO outbox ({names}) VALUES ({marks})".encode(), row)
    file.close()
    return database


def test_the_same_in_postgresql(old_database: str) -> None:
    with pytest.raises(StoreError, match="older release"):
        open_store(old_database, read_only=True)
    with open_store(old_database) as store:
        assert_as_it_was(store)
        grow(store)
        assert_as_it_was(store, SIZE + 10)
    with psycopg.connect(old_database) as connection:
        row = connection.execute("SELECT to_regclass('provenance.entries'), count(*) FROM provenance.segments")
        gone, count = row.fetchone() or ("", 0)
        assert gone is None and 0 < count < SIZE / 10


@pytest.mark.parametrize("write", BEYOND)
def test_its_index_in_postgresql(old_database: str, write: Callable[[StoreTransaction], None]) -> None:
    with open_store(old_database) as store:
        with pytest.raises(ProvenanceError), store.transaction() as tx:
            write(tx)
        assert_as_it_was(store)


def test_what_was_missing_in_postgresql_is_missing_after(old_database: str, postgres: PostgresServer) -> None:
    with postgres.connect(old_database) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("DELETE FROM provenance.entries WHERE idx IN (0, 100, 101, 255, 299)")
    with open_store(old_database) as store:
        for index in range(SIZE):
            assert (store.entry(index) is None) == (index in (0, 100, 101, 255, 299))
        assert [row.envelope for row in store.entries(1, 99)] == [envelope(index) for index in range(1, 100)]
        with pytest.raises(StoreError, match="entry 100 is missing"):
            list(store.entries(1, SIZE))
