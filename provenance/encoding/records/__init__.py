"""Canonical records: the rows of a table as deterministic CBOR, and the schema beside them. Loads numpy and pyarrow."""

from provenance.encoding.records.assembly import Scratch
from provenance.encoding.records.rows import (
    LEAF_PREFIX,
    Rows,
    check_columns,
    decode_row,
    encode_rows,
    row_from_json,
)
from provenance.encoding.records.schema import RecordField, RecordSchema, parse_schema

__all__ = [
    "LEAF_PREFIX",
    "RecordField",
    "RecordSchema",
    "Rows",
    "Scratch",
    "check_columns",
    "decode_row",
    "encode_rows",
    "parse_schema",
    "row_from_json",
]
