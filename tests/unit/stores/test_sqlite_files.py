"""Files that are missing, foreign, newer, damaged, torn or not to be written."""

from __future__ import annotations

import random
import shutil
import sqlite3
import stat
import struct
from dataclasses import replace
from pathlib import Path

import pytest

from provenance.encoding import Digest
from provenance.errors import ProvenanceError, StoreError
from provenance.merkle import leaf_hash
from provenance.stores import Store, open_store
from provenance.stores.sql.index_tables import _dataset_values
from provenance.stores.sqlite import schema
from provenance.stores.sqlite.schema import APPLICATION_ID, SCHEMA_VERSION
from tests.conformance.stores.samples import append, assert_whole, dataset, envelope
from tests.unit.stores.conftest import ENTRIES


def read_everything(store: Store) -> list[object]:
    """What every kind of read returns."""
    with store.snapshot() as reader:
        datasets = reader.datasets_page()
        return [
            list(reader.entries(0, 1_000)),
            [reader.tile(0, 0), reader.tile(0, 1), reader.checkpoint(), reader.size()],
            [reader.checkpoint(), reader.checkpoints(), reader.checkpoint_covering(0)],
            [reader.outbox_pending(), reader.outbox_latest_anchor(), reader.anchors(states=["signed"])],
            datasets,
            [reader.dataset(row.namespace, row.name, row.version) for row in datasets],
            [reader.datasets_by_file(Digest.of(b"%d" % index)) for index in range(0, 40, 2)],
            [reader.datasets_by_prefix(digit) for digit in "0123456789abcdef"],
            [reader.ancestors(38), reader.descendants(0), reader.ancestor_edges(38), reader.index_size()],
            [reader.locations(index) + reader.locations_at(f"/data/{index}") for index in range(0, 40, 2)],
        ]


def test_the_file_is_private_and_so_is_its_log(tmp_path: Path) -> None:
    with open_store(tmp_path / "ledger.db", create=True) as store:
        with store.transaction() as tx:
            append(tx, [b"x"])
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {"ledger.db": 0o600, "ledger.db-wal": 0o600, "ledger.db-shm": 0o600}


def test_the_engine_is_set_for_durability(ledger: Path) -> None:
    with open_store(ledger) as store, store.transaction() as tx:
        connection = tx._live()  # type: ignore[attr-defined]
        settings = ("journal_mode", "synchronous", "foreign_keys", "trusted_schema", "wal_autocheckpoint")
        found = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in settings]
    assert found == ["wal", 2, 1, 0, 0]


def test_every_table_is_strict_and_the_file_says_what_it_is(ledger: Path) -> None:
    connection = sqlite3.connect(ledger)
    tables = connection.execute("SELECT name, strict FROM pragma_table_list WHERE name NOT LIKE 'sqlite_%'").fetchall()
    connection.close()
    assert len(tables) == 11
    assert all(strict for _, strict in tables)
    header = ledger.read_bytes()[:100]
    assert header[68:72] == b"PRLG" == APPLICATION_ID.to_bytes(4, "big")
    assert struct.unpack(">I", header[60:64]) == (SCHEMA_VERSION,)


@pytest.mark.parametrize("kind", ["missing", "missing folder", "folder", "link to nothing", "under a file"])
def test_what_is_no_file_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "ledger.db"
    if kind == "missing folder":
        path = tmp_path / "nowhere" / "ledger.db"
    elif kind == "folder":
        path.mkdir()
    elif kind == "link to nothing":
        path.symlink_to(tmp_path / "nothing")
    elif kind == "under a file":
        path.write_bytes(b"")
        path = path / "ledger.db"
    for create, read_only in ((False, False), (False, True), (kind != "missing", False)):
        with pytest.raises(StoreError) as raised:
            open_store(path, create=create, read_only=read_only)
        assert raised.value.hint
        assert str(path) in str(raised.value)


