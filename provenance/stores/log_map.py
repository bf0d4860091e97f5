"""The log's map (`provenance.log.map`) in one SQLite file. Derived from the log: it can be thrown away and made again.

Invariants: one transaction takes the map from one size of the log to another; what is read for one answer is of one
size; memory does not grow with the log: a batch of entries at a time, a bucket at a time. A size whose head is wanted
is not passed before its head is kept, for a map has one size only.

The hashes of the buckets lie in tiles of 256 as a log's do: tile (l, n) has, of level 8 l of the tree, the hashes from
256 n on. A tile that is not there is one of empty buckets.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path
from typing import Final

from provenance.errors import ConflictError, LimitError, StoreError
from provenance.log import TileReader
from provenance.log.map import MAX_LISTED, BucketItem, bucket_bits, bucket_of, encode_bucket, index_leaf
from provenance.merkle import CompactRange, fold_pairs, leaf_hash, node_hash, prove_inclusion

_VERSION: Final = 2
_BEFORE_HEADS: Final = 1
"""A file that lacks the tables of heads, and nothing else."""
MAX_HEADS: Final = 1_024
"""Heads that are kept, and sizes that wait for one: of each the greatest so many."""
_TILE_BITS: Final = 8
_HASH_BYTES: Final = 32
_TIMEOUT_S: Final = 30.0
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS keys (
    key BLOB PRIMARY KEY, count INTEGER NOT NULL, nodes BLOB NOT NULL, root BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS lists (key BLOB, entry INTEGER, PRIMARY KEY (key, entry)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tiles (level INTEGER, idx INTEGER, data BLOB NOT NULL, PRIMARY KEY (level, idx));
CREATE TABLE IF NOT EXISTS state (
    id INTEGER PRIMARY KEY CHECK (id = 1), size INTEGER NOT NULL, log_root BLOB, root BLOB NOT NULL, head BLOB
);
CREATE TABLE IF NOT EXISTS wanted (size INTEGER PRIMARY KEY);
CREATE TABLE IF NOT EXISTS heads (size INTEGER PRIMARY KEY, head BLOB NOT NULL);
"""
_TABLES: Final = ("keys", "lists", "tiles", "state", "wanted", "heads")

_CUT: Final = {
    "wanted": "DELETE FROM wanted WHERE size <= (SELECT size FROM wanted ORDER BY size DESC LIMIT 1 OFFSET ?)",
    "heads": "DELETE FROM heads WHERE size <= (SELECT size FROM heads ORDER BY size DESC LIMIT 1 OFFSET ?)",
}


@dataclass(frozen=True, slots=True)
class MapState:
    """How many entries of the log it covers, the log's root at that size (None: nothing yet), its own root, and the
    signed head if one was kept."""

    size: int
    log_root: bytes | None
    root: bytes
    head: bytes | None


@dataclass(frozen=True, slots=True)
class Found:
    """What an answer is made of: the bucket, its inclusion proof, the entries of the key, and the state it is of."""

    bucket: bytes
    hashes: tuple[bytes, ...]
    entries: tuple[int, ...]
    state: MapState


