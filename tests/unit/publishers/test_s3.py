"""A bucket that a log is published to: conditional writes, headers, and no credential in any message."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from provenance.errors import ConflictError, LogError, MalformedError, ProvenanceError
from provenance.log import EntriesPath, TilePath
from provenance.publishers import open_publisher
from tests.simulators.s3_server import BUCKET, SECRET, forget, free_port, name_endpoint, objects, s3_server

PLACE = f"s3://{BUCKET}/log"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("provenance.publishers.s3._FIRST_WAIT_S", 0.01)


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture
def s3(port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    name_endpoint(monkeypatch, tmp_path, port)
    with s3_server(port) as client:
        yield client
    forget()


def check_silent(error: ProvenanceError) -> None:
    """No credential in the error or in anything that led to it."""
    shown, link = "".join(traceback.format_exception(error)), error.__context__
    while link is not None:
        shown, link = shown + repr(link), link.__context__
    assert SECRET not in shown.lower()


def test_objects_have_the_headers_of_the_server(s3: Any) -> None:
    with closing(open_publisher(PLACE)) as publisher:
        publisher.put(TilePath(0, 0), b"x")
        publisher.put(EntriesPath(0, 3), b"y")
        publisher.checkpoint(b"note\n")
    found = {name: (one["ContentType"], one["CacheControl"]) for name, one in objects(s3, "log/").items()}
    assert found == {
        "tile/0/000": ("application/octet-stream", "public, max-age=31536000, immutable"),
        "tile/entries/000.p/3": ("application/octet-stream", "public, max-age=60"),
        "checkpoint": ("text/plain; charset=utf-8", "no-cache"),
    }


def test_of_two_writers_one_is_refused_and_nothing_goes_back(s3: Any) -> None:
    with closing(open_publisher(PLACE)) as one, closing(open_publisher(PLACE)) as other:
        assert one.published() is other.published() is None
        one.checkpoint(b"first\n")
        with pytest.raises(ConflictError, match="another process"):
            other.checkpoint(b"second\n")
        assert other.published() == b"first\n"
        other.checkpoint(b"second\n")
        with pytest.raises(ConflictError, match="another process"):
            one.checkpoint(b"older\n")
        one.checkpoint(b"second\n")  # it says what is there already
    assert objects(s3)["log/checkpoint"]["Body"] == b"second\n"


def test_what_is_no_file_of_a_log_is_refused_before_it_is_read(s3: Any) -> None:
    s3.put_object(Bucket=BUCKET, Key="log/tile/0/000", Body=bytes(9_000))
    with closing(open_publisher(PLACE)) as publisher, pytest.raises(ConflictError, match="another file"):
        publisher.put(TilePath(0, 0), b"x")


def test_a_bucket_that_is_not_there_is_said(s3: Any) -> None:
    with closing(open_publisher("s3://elsewhere")) as publisher:
        for action in (publisher.published, lambda: publisher.put(TilePath(0, 0), b"x")):
            with pytest.raises(LogError, match="bucket") as raised:
                action()
            assert raised.value.got == "NoSuchBucket"
            check_silent(raised.value)


def test_a_server_that_is_down_is_tried_and_said(port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name_endpoint(monkeypatch, tmp_path, port)
    with closing(open_publisher(PLACE)) as publisher, pytest.raises(LogError, match="cannot read") as raised:
        publisher.published()
    assert raised.value.got is not None and raised.value.where == f"{PLACE}/checkpoint"
    check_silent(raised.value)


def test_what_fails_in_passing_is_tried_again(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(open_publisher(PLACE)) as publisher:
        fs = publisher._fs  # type: ignore[attr-defined]  # a fault between us and the store
        call, failures = fs._call_s3, [ConnectionResetError(f"secret {SECRET}")] * 2

        async def failing(*arguments: Any, **named: Any) -> Any:
            if failures:
                raise failures.pop()
            return await call(*arguments, **named)

        monkeypatch.setattr(fs, "_call_s3", failing)
        assert publisher.put(TilePath(0, 0), b"x")
        failures += [ConnectionResetError(f"secret {SECRET}")] * 3
        with pytest.raises(LogError, match="cannot publish") as raised:
            publisher.put(TilePath(0, 1), b"x")
        check_silent(raised.value)


@pytest.mark.parametrize(
    "address",
    ["s3://", "s3:///x", f"s3://user:{SECRET}@b/x", "s3://b/x?y", "s3://b/x#y", "s3://b/a::s3://c", "s3://b/../c",
     "s3://b/a//b", "s3://b/é", "s3://b/a b", "s3://b/%2e"],
)  # fmt: skip
def test_other_addresses_are_refused(address: str) -> None:
    with pytest.raises(MalformedError, match="not a bucket") as raised:
        open_publisher(address)
    assert SECRET not in raised.value.message


def test_without_the_library_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("provenance.publishers.s3.find_spec", lambda _: None)
    with pytest.raises(LogError, match="extra s3"):
        open_publisher(PLACE)
