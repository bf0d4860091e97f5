"""What no HTTP client sends: broken framing, slowness, too much at once; and stopping a server that is at work."""

from __future__ import annotations

import json
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from provenance.errors import MalformedError, NotFoundError, StoreError
from provenance.server import serve
from tests.e2e.server.conftest import HARBOUR, Prepared, prepare
from tests.e2e.server.process import RawAnswer, ServerProcess, read_answer, running_server
from tests.e2e.server.statements import envelope_of

GOOD = envelope_of(HARBOUR, "harbour/never@1", b"never logged")
HEAD = b"POST /v1/statements HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


@pytest.fixture(autouse=True)
def nothing_written(server: ServerProcess, narrow: ServerProcess) -> Iterator[None]:
    """Both logs are as long after a test as before it."""
    before = [ready(running).json()["size"] for running in (server, narrow)]
    yield
    assert [ready(running).json()["size"] for running in (server, narrow)] == before


def ready(server: ServerProcess) -> httpx.Response:
    """The answer of a server that has let go of what was before."""
    deadline_s = time.monotonic() + 10
    while True:
        try:
            response = server.client.get("/readyz")
        except httpx.TransportError:
            response = None
        if response is not None and response.status_code == 200:
            return response
        assert time.monotonic() < deadline_s, response
        time.sleep(0.05)


