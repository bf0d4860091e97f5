"""The embedded chain's database: one SQLite file.

Invariants: WAL and synchronous=FULL, so that what is committed survives kill -9 and a power cut; a block, its
transactions, their receipts and the state after it are written in one SQL transaction; rows are added and never
changed, but for the few py-evm keeps its own position in; the file has mode 0600 and its folder 0700.

    meta(name, value)                 `genesis`: see genesis.py
    state(key, value)                 py-evm's key-value store: trie nodes, code, headers, its own indexes
    blocks(number, hash, header)      header is RLP; genesis is number 0
    transactions(hash, block_number, position, raw, receipt, gas_used, contract)
                                      raw as signed; receipt consensus-encoded; contract: 20 bytes or null
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from provenance.errors import ChainError

SCHEMA_VERSION: Final = 1
_SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE state (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE blocks (number INTEGER PRIMARY KEY, hash BLOB NOT NULL UNIQUE, header BLOB NOT NULL);
CREATE TABLE transactions (
    hash BLOB PRIMARY KEY,
    block_number INTEGER NOT NULL REFERENCES blocks (number),
    position INTEGER NOT NULL,
    raw BLOB NOT NULL,
    receipt BLOB NOT NULL,
    gas_used INTEGER NOT NULL,
    contract BLOB,
    UNIQUE (block_number, position)
) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class BlockRow:
    """One canonical block: its number, 32-byte hash and RLP header."""

    number: int
    hash: bytes
    header: bytes


@dataclass(frozen=True, slots=True)
class TransactionRow:
    """One mined transaction; see the module's schema."""

    hash: bytes
    block_number: int
    position: int
    raw: bytes
    receipt: bytes
    gas_used: int
    contract: bytes | None


