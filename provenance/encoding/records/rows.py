"""The leaf data of many rows at a time.

Invariants: a row is `00` (the prefix of an RFC 9162 leaf) and the deterministic CBOR array of its values in schema
order; the bytes depend on the values and the schema's types alone. Memory is about four times the leaf data of the
batch: callers give large batches to `split_batch` first.

Bytes of a row (7, "ab", null): `00 83 07 62 61 62 f6`
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from provenance.encoding import JsonValue
from provenance.encoding.records.assembly import Part, Scratch, assemble
from provenance.encoding.records.cbor import encode_array, encode_head
from provenance.encoding.records.columns import column_parts
from provenance.encoding.records.schema import RecordSchema
from provenance.encoding.records.shown import Reader, read_fields
from provenance.encoding.records.slots import Constant
from provenance.encoding.records.types import record_type
from provenance.encoding.records.values import encode_value
from provenance.encoding.records.written import fields_of_json
from provenance.errors import MalformedError

LEAF_PREFIX = b"\x00"


@dataclass(frozen=True, slots=True)
class Rows:
    """Row i is `data[offsets[i]:offsets[i + 1]]`, its leaf prefix included; `null_columns` hold a null somewhere."""

    data: npt.NDArray[np.uint8]
    offsets: npt.NDArray[np.int64]
    null_columns: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def row(self, index: int) -> bytes:
        """The CBOR of one row, without the leaf prefix."""
        return self.data[self.offsets[index] + len(LEAF_PREFIX) : self.offsets[index + 1]].tobytes()


def encode_rows(
    batch: pa.RecordBatch, schema: RecordSchema, scratch: Scratch | None = None, *, first_row: int = 0
) -> Rows:
    """The leaf data of a batch's rows. `MalformedError` if its columns are not the schema's, or a value has no form.

    Errors count rows from `first_row`. `scratch` is memory for a thread to use again.
    """
    check_columns(batch.schema, schema)
    parts: list[Part] = [Constant(LEAF_PREFIX + encode_head(4, len(schema.fields)))]
    nulls = np.zeros(len(schema.fields), np.bool_)
    for index, field in enumerate(schema.fields):
        found, nulls[index] = column_parts(batch.column(index), field.name, first_row)
        parts += found
    data, offsets = assemble(parts, batch.num_rows, scratch)
    return Rows(data, offsets, nulls)


def check_columns(found: pa.Schema, schema: RecordSchema) -> None:
    """Raise `MalformedError` unless an Arrow schema has the schema's columns, by name, order and record type."""
    if found.names != schema.names:
        raise MalformedError("columns are not the schema's", expected=_listed(schema.names), got=_listed(found.names))
    for field, column in zip(schema.fields, found, strict=True):
        kind = record_type(column.type, field.name)
        if kind != field.type:
            raise MalformedError("column is of another type", expected=field.type, got=kind, where=field.name)


def encode_row(values: Sequence[object], schema: RecordSchema) -> bytes:
    """The CBOR of one row, without the leaf prefix, from Python values in schema order (see `values`)."""
    if len(values) != len(schema.fields):
        raise MalformedError("record has another number of columns", expected=len(schema.fields), got=len(values))
    pairs = zip(values, schema.fields, strict=True)
    return encode_array([encode_value(value, field.type, field.name) for value, field in pairs])


def row_from_json(value: Mapping[str, JsonValue], schema: RecordSchema) -> bytes:
    """The CBOR of one row, without the leaf prefix, from a JSON object by column names (see `written`)."""
    return encode_row(fields_of_json(value, _fields(schema), ""), schema)


def decode_row(data: bytes, schema: RecordSchema) -> dict[str, JsonValue]:
    """A row's values by column names: what `row_from_json` takes. `MalformedError` for bytes that are no such row."""
    reader = Reader(data)
    row = read_fields(reader, _fields(schema))
    reader.end()
    return row


def _fields(schema: RecordSchema) -> list[tuple[str, JsonValue]]:
    return [(field.name, field.type) for field in schema.fields]


def _listed(names: list[str]) -> str:
    return ", ".join(ascii(name) for name in names[:20]) + (" ..." if len(names) > 20 else "")
