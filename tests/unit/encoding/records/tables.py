"""Short ways from an array or columns to what is encoded of them."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from provenance.encoding.records import RecordSchema, Rows, encode_rows


def encoded(columns: Mapping[str, pa.Array]) -> Rows:
    batch = pa.RecordBatch.from_arrays(list(columns.values()), list(columns))
    return encode_rows(batch, RecordSchema.of(batch.schema))


def values(array: pa.Array) -> list[str]:
    """The bytes of each value, in hex: of a table of that column alone, without prefix and array head."""
    rows = encoded({"c": array})
    assert all(rows.row(index)[:1] == b"\x81" for index in range(len(rows)))
    return [rows.row(index)[1:].hex() for index in range(len(rows))]


def schema_of(**columns: pa.DataType) -> RecordSchema:
    return RecordSchema.of(pa.schema(list(columns.items())))
