"""Columns of files whose fields are text: what carries a type there, and the way back.

Invariants: a field is of its column's type or an error; no field's content is in an error.
"""

from __future__ import annotations

import base64
import binascii

import pyarrow as pa
import pyarrow.compute as pc

from provenance.errors import SourceError


def carrier_type(kind: pa.DataType) -> pa.DataType:
    """What a column of this type is read as."""
    types = pa.types
    if types.is_binary(kind) or types.is_large_binary(kind):
        return pa.string()
    if types.is_decimal(kind) and (kind.bit_width > 128 or kind.scale < 0):  # which Arrow's reader of CSV has not
        return pa.string()
    if types.is_duration(kind):
        return pa.int64()
    if types.is_float16(kind):
        return pa.float32()
    if types.is_interval(kind):
        raise SourceError("interval has no form as text", hint="use Parquet or Arrow")
    return kind


def from_text(column: pa.Array, kind: pa.DataType, where: str) -> pa.Array:
    """The column in its own type."""
    types = pa.types
    if types.is_binary(kind) or types.is_large_binary(kind):
        return pa.array([_decode(value, where) for value in column.to_pylist()], kind)
    if column.type == kind:
        return column
    try:
        if types.is_float16(kind):
            return pc.cast(column, kind, safe=False)
        return column.cast(kind)
    except pa.ArrowException as error:
        raise SourceError("field does not fit its column", expected=kind, where=where) from error


def _decode(value: str | None, where: str) -> bytes | None:
    if value is None:
        return None
    try:
        return base64.b64decode(value.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise SourceError("field is not base64", expected="RFC 4648 section 4", where=where) from error
