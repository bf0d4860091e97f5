"""The example of docs/formats/records.md is what the code makes."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from decimal import Decimal

import pyarrow as pa

from provenance.encoding import JsonValue, parse_json
from provenance.encoding.records import RecordSchema, decode_row, encode_rows, parse_schema, row_from_json
from provenance.merkle import leaf_hash, root_of
from tests.paths import PROJECT

PAGE = (PROJECT / "docs" / "formats" / "records.md").read_text("utf-8")
BATCH = pa.RecordBatch.from_arrays(
    [
        pa.array([1, 500]),
        pa.array(["Ada", None]),
        pa.array([Decimal("12.50"), Decimal("-0.01")], pa.decimal128(9, 2)),
        pa.array([datetime(1970, 1, 1, 0, 0, second, tzinfo=UTC) for second in (1, 0)], pa.timestamp("ms", "UTC")),
    ],
    ["id", "name", "price", "at"],
)
ROWS = encode_rows(BATCH, RecordSchema.of(BATCH.schema))
SCHEMA = RecordSchema.of(BATCH.schema).with_nulls(ROWS.null_columns)


def test_leaves() -> None:
    (block,) = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)
    leaves = [bytes.fromhex(line) for line in block.splitlines()]
    assert leaves == [ROWS.row(0), ROWS.row(1)]
    for leaf in leaves:
        assert hashlib.sha256(b"\x00" + leaf).hexdigest() in PAGE
    assert root_of(leaf_hash(leaf) for leaf in leaves).hex() in PAGE


def test_schema_document() -> None:
    (block,) = re.findall(r"```json\n(.*?)\n```", PAGE, re.DOTALL)
    assert block.encode() == SCHEMA.encode()
    assert f"`{SCHEMA.digest}`" in PAGE


def test_every_type_in_the_table_is_one() -> None:
    table = PAGE[PAGE.index("## Values") : PAGE.index("## Schema document")]
    forms = [form for row in re.findall(r"^\| (.+?) \|", table, re.MULTILINE) for form in re.findall(r"`(.+?)`", row)]
    assert len(forms) > 15
    for form in forms:
        document = SCHEMA.to_json()
        kind = parse_json(form.replace(":T", ':"bool"').encode(), what=form, max_bytes=99)
        document["fields"] = [{"name": "c", "nullable": False, "type": kind}]
        assert parse_schema(document).fields[0].type == kind


def test_json_of_the_example() -> None:
    first: dict[str, JsonValue] = {"id": 1, "name": "Ada", "price": "12.50", "at": "1970-01-01T00:00:01Z"}
    assert decode_row(ROWS.row(0), SCHEMA) == first
    assert row_from_json(first, SCHEMA) == ROWS.row(0)
