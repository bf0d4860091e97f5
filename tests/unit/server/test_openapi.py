"""The description: complete, consistent with itself, and with examples that are what it says."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from provenance import Ledger, verify_bundle
from provenance.encoding import b64decode, canonical_json
from provenance.log import entry_leaf, parse_proof
from provenance.merkle import verify_inclusion
from provenance.policy import TrustRoots
from provenance.server import create_app
from provenance.server.openapi import OPERATIONS
from provenance.server.problems import KINDS
from provenance.signature import parse_envelope
from provenance.statement import parse_statement
from tests.paths import PROJECT

Document = dict[str, Any]


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Document:
    """The application's description."""
    with Ledger.init(tmp_path_factory.mktemp("described")) as ledger:
        return create_app(ledger).openapi()


def operations(document: Document) -> Iterator[tuple[str, str, Document]]:
    """Method, path and operation of each."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def references(value: Any) -> Iterator[str]:
    """Every `$ref` in a document."""
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for child in value.values():
            yield from references(child)
    elif isinstance(value, list):
        for child in value:
            yield from references(child)


def resolve(document: Document, value: Document) -> Document:
    """`value`, or what its `$ref` names."""
    if "$ref" not in value:
        return value
    found: Any = document
    for name in value["$ref"].removeprefix("#/").split("/"):
        found = found[name]
    assert isinstance(found, dict)
    return found


def bodies(document: Document) -> Iterator[tuple[str, str, Document]]:
    """(operation id, media type, content) of every body, given or taken."""
    for _, _, operation in operations(document):
        places = [operation["requestBody"]] if "requestBody" in operation else []
        places += [resolve(document, response) for response in operation["responses"].values()]
        for place in places:
            for media_type, content in place.get("content", {}).items():
                yield operation["operationId"], media_type, content


def test_it_is_openapi_3_1_and_every_reference_leads_somewhere(document: Document) -> None:
    assert document["openapi"].startswith("3.1.")
    assert document["info"]["title"] and document["info"]["version"]
    for reference in set(references(document)):
        assert resolve(document, {"$ref": reference}), reference
    used = set(references(document))
    for kind in ("schemas", "responses", "examples"):
        unused = {name for name in document["components"][kind] if f"#/components/{kind}/{name}" not in used}
        assert unused <= {
            f"{one}Cursor" for one in ("anchor", "dataset", "event", "impact", "key", "usage", "version")
        }, (
            kind,
            unused,
        )


def test_every_operation_is_described_and_has_its_name(document: Document) -> None:
    ids = [operation["operationId"] for _, _, operation in operations(document)]
    assert sorted(ids) == sorted(OPERATIONS)
    tags = {tag["name"] for tag in document["tags"]}
    for _, path, operation in operations(document):
        assert operation["summary"] and operation["description"], path
        assert set(operation["tags"]) <= tags and len(operation["tags"]) == 1
        in_path = {item["name"] for item in operation.get("parameters", []) if item["in"] == "path"}
        assert in_path == {part.strip("{}") for part in path.split("/") if part.startswith("{")}
        for response in operation["responses"].values():
            assert resolve(document, response)["description"]


def test_every_operation_has_examples_of_all_it_takes_and_gives(document: Document) -> None:
    for operation_id, media_type, content in bodies(document):
        assert content["examples"], (operation_id, media_type)
    for _, path, operation in operations(document):
        assert any(
            status.startswith("2") and "content" in response for status, response in operation["responses"].items()
        )
        assert {"503", "default"} <= set(operation["responses"]), path
        for parameter in operation.get("parameters", []):
            assert parameter["example"] not in (None, ""), (path, parameter["name"])


def test_every_schema_is_a_schema_and_every_example_fits_its_own(document: Document) -> None:
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    for operation_id, media_type, content in bodies(document):
        schema = {**content["schema"], "components": document["components"]}
        if media_type == "multipart/form-data" or not media_type.endswith("json"):
            schema = {**schema, "additionalProperties": True}
        for name, reference in content["examples"].items():
            errors = list(Draft202012Validator(schema).iter_errors(resolve(document, reference)["value"]))
            assert not errors, (operation_id, name, errors[0].message)
    for _, _, operation in operations(document):
        for parameter in operation.get("parameters", []):
            Draft202012Validator(parameter["schema"]).validate(parameter["example"])


def test_problem_examples_have_the_status_and_type_they_stand_for(document: Document) -> None:
    by_type = {kind.type: kind for kind in KINDS}
    for name, response in document["components"]["responses"].items():
        for reference in response["content"]["application/problem+json"]["examples"].values():
            value = resolve(document, reference)["value"]
            assert by_type[value["type"]].status == value["status"]
            assert name == "Problem" or name == f"Problem{value['status']}"


def test_the_examples_prove_what_they_say(document: Document) -> None:
    values = {name: example["value"] for name, example in document["components"]["examples"].items()}
    entry = values["entry"]
    envelope = b64decode(entry["envelope"]["base64"], what="envelope", max_bytes=65_535)
    assert entry_leaf(envelope).hex() == entry["leafHash"]
    assert canonical_json(entry["envelope"]["json"]) == envelope
    proof = parse_proof(entry["proof"].encode())
    verify_inclusion(entry_leaf(envelope), proof.index, proof.head.size, proof.hashes, proof.head.root)
    submitted = parse_statement(parse_envelope(canonical_json(values["envelope"])).payload, strict=True)
    assert str(submitted.name) == values["receipt"]["name"]
    assert not verify_bundle(canonical_json(values["bundle"]) + b"\n", TrustRoots()).verified
    assert values["report"]["verified"] is True and values["reportFailed"]["verified"] is False


def test_the_documents_are_what_the_application_gives_now() -> None:
    command = [sys.executable, str(PROJECT / "scripts" / "docs_api.py"), "--check"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_the_check_of_the_documents_sees_a_stale_one(tmp_path: Path) -> None:
    for name in ("scripts", "docs"):
        (tmp_path / name).mkdir()
    script = tmp_path / "scripts" / "docs_api.py"
    script.write_text((PROJECT / "scripts" / "docs_api.py").read_text())
    stale = json.loads((PROJECT / "docs" / "openapi.json").read_text())
    stale["info"]["title"] = "changed"
    (tmp_path / "docs" / "openapi.json").write_text(json.dumps(stale))
    result = subprocess.run([sys.executable, str(script), "--check"], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "docs/openapi.json is stale" in result.stderr and "docs/api.md is stale" in result.stderr
