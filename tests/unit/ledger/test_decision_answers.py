"""An answer that cannot be recorded is not given: functions, coroutines, and services that stream."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
from collections.abc import AsyncIterator, Callable, Iterator, MutableMapping
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from provenance.errors import LimitError, MalformedError, StoreError
from provenance.ledger import Ledger
from provenance.ledger import decision_middleware as module
from provenance.ledger.decision_middleware import DecisionMiddleware
from provenance.ledger.decisions import Decisions, check_decision, salt_of
from tests.unit.ledger.decision_rows import rows_of

Message = MutableMapping[str, Any]


def _refuse(*_: object) -> None:
    raise StoreError("disk is full")


async def _pieces() -> AsyncIterator[bytes]:
    for piece in (b"one ", b"two ", b"", b"three"):
        yield piece


def _service(answer: Callable[[Request], Any]) -> Starlette:
    return Starlette(routes=[Route("/predict", answer, methods=["POST"])])


async def _stream(request: Request) -> Response:
    await request.body()
    return StreamingResponse(_pieces())


async def _json(request: Request) -> Response:
    return JSONResponse({"given": len(await request.body())})


async def _file(request: Request) -> Response:
    await request.body()
    return FileResponse(__file__)


def _exchange(app: Any, *, body: bytes = b"in", extensions: dict[str, Any] | None = None) -> list[Message]:
    """What reaches the client, as a server sees it, whatever the application raises."""
    sent: list[Message] = []
    path = "/predict"
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "path": path,
    }
    scope |= {"method": "POST", "raw_path": path.encode(), "query_string": b"", "headers": [], "root_path": ""}
    scope |= {"scheme": "http", "client": ("192.0.2.1", 1), "server": ("x", 80), "extensions": extensions or {}}

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    with contextlib.suppress(StoreError, LimitError, MalformedError, ExceptionGroup):
        asyncio.run(app(scope, receive, send))
    return sent


@pytest.mark.parametrize("answer", [_stream, _json, _file])
def test_nothing_of_an_answer_leaves_that_cannot_be_recorded(
    ledger: Ledger, model: Path, monkeypatch: pytest.MonkeyPatch, answer: Callable[[Request], Any]
) -> None:
    with ledger.decisions("acme/model", model, key="someone") as decisions:
        app = DecisionMiddleware(_service(answer), decisions)
        with monkeypatch.context() as failing:
            failing.setattr(decisions, "record", _refuse)
            sent = _exchange(app, extensions={"http.response.pathsend": {}, "http.response.zerocopysend": {}})
        assert [message for message in sent if message.get("status", 500) < 400] == []
        assert b"".join(message.get("body", b"") for message in sent) in (b"", b"Internal Server Error")
        assert {"body", "path"} & {key for message in sent for key in message} <= {"body"}
    assert decisions.receipts == []


def test_what_is_streamed_is_given_once_it_is_recorded(ledger: Ledger, model: Path) -> None:
    with ledger.decisions("acme/model", model, key="someone") as decisions:
        app = DecisionMiddleware(_service(_stream), decisions)
        response = TestClient(app).post("/predict", content=b"in")
        assert (response.status_code, response.content) == (200, b"one two three")
        given = _exchange(DecisionMiddleware(_service(_file), decisions), extensions={"http.response.pathsend": {}})
        assert b"".join(message.get("body", b"") for message in given) == Path(__file__).read_bytes()
    (receipt,) = decisions.receipts
    rows = rows_of(ledger, receipt.name)
    salt = salt_of(ledger, "acme/model", receipt.name, 0)
    assert check_decision(rows[0], salt, b"in", b"one two three")
    assert len(rows) == 2


def test_a_body_above_the_limit_is_refused(ledger: Ledger, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ledger.decisions("acme/model", model, key="someone") as decisions:
        for limit, answer, is_given in ((13, _stream, True), (12, _stream, False), (12, _json, True)):
            sent = _exchange(DecisionMiddleware(_service(answer), decisions, max_body_bytes=limit))
            assert (200 in [message.get("status") for message in sent]) == is_given
            assert is_given or b"one" not in b"".join(message.get("body", b"") for message in sent)
        assert all(
            m.get("status", 500) == 500
            for m in _exchange(DecisionMiddleware(_app_that_goes_on, decisions, max_body_bytes=1))
        )
        monkeypatch.setattr(module, "_MAX_PIECES", 3)
        assert 200 not in [m.get("status") for m in _exchange(DecisionMiddleware(_service(_stream), decisions))]
    assert [len(rows_of(ledger, receipt.name)) for receipt in decisions.receipts] == [2]


async def _app_that_goes_on(_: object, receive: Any, send: Any) -> None:
    """Answers although it was told that the body is too large."""
    try:
        await receive()
    except LimitError:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x"})


def test_an_application_may_say_that_its_answer_was_refused(
    ledger: Ledger, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def app(_: object, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        with pytest.raises(StoreError):
            await send({"type": "http.response.body", "body": b"answer"})
        with pytest.raises(MalformedError, match="refused"):
            await send({"type": "http.response.body", "body": b"answer"})
        await send({"type": "http.response.start", "status": 503, "headers": []})
        await send({"type": "http.response.body", "body": b"later"})

    with ledger.decisions("acme/model", model, key="someone") as decisions:
        monkeypatch.setattr(decisions, "record", _refuse)
        sent = _exchange(DecisionMiddleware(app, decisions))
    assert [(message.get("status"), message.get("body")) for message in sent] == [(503, None), (None, b"later")]


def test_coroutines_are_awaited_and_recorded(ledger: Ledger, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ledger.decisions("acme/model", model, key="someone") as decisions:

        @decisions
        async def predict(value: dict[str, int]) -> dict[str, int]:
            """Doubles."""
            await asyncio.sleep(0)
            return {"y": value.pop("x") * 2}

        assert inspect.iscoroutinefunction(predict) and predict.__doc__ == "Doubles."
        assert asyncio.run(predict({"x": 3})) == {"y": 6}

        def later(value: int) -> Any:
            return predict({"x": value})

        assert asyncio.run(decisions(later)(4)) == {"y": 8}
        assert asyncio.run(decisions(functools.partial(predict, {"x": 5}))()) == {"y": 10}
        with monkeypatch.context() as failing:
            failing.setattr(decisions, "record", _refuse)
            refused = decisions(functools.partial(predict, {"x": 5}))
            with pytest.raises(StoreError, match="disk is full"):
                asyncio.run(refused())
    (receipt,) = decisions.receipts
    rows = rows_of(ledger, receipt.name)
    assert len(rows) == 5 + 1  # the inner one of the last was recorded
    salt = salt_of(ledger, "acme/model", receipt.name, 0)
    assert check_decision(rows[0], salt, b'{"x":3}', b'{"y":6}')  # as it was given, not as it was left


def test_generators_are_refused_before_they_run(ledger: Ledger, model: Path) -> None:
    def words(count: int) -> Iterator[str]:
        yield from ["x"] * count

    async def later(count: int) -> AsyncIterator[str]:
        for _ in range(count):
            yield "x"

    decisions = Decisions(ledger, "acme/model", model, key="someone")
    for function in (words, later):
        with pytest.raises(MalformedError, match="generator"):
            decisions(function)
    with pytest.raises(MalformedError):
        decisions(lambda count: words(count))(3)
    decisions.close()
    assert decisions.receipts == []