class ChainDatabase:
    """The database of one embedded chain. Not safe for threads: its owner takes turns."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection

    @classmethod
    def open(cls, path: Path, *, timeout_s: float) -> ChainDatabase:
        """The database at `path`, which `create` made."""
        with database_errors(path):
            chain = cls(path, _connect(path, timeout_s))
            try:
                chain._check()
            except BaseException:
                chain.close()
                raise
            return chain

    @classmethod
    def create(cls, path: Path, genesis: bytes, fill: Callable[[ChainDatabase], None]) -> None:
        """Make the database at `path` with what `fill` writes, whole or not at all.

        It is made beside its place and moved there when it is complete. The caller holds the chain's lock.
        """
        draft, remains = path.with_name(path.name + ".new"), path.with_name(path.name + "-wal")
        if remains.exists():
            raise ChainError(
                "the embedded chain has lost its database", got=remains.name, where=path, hint=_DAMAGED_HINT
            )
        for name in (draft.name, f"{draft.name}-wal", f"{draft.name}-shm"):
            path.with_name(name).unlink(missing_ok=True)
        os.close(os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        chain = cls(draft, _connect(draft, timeout_s=1))
        try:
            with chain.transaction():
                for statement in _SCHEMA.split(";\n")[:-1]:
                    chain._connection.execute(statement)
                chain._connection.execute("INSERT INTO meta VALUES ('genesis', ?)", (genesis,))
                chain._connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
                fill(chain)
        finally:
            chain.close()  # which also moves the WAL into the file
        draft.rename(path)
        for folder in (path.parent, path.parent.parent):
            _sync_folder(folder)

    def _check(self) -> None:
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if version != SCHEMA_VERSION:
            hint = "use the version of this program that wrote it, or a newer one"
            raise ChainError(
                "the embedded chain has an unknown schema",
                expected=SCHEMA_VERSION,
                got=version,
                where=self.path,
                hint=hint,
            )

    def close(self) -> None:
        """Close the file; calling it again does nothing."""
        self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """One SQL transaction: all that is written inside is durable when it ends, or none of it if it raises."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            # A failed COMMIT may have rolled back already.
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def genesis(self) -> bytes:
        """What `create` was given."""
        row = self._connection.execute("SELECT value FROM meta WHERE name = 'genesis'").fetchone()
        if row is None:
            raise ChainError("the embedded chain has no genesis", where=self.path, hint=_DAMAGED_HINT)
        return bytes(row[0])

    def read_state(self, key: bytes) -> bytes | None:
        """The value under `key`, None if there is none."""
        row = self._connection.execute("SELECT value FROM state WHERE key = ?", (key,)).fetchone()
        return None if row is None else row[0]

    def write_state(self, key: bytes, value: bytes) -> None:
        """Set `key`; only inside a transaction."""
        self._require_transaction()
        self._connection.execute("INSERT OR REPLACE INTO state VALUES (?, ?)", (key, value))

    def delete_state(self, key: bytes) -> bool:
        """Remove `key`; only inside a transaction. Whether it was there."""
        self._require_transaction()
        return self._connection.execute("DELETE FROM state WHERE key = ?", (key,)).rowcount > 0

    def append_block(self, block: BlockRow, transactions: tuple[TransactionRow, ...] = ()) -> None:
        """Add a block and its transactions; only inside a transaction."""
        self._require_transaction()
        self._connection.execute("INSERT INTO blocks VALUES (?, ?, ?)", (block.number, block.hash, block.header))
        self._connection.executemany(
            "INSERT INTO transactions VALUES (?, ?, ?, ?, ?, ?, ?)",
            [(t.hash, t.block_number, t.position, t.raw, t.receipt, t.gas_used, t.contract) for t in transactions],
        )

    def head(self) -> BlockRow:
        """The highest block."""
        rows = self._connection.execute("SELECT number, hash, header FROM blocks ORDER BY number DESC LIMIT 1")
        row = rows.fetchone()
        if row is None:
            raise ChainError("the embedded chain has no block", where=self.path, hint=_DAMAGED_HINT)
        return BlockRow(*row)

    def block(self, number: int) -> BlockRow | None:
        """The block at this height."""
        row = self._connection.execute("SELECT number, hash, header FROM blocks WHERE number = ?", (number,)).fetchone()
        return None if row is None else BlockRow(*row)

    def block_by_hash(self, block_hash: bytes) -> BlockRow | None:
        """The block with this hash."""
        query = "SELECT number, hash, header FROM blocks WHERE hash = ?"
        row = self._connection.execute(query, (block_hash,)).fetchone()
        return None if row is None else BlockRow(*row)

    def transaction_by_hash(self, transaction: bytes) -> TransactionRow | None:
        """The mined transaction with this hash."""
        row = self._connection.execute("SELECT * FROM transactions WHERE hash = ?", (transaction,)).fetchone()
        return None if row is None else TransactionRow(*row)

    def transactions_of(self, number: int) -> tuple[TransactionRow, ...]:
        """The transactions of the block at this height, in order."""
        query = "SELECT * FROM transactions WHERE block_number = ? ORDER BY position"
        return tuple(TransactionRow(*row) for row in self._connection.execute(query, (number,)))

    def _require_transaction(self) -> None:
        if not self._connection.in_transaction:
            raise ChainError("the embedded chain was written to outside a transaction", where=self.path)


_LOCAL_HINT = "keep the ledger on a local file system"
_DAMAGED_HINT = "restore the ledger's chain/ folder from a backup"


@contextmanager
def database_errors(path: Path) -> Iterator[None]:
    """Turn what SQLite and the file system raise into `ChainError`."""
    try:
        yield
    except sqlite3.OperationalError as error:
        hint = "check free space and permissions, and that no other program holds the file"
        raise ChainError("the embedded chain's database failed", got=error, where=path, hint=hint) from error
    except sqlite3.Error as error:
        raise ChainError(
            "the embedded chain's database is damaged", got=error, where=path, hint=_DAMAGED_HINT
        ) from error
    except OSError as error:
        hint = "check free space and permissions"
        raise ChainError("cannot use the embedded chain's folder", got=error.strerror, where=path, hint=hint) from error


def _connect(path: Path, timeout_s: float) -> sqlite3.Connection:
    """A connection that syncs every commit. The file must exist; SQLite gives its mode to the WAL."""
    address = f"{path.absolute().as_uri()}?mode=rw"
    connection = sqlite3.connect(
        address, uri=True, timeout=timeout_s, isolation_level=None, check_same_thread=False, cached_statements=64
    )
    try:
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise ChainError("the embedded chain needs SQLite's WAL mode", got=mode, where=path, hint=_LOCAL_HINT)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def _sync_folder(folder: Path) -> None:
    # Without this a power cut could forget a file, however well its content is synced.
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
