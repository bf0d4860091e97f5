"""The gate: heads, counts, pieces, and answers to whatever goes wrong behind it."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from provenance.errors import MalformedError, PolicyError
from provenance.server import ServerLimits
from provenance.server.gate import Gate, check_head
from provenance.server.problems import RequestRefusedError, kind_of
from tests.unit.server.client import Answer, body_of, call, gated, scope_of


def answering(response: Response) -> Any:
    """An application that answers so and reads nothing."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await response(scope, receive, send)

    return app


def raising(error: Exception, *, after_start: bool = False) -> Any:
    """An application that raises."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if after_start:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        raise error

    return app


def head_status(limits: ServerLimits | None = None, **changes: Any) -> int:
    """The status that a head is refused with, or 200."""
    scope = {**scope_of(), **changes}
    try:
        check_head(scope, limits or ServerLimits())
    except MalformedError as error:
        return kind_of(error).status
    return 200


def test_a_head_is_checked() -> None:
    assert head_status() == head_status(path="/a b~", raw_path=b"/a%20b~") == head_status(http_version="1.0") == 200
    assert head_status(raw_path=b"/" * 4_097) == head_status(raw_path=b"/" * 4_000, query_string=b"x" * 97) == 414
    assert head_status(raw_path=None, path="/" * 4_097) == 414
    assert head_status(headers=[(b"x", b"y" * 32_768)]) == head_status(headers=[(b"x", b"y" * 100)] * 400) == 431
    assert head_status(http_version="2") == 505
    for path in ("/a\n", "/a\0", "/a\x7f", "/\ufffd", "/\u00e9", "/\u202e"):
        assert head_status(path=path) == 400
    for name in (b"content-type", b"content-length", b"content-encoding", b"host", b"expect"):
        assert head_status(headers=[(name, b"1"), (name, b"1")]) == 400
    assert head_status(headers=[(b"content-length", b"1"), (b"transfer-encoding", b"chunked")]) == 400
    assert head_status(headers=[(b"accept", b"1"), (b"accept", b"1")]) == 200


def test_errors_on_purpose_become_their_problem() -> None:
    answer = call(gated(raising(PolicyError("no", got="x"))), scope_of())
    assert (answer.status, json.loads(answer.body)["detail"]) == (403, "no")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_an_error_nobody_foresaw_is_500_without_detail(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="provenance.server"):
        answer = call(gated(raising(RuntimeError("secret /path"))), scope_of(path="/x"))
    document = json.loads(answer.body)
    assert answer.status == 500 and set(document) == {"type", "title", "status", "instance"}
    assert document["instance"] in caplog.text and "secret /path" in caplog.text


def test_an_error_after_the_answer_began_adds_nothing_to_it() -> None:
    answer = call(gated(raising(PolicyError("late"), after_start=True)), scope_of())
    assert [message["type"] for message in answer.messages] == ["http.response.start"]


def test_a_client_that_went_away_gets_nothing() -> None:
    assert call(gated(raising(ClientDisconnect())), scope_of()).messages == []


def test_head_is_get_without_the_body() -> None:
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["method"])
        await Response(b"x" * 200_000)(scope, receive, send)

    answer = call(gated(app), scope_of(method="HEAD"))
    assert seen == ["GET"] and answer.body == b"" and answer.headers["content-length"] == "200000"


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 131_072, 200_000])
def test_a_large_answer_leaves_in_pieces(size: int) -> None:
    content = bytes(range(256)) * (size // 256 + 1)
    answer = call(gated(answering(Response(content[:size]))), scope_of())
    assert answer.body == content[:size]
    assert all(len(message["body"]) <= 65_536 for message in answer.messages[1:])
    assert [message.get("more_body", False) for message in answer.messages[1:]].count(False) == 1


def test_headers_that_a_route_sets_stay() -> None:
    answer = call(gated(answering(Response(headers={"Cache-Control": "no-cache"}))), scope_of())
    assert answer.headers["cache-control"] == "no-cache"
    assert call(gated(answering(Response())), scope_of()).headers["cache-control"] == "no-store"


def test_a_body_that_was_not_read_ends_the_connection() -> None:
    def closes(pieces: list[bytes], *, complete: bool = True, **headers: str) -> bool:
        scope = scope_of("POST", headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = call(gated(answering(Response())), scope, body_of(pieces, complete=complete))
        return answer.headers.get("connection") == "close"

    assert not closes([b""])
    assert not closes([b""], content_length="0")
    assert not closes([b"abc"], content_length="3")  # drained
    assert closes([b"a"], complete=False, content_length="3")
    assert closes([bytes(2**20)] * 20, transfer_encoding="chunked")
    assert closes([b"abc"], content_length="3", expect="100-continue")


def test_a_client_that_waits_for_leave_is_not_given_it_by_an_answer() -> None:
    async def receive() -> Any:
        raise AssertionError("leave was given")

    scope = scope_of("POST", headers={"Content-Length": "3", "Expect": "100-continue"})
    assert call(gated(answering(Response(status_code=413))), scope, receive).status == 413


def test_requests_over_the_count_are_busy_and_health_is_not_counted() -> None:
    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0.02)
        await Response()(scope, receive, send)

    async def at_once(paths: list[str]) -> list[int]:
        gate = Gate(slow, ServerLimits(max_requests=2))
        answers = [Answer() for _ in paths]

        async def one(path: str, answer: Answer) -> None:
            async def send(message: Any) -> None:
                answer.messages.append(message)

            await gate(scope_of(path=path), body_of([b""]), send)

        for _ in range(2):  # the second time shows that slots were given back
            for answer in answers:
                answer.messages.clear()
            await asyncio.gather(*map(one, paths, answers))
        return [answer.status for answer in answers]

    assert asyncio.run(at_once(["/a", "/b", "/c", "/healthz"])) == [200, 200, 503, 200]


def test_what_is_not_http_passes() -> None:
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    call(gated(app), {"type": "lifespan"})
    assert seen == ["lifespan"]


def test_a_refusal_tells_its_kind() -> None:
    with pytest.raises(RequestRefusedError):
        check_head({**scope_of(), "raw_path": b"/" * 5_000}, ServerLimits())