@pytest.mark.parametrize("content", [b"x", b"not a database" * 500, bytes(100), b"SQLite format 3\x00", bytes(8_192)])
def test_a_file_that_is_no_database_is_refused_and_kept(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "ledger.db"
    path.write_bytes(content)
    for create in (False, True):
        with pytest.raises(StoreError) as raised:
            open_store(path, create=create)
        assert raised.value.hint
    with pytest.raises(StoreError):
        open_store(path, read_only=True)
    assert path.read_bytes() == content


def test_a_blank_file_is_filled_only_on_request(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    path.write_bytes(b"")
    for read_only in (False, True):
        with pytest.raises(StoreError, match="blank"):
            open_store(path, read_only=read_only)
    with open_store(path, create=True) as store:
        assert store.size() == 0


def test_another_programs_database_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    for statements in (["CREATE TABLE t (x)"], ["PRAGMA user_version = 1"], ["PRAGMA application_id = 7"]):
        path.unlink(missing_ok=True)
        connection = sqlite3.connect(path)
        for statement in statements:
            connection.execute(statement)
        connection.close()
        before = path.read_bytes()
        for create in (False, True):
            with pytest.raises(StoreError, match="another program's"):
                open_store(path, create=create)
        assert path.read_bytes() == before


def change(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in statements:
        connection.execute(statement)
    connection.close()


@pytest.mark.parametrize("version", [SCHEMA_VERSION + 1, 2**31 - 1])
def test_a_newer_schema_is_refused_with_a_way_out(ledger: Path, version: int) -> None:
    change(ledger, f"PRAGMA user_version = {version}")
    before = ledger.read_bytes()
    for options in ({}, {"create": True}, {"read_only": True}):
        with pytest.raises(StoreError, match="newer release") as raised:
            open_store(ledger, **options)
        assert raised.value.hint and "upgrade" in raised.value.hint
        assert f"schema {version}" in str(raised.value)
    assert ledger.read_bytes() == before


@pytest.mark.parametrize("version", range(1, SCHEMA_VERSION))
def test_a_ledger_of_any_older_schema_is_brought_up_to_date_and_keeps_its_rows(tmp_path: Path, version: int) -> None:
    """Tables as that version made them. A file that a release wrote is in `tests/compat`."""
    path = tmp_path / "ledger.db"
    rows = [dataset(index) if version > 1 else replace(dataset(index), record_root=None) for index in range(3)]
    with sqlite3.connect(path) as connection:
        for step in schema._STEPS[:version]:
            for statement in step:
                assert isinstance(statement, str)
                connection.execute(statement)
        for index, row in enumerate(rows):
            entry = (index, leaf_hash(envelope(index)), envelope(index))
            connection.execute("INSERT INTO entries VALUES (?, ?, ?)", entry)
            values = _dataset_values(row)[: None if version > 1 else -1]
            connection.execute(f"INSERT INTO datasets VALUES ({', '.join('?' * len(values))})", values)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {version}")
    connection.close()
    with pytest.raises(StoreError, match="older release") as raised:
        open_store(path, read_only=True)
    assert raised.value.hint and "provenance log show" in raised.value.hint
    for read_only in (False, True):
        with open_store(path, read_only=read_only) as store:
            assert store.datasets_page() == rows
            assert all(store.datasets_by_root(row.file_root) == [row] for row in rows)
            assert [row.envelope for row in store.entries(0, 10)] == [envelope(index) for index in range(3)]
            assert store.check() == []
    with sqlite3.connect(path) as old, open_store(tmp_path / "new.db", create=True):
        with sqlite3.connect(tmp_path / "new.db") as new:
            query = "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY name"
            assert old.execute(query).fetchall() == new.execute(query).fetchall()
        new.close()
    old.close()


@pytest.mark.parametrize("version", [0, -1])
def test_a_ledger_without_a_schema_is_refused(ledger: Path, version: int) -> None:
    change(ledger, f"PRAGMA user_version = {version}")
    with pytest.raises(StoreError, match="names no schema"):
        open_store(ledger, create=True)


def test_a_missing_table_is_damage_not_a_crash(ledger: Path) -> None:
    change(ledger, "DROP TABLE tiles")
    with open_store(ledger) as store, pytest.raises(StoreError):
        store.tile(0, 0)


def take_out(ledger: Path, index: int) -> range:
    """Remove the entry, and its neighbours in the same row."""
    with sqlite3.connect(ledger) as connection:
        query = "SELECT first, count FROM segments WHERE first <= ? ORDER BY first DESC LIMIT 1"
        first, count = connection.execute(query, (index,)).fetchone()
        connection.execute("DELETE FROM segments WHERE first = ?", (first,))
    connection.close()
    return range(first, first + count)


def test_missing_entries_are_damage(ledger: Path) -> None:
    gone = take_out(ledger, 57)
    assert 0 < gone.start < gone.stop < ENTRIES
    with open_store(ledger) as store:
        for rows in (store.entries(0, 100), store.entries(gone.start - 1, 2), store.entries(57, 1)):
            with pytest.raises(StoreError, match=f"entry ({gone.start}|57) is missing"):
                list(rows)
        assert [row.index for row in store.entries(gone.start - 2, 2)] == [gone.start - 2, gone.start - 1]
        assert [row.index for row in store.entries(gone.stop, 2)] == [gone.stop, gone.stop + 1]
        assert [store.entry(index) for index in gone] == [None] * len(gone)


def test_a_row_without_its_entry_is_found_by_check(ledger: Path) -> None:
    gone = take_out(ledger, 10)
    count = sum(index in gone for index in range(0, 40, 2))
    with open_store(ledger) as store:
        for table in ("datasets", "locations"):
            assert f"{count} rows of {table} refer to entries that are not there" in store.check()


@pytest.mark.parametrize("write", ["datasets", "events", "locations"])
def test_the_schema_itself_refuses_rows_without_an_entry(ledger: Path, write: str) -> None:
    rows = {
        "datasets": "SELECT {0}, namespace, name, '2', digest, file_root, kind, sensitivity, license, keyid, created,"
        " manifest, oms, record_root FROM datasets WHERE entry_index = 0",
        "events": "VALUES ({0}, zeroblob(32), 't', 'k', 'c')",
        "locations": "VALUES ({0}, x'2f', 1)",
    }
    with sqlite3.connect(ledger) as connection:
        connection.execute(f"INSERT INTO {write} {rows[write].format(ENTRIES - 1)}")
        with pytest.raises(sqlite3.IntegrityError, match="no such entry"):
            connection.execute(f"INSERT INTO {write} {rows[write].format(ENTRIES)}")
    connection.close()


@pytest.mark.parametrize(
    "values",
    [
        "(300, 1, x'0000')",
        "(300, 1, zeroblob(65538))",
        "(300, 0, x'000178')",
        "(-1, 1, x'000178')",
        "(0, 1, x'000178')",
        "(511, 2, x'000178000178')",
        "(300, 1, 'xxx')",
    ],
)
def test_the_schema_itself_refuses_segments_of_another_form(ledger: Path, values: str) -> None:
    with sqlite3.connect(ledger) as connection, pytest.raises(sqlite3.IntegrityError):
        connection.execute(f"INSERT INTO segments VALUES {values}")
    connection.close()


def test_a_truncated_file_is_refused_or_found_out(ledger: Path) -> None:
    whole = ledger.read_bytes()
    with open_store(ledger) as store:
        expected = read_everything(store)
    for size in (
        *range(1, 200, 7),
        512,
        4_095,
        4_096,
        4_097,
        8_192,
        len(whole) // 2,
        len(whole) - 4_096,
        len(whole) - 1,
    ):
        ledger.write_bytes(whole[:size])
        try:
            with open_store(ledger) as store:
                found = store.check() or read_everything(store) != expected
        except StoreError as error:
            assert error.hint
        else:
            # The last page may end in a byte of zero that nothing needs.
            assert found or size == len(whole) - 1, f"{size} bytes of {len(whole)} went unnoticed"


@pytest.mark.parametrize("seed", range(8))
def test_damage_anywhere_gives_our_errors_only(ledger: Path, seed: int) -> None:
    """Bytes changed at random places of random pages: reads give rows or a `ProvenanceError`, never anything else."""
    rng = random.Random(seed)
    whole = ledger.read_bytes()
    for _ in range(25):
        damaged = bytearray(whole)
        page = rng.randrange(len(whole) // 4_096) * 4_096
        for _ in range(rng.choice([1, 3, 200])):
            # The start of a page steers how the rest is read.
            at = page + rng.choice([rng.randrange(4_096), rng.randrange(120)])
            damaged[at] = rng.randrange(256)
        for path in ledger.parent.glob("ledger.db-*"):
            path.unlink()
        ledger.write_bytes(damaged)
        try:
            with open_store(ledger) as store:
                store.check()
                for _ in range(2):
                    read_everything(store)
        except ProvenanceError:
            pass


def test_damaged_types_do_not_come_out_as_rows(ledger: Path) -> None:
    """STRICT tables hold no other types unless somebody edits the schema; the reader still looks."""
    connection = sqlite3.connect(ledger, isolation_level=None)
    connection.execute("PRAGMA writable_schema = ON")
    connection.execute("UPDATE sqlite_schema SET sql = replace(replace(sql, 'STRICT, ', ''), 'STRICT', '')")
    connection.close()
    connection = sqlite3.connect(ledger, isolation_level=None)
    connection.execute("PRAGMA ignore_check_constraints = ON")
    connection.execute("UPDATE checkpoint SET root = 'text'")
    connection.execute("UPDATE datasets SET digest = x'00'")
    connection.close()
    with open_store(ledger) as store:
        with pytest.raises(StoreError, match="damaged"):
            store.checkpoint()
        with pytest.raises(StoreError, match="damaged"):
            store.datasets_page()


def test_a_torn_log_loses_only_what_was_not_acknowledged(tmp_path: Path) -> None:
    """The write-ahead log cut at any byte after an acknowledged commit still holds that commit."""
    source, copy = tmp_path / "ledger.db", tmp_path / "copy"
    log = source.with_name("ledger.db-wal")
    with open_store(source, create=True) as store:
        with store.transaction() as tx:
            append(tx, [envelope(i) for i in range(10)])
        acknowledged = log.stat().st_size
        with store.transaction() as tx:
            append(tx, [envelope(i) for i in range(10, 30)])
        database, frames = source.read_bytes(), log.read_bytes()
    assert acknowledged < len(frames)
    cuts = sorted({acknowledged, *range(acknowledged, len(frames), 997), len(frames) - 1, len(frames)})
    for cut in cuts:
        for tail in (b"", bytes(500), b"\xff" * 5_000):
            shutil.rmtree(copy, ignore_errors=True)
            copy.mkdir()
            (copy / "ledger.db").write_bytes(database)
            (copy / "ledger.db-wal").write_bytes(frames[:cut] + tail)
            with open_store(copy / "ledger.db") as store:
                assert assert_whole(store) == (30 if cut == len(frames) else 10)


def test_the_log_is_copied_into_the_database_as_it_grows(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with open_store(path, create=True) as store:
        for start in range(0, 600, 20):
            with store.transaction() as tx:
                append(tx, [bytes([start % 256]) * 60_000] * 20)
        assert store.size() == 600
        assert path.stat().st_size > 20 * 2**20
        assert path.with_name("ledger.db-wal").stat().st_size < 16 * 2**20
    assert not path.with_name("ledger.db-wal").exists()


def test_copying_waits_for_nobody(tmp_path: Path) -> None:
    """A reader that keeps an old state, and a writer elsewhere, hold up neither commit nor correctness."""
    path = tmp_path / "ledger.db"
    with open_store(path, create=True) as store, open_store(path) as other:
        with store.transaction() as tx:
            append(tx, [b"first"])
        with store.snapshot() as old:
            for number in range(12):
                with (store, other)[number % 2].transaction() as tx:
                    append(tx, [b"x" * 60_000] * 20)
            assert old.size() == 1
            assert [row.envelope for row in old.entries(0, 5)] == [b"first"]
        assert assert_whole(store) == assert_whole(other) == 241


def test_a_closed_ledger_is_one_file(ledger: Path) -> None:
    assert [path.name for path in ledger.parent.iterdir()] == ["ledger.db"]
    with open_store(ledger) as store:
        assert assert_whole(store) == ENTRIES


def test_a_path_of_any_spelling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "a ?mode=memory#%41'\"é \udcff"
    folder.mkdir()
    with open_store(folder / "ledger.db", create=True) as store, store.transaction() as tx:
        append(tx, [b"x"])
    assert [path.name for path in folder.iterdir()] == ["ledger.db"]
    monkeypatch.chdir(folder)
    for location in ("ledger.db", "sqlite:ledger.db", "sqlite:./ledger.db"):
        with open_store(location) as store:
            monkeypatch.chdir(tmp_path)
            assert store.size() == 1
            monkeypatch.chdir(folder)