def is_problem(answer: RawAnswer, status: int) -> bool:
    """Whether an answer is a problem document of this status, the last of its connection."""
    assert answer.status == status, answer
    return answer.problem()["status"] == status and answer.headers["connection"] == "close"


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\r\n\r\n\0\0\0\r\n\r\n",
        b"HELLO\r\n\r\n",
        b"GET /checkpoint\r\n\r\n",
        b"GET /checkpoint HTTP/1.1\r\n\r\n",
        b"GET /check\xffpoint HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /checkpoint HTTP/1.1\r\nHost: x\r\nBad Header: y\r\n\r\n",
        b"GET /checkpoint HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        b"GET /checkpoint HTTP/1.1\r\nHost: x\r\nX: a\0b\r\n\r\n",
        HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n{}",
        HEAD + b"Content-Length: -1\r\n\r\n{}",
        HEAD + b"Content-Length: 1e3\r\n\r\n{}",
        HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n{}\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n{}\r\n0\r\n\r\n",
        HEAD + b"Content-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}",
    ],
)
def test_broken_framing_is_400(server: ServerProcess, request_bytes: bytes) -> None:
    answer = server.raw(request_bytes + b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert answer.status == 400, answer
    assert json.JSONDecoder().raw_decode(answer.body.decode("latin-1"))[0]["status"] == 400


def test_another_version_of_http_is_505(server: ServerProcess) -> None:
    assert server.raw(b"GET /checkpoint HTTP/9.9\r\nHost: x\r\nConnection: close\r\n\r\n").status == 505
    assert server.raw(b"GET /checkpoint HTTP/1.0\r\n\r\n").status == 200


def test_an_unknown_transfer_encoding_is_501(server: ServerProcess) -> None:
    assert is_problem(server.raw(HEAD + b"Transfer-Encoding: gzip\r\n\r\n{}"), 501)


def test_a_head_that_is_too_large_is_431(server: ServerProcess) -> None:
    line = b"X: " + b"y" * 1_000 + b"\r\n"
    whole = server.raw(b"GET /checkpoint HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + line * 40 + b"\r\n")
    assert whole.status == 431 and whole.problem()["status"] == 431
    assert is_problem(server.raw(b"GET /checkpoint HTTP/1.1\r\n", *[line] * 2_000), 431)


def test_a_url_that_is_too_long_is_414(server: ServerProcess) -> None:
    request = b"GET /v1/datasets/" + b"n" * 5_000 + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert is_problem(server.raw(request), 414)


def test_a_length_that_promises_too_much_is_refused_before_the_body(server: ServerProcess) -> None:
    for length in (b"65536", b"999999999999", b"9" * 19):
        waiting = server.raw(HEAD + b"Content-Length: " + length + b"\r\nExpect: 100-continue\r\n\r\n")
        assert is_problem(waiting, 413)


def test_leave_to_send_is_given_for_a_body_that_fits(server: ServerProcess) -> None:
    with server.connect() as connection:
        connection.sendall(HEAD + b"Content-Length: 2\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n")
        assert connection.recv(1_000).startswith(b"HTTP/1.1 100 ")
        connection.sendall(b"{}")
        assert read_answer(connection).status == 400


def test_a_length_that_promises_too_little_spoils_only_its_own_connection(server: ServerProcess) -> None:
    with server.connect() as connection:
        connection.sendall(HEAD + b"Content-Length: 2\r\n\r\n" + GOOD + b"\r\n\r\n")
        assert b"".join(iter(lambda: connection.recv(65_536), b"")).count(b'"status":') == 2
    assert server.client.get("/healthz").status_code == 200


def test_a_length_that_promises_more_than_comes_is_408_or_a_closed_connection(narrow: ServerProcess) -> None:
    assert is_problem(narrow.raw(HEAD + b"Content-Length: 5000\r\n\r\n" + GOOD[:100]), 408)
    with narrow.connect() as connection:
        connection.sendall(HEAD + b"Content-Length: 5000\r\n\r\n" + GOOD[:100])
        connection.shutdown(socket.SHUT_WR)
        assert read_answer(connection).status in (0, 408)


def test_an_endless_chunked_body_is_413(server: ServerProcess, narrow: ServerProcess) -> None:
    chunk = b"10000\r\n" + bytes(65_536) + b"\r\n"
    assert is_problem(server.raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", *[chunk] * 40), 413)
    upload = HEAD.replace(b"statements", b"verify").replace(b"json", b"octet-stream")
    assert is_problem(narrow.raw(upload + b"Transfer-Encoding: chunked\r\n\r\n", *[chunk] * 40), 413)


def test_a_slow_head_is_cut_off(narrow: ServerProcess) -> None:
    for beginning in (b"", b"GET /checkpoint HT", b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET"):
        started_s = time.monotonic()
        with narrow.connect() as connection, pytest.raises((BrokenPipeError, ConnectionResetError)):
            connection.sendall(beginning)
            for _ in range(50):
                time.sleep(0.1)
                connection.sendall(b"A" if beginning else b"")
                connection.setblocking(False)
                if beginning == b"" and _closed(connection):
                    raise BrokenPipeError
                connection.setblocking(True)
        assert time.monotonic() - started_s < 10


def _closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False


def test_a_body_that_trickles_is_408(narrow: ServerProcess) -> None:
    started_s = time.monotonic()
    with narrow.connect() as connection:
        connection.sendall(HEAD + b"Content-Length: 5000\r\n\r\n")
        connection.settimeout(0.1)
        for _ in range(50):
            connection.sendall(b"{")
            try:
                if connection.recv(1, socket.MSG_PEEK):
                    break
            except TimeoutError:
                pass
        connection.settimeout(5)
        assert is_problem(read_answer(connection), 408)
    assert time.monotonic() - started_s < 10


def test_an_idle_connection_is_closed(narrow: ServerProcess) -> None:
    with narrow.connect() as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        started_s = time.monotonic()
        assert read_answer(connection).status == 200  # reads until the server closes
        assert 0.5 < time.monotonic() - started_s < 10


def test_a_client_that_does_not_read_is_cut_off(narrow: ServerProcess) -> None:
    with narrow.connect() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        connection.settimeout(5)
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            for _ in range(100_000):
                connection.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 100)
    assert narrow.client.get("/healthz").status_code == 200


@contextmanager
def slow_requests(server: ServerProcess, count: int) -> Iterator[None]:
    """Requests in the middle of their bodies."""
    with ExitStack() as stack:
        for _ in range(count):
            connection = stack.enter_context(server.connect())
            connection.sendall(HEAD + b"Content-Length: 5000\r\n\r\n{")
        time.sleep(0.3)
        yield


def test_requests_over_the_limit_are_told_to_come_back(narrow: ServerProcess) -> None:
    with slow_requests(narrow, 3):
        response = narrow.client.get("/checkpoint")
        assert response.status_code == 503 and response.headers["retry-after"] == "1"
        assert response.json()["type"] == "urn:provenance-ledger:problem:busy"
        assert narrow.client.get("/healthz").status_code == 200
    assert ready(narrow).status_code == 200


def test_connections_over_the_limit_are_told_to_come_back(narrow: ServerProcess) -> None:
    with ExitStack() as stack:
        for _ in range(12):
            stack.enter_context(narrow.connect())
        time.sleep(0.15)
        answer = narrow.raw()
        assert is_problem(answer, 503) and answer.headers["retry-after"] == "1"
    assert ready(narrow).status_code == 200


def test_a_stopping_server_finishes_what_it_has_begun(tmp_path: Path) -> None:
    found = prepare(tmp_path)
    with running_server(found.folder, tmp_path / "server.log") as running:
        with running.connect() as connection:
            connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(GOOD) + GOOD[:10])
            time.sleep(0.3)
            running.process.send_signal(signal.SIGTERM)
            with pytest.raises(httpx.TransportError):
                for _ in range(100):
                    httpx.get(f"{running.url}/healthz", timeout=5)
                    time.sleep(0.05)
            connection.sendall(GOOD[10:])
            assert read_answer(connection).status == 201
        assert running.process.wait(10) == 0


def test_a_server_that_is_stopped_at_once_stops(prepared: Prepared, tmp_path: Path) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        with running_server(prepared.folder, tmp_path / "server.log") as running:
            running.process.send_signal(number)
            assert running.process.wait(10) == 0


def test_the_log_of_a_server_names_no_path_query_or_body(server: ServerProcess) -> None:
    server.client.get("/v1/datasets/secret-space/secret-name?limit=1")
    server.client.get("/v1/datasets?namespace=secret-query")
    server.client.post("/v1/verify", json={"reference": "secret/reference"})
    server.client.post("/v1/verify", files={"secret-field": ("secret-file", b"secret-bytes")})
    server.client.request("SECRET", "/v1/datasets")
    deadline = time.monotonic() + 10
    # An answer may be here before the line about it is there.
    while "other" not in (text := server.log.read_text()) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert "secret" not in text.lower()
    assert "GET /v1/datasets/{namespace}/{name} 404" in text and "other" in text


def test_serving_says_what_is_wrong_with_its_arguments(
    prepared: Prepared, server: ServerProcess, tmp_path: Path
) -> None:
    with pytest.raises(NotFoundError):
        serve(tmp_path, "127.0.0.1", 0)
    with pytest.raises(MalformedError):
        serve(prepared.folder, "127.0.0.1", 65_536)
    with pytest.raises(StoreError, match=r"cannot listen at this address; got Address already in use"):
        serve(prepared.folder, "127.0.0.1", int(server.url.rpartition(":")[2]))
    with pytest.raises(StoreError, match="cannot listen"):
        serve(prepared.folder, "256.256.256.256", 0)
    with pytest.raises(StoreError, match="cannot listen"):
        serve(prepared.folder, "x" * 300, 0)
