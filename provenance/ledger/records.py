"""From a table to the trees over its records.

Steps: 1 fragments are read, encoded and hashed, several at a time, by threads here or by other workers; 2 their leaf
hashes go, in table order, into the tree and the index; 3 the schema learns which columns hold a null.

Invariants: the result does not depend on how many work, where, or on how the table is cut; at most `_WINDOW` fragments
are under way, each in batches of bounded size, and leaves are spilled to files, so that memory does not grow with the
table beyond what `provenance.stores.trees` says.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from provenance.encoding import Digest
from provenance.encoding.records import RecordSchema, Scratch, encode_rows
from provenance.errors import MalformedError, SourceError
from provenance.fingerprint import RecordFingerprint
from provenance.machine.calibration import hash_tier
from provenance.merkle.bulk import Hashes, HashTier, hash_slices
from provenance.sources import Progress, ProgressCallback, Workers
from provenance.stores.trees import StoredTree
from provenance.stores.trees.sorting import SortedTreeWriter
from provenance.stores.trees.writing import TreeWriter
from provenance.tables.base import Fragment, Table

_WINDOW: Final = 2
"""Fragments under way for each thread, besides the one it works on."""

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class RecordResult:
    """A table's record fingerprint, its schema, and its trees where they are stored."""

    fingerprint: RecordFingerprint
    schema: RecordSchema
    tree: StoredTree | None = None
    index: StoredTree | None = None

    def close(self) -> None:
        """Let the trees go."""
        for tree in (self.tree, self.index):
            if tree is not None:
                tree.close()


@dataclass(frozen=True, slots=True)
class HashedFragment:
    """The leaf hashes of a fragment's rows, shape (n, 32), and which columns hold a null in it.

    `edges` are its first and last row's sort columns, where an order is declared.
    """

    leaves: Hashes
    null_columns: npt.NDArray[np.bool_]
    edges: tuple[pa.RecordBatch, pa.RecordBatch] | None = None


def fingerprint_records(
    table: Table,
    *,
    folder: Path | None = None,
    sort: Sequence[str] = (),
    workers: Workers | None = None,
    progress: ProgressCallback | None = None,
    with_index: bool = True,
) -> RecordResult:
    """The record fingerprint of a table. With `folder` its trees are stored there, named by their roots.

    `sort` declares columns by which rows ascend, nulls last; it is checked. Without `with_index` no record can be shown
    to be absent, and none is found by its content.
    """
    schema = RecordSchema.of(table.schema, sort)
    tier = hash_tier()
    nulls = np.zeros(len(schema.fields), np.bool_)
    fragments = table.fragments()
    with (
        ThreadPoolExecutor(_threads()) as pool,
        TreeWriter(folder, tier=tier, pool=pool) as tree,
        SortedTreeWriter(folder, tier=tier, pool=pool) as index,
    ):
        order = _OrderCheck(schema)
        for number, hashed in enumerate(_hashed(fragments, schema, tier, workers, pool)):
            order.check(hashed.edges, tree.size)
            tree.append(hashed.leaves)
            if with_index:
                index.append(hashed.leaves)
            nulls |= hashed.null_columns
            if progress is not None:
                progress(Progress(number + 1, len(fragments), number + 1, len(fragments)))
        return _finish(tree, index if with_index else None, schema.with_nulls(nulls), stored=folder is not None)


def _finish(tree: TreeWriter, index: SortedTreeWriter | None, schema: RecordSchema, *, stored: bool) -> RecordResult:
    count = tree.size
    stored_tree = tree.finish() if stored else None
    root = tree.finish_root() if stored_tree is None else stored_tree.root
    if index is None:
        return RecordResult(RecordFingerprint(count, Digest(root), schema.digest), schema, stored_tree)
    # Tables of the same rows in another order have one index root, and other row numbers: the name holds both roots.
    stored_index = index.finish(index_suffix(root)) if stored else None
    index_root = index.finish_root() if stored_index is None else stored_index.root
    fingerprint = RecordFingerprint(count, Digest(root), schema.digest, index.distinct, Digest(index_root))
    return RecordResult(fingerprint, schema, stored_tree, stored_index)


def index_suffix(root: bytes) -> str:
    """What the file of a table's index ends in; `root` is the table's record root."""
    return f".{root.hex()[:32]}.index"


