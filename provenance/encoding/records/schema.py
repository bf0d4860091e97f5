"""The schema of a table: column names, record types, which columns hold a null, and the declared order of rows.

Invariants: canonical JSON; its SHA-256 stands beside the record root; `nullable` says what the data show, not what a
file declares, so that a library which loses the flag gives the same schema; `sort` names columns by which rows ascend,
nulls last, the first of them first.

Bytes: `{"fields":[{"name":"id","nullable":false,"type":"int64"}],"format":"urn:provenance-ledger:schema:1","sort":[]}`
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import pyarrow as pa

from provenance.encoding import Digest, Fields, JsonValue, canonical_json, parse_json
from provenance.encoding.records.types import (
    MAX_COLUMNS,
    MAX_DEPTH,
    MAX_NAME_CHARS,
    arrow_type,
    check_names,
    record_type,
)
from provenance.errors import MalformedError
from provenance.limits import check_size

FORMAT: Final = "urn:provenance-ledger:schema:1"
MAX_BYTES: Final = 64 * 2**20
_JSON_DEPTH: Final = 3 + 3 * (MAX_DEPTH + 1)
"""A struct's child is three levels of JSON below the struct."""


@dataclass(frozen=True, slots=True)
class RecordField:
    """A column: its name, record type (JSON) and whether it holds a null."""

    name: str
    type: JsonValue
    nullable: bool = False

    def to_json(self) -> dict[str, JsonValue]:
        """The column as a JSON object."""
        return {"name": self.name, "nullable": self.nullable, "type": self.type}


@dataclass(frozen=True, slots=True)
class RecordSchema:
    """The columns in order, and the columns that rows are sorted by."""

    fields: tuple[RecordField, ...]
    sort: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_size("table", len(self.fields), MAX_COLUMNS, "columns")
        if not self.fields:
            raise MalformedError("table has no columns", expected="at least one")
        check_names(self.names, "schema")
        for name in self.sort:
            if name not in self.names:
                raise MalformedError("rows are sorted by no column", expected="a column's name", got=ascii(name))
        if len(set(self.sort)) != len(self.sort):
            raise MalformedError("rows are sorted by a column twice", got=", ".join(self.sort))

    @classmethod
    def of(cls, schema: pa.Schema, sort: Sequence[str] = ()) -> RecordSchema:
        """The record schema of an Arrow schema, no column nullable yet. `MalformedError` names a column without one."""
        check_size("table", len(schema), MAX_COLUMNS, "columns")
        fields = tuple(RecordField(field.name, record_type(field.type, field.name)) for field in schema)
        return cls(fields, tuple(sort))

    @property
    def names(self) -> list[str]:
        """The columns' names in order."""
        return [field.name for field in self.fields]

    def with_nulls(self, nullable: Iterable[Any]) -> RecordSchema:
        """The same, each column nullable or not by these flags, in column order."""
        pairs = zip(self.fields, nullable, strict=True)
        return replace(self, fields=tuple(replace(field, nullable=bool(flag)) for field, flag in pairs))

    def to_arrow(self) -> pa.Schema:
        """The plain Arrow schema: what to read a file as that has no types of its own."""
        return pa.schema([(field.name, arrow_type(field.type, field.name)) for field in self.fields])

    def to_json(self) -> dict[str, JsonValue]:
        """The schema document as a JSON object."""
        return {"fields": [field.to_json() for field in self.fields], "format": FORMAT, "sort": list(self.sort)}

    def encode(self) -> bytes:
        """The schema document: canonical JSON."""
        return canonical_json(self.to_json())

    @property
    def digest(self) -> Digest:
        """SHA-256 of the schema document."""
        return Digest.of(self.encode())


def parse_schema_document(data: bytes, what: str = "schema") -> RecordSchema:
    """The schema in the bytes of a schema document, of the depth that its types may have."""
    return parse_schema(parse_json(data, what=what, max_bytes=MAX_BYTES, max_depth=_JSON_DEPTH), what)


def parse_schema(value: JsonValue, what: str = "schema") -> RecordSchema:
    """The schema in a parsed schema document; `MalformedError` for anything else."""
    document = Fields(value, what)
    document.constant("format", FORMAT)
    fields = tuple(_parse_field(item, what) for item in document.array("fields", max_items=MAX_COLUMNS))
    sort = []
    for name in document.array("sort", max_items=MAX_COLUMNS):
        if not isinstance(name, str):
            raise MalformedError(f"{what}.sort holds no name", expected="text", got=type(name).__name__)
        sort.append(name)
    document.end()
    return RecordSchema(fields, tuple(sort))


def _parse_field(value: JsonValue, what: str) -> RecordField:
    fields = Fields(value, f"{what}.fields")
    name = fields.string("name", max_chars=MAX_NAME_CHARS, min_chars=0)
    kind = fields.value("type")
    field = RecordField(name, kind, fields.boolean("nullable"))
    fields.end()
    arrow_type(kind, name)
    return field
