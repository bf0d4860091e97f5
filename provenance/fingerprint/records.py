"""The record part of a fingerprint document: a table's rows under one root, its schema beside it.

Invariants: `root` is the RFC 9162 root over one leaf a row, in table order; `schema` is the SHA-256 of the schema
document; `index` is the sorted tree: the distinct leaf hashes in ascending byte order, each a leaf hash, by which a
record is shown to be absent; it may be left out. None of them depends on how the table was stored.

Bytes: `{"count":2,"index":{"count":2,"root":"<64 hex>"},"leaf":"urn:provenance-ledger:record-leaf:1","root":"<64 hex>",
"schema":"<64 hex>"}` (one line).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from provenance.encoding import Digest, Fields, JsonValue
from provenance.errors import MalformedError
from provenance.limits import MAX_SAFE_INTEGER

RECORD_LEAF: Final = "urn:provenance-ledger:record-leaf:1"


@dataclass(frozen=True, slots=True)
class RecordFingerprint:
    """`count` rows under `root`; `schema` is the schema's digest; `index_count` distinct rows are under `index_root`,
    or there is no index."""

    count: int
    root: Digest
    schema: Digest
    index_count: int | None = None
    index_root: Digest | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.count <= MAX_SAFE_INTEGER:
            raise MalformedError("record count is out of range", expected=f"0 to {MAX_SAFE_INTEGER}", got=self.count)
        if (self.index_count is None) != (self.index_root is None):
            raise MalformedError("index is half there", expected="its count and root, or neither")
        if self.index_count is not None and not min(self.count, 1) <= self.index_count <= self.count:
            raise MalformedError(
                "index count is out of range", expected=f"{min(self.count, 1)} to {self.count}", got=self.index_count
            )

    def to_json(self) -> dict[str, JsonValue]:
        """The part as a JSON object."""
        value: dict[str, JsonValue] = {
            "count": self.count,
            "leaf": RECORD_LEAF,
            "root": self.root.hex,
            "schema": self.schema.hex,
        }
        if self.index_root is not None:
            value["index"] = {"count": self.index_count, "root": self.index_root.hex}
        return value


def parse_record_fingerprint(value: JsonValue, what: str = "records") -> RecordFingerprint:
    """The record part in a parsed JSON object; `MalformedError` for another leaf format."""
    fields = Fields(value, what)
    fields.constant("leaf", RECORD_LEAF)
    count, root, schema = fields.integer("count"), fields.digest("root"), fields.digest("schema")
    index_count = index_root = None
    if "index" in fields:
        index = fields.object("index")
        index_count, index_root = index.integer("count"), index.digest("root")
        index.end()
    fields.end()
    return RecordFingerprint(count, root, schema, index_count, index_root)
