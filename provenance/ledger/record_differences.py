"""What differs between the records of two tables: rows in place, by walking their trees from the roots; and columns.

Invariants: rows are compared in place, row i of one with row i of the other, and a hash is read only below one that
differs; every hash read is checked against the root above it; columns are named from the rows themselves, which are
taken only if they hash to the leaf that the tree has for them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np

from provenance.encoding import JsonValue
from provenance.encoding.records import RecordSchema, decode_row, encode_rows
from provenance.errors import VerificationError
from provenance.fingerprint.proof import record_leaf
from provenance.ledger.records import RecordResult, fingerprint_records
from provenance.merkle.difference import diff_trees
from provenance.stores.trees import StoredTree
from provenance.tables.base import Table

MAX_ROWS_SHOWN: Final = 1_000


@dataclass(frozen=True, slots=True)
class RowChange:
    """One row that differs: its number, and for each column that does its name and values, as JSON; None for a row that
    one side lacks."""

    row: int
    columns: tuple[tuple[str, JsonValue, JsonValue], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that differ."""
        return tuple(name for name, _, _ in self.columns)


@dataclass(frozen=True, slots=True)
class RecordDifference:
    """How two tables differ. `rows` holds the first changes in full; `changed` counts all rows that differ in place,
    `before` and `after` are the numbers of rows."""

    before: int
    after: int
    changed: int
    same_schema: bool
    rows: tuple[RowChange, ...]

    @property
    def same(self) -> bool:
        """Whether there is no difference."""
        return self.same_schema and self.before == self.after and not self.changed


def compare_tables(before: Table, after: Table, *, limit: int = MAX_ROWS_SHOWN) -> RecordDifference:
    """Hash two tables and compare them. Of the rows that differ, the first `limit` are read and their columns named."""
    with _trees(before) as old, _trees(after) as new:
        return compare_trees(old, new, before, after, limit=limit)


def compare_trees(
    old: RecordResult, new: RecordResult, before: Table, after: Table, *, limit: int = MAX_ROWS_SHOWN
) -> RecordDifference:
    """The same of tables that are hashed already and whose trees are stored."""
    tree, other = _tree(old), _tree(new)
    runs = diff_trees(tree.read, tree.size, tree.root, other.read, other.size, other.root)
    common = min(tree.size, other.size)
    numbers: list[int] = []
    changed = 0
    for begin, end in runs:
        end = min(end, common)
        changed += max(end - begin, 0)
        numbers += islice(range(begin, end), max(limit - len(numbers), 0))
    comparable = [(f.name, f.type) for f in old.schema.fields] == [(f.name, f.type) for f in new.schema.fields]
    rows: tuple[RowChange, ...] = ()
    if comparable and numbers:
        rows = tuple(
            _changes(
                numbers, _rows(before, old.schema, numbers, tree), _rows(after, new.schema, numbers, other), old.schema
            )
        )
    return RecordDifference(tree.size, other.size, changed, old.schema.digest == new.schema.digest, rows)


@contextmanager
def _trees(table: Table) -> Iterator[RecordResult]:
    with tempfile.TemporaryDirectory(prefix="provenance-") as folder:
        result = fingerprint_records(table, folder=Path(folder), with_index=False)
        try:
            yield result
        finally:
            result.close()


def _tree(result: RecordResult) -> StoredTree:
    assert result.tree is not None  # made with a folder
    return result.tree


def _rows(table: Table, schema: RecordSchema, numbers: Sequence[int], tree: StoredTree) -> list[bytes]:
    """The CBOR of these rows, in their order; `VerificationError` if a row is not what was hashed."""
    wanted = np.array(numbers, np.int64)
    found: list[bytes] = []
    rows_before = 0
    for fragment in table.fragments():
        for batch in fragment.read(fragment):
            inside = wanted[(wanted >= rows_before) & (wanted < rows_before + batch.num_rows)]
            if len(inside):
                rows = encode_rows(batch.take(inside - rows_before), schema)
                found += [rows.row(index) for index in range(len(rows))]
            rows_before += batch.num_rows
    for number, record in zip(numbers, found, strict=True):
        if record_leaf(record) != tree.read(0, number):
            raise VerificationError("row is not what was hashed", where=f"row {number}")
    return found


def _changes(
    numbers: Sequence[int], old: Sequence[bytes], new: Sequence[bytes], schema: RecordSchema
) -> Iterator[RowChange]:
    for number, one, other in zip(numbers, old, new, strict=True):
        before, after = decode_row(one, schema), decode_row(other, schema)
        columns = tuple(
            (name, before[name], after[name])
            for name in schema.names
            # As text: 0.0 and -0.0, or 1 and true, are different values that compare as equal.
            if repr(before[name]) != repr(after[name])
        )
        yield RowChange(number, columns)