class LogMap:
    """A map in one file. Threads share it, and processes."""

    def __init__(self, path: Path) -> None:
        self._path, self._guard = path, threading.RLock()
        with self._failing("opening"):
            if not path.exists():
                path.touch(mode=0o600)
            self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=_TIMEOUT_S)
            _use_write_ahead_log(self._db)
            self._db.execute("PRAGMA synchronous=NORMAL")  # the log is what must survive; this is made again from it
        if self._version() != _VERSION:
            self._make(unless=_VERSION)

    def close(self) -> None:
        """Release the file."""
        with self._guard:
            self._db.close()

    def state(self) -> MapState:
        """What it covers now."""
        with self._guard, self._failing("reading"):
            return self._state()

    def clear(self) -> None:
        """Forget everything."""
        self._make()

    def add(self, first: int, entries: Sequence[Sequence[bytes]], log_root: bytes) -> None:
        """Add the keys (32 bytes each) of the entries from `first` on; `log_root` is the log's root behind them.

        `ConflictError` unless `first` is the size now, or if the head of a size that would be passed is wanted.
        """
        with self._writing():
            size = self._state().size
            if size != first:
                raise ConflictError("entries do not continue the map", expected=size, got=first)
            wanted = self._wanted(first + len(entries) - 1)
            if wanted is not None:
                raise ConflictError("a head is wanted before", expected=f"up to {wanted}", got=first + len(entries))
            lists: dict[bytes, list[int]] = {}
            for index, keys in enumerate(entries, first):
                for key in dict.fromkeys(keys):
                    lists.setdefault(key, []).append(index)
            for key, indexes in lists.items():
                self._extend(key, indexes)
            before, after = bucket_bits(size), bucket_bits(first + len(entries))
            if before == after:
                root = self._write(self._hashes(sorted({bucket_of(key, after) for key in lists}), after), after)
            else:
                self._db.execute("DELETE FROM tiles")
                root = self._write(self._all_hashes(after), after)
            self._db.execute("DELETE FROM state")
            values = (first + len(entries), log_root, root)
            self._db.execute("INSERT INTO state (id, size, log_root, root) VALUES (1, ?, ?, ?)", values)

    def want(self, size_of: Callable[[], int]) -> bool:
        """Have a head kept of a size, which is asked for while the map stands still; False if the map is past it."""
        with self._writing():
            size = size_of()
            if self._state().size > size:
                return False
            if self._db.execute("SELECT 1 FROM heads WHERE size = ?", (size,)).fetchone() is None:
                self._db.execute("INSERT OR IGNORE INTO wanted VALUES (?)", (size,))
                self._cut("wanted")
            return True

    def wanted(self, upto: int) -> int | None:
        """The least size whose head is wanted, of those up to one."""
        with self._guard, self._failing("reading"):
            return self._wanted(upto)

    def give_up(self, size: int) -> None:
        """Want the head of a size no more."""
        with self._writing():
            self._db.execute("DELETE FROM wanted WHERE size = ?", (size,))

    def keep_head(self, size: int, head: bytes) -> None:
        """Keep the signed head, if the map is still of its size: until it grows, and further if the head was wanted."""
        with self._writing():
            if not self._db.execute("UPDATE state SET head = ? WHERE size = ?", (head, size)).rowcount:
                return
            if self._db.execute("DELETE FROM wanted WHERE size = ?", (size,)).rowcount:
                self._db.execute("INSERT OR IGNORE INTO heads VALUES (?, ?)", (size, head))
                self._cut("heads")

    def head(self, upto: int) -> tuple[int, bytes] | None:
        """The size and the note of the newest head that is kept, of those up to a size."""
        with self._guard, self._failing("reading"):
            sql = "SELECT size, head FROM heads WHERE size <= ? ORDER BY size DESC LIMIT 1"
            row = self._db.execute(sql, (upto,)).fetchone()
            return None if row is None else (int(row[0]), bytes(row[1]))

    def find(self, key: bytes) -> Found:
        """What an answer about a key is made of. `LimitError` if it has too many entries for one."""
        with self._guard, self._failing("reading"):
            self._db.execute("BEGIN")
            try:
                state = self._state()
                bits = bucket_bits(state.size)
                bucket = bucket_of(key, bits)
                sql = "SELECT entry FROM lists WHERE key = ? ORDER BY entry LIMIT ?"
                entries = tuple(row[0] for row in self._db.execute(sql, (key, MAX_LISTED + 1)))
                reader = TileReader(lambda level, index: self._tile(level, index, bits), 1 << bits)
                hashes = prove_inclusion(bucket, 1 << bits, reader.read)
                found = Found(self._bucket(bucket, bits), tuple(hashes), entries, state)
            finally:
                self._db.execute("ROLLBACK")
        if len(entries) > MAX_LISTED:
            raise LimitError("too many entries for one answer", expected=f"at most {MAX_LISTED}")
        return found

    def _wanted(self, upto: int) -> int | None:
        row = self._db.execute("SELECT min(size) FROM wanted WHERE size <= ?", (upto,)).fetchone()
        return None if row[0] is None else int(row[0])

    def _cut(self, table: str) -> None:
        """Leave the greatest sizes."""
        self._db.execute(_CUT[table], (MAX_HEADS,))

    def _state(self) -> MapState:
        row = self._db.execute("SELECT size, log_root, root, head FROM state").fetchone()
        return MapState(0, None, leaf_hash(b""), None) if row is None else MapState(*row)

    def _extend(self, key: bytes, indexes: Sequence[int]) -> None:
        row = self._db.execute("SELECT count, nodes FROM keys WHERE key = ?", (key,)).fetchone()
        count, nodes = (0, b"") if row is None else row
        tree = CompactRange.of(0, _levelled(count, nodes))
        for index in indexes:
            tree.append(index_leaf(index))
        packed = b"".join(value for _, value in tree.nodes)
        self._db.execute(
            "INSERT OR REPLACE INTO keys VALUES (?, ?, ?, ?)", (key, count + len(indexes), packed, tree.root())
        )
        self._db.executemany("INSERT INTO lists VALUES (?, ?)", ((key, index) for index in indexes))

    def _bucket(self, bucket: int, bits: int) -> bytes:
        sql = "SELECT key, count, root FROM keys WHERE key >= ? AND key < ? ORDER BY key"
        edges = (_edge(bucket, bits), _edge(bucket + 1, bits))
        return encode_bucket(BucketItem(*row) for row in self._db.execute(sql, edges))

    def _hashes(self, buckets: Iterable[int], bits: int) -> Iterator[tuple[int, bytes]]:
        return ((bucket, leaf_hash(self._bucket(bucket, bits))) for bucket in buckets)

    def _all_hashes(self, bits: int) -> Iterator[tuple[int, bytes]]:
        """The hash of every bucket that holds something, by one pass over the keys."""
        rows = self._db.cursor().execute("SELECT key, count, root FROM keys ORDER BY key")
        for bucket, items in groupby(rows, key=lambda row: bucket_of(row[0], bits)):
            yield bucket, leaf_hash(encode_bucket(BucketItem(*row) for row in items))

    def _write(self, changed: Iterable[tuple[int, bytes]], bits: int) -> bytes:
        """Put changed hashes of buckets, in order, and all that is above them; the new root."""
        level = 0
        while True:
            above = []
            for index, hashes in groupby(changed, key=lambda item: item[0] >> _TILE_BITS):
                data = bytearray(self._tile(level, index, bits))
                for place, value in hashes:
                    at = (place & 0xFF) * _HASH_BYTES
                    data[at : at + _HASH_BYTES] = value
                self._db.execute("INSERT OR REPLACE INTO tiles VALUES (?, ?, ?)", (level, index, bytes(data)))
                above.append((index, _folded(bytes(data))))
            if bits <= _TILE_BITS * (level + 1):
                return above[0][1] if above else _folded(self._tile(level, 0, bits))
            changed, level = above, level + 1

    def _tile(self, level: int, index: int, bits: int) -> bytes:
        row = self._db.execute("SELECT data FROM tiles WHERE level = ? AND idx = ?", (level, index)).fetchone()
        if row is not None:
            return bytes(row[0])
        return _EMPTY[_TILE_BITS * level] * (1 << min(_TILE_BITS, bits - _TILE_BITS * level))

    def _version(self) -> int:
        with self._guard, self._failing("opening"):
            return int(self._db.execute("PRAGMA user_version").fetchone()[0])

    def _make(self, unless: int | None = None) -> None:
        with self._writing():
            version = self._version()
            if unless is not None and version == unless:  # another process was faster
                return
            for table in _TABLES if unless is None or version != _BEFORE_HEADS else ():
                self._db.execute(f"DROP TABLE IF EXISTS {table}")
            for statement in filter(str.strip, _SCHEMA.split(";")):
                self._db.execute(statement)
            self._db.execute(f"PRAGMA user_version = {_VERSION}")

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._guard, self._failing("writing"):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def _failing(self, action: str) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            hint = "the file can be removed: it is made again from the log"
            raise StoreError(f"{action} the log's map failed", got=error, where=self._path, hint=hint) from error


