"""The leaf data of many rows at a time.

Invariants: a row is `00` (the prefix of an RFC 9162 leaf) and the deterministic CBOR array of its values in schema
order; the bytes depend on the values and the schema's types alone. Memory is a few times the batch's bytes: callers
slice what is large (`sources` of tables keep batches to tens of MB).

Bytes of a row (7, "ab", null): `00 83 07 62 61 62 f6`
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from provenance.encoding import JsonValue
from provenance.encoding.records.assembly import Scratch, assemble
from provenance.encoding.records.columns import Part, parts_of, plain
from provenance.encoding.records.schema import RecordSchema
from provenance.encoding.records.slots import Constant
from provenance.encoding.records.types import record_type
from provenance.encoding.records.values import decode, encode_fields, encode_head
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


def encode_rows(batch: pa.RecordBatch, schema: RecordSchema, scratch: Scratch | None = None) -> Rows:
    """The leaf data of a batch's rows. `MalformedError` if its columns are not the schema's, or a value has no form."""
    check_columns(batch.schema, schema)
    parts: list[Part] = [Constant(LEAF_PREFIX + encode_head(4, len(schema.fields)))]
    columns = [plain(column) for column in batch.columns]
    for field, column in zip(schema.fields, columns, strict=True):
        parts += parts_of(column, field.name)
    data, offsets = assemble(parts, batch.num_rows, scratch)
    return Rows(data, offsets, np.array([column.null_count > 0 for column in columns], np.bool_))


def check_columns(found: pa.Schema, schema: RecordSchema) -> None:
    """Raise `MalformedError` unless an Arrow schema has the schema's columns, by name, order and record type."""
    if found.names != schema.names:
        raise MalformedError("columns are not the schema's", expected=_listed(schema.names), got=_listed(found.names))
    for field, column in zip(schema.fields, found, strict=True):
        kind = record_type(column.type, field.name)
        if kind != field.type:
            raise MalformedError("column is of another type", expected=field.type, got=kind, where=field.name)


def row_from_json(value: Mapping[str, JsonValue], schema: RecordSchema) -> bytes:
    """The CBOR of one row, without the leaf prefix, from a JSON object by column names."""
    return encode_fields(value, [(field.name, field.type) for field in schema.fields], "")


def decode_row(data: bytes, schema: RecordSchema) -> dict[str, JsonValue]:
    """A row's values by column names, for people. `MalformedError` if the bytes are no row of the schema's width."""
    values = decode(data)
    if not isinstance(values, list) or len(values) != len(schema.fields):
        raise MalformedError("record has another number of columns", expected=len(schema.fields))
    return dict(zip(schema.names, values, strict=True))


def _listed(names: list[str]) -> str:
    return ", ".join(ascii(name) for name in names[:20]) + (" ..." if len(names) > 20 else "")
