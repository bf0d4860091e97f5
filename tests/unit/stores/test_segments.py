"""How entries lie in rows: few rows, small ones, and none that a reader would have to put together from many."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path

import pytest

from provenance.errors import StoreError
from provenance.limits import MAX_ENTRY_BYTES
from provenance.log import parse_entries
from provenance.stores import open_store
from provenance.stores.sql.segments import SEGMENT_BYTES, pack


def rows_of(path: Path) -> list[tuple[int, int, bytes]]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute("SELECT first, count, data FROM segments ORDER BY first").fetchall()
    finally:
        connection.close()


def append(path: Path, sizes: list[int], batch: int) -> list[bytes]:
    """Entries of these sizes, `batch` a transaction."""
    chance = random.Random(1)
    entries = [chance.randbytes(size) for size in sizes]
    with open_store(path, create=True) as store:
        for at in range(0, len(entries), batch):
            with store.transaction() as tx:
                tx.append_entries(at, entries[at : at + batch])
        assert [row.envelope for row in store.entries(0, len(entries))] == entries
    return entries


@pytest.mark.parametrize("seed", range(30))
def test_packed_entries_are_those_and_no_row_is_large(seed: int) -> None:
    chance = random.Random(seed)
    first = chance.choice([0, 1, 255, 256, 1_000])
    sizes = chance.choices([1, 100, 1_000, 32_766, 32_767, MAX_ENTRY_BYTES], k=chance.randrange(700))
    entries = [chance.randbytes(size) for size in sizes]
    position, found = first, list[bytes]()
    for start, count, data in pack(first, entries):
        assert start == position
        position += count
        assert 1 <= count <= 256 and start // 256 == (position - 1) // 256
        held = parse_entries(data, width=count)
        assert count == 1 or sum(map(len, held)) <= SEGMENT_BYTES
        found += held
    assert found == entries


@pytest.mark.parametrize(("size", "batch", "most"), [(250, 1, 3), (250, 10, 3), (250, 100, 5), (4_000, 1, 40)])
def test_a_complete_bundle_lies_in_few_rows(tmp_path: Path, size: int, batch: int, most: int) -> None:
    path = tmp_path / "ledger.db"
    append(path, [size] * 600, batch)
    for bundle in (0, 256):
        assert sum(bundle <= first < bundle + 256 for first, _, _ in rows_of(path)) <= most
    assert sum(count for _, count, _ in rows_of(path)) == 600


def test_large_entries_are_not_written_twice(tmp_path: Path) -> None:
    """There is nothing to gain where each has a row of its own anyway."""
    path = tmp_path / "ledger.db"
    append(path, [20_000] * 256, 1)
    assert [count for _, count, _ in rows_of(path)] == [1] * 256


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE segments SET data = CAST(data || x'00' AS BLOB) WHERE first = 2",
        "UPDATE segments SET data = CAST(x'000178' || substr(data, 4) AS BLOB) WHERE first = 2",
        "UPDATE segments SET data = CAST(x'ffff' || substr(data, 3) AS BLOB) WHERE first = 2",
        "UPDATE segments SET data = CAST(x'0000' || substr(data, 3) AS BLOB) WHERE first = 2",
        "UPDATE segments SET count = count + 1 WHERE first = 2",
        "UPDATE segments SET count = count - 1 WHERE first = 2",
    ],
)
def test_a_row_that_cannot_be_right_is_damage(tmp_path: Path, change: str) -> None:
    path = tmp_path / "ledger.db"
    append(path, [100, 200], 2)
    with open_store(path) as store, store.transaction() as tx:
        tx.append_entries(2, [b"x" * 50, b"y" * 60, b"z" * 70])
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA ignore_check_constraints = ON")
    connection.execute(change)
    connection.close()
    with open_store(path) as store:
        with pytest.raises(StoreError, match="damaged"):
            list(store.entries(0, 10))
        assert [len(row.envelope) for row in store.entries(0, 2)] == [100, 200]
        with pytest.raises(StoreError, match="damaged"):
            [store.entry(index) for index in (2, 3, 4, 5)]
