"""The table from errors to problem documents."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from provenance import errors
from provenance.errors import MalformedError, NotFoundError, ProvenanceError, StoreError
from provenance.server import problems
from provenance.server.problems import KINDS, TABLE, RequestRefusedError, kind_of, problem_of, respond
from tests.unit.server.client import request_of

STATUS = {
    "MalformedError": 400,
    "LimitError": 413,
    "NotFoundError": 404,
    "VerificationError": 422,
    "SourceError": 503,
    "CommandError": 503,
    "StoreError": 503,
    "SignerError": 503,
    "ChainError": 503,
    "WitnessError": 503,
    "LogError": 503,
    "PolicyError": 403,
    "ConflictError": 409,
    "ProvenanceError": 500,
}


def test_every_error_of_the_tree_has_its_status() -> None:
    classes = [
        found for found in vars(errors).values() if isinstance(found, type) and issubclass(found, ProvenanceError)
    ]
    assert {found.__name__: kind_of(found("x")).status for found in classes} == STATUS
    assert {found for found, _ in TABLE} == set(classes)


def test_a_class_of_another_module_is_what_its_base_is() -> None:
    class DeeperError(NotFoundError):
        pass

    class SidewaysError(StoreError, RuntimeError):
        pass

    assert kind_of(DeeperError("x")) == problems.NOT_FOUND
    assert kind_of(SidewaysError("x")) == problems.STORE


def test_a_document_says_what_expected_got_where_and_hint() -> None:
    document = problem_of(MalformedError("not so", expected="this", got=7, where="there", hint="try that"))
    assert document == {
        "type": "urn:provenance-ledger:problem:malformed",
        "title": "Malformed input",
        "status": 400,
        "detail": "not so",
        "expected": "this",
        "got": "7",
        "where": "there",
        "hint": "try that",
    }
    assert set(problem_of(MalformedError("x"))) == {"type", "title", "status", "detail"}


def test_what_came_from_outside_is_escaped() -> None:
    document = problem_of(MalformedError("a\x1b[31m", got="\ud800\n", where="\u202e"))
    assert (document["detail"], document["got"], document["where"]) == ("a\\x1b[31m", "\\ud800\\n", "\\u202e")
    assert json.loads(bytes(respond(MalformedError("x", got="\ud800")).body))["got"] == "\\ud800"


def test_details_of_this_machine_go_to_the_log_only(caplog: pytest.LogCaptureFixture) -> None:
    error = StoreError(
        "cannot read", got="/secret/got", where="/secret/where", expected="/secret/expected", hint="/secret/hint"
    )
    with caplog.at_level(logging.ERROR, logger="provenance.server"):
        response = respond(error)
    assert response.status_code == 503 and response.headers["retry-after"] == "5"
    assert b"secret" not in bytes(response.body)
    assert "/secret/where" in caplog.text


def run(handler: object, error: Exception) -> tuple[int, dict[str, object]]:
    """The status and document that a handler answers with."""
    response = asyncio.run(handler(request_of(path="/x"), error))  # type: ignore[operator]
    return response.status_code, json.loads(response.body)


def test_what_the_framework_refuses_becomes_a_problem_too() -> None:
    status, document = run(problems.on_http_error, HTTPException(405, headers={"Allow": "GET"}))
    assert status == 405 and document["expected"] == "GET" and document["got"] == "GET /x"
    status, document = run(problems.on_http_error, HTTPException(418, "short and stout"))
    assert (status, document["status"], document["detail"]) == (418, 418, "short and stout")
    missing = RequestValidationError([{"loc": ("query", "limit"), "msg": "Field required", "type": "missing"}])
    status, document = run(problems.on_validation_error, missing)
    assert (status, document["where"], document["got"]) == (400, "query.limit", "Field required")
    assert run(problems.on_validation_error, RequestValidationError([]))[0] == 400


def test_an_error_nobody_foresaw_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    for handler in (problems.on_http_error, problems.on_validation_error):
        with caplog.at_level(logging.ERROR, logger="provenance.server"):
            status, document = run(handler, ValueError("secret"))
        assert status == 500 and "secret" not in str(document)
        assert str(document["instance"]) in caplog.text


def test_kinds_have_names_of_their_own_and_error_statuses() -> None:
    assert len({kind.name for kind in KINDS}) == len(KINDS)
    assert all(400 <= kind.status <= 599 for kind in KINDS)


def test_a_refusal_carries_its_kind_and_headers() -> None:
    refused = problems.busy("uploads", retry_after_s=3)
    assert isinstance(refused, RequestRefusedError) and isinstance(refused, MalformedError)
    response = respond(refused)
    assert (response.status_code, response.headers["retry-after"]) == (503, "3")
    assert response.media_type == "application/problem+json"
