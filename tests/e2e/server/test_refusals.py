"""Malformed, oversized and forbidden requests: each a problem document of its own status, none a 500, none written."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from provenance.encoding import b64encode
from provenance.signature import parse_envelope
from tests.e2e.server.conftest import HARBOUR, MUSEUM_P256, REVOKED, STRANGER, Described
from tests.e2e.server.process import ServerProcess
from tests.e2e.server.statements import as_parent, envelope_of

DSSE_TYPE = "application/vnd.dsse.envelope.v1+json"
DSSE = {"Content-Type": DSSE_TYPE}
JSON = {"Content-Type": "application/json"}
BUNDLE = {"Content-Type": "application/vnd.provenance-ledger.bundle.v1+json"}
GOOD = envelope_of(HARBOUR, "harbour/never@1", b"never logged")


@pytest.fixture(autouse=True)
def nothing_written(server: ServerProcess) -> Iterator[None]:
    """The log is as long after a test as before it."""
    before = server.client.get("/readyz").json()["size"]
    yield
    assert server.client.get("/readyz").json()["size"] == before
    assert server.client.get("/v1/datasets/harbour/never").status_code == 404


def refused(response: httpx.Response, status: int, described: Described) -> dict[str, Any]:
    """The problem document of an answer that has this status."""
    assert response.status_code == status, (response.status_code, response.text)
    assert response.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = response.json()
    described.check("Problem", document)
    assert document["status"] == status and document["type"].startswith("urn:provenance-ledger:problem:")
    return document


def reencoded(**changes: Any) -> bytes:
    """The good envelope with fields changed."""
    return json.dumps({**json.loads(GOOD), **changes}, separators=(",", ":")).encode()


def payload_changed(old: bytes, new: bytes) -> bytes:
    """The good envelope with its payload changed; its signature no longer fits."""
    payload = parse_envelope(GOOD).payload
    assert old in payload
    return reencoded(payload=b64encode(payload.replace(old, new)))


MALFORMED_ENVELOPES = {
    "nothing": b"",
    "one brace": b"{",
    "half": GOOD[: len(GOOD) // 2],
    "all but the last byte": GOOD[:-1],
    "a byte more": GOOD + b"\n",
    "a space": GOOD.replace(b",", b", ", 1),
    "a byte order mark": b"\xef\xbb\xbf" + GOOD,
    "not UTF-8": GOOD.replace(b"payload", b"payl\xffad", 1),
    "UTF-16": GOOD.decode().encode("utf-16"),
    "a NUL": b"\0" + GOOD,
    "a name twice": GOOD[:-1] + b"," + GOOD[1:],
    "a lone surrogate": reencoded(payloadType="x").replace(b'"x"', b'"\\ud800"'),
    "an integer beyond 64 bits": reencoded(payload=2**64),
    "an integer of 5000 digits": reencoded().replace(b'"payload":"', b'"payload":' + b"1" * 5_000 + b',"x":"'),
    "NaN": reencoded(payload=float("nan")),
    "1e999": reencoded(payload=0).replace(b":0", b":1e999"),
    "a list": b"[]",
    "a number": b"7",
    "null": b"null",
    "an unknown field": reencoded(extra=1),
    "a payload that is a number": reencoded(payload=1),
    "a payload that is not base64": reencoded(payload="***"),
    "an empty payload": reencoded(payload=""),
    "another payload type": reencoded(payloadType="text/plain"),
    "no signature": reencoded(signatures=[]),
    "signatures in an object": reencoded(signatures={}),
    "a signature that is null": reencoded(signatures=[None]),
    "a signature twice": reencoded(signatures=json.loads(GOOD)["signatures"] * 2),
    "a statement that is no JSON": reencoded(payload=b64encode(b"not a statement")),
    "another predicate": payload_changed(b"urn:provenance-ledger:dataset:1", b"urn:provenance-ledger:dataset:2"),
    "an unknown field of the predicate": payload_changed(b'"kind":', b'"extra":1,"kind":'),
    "a path for a name": payload_changed(b"harbour/never@1", b"../../etc/passwd@1"),
    "a digest that is not the fingerprint's": payload_changed(b'"count":1', b'"count":2'),
}


@pytest.mark.parametrize("body", MALFORMED_ENVELOPES.values(), ids=MALFORMED_ENVELOPES.keys())
def test_a_malformed_envelope_is_400(server: ServerProcess, described: Described, body: bytes) -> None:
    refused(server.client.post("/v1/statements", content=body, headers=DSSE), 400, described)


def test_an_envelope_over_a_limit_is_413(server: ServerProcess, described: Described) -> None:
    for body in (
        b"{" * 40_000,
        b'{"payload":' + b"[" * 100 + b"]" * 100 + b"}",
        reencoded(signatures=json.loads(GOOD)["signatures"] * 3),
        GOOD + b" " * 65_536,
        bytes(10_000_000),
    ):
        refused(server.client.post("/v1/statements", content=body, headers=DSSE), 413, described)


def test_an_envelope_of_any_length_without_content_length_is_413(server: ServerProcess, described: Described) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(100):
            yield bytes(4_096)

    refused(server.client.post("/v1/statements", content=endless(), headers=DSSE), 413, described)


def test_statements_that_rules_forbid(server: ServerProcess, described: Described) -> None:
    content = b"forbidden"
    parent = as_parent("harbour/nothing@1", b"nothing", b"no envelope")
    other = as_parent("titanic/passengers@1", b"other", b"no envelope")
    signature = json.loads(GOOD)["signatures"][0]
    beside = {"keyid": "ab" * 32, "sig": b64encode(bytes(2_420))}
    unknown = reencoded(signatures=[signature, beside])
    refused(server.client.post("/v1/statements", content=unknown, headers=DSSE), 422, described)
    forged = reencoded(signatures=[{**signature, "sig": b64encode(bytes(64))}])
    for body, status in (
        (envelope_of(STRANGER, "harbour/never@1", content), 403),
        (envelope_of(REVOKED, "harbour/never@1", content), 403),
        (envelope_of(HARBOUR, "elsewhere/never@1", content), 403),
        (envelope_of(HARBOUR, "harbour/never@1", content, [parent]), 404),
        (envelope_of(HARBOUR, "harbour/never@1", content, [other]), 403),
        (envelope_of(MUSEUM_P256, "titanic/passengers@1", content), 409),
        (forged, 422),
        (payload_changed(b"https://example.org", b"https://example.com"), 422),
    ):
        refused(server.client.post("/v1/statements", content=body, headers=DSSE), status, described)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 415),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/json; charset=latin-1"}, 415),
        ({"Content-Type": DSSE_TYPE, "Content-Encoding": "gzip"}, 415),
        ({"Content-Type": "application"}, 400),
        ({"Content-Type": "application/json; charset"}, 400),
        ({"Content-Type": "application/json; charset=utf-8; charset=utf-8"}, 400),
    ],
)
def test_another_media_type_is_refused(
    server: ServerProcess, described: Described, headers: dict[str, str], status: int
) -> None:
    body = gzip.compress(GOOD) if "Content-Encoding" in headers else GOOD
    for path in ("/v1/statements", "/v1/verify"):
        refused(server.client.post(path, content=body, headers=headers), status, described)


MALFORMED_QUESTIONS = {
    "nothing": b"",
    "half": b'{"digest": "',
    "a list": b"[]",
    "no question": b"{}",
    "two questions": json.dumps({"digest": "0" * 64, "reference": "a/b"}).encode(),
    "an unknown field": json.dumps({"digest": "0" * 64, "path": "/etc/passwd"}).encode(),
    "a short digest": b'{"digest": "00"}',
    "an upper-case digest": json.dumps({"digest": "A" * 64}).encode(),
    "a digest that is a number": b'{"digest": 18446744073709551616}',
    "a digest that is null": b'{"digest": null}',
    "a digest twice": b'{"digest": "%b", "digest": "%b"}' % (b"0" * 64, b"1" * 64),
    "an absolute path": b'{"reference": "/etc/passwd"}',
    "a relative path": b'{"reference": "../../keys/log.key"}',
    "a path that could be a name": b'{"reference": "./titanic/passengers"}',
    "a file URI": b'{"reference": "file:///etc/passwd"}',
    "a NUL": b'{"reference": "titanic/passengers\\u0000"}',
    "an empty reference": b'{"reference": ""}',
    "a short prefix": b'{"reference": "0123456"}',
    "a reference in a list": b'{"reference": ["titanic/passengers"]}',
    "a bundle that is text": b'{"bundle": "{}"}',
    "an empty bundle": b'{"bundle": {}}',
    "not UTF-8": b'{"reference": "\xff"}',
    "a fraction beyond all bounds": b'{"bundle": {"a": 1e400}}',
}


@pytest.mark.parametrize("body", MALFORMED_QUESTIONS.values(), ids=MALFORMED_QUESTIONS.keys())
def test_a_malformed_question_is_400(server: ServerProcess, described: Described, body: bytes) -> None:
    refused(server.client.post("/v1/verify", content=body, headers=JSON), 400, described)


def test_a_question_over_a_limit_is_413(server: ServerProcess, narrow: ServerProcess, described: Described) -> None:
    for headers in (JSON, BUNDLE):
        for body in (b"[" * 100_000, b"[" + b"0," * 1_000_001 + b"0]"):
            refused(server.client.post("/v1/verify", content=body, headers=headers), 413, described)
        refused(narrow.client.post("/v1/verify", content=bytes(2**20 + 1), headers=headers), 413, described)
    plain = {"Content-Type": "application/octet-stream"}
    refused(narrow.client.post("/v1/verify", content=bytes(2**20 + 1), headers=plain), 413, described)
    refused(narrow.client.post("/v1/verify", files={"file": ("a", bytes(2**20))}), 413, described)
    refused(server.client.post("/v1/verify", json={"reference": "a/" + "b" * 600}), 413, described)


def test_a_cut_or_changed_bundle_is_refused_or_fails(server: ServerProcess, described: Described) -> None:
    bundle = server.client.get("/v1/bundles/titanic/cleaned@1").content
    for size in range(0, len(bundle), 997):
        refused(server.client.post("/v1/verify", content=bundle[:size], headers=BUNDLE), 400, described)
    for place in range(0, len(bundle), 131):
        changed = bytearray(bundle)
        changed[place] ^= 0x01
        response = server.client.post("/v1/verify", content=bytes(changed), headers=BUNDLE)
        if response.status_code == 200:
            # What no check needs may differ: an unused key's text or a manifest that was not asked for.
            described.check("Report", response.json())
        else:
            assert response.status_code in (400, 413), response.text
            described.check("Problem", response.json())


def test_a_malformed_form_is_400(server: ServerProcess, described: Described) -> None:
    part = b'Content-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n'
    forms = {
        b"": "multipart/form-data; boundary=b",
        b"--b\r\n" + part + b"x\r\n": "multipart/form-data; boundary=b",
        b"--b\r\n" + part + b"x\r\n--b--\r\n": "multipart/form-data",
        b"--c\r\n" + part + b"x\r\n--c--\r\n": "multipart/form-data; boundary=b",
        b"--b\r\n" + part + b"x\r\n--b\r\n" + part + b"y\r\n--b--\r\n": "multipart/form-data; boundary=b",
        b"--b\r\n" + part.replace(b"file", b"data", 1) + b"x\r\n--b--\r\n": "multipart/form-data; boundary=b",
        b"--b\r\nX: y\r\n\r\nx\r\n--b--\r\n": "multipart/form-data; boundary=b",
        b"--b\r\n" + part.replace(b"a.csv", b"\xff") + b"x\r\n--b--\r\n": "multipart/form-data; boundary=b",
        b"--b--\r\n": "multipart/form-data; boundary=b",
        b"--b\r\n" + part + b"x\r\n--b--": f"multipart/form-data; boundary={'b' * 71}",
    }
    for body, media_type in forms.items():
        response = server.client.post("/v1/verify", content=body, headers={"Content-Type": media_type})
        refused(response, 400, described)
    huge = b"--b\r\nX: " + b"y" * 5_000 + b"\r\n" + part + b"x\r\n--b--\r\n"
    response = server.client.post(
        "/v1/verify", content=huge, headers={"Content-Type": "multipart/form-data; boundary=b"}
    )
    assert refused(response, response.status_code, described)["status"] in (400, 413)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/entries/-1",
        "/v1/entries/01",
        "/v1/entries/1.0",
        "/v1/entries/0x1",
        f"/v1/entries/{2**64}",
        "/v1/entries/" + "9" * 3_000,
        "/v1/entries/%D9%A3",
        "/v1/entries/0%00",
        "/v1/entries/0?x=1",
        "/v1/datasets?limit=0",
        "/v1/datasets?limit=-1",
        "/v1/datasets?limit=1001",
        "/v1/datasets?limit=1e2",
        "/v1/datasets?limit=",
        f"/v1/datasets?limit={2**70}",
        "/v1/datasets?limit=1&limit=2",
        "/v1/datasets?offset=3",
        "/v1/datasets?limit",
        "/v1/datasets?cursor=",
        "/v1/datasets?cursor=AAAA",
        "/v1/datasets?cursor=%ff",
        "/v1/datasets?cursor=YW5jaG9yczox",
        "/v1/datasets?cursor=ZGF0YXNldHM6NDE=",
        "/v1/datasets?cursor=ZGF0YXNldHM6LTE",
        "/v1/datasets?namespace=../..",
        "/v1/datasets?namespace=",
        "/v1/datasets?namespace=%00",
        "/v1/datasets/titanic/PASSENGERS",
        "/v1/datasets/titanic/passengers/1%5C..",
        "/v1/datasets/titanic/passengers/%00",
        "/v1/datasets/..%2F../passengers",
        "/v1/anchors?cursor=ZGF0YXNldHM6NDE",
        "/v1/lineage/../../etc/passwd",
        "/v1/lineage/%2Fetc%2Fpasswd",
        "/v1/lineage/titanic/passengers%00",
        "/v1/lineage/titanic/passengers@1@2",
        "/v1/lineage/titanic",
        "/v1/lineage/file:%2F%2F%2Fetc%2Fpasswd",
        "/v1/events/titanic/passengers?limit=0",
        "/v1/events/titanic/passengers?cursor=ZGF0YXNldHM6NDE",
        "/v1/impact/titanic/passengers?limit=0",
        "/v1/impact/titanic/passengers?to=titanic",
        "/v1/impact/titanic/passengers?cursor=ZGF0YXNldHM6NDE",
        "/v1/impact/titanic",
        "/v1/usage/titanic/passengers?cursor=ZGF0YXNldHM6NDE",
        "/v1/bundles/titanic/passengers?manifests=yes",
        "/v1/bundles/titanic/pass%FFengers",
        "/v1/receipts/",
        "/checkpoint?x=%00",
    ],
)
def test_a_malformed_url_is_400(server: ServerProcess, described: Described, path: str) -> None:
    answer = server.raw(b"GET " + path.encode() + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert answer.status == 400, answer
    described.check("Problem", answer.problem())


def test_parts_of_a_url_that_are_too_long_are_414(server: ServerProcess, described: Described) -> None:
    for path in (
        f"/v1/datasets/{'n' * 65}/name",
        f"/v1/datasets/titanic/{'n' * 129}",
        f"/v1/datasets/titanic/passengers/{'1' * 65}",
        f"/v1/lineage/titanic/{'n' * 200}",
        f"/v1/datasets?namespace={'n' * 65}",
        f"/v1/datasets/{'n' * 4_100}",
        f"/v1/datasets?cursor={'n' * 4_100}",
    ):
        refused(server.client.get(path), 414, described)


def test_other_paths_and_methods_are_problems_too(server: ServerProcess, described: Described) -> None:
    for method, path, status in (
        ("GET", "/", 404),
        ("GET", "/v1", 404),
        ("GET", "/v1/datasets/", 404),
        ("GET", "/v1/datasets/titanic", 404),
        ("GET", "/checkpoint/", 404),
        ("GET", "/v1/datasets/titanic/passengers/1%2F..", 404),
        ("DELETE", "/v1/datasets/titanic/passengers", 405),
        ("GET", "/v1/statements", 405),
        ("PUT", "/v1/statements", 405),
        ("OPTIONS", "/v1/verify", 405),
        ("POST", "/checkpoint", 405),
    ):
        response = server.client.request(method, path)
        refused(response, status, described)
        assert ("allow" in response.headers) == (status == 405)
