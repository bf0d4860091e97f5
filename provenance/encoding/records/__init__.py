"""Canonical records: the rows of a table as deterministic CBOR, and the schema beside them. Loads numpy and pyarrow."""

from provenance.encoding.records.assembly import Scratch
from provenance.encoding.records.rows import (
    LEAF_PREFIX,
    Rows,
    check_columns,
    decode_row,
    encode_row,
    encode_rows,
    row_from_json,
)
from provenance.encoding.records.schema import RecordField, RecordSchema, parse_schema, parse_schema_document
from provenance.encoding.records.sizing import row_bytes, split_batch

__all__ = [
    "LEAF_PREFIX",
    "RecordField",
    "RecordSchema",
    "Rows",
    "Scratch",
    "check_columns",
    "decode_row",
    "encode_row",
    "encode_rows",
    "parse_schema",
    "parse_schema_document",
    "row_bytes",
    "row_from_json",
    "split_batch",
]
