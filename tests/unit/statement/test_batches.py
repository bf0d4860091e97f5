"""Batches: what is signed of them is what their schemas say, and nothing else is."""

from __future__ import annotations

import json

import jsonschema
import pytest

from provenance.encoding import Digest, canonical_json
from provenance.errors import MalformedError
from provenance.statement.access import ACCESS_TYPE, AccessBatch, encode_access
from provenance.statement.batches import BATCH_TYPES, Batch, read_batch
from provenance.statement.frame import open_frame
from provenance.statement.received import RECEIVED_TYPE, Received, encode_received
from tests.paths import PROJECT

CREATED, ONE, OTHER = "2026-11-20T12:00:00Z", Digest.of(b"1"), Digest.of(b"2")
BATCHES = {
    ACCESS_TYPE: (encode_access(AccessBatch(ONE, 3, 0, OTHER, CREATED)), "access-batch"),
    RECEIVED_TYPE: (encode_received(Received(ONE, 3, OTHER, CREATED)), "openlineage-batch"),
}


@pytest.mark.parametrize("kind", BATCH_TYPES)
def test_what_is_written_is_read_back_and_is_what_the_schema_says(kind: str) -> None:
    data, name = BATCHES[kind]
    assert read_batch(open_frame(data)) == Batch(kind, ONE, 3, OTHER, CREATED)
    schema = json.loads((PROJECT / "docs" / "schemas" / f"{name}-1.json").read_bytes())
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    validator.validate(json.loads(data))
    for path, value in ((("root",), "x"), (("created",), 3), (("dropped" if kind == ACCESS_TYPE else "events",), -1)):
        wrong = json.loads(data)
        wrong["predicate"][path[0]] = value
        assert not validator.is_valid(wrong)
        with pytest.raises(MalformedError):
            read_batch(open_frame(canonical_json(wrong)))
    wrong = json.loads(data)
    wrong["subject"][0]["name"] = "other"
    assert not validator.is_valid(wrong)
    with pytest.raises(MalformedError):
        read_batch(open_frame(canonical_json(wrong)))


def test_every_schema_is_published_and_read_by_a_test() -> None:
    named = {path.name for path in (PROJECT / "docs" / "schemas").glob("*.json")}
    assert {"access-batch-1.json", "openlineage-batch-1.json", "key-1.json", "dataset-1.json"} <= named
    for name in named:
        schema = json.loads((PROJECT / "docs" / "schemas" / name).read_bytes())
        jsonschema.Draft202012Validator.check_schema(schema)
        assert schema["$id"].startswith("urn:provenance-ledger:schema:")