def _use_write_ahead_log(connection: sqlite3.Connection) -> None:
    # The change of mode takes an exclusive lock that the busy timeout does not wait for.
    deadline = time.monotonic() + _TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _levelled(count: int, nodes: bytes) -> Iterator[tuple[int, bytes]]:
    """Level and hash of the perfect subtrees of a list: those of the bits of its length, the greatest first."""
    levels = [level for level in reversed(range(count.bit_length())) if count >> level & 1]
    for place, level in enumerate(levels):
        yield level, nodes[place * _HASH_BYTES : (place + 1) * _HASH_BYTES]


def _edge(bucket: int, bits: int) -> bytes:
    """The least key of a bucket; behind the last, what no key reaches."""
    return b"\xff" * 33 if bucket >> bits else (bucket << (64 - bits)).to_bytes(8, "big") + bytes(24)


def _folded(tile: bytes) -> bytes:
    """The root over a tile's hashes, a power of two of them."""
    while len(tile) > _HASH_BYTES:
        tile = fold_pairs(tile)
    return tile


def _empties() -> Mapping[int, bytes]:
    found = {0: leaf_hash(b"")}
    for low, high in pairwise(range(65)):
        found[high] = node_hash(found[low], found[low])
    return found


_EMPTY: Final = _empties()
"""The root over 2^level empty buckets."""