def hash_records(table: Table, schema: RecordSchema) -> Iterator[Hashes]:
    """The leaf hashes of a table's rows by a dataset's schema, fragment after fragment."""
    with ThreadPoolExecutor(_threads()) as pool:
        for hashed in _hashed(table.fragments(), schema, hash_tier(), None, pool):
            yield hashed.leaves


def _threads() -> int:
    return os.cpu_count() or 1


def _hashed(
    fragments: Sequence[Fragment],
    schema: RecordSchema,
    tier: HashTier,
    workers: Workers | None,
    pool: ThreadPoolExecutor,
) -> Iterator[HashedFragment]:
    if workers is not None:
        # Another machine calibrates for itself.
        yield from workers.map(partial(hash_fragment, schema=schema, tier=None), fragments)
    else:
        yield from _in_order(pool, partial(hash_fragment, schema=schema, tier=tier), fragments)


def _in_order(pool: ThreadPoolExecutor, work: Callable[[_Item], _Result], items: Iterable[_Item]) -> Iterator[_Result]:
    """Results in the order of the items, a window of them under way; the first failure ends it."""
    pending = deque()  # type: ignore[var-annotated]
    window = _WINDOW * _threads()
    try:
        for item in items:
            pending.append(pool.submit(work, item))
            if len(pending) > window:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()


_local = threading.local()


def hash_fragment(fragment: Fragment, *, schema: RecordSchema, tier: HashTier | None) -> HashedFragment:
    """Read, encode and hash one fragment. `SourceError` names its file, and the row where one is at fault."""
    if not hasattr(_local, "scratch"):
        _local.scratch = Scratch()
    tier = tier or hash_tier()
    parts: list[Hashes] = []
    nulls = np.zeros(len(schema.fields), np.bool_)
    order = _OrderCheck(schema)
    rows_before = 0
    first = last = None
    try:
        for batch in fragment.read(fragment):
            rows = encode_rows(batch, schema, _local.scratch, first_row=rows_before)
            parts.append(hash_slices(rows.data, rows.offsets, tier=tier))
            nulls |= rows.null_columns
            if schema.sort:
                keys = batch.select(list(schema.sort))
                order.check_batch(keys, rows_before)
                first = keys.slice(0, 1) if first is None else first
                last = keys.slice(batch.num_rows - 1, 1)
            rows_before += batch.num_rows
    except MalformedError as error:
        where = f"{fragment.where}, column {error.where}" if error.where else fragment.where
        raise SourceError(error.what, expected=error.expected, got=error.got, where=where, hint=error.hint) from error
    leaves = np.concatenate(parts) if parts else np.empty((0, 32), np.uint8)
    return HashedFragment(leaves, nulls, (first, last) if first is not None and last is not None else None)


class _OrderCheck:
    """That rows ascend by the schema's sort columns, nulls last, from batch to batch."""

    def __init__(self, schema: RecordSchema) -> None:
        self._keys = [(name, "ascending") for name in schema.sort]
        self._last: pa.RecordBatch | None = None

    def check_batch(self, keys: pa.RecordBatch, rows_before: int) -> None:
        """Check a batch against what came before it."""
        parts = [keys] if self._last is None else [self._last, keys]
        table = pa.Table.from_batches(parts)
        indices = pc.sort_indices(table, sort_keys=self._keys).to_numpy()  # nulls last
        # A stable order of rows that ascend already is the order they have.
        wrong = np.flatnonzero(indices != np.arange(len(indices)))
        if len(wrong):
            row = rows_before + int(wrong[0]) - (len(parts) - 1)
            expected = "ascending by " + ", ".join(name for name, _ in self._keys)
            raise SourceError("rows are not in the declared order", expected=expected, where=f"row {max(row, 0)}")
        self._last = keys.slice(keys.num_rows - 1, 1)

    def check(self, edges: tuple[pa.RecordBatch, pa.RecordBatch] | None, rows_before: int) -> None:
        """Check a fragment's first row against the last one before it."""
        if edges is not None and self._keys:
            self.check_batch(edges[0], rows_before)
            self._last = edges[1]


__all__ = ["HashedFragment", "RecordResult", "fingerprint_records", "hash_fragment", "hash_records"]
