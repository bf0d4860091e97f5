"""py-evm's own suites for databases, run on ours, and what ours adds."""

from __future__ import annotations

import operator
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from eth.tools.db.atomic import AtomicDatabaseBatchAPITestSuite
from eth.tools.db.base import DatabaseAPITestSuite

from provenance.chains.database import BlockRow, ChainDatabase, TransactionRow
from provenance.chains.state import StateDatabase
from provenance.errors import ChainError


@pytest.fixture
def database(tmp_path: Path) -> Iterator[ChainDatabase]:
    path = tmp_path / "chain.db"
    ChainDatabase.create(path, b"genesis", lambda new: new.write_state(b"first", b"1"))
    opened = ChainDatabase.open(path, timeout_s=1)
    yield opened
    opened.close()


@pytest.fixture
def db(database: ChainDatabase) -> Iterator[StateDatabase]:
    with database.transaction():
        yield StateDatabase(database)


@pytest.fixture
def atomic_db(db: StateDatabase) -> StateDatabase:
    return db


class TestDatabase(DatabaseAPITestSuite):
    """What py-evm expects of any database."""


class TestAtomicDatabase(AtomicDatabaseBatchAPITestSuite):
    """What py-evm expects of batches."""


def test_writing_needs_a_transaction(database: ChainDatabase) -> None:
    state = StateDatabase(database)
    assert state[b"first"] == b"1"
    assert b"first" in state
    writes: list[Callable[[], object]] = [
        lambda: operator.setitem(state, b"k", b"v"),
        lambda: operator.delitem(state, b"first"),
        lambda: database.append_block(BlockRow(0, bytes(32), b"")),
    ]
    for write in writes:
        with pytest.raises(ChainError, match="outside a transaction"):
            write()
    with pytest.raises(ChainError, match="outside a transaction"), state.atomic_batch() as batch:
        batch.set(b"k", b"v")
    assert b"k" not in state


def test_a_transaction_is_all_or_nothing(database: ChainDatabase) -> None:
    state = StateDatabase(database)
    with pytest.raises(KeyboardInterrupt), database.transaction():
        state[b"k"] = b"v"
        with state.atomic_batch() as batch:
            batch[b"l"] = b"w"
        assert state[b"l"] == b"w"
        raise KeyboardInterrupt
    assert b"k" not in state
    assert b"l" not in state
    with database.transaction():
        state[b"k"] = b"v"
    assert state[b"k"] == b"v"


def test_rows_come_back_as_they_were_written(database: ChainDatabase) -> None:
    blocks = [BlockRow(number, bytes([number]) * 32, b"header") for number in range(3)]
    rows = tuple(TransactionRow(bytes([9, i]) * 16, 2, i, b"raw", b"receipt", 21_000, None) for i in range(3))
    with database.transaction():
        for block in blocks:
            database.append_block(block, rows if block.number == 2 else ())
    assert database.head() == blocks[2]
    assert [database.block(number) for number in range(4)] == [*blocks, None]
    assert database.block_by_hash(blocks[1].hash) == blocks[1]
    assert database.block_by_hash(bytes(31)) is None
    assert database.transactions_of(2) == rows
    assert database.transactions_of(1) == ()
    assert database.transaction_by_hash(rows[1].hash) == rows[1]
    assert database.genesis() == b"genesis"


def test_a_block_is_never_replaced(database: ChainDatabase) -> None:
    with database.transaction():
        database.append_block(BlockRow(0, bytes(32), b"header"))
    for block in (BlockRow(0, b"x" * 32, b"other"), BlockRow(1, bytes(32), b"other")):
        with pytest.raises(sqlite3.IntegrityError), database.transaction():
            database.append_block(block)
    assert database.head() == BlockRow(0, bytes(32), b"header")
