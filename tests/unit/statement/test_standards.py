"""The 22 elements: written, read back, held against the schema, and what is ill-formed refused."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import jsonschema
import pytest

from provenance.encoding import Digest, canonical_json
from provenance.errors import MalformedError
from provenance.fingerprint import FingerprintDocument
from provenance.statement import DatasetStatement, PinnedName, encode_statement, parse_statement
from provenance.statement.standards import (
    ELEMENTS,
    Basis,
    Geography,
    Method,
    Proprietary,
    Standards,
    parse_standards,
)
from tests.paths import PROJECT

FULL = Standards(
    title="Passengers",
    issuer="City Museum",
    description="Who was aboard.",
    metadata_location="https://museum.example/titanic",
    source="White Star Line",
    origin_geography=("GB", "US-NY"),
    previous_issue="2024-01-31",
    date_range=("1912-04-10", "1912-04-15"),
    method=Method.PRIMARY,
    media_type="text/csv",
    consent_documentation="https://museum.example/consent",
    basis=Basis.PUBLIC_TASK,
    personal_data=False,
    privacy_technologies=("pseudonyms",),
    processing_geography=Geography(include=("GB",)),
    storage_geography=Geography(exclude=("US", "CA")),
    intended_use="teaching",
    proprietary_data=Proprietary.NO,
)
STATEMENT = DatasetStatement(
    PinnedName.parse("titanic/passengers@1"),
    FingerprintDocument(1, Digest.of(b"root"), 3),
    Digest.of(b"manifest"),
    "2026-11-20T12:00:00Z",
    license="MIT",
    origin="https://museum.example/",
    standards=FULL,
)


def _schema() -> Any:
    schema = json.loads((PROJECT / "docs" / "schemas" / "dataset-1.json").read_bytes())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_there_are_22_elements() -> None:
    assert [len(names) for names in ELEMENTS.values()] == [6, 8, 8]


@pytest.mark.parametrize(
    "standards", [FULL, Standards(), Standards(personal_data=True), Standards(basis=Basis.CONSENT)]
)
def test_what_is_said_is_read_back_and_is_what_the_schema_says(standards: Standards) -> None:
    assert parse_standards(standards.to_json()) == standards
    statement = replace(STATEMENT, standards=standards)
    data = encode_statement(statement)
    assert parse_statement(data, strict=True) == statement
    _schema().validate(json.loads(data))
    assert (b'"standards"' in data) == bool(standards)


WRONG: list[dict[str, Any]] = [
    {"title": " "},
    {"title": "x" * 201},
    {"description": ""},
    {"originGeography": []},
    {"originGeography": ["Germany"]},
    {"originGeography": ["GB", "GB"]},
    {"dateRange": {"from": "2024-01-01"}},
    {"dateRange": {"from": "2024", "to": "2025"}},
    {"method": "magic"},
    {"mediaType": "csv"},
    {"consent": {"basis": "because"}},
    {"consent": {"more": 1}},
    {"metadataLocation": "nowhere"},
    {"personalData": "no"},
    {"privacyTechnologies": [1]},
    {"processingGeography": {}},
    {"storageGeography": {"include": ["GB"], "more": []}},
    {"proprietaryData": "perhaps"},
    {"more": 1},
]


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_ill_formed_is_refused_by_reader_and_schema(wrong: dict[str, Any]) -> None:
    value = json.loads(encode_statement(replace(STATEMENT, standards=Standards())))
    value["predicate"]["standards"] = wrong
    with pytest.raises(MalformedError):
        parse_statement(canonical_json(value))
    with pytest.raises(jsonschema.ValidationError):
        _schema().validate(value)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"previousIssue": "2024-02-30"}, "not a date"),
        ({"dateRange": {"from": "2025-01-01", "to": "2024-01-01"}}, "ends before it begins"),
        ({"storageGeography": {"include": ["GB"], "exclude": ["GB"]}}, "both included and excluded"),
        ({"consent": {"documentation": "https://user:hunter2@h.example/"}}, "not a URI"),
        ({"metadataLocation": "https://h.example/?token=hunter2"}, "holds a secret"),
    ],
)
def test_what_a_schema_cannot_say_is_refused_too(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(MalformedError, match=said) as caught:
        parse_standards(wrong)
    assert "hunter2" not in str(caught.value)
