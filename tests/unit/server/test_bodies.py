"""Reading bodies: media types, sizes, times and memory."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import ClientDisconnect, Request

from provenance import Ledger
from provenance.errors import LimitError, MalformedError
from provenance.limits import MAX_JSON_NODES
from provenance.server import ServerLimits
from provenance.server.bodies import (
    body_pieces,
    check_nodes,
    parse_media_type,
    require_media_type,
    whole_body,
)
from provenance.server.problems import RequestRefusedError, kind_of
from provenance.server.service import Service
from tests.unit.server.client import body_of, request_of, scope_of

LIMITS = ServerLimits(body_timeout_s=0.05, min_body_bytes_per_s=1_000_000, max_held_bytes=100)


@pytest.mark.parametrize(
    ("text", "essence", "parameters"),
    [
        ("application/json", "application/json", {}),
        ("Application/JSON ; Charset=UTF-8", "application/json", {"charset": "UTF-8"}),
        ('multipart/form-data; boundary="a b;c"', "multipart/form-data", {"boundary": "a b;c"}),
        (r'a/b; c="\"\\"', "a/b", {"c": '"\\'}),
        ('a/b;c=""', "a/b", {"c": ""}),
    ],
)
def test_a_media_type_is_read(text: str, essence: str, parameters: dict[str, str]) -> None:
    found = parse_media_type(text)
    assert (found.essence, dict(found.parameters)) == (essence, parameters)


NO_MEDIA_TYPES = (
    *("", "a", "a/", "/b", "a/b;", "a/b; c", "a/b; c=", "a/b; c=d e", 'a/b; c="d', "a/b, c/d", "a /b"),
    *("a/b; c=d; c=e", "a/b; =d", "a/b\n", 'a/b; c="\n"', "\u00e9/b"),
)


@pytest.mark.parametrize("text", NO_MEDIA_TYPES)
def test_what_is_no_media_type_is_refused(text: str) -> None:
    with pytest.raises(MalformedError):
        parse_media_type(text)


@given(st.text())
def test_any_text_is_a_media_type_or_malformed(text: str) -> None:
    with suppress(MalformedError):
        assert parse_media_type(text).essence.count("/") == 1


def test_only_accepted_types_without_compression_pass() -> None:
    def status(**headers: str) -> int:
        request = request_of(headers={name.replace("_", "-"): value for name, value in headers.items()})
        try:
            require_media_type(request, ("a/b",))
        except MalformedError as error:
            return kind_of(error).status
        return 200

    assert status(content_type="a/b") == status(content_type="A/B; charset=UTF-8", content_encoding="identity") == 200
    assert status() == status(content_type="a/c") == status(content_type="a/b", content_encoding="br") == 415
    assert status(content_type="a/b; charset=utf-16") == 415 and status(content_type="a") == 400


def read(request: Request, max_bytes: int) -> list[bytes]:
    """The pieces of a body."""

    async def collect() -> list[bytes]:
        return [piece async for piece in body_pieces(request, LIMITS, what="body", max_bytes=max_bytes)]

    return asyncio.run(collect())


def test_a_body_comes_in_the_pieces_it_was_sent_in() -> None:
    assert read(request_of([b"ab", b"", b"c"]), 3) == [b"ab", b"c"]
    assert read(request_of([b""]), 0) == []


def test_a_body_over_the_limit_is_refused_whatever_its_length_says() -> None:
    for headers in ({}, {"Content-Length": "1"}, {"Content-Length": "3"}):
        with pytest.raises(LimitError):
            read(request_of([b"ab", b"cd"], headers=headers), 3)
    for declared in ("4", "9" * 19, "9" * 20, "-1", "1e3", "x"):
        with pytest.raises(LimitError):
            read(Request(scope_of(headers={"Content-Length": declared}), _never), 3)


async def _never() -> Any:
    raise AssertionError("the body was asked for")


def test_a_body_that_stops_coming_is_408() -> None:
    for pieces in ([], [b"a"], [b"a"] * 50):
        with pytest.raises(RequestRefusedError) as refused:
            read(request_of(pieces, complete=False), 1_000)
        assert kind_of(refused.value).status == 408


def test_a_body_that_comes_fast_has_more_time() -> None:
    request = Request(scope_of(), _paced(pieces=6, each_s=0.02, size=50_000))
    assert len(read(request, 10**6)) == 6
    with pytest.raises(RequestRefusedError):
        read(Request(scope_of(), _paced(pieces=6, each_s=0.02, size=1)), 10**6)


def _paced(*, pieces: int, each_s: float, size: int) -> Any:
    receive, sent = body_of([bytes(size)] * pieces), 0

    async def paced() -> Any:
        nonlocal sent
        sent += 1
        await asyncio.sleep(each_s)
        return await receive()

    return paced


def test_a_client_that_goes_away_is_no_error_of_its_body() -> None:
    with pytest.raises(ClientDisconnect):
        read(Request(scope_of(), body_of([])), 10)


def test_bodies_in_memory_are_counted_together(tmp_path: Any) -> None:
    async def hold(service: Service, sizes: list[int]) -> list[int]:
        async def one(size: int) -> int:
            try:
                async with whole_body(request_of([bytes(size)]), service, what="body", max_bytes=1_000) as body:
                    await asyncio.sleep(0.01)
                    return len(body)
            except RequestRefusedError as error:
                return -kind_of(error).status

        return await asyncio.gather(*map(one, sizes))

    async def scenario() -> None:
        service = Service(ledger, LIMITS)
        assert await hold(service, [60, 40]) == [60, 40]
        assert await hold(service, [60, 60]) == [60, -503]
        assert await hold(service, [101]) == [-503]
        assert await hold(service, [100]) == [100]  # all of it was given back

    with Ledger.init(tmp_path) as ledger:
        asyncio.run(scenario())


def test_json_of_too_many_values_is_refused_before_it_is_parsed() -> None:
    check_nodes(b"[" + b"0," * (MAX_JSON_NODES - 2) + b"0]", "body")
    with pytest.raises(LimitError):
        check_nodes(b"[" + b"[],{}," * MAX_JSON_NODES + b"0]", "body")
