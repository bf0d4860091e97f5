"""Tables that other libraries hold: whatever has `__arrow_c_stream__` (pandas, polars, pyarrow, DuckDB), and Hugging
Face datasets through their table.

Rules: the columns are those that the library exports. Of pandas that is no index, and a missing value is null: a NaN in
a plain float column is one, in pandas. A Hugging Face dataset that was shuffled or filtered is read in its own order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from provenance.encoding.records import RecordSchema
from provenance.errors import SourceError
from provenance.tables.base import Fragment, bounded
from provenance.tables.files import check_same, record_schema

_FRAGMENT_ROWS = 1 << 17
_IN_MEMORY = "a table in memory"


@dataclass(frozen=True, slots=True)
class HeldTable:
    """A table in this process's memory."""

    table: pa.Table

    @property
    def schema(self) -> pa.Schema:
        """Its Arrow schema."""
        return self.table.schema

    def fragments(self) -> Sequence[Fragment]:
        """Slices of it."""
        starts = range(0, self.table.num_rows, _FRAGMENT_ROWS)
        return [Fragment(_IN_MEMORY, None, _read, self.table.slice(start, _FRAGMENT_ROWS)) for start in starts]


@dataclass(frozen=True, slots=True)
class StreamTable:
    """What gives a stream of batches each time it is asked; it is never held as a whole. A reader gives one once."""

    source: Any
    schema: pa.Schema

    def fragments(self) -> Sequence[Fragment]:
        """The stream is one fragment."""
        return [Fragment(_IN_MEMORY, None, _read, self.source)]


def open_object(what: Any, schema: RecordSchema | None) -> HeldTable | StreamTable:
    """The table that an object holds. `SourceError` if it holds none, or another than `schema` says."""
    table = _table(what)
    record_schema(table.schema, _IN_MEMORY)  # raises if a column has no record type
    if schema is not None:
        check_same(table.schema, schema, _IN_MEMORY)
    return table


def _table(what: Any) -> HeldTable | StreamTable:
    if isinstance(what, pa.Table):
        return HeldTable(what)
    if isinstance(what, pa.RecordBatch):
        return HeldTable(pa.Table.from_batches([what]))
    inner = getattr(getattr(what, "data", None), "table", None)
    if isinstance(inner, pa.Table) and hasattr(what, "_indices"):  # a Hugging Face dataset
        indices = what._indices
        return HeldTable(inner if indices is None else inner.take(indices.column(0)))
    if isinstance(what, pa.RecordBatchReader):
        return StreamTable(what, what.schema)
    if hasattr(what, "__arrow_c_stream__"):
        try:
            with pa.RecordBatchReader.from_stream(what) as stream:
                return StreamTable(what, stream.schema)
        except (pa.ArrowException, TypeError, ValueError) as error:
            raise SourceError("object gives no table", got=type(error).__name__, where=type(what).__name__) from error
    raise SourceError(
        "not a table",
        expected="a path, or an object with __arrow_c_stream__ (pandas, polars, pyarrow, DuckDB)",
        got=type(what).__name__,
    )


def _read(fragment: Fragment) -> Iterator[pa.RecordBatch]:
    what = fragment.part
    try:
        if isinstance(what, pa.Table):
            yield from bounded(iter(what.to_batches()))
        else:
            yield from bounded(iter(pa.RecordBatchReader.from_stream(what)))
    except pa.ArrowException as error:
        raise SourceError("table cannot be read", got=type(error).__name__, where=fragment.path) from error
