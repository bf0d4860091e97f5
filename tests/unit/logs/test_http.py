"""A log behind HTTP: bounded in time and size, and nobody else is asked."""

from __future__ import annotations

import gzip
import random
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from provenance.errors import LogError, MalformedError
from provenance.log import EntriesPath, TilePath
from provenance.logs import LogFiles, open_log
from tests.simulators.tls import self_signed

TILE = TilePath(0, 0, 2)
Answer = Callable[["_Handler"], None]


class _Handler(BaseHTTPRequestHandler):
    """Answers by path, and notes what was asked."""

    protocol_version = "HTTP/1.1"
    timeout = 5

    def do_GET(self) -> None:
        server: Any = self.server
        server.asked.append((self.path, self.headers.get("Accept-Encoding"), self.connection.getpeername()[1]))
        answers = server.answers.get(self.path)
        if not answers:
            self.reply(404, b"nothing here")
            return
        (answers.pop(0) if len(answers) > 1 else answers[0])(self)

    def reply(self, status: int, body: bytes = b"", **headers: str) -> None:
        """One answer."""
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = False

    def __init__(self) -> None:
        self.answers: dict[str, list[Answer]] = {}
        self.asked: list[tuple[str, str | None, int]] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients hang up when they have seen enough."""

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def paths(self) -> list[str]:
        """What was asked for."""
        return [path for path, _, _ in self.asked]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("provenance.logs.http._FIRST_WAIT_S", 0.01)


@pytest.fixture
def server() -> Iterator[_Server]:
    with _running() as running:
        yield running


@contextmanager
def _running() -> Iterator[_Server]:
    server = _Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def giving(body: bytes, status: int = 200, **headers: str) -> list[Answer]:
    return [lambda handler: handler.reply(status, body, **headers)]


def log_at(url: str, timeout_s: float = 5.0) -> LogFiles:
    return open_log(url, timeout_s=timeout_s)


def refused(url: str, timeout_s: float = 5.0) -> LogError:
    with closing(log_at(url, timeout_s)) as log, pytest.raises(LogError) as raised:
        log.read(TILE)
    return raised.value


def test_files_are_read_at_their_paths_over_one_connection(server: _Server) -> None:
    server.answers = {
        "/some/log/checkpoint": giving(b"note\n"),
        "/some/log/tile/0/000.p/2": giving(b"h" * 64),
        "/some/log/tile/entries/x001/234": giving(b"bundle"),
    }
    for url in (f"{server.url}/some/log", f"{server.url}/some/log/"):
        with closing(log_at(url)) as log:
            assert log.checkpoint() == b"note\n"
            assert log.read(TILE) == b"h" * 64
            assert log.read(EntriesPath(1_234)) == b"bundle"
            assert not log.is_local
    assert len({port for _, _, port in server.asked}) == 2
    assert {accepted for _, accepted, _ in server.asked} == {"gzip, identity"}


@pytest.mark.parametrize("status", [403, 404, 410])
def test_what_is_not_there_is_not_there(server: _Server, status: int) -> None:
    server.answers["/tile/0/000.p/2"] = giving(b"no", status)
    with closing(log_at(server.url)) as log:
        assert log.read(TILE) is None
        with pytest.raises(LogError, match="no log here"):
            log.checkpoint()


def test_compressed_answers_are_inflated(server: _Server) -> None:
    data = random.Random(1).randbytes(100_000)
    for coding in ("gzip", "x-gzip", "GZIP"):
        server.answers["/tile/entries/000"] = giving(gzip.compress(data), Content_Encoding=coding)
        with closing(log_at(server.url)) as log:
            assert log.read(EntriesPath(0)) == data


@pytest.mark.parametrize("chunked", [False, True])
def test_a_bomb_is_cut_off_at_the_limit(server: _Server, chunked: bool) -> None:
    squeezer = zlib.compressobj(6, wbits=31)
    bomb = b"".join(squeezer.compress(bytes(1 << 20)) for _ in range(64)) + squeezer.flush()
    assert len(bomb) < 300_000

    def send(handler: _Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Encoding", "gzip")
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        handler.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(bomb), bomb))

    server.answers["/tile/0/000.p/2"] = [send] if chunked else giving(bomb, Content_Encoding="gzip")
    assert refused(server.url).what == "answer is too large"
    server.answers["/tile/0/000.p/2"] = giving(gzip.compress(bomb), Content_Encoding="gzip, gzip")
    assert "encoded" in refused(server.url).what
    assert len(server.asked) == 2  # it is not asked again


@pytest.mark.parametrize(
    ("body", "coding", "what"),
    [
        (b"x" * 65, "identity", "too large"),
        (gzip.compress(b"x" * 65), "gzip", "too large"),
        (b"no gzip", "gzip", "not gzip"),
        (gzip.compress(b"x") + b"more", "gzip", "after the compressed"),
        (gzip.compress(b"x") + gzip.compress(b"y"), "gzip", "after the compressed"),
        (b"x", "br", "encoded"),
    ],
)
def test_answers_that_are_not_as_they_should_be(server: _Server, body: bytes, coding: str, what: str) -> None:
    server.answers["/tile/0/000.p/2"] = giving(body, Content_Encoding=coding)
    assert what in refused(server.url).what


def test_an_endless_answer_is_cut_off(server: _Server) -> None:
    def send(handler: _Handler) -> None:
        handler.send_response(200)
        handler.end_headers()
        for _ in range(1_000):
            handler.wfile.write(bytes(1 << 16))
        handler.close_connection = True

    server.answers["/tile/0/000.p/2"] = [send]
    assert "too large" in refused(server.url).what


@pytest.mark.parametrize("where", ["head", "body", "close-delimited body"])
def test_a_slow_answer_ends_in_time(server: _Server, where: str) -> None:
    """A byte at a time, so that no wait for one is too long."""
    stop = threading.Event()

    def send(handler: _Handler) -> None:
        handler.close_connection = True
        if where == "body":
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 64\r\n\r\n")
        elif where == "close-delimited body":
            handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
        else:
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while not stop.wait(0.05):
            handler.wfile.write(b"x")

    server.answers["/tile/0/000.p/2"] = [send]
    started = time.monotonic()
    error = refused(server.url, 0.3)
    stop.set()
    assert error.got is not None and "0.3 s" in error.got
    assert time.monotonic() - started < 3 * 0.3 + 0.6 + 2.0


def test_what_fails_in_passing_is_tried_again(server: _Server) -> None:
    def hang_up(handler: _Handler) -> None:
        handler.close_connection = True

    def cut(handler: _Handler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 64\r\n\r\nhalf")
        handler.close_connection = True

    for failing in (hang_up, cut, *giving(b"", 503), *giving(gzip.compress(b"x" * 64)[:-9], Content_Encoding="gzip")):
        server.answers["/tile/0/000.p/2"] = [failing, failing, *giving(b"h" * 64)]
        with closing(log_at(server.url)) as log:
            assert log.read(TILE) == b"h" * 64
    server.asked.clear()
    server.answers["/tile/0/000.p/2"] = giving(b"", 503)
    assert refused(server.url).got == "HTTP status 503"
    assert len(server.asked) == 3


def test_redirects_stay_where_they_are(server: _Server) -> None:
    server.answers["/tile/0/000.p/2"] = giving(b"", 301, Location="/elsewhere")
    server.answers["/elsewhere"] = giving(b"", 302, Location=f"{server.url}/at/last?x=1")
    server.answers["/at/last?x=1"] = giving(b"h" * 64)
    with closing(log_at(server.url)) as log:
        assert log.read(TILE) == b"h" * 64
    with _running() as other:
        places = (
            other.url,
            f"http://localhost:{server.server_address[1]}/elsewhere",
            f"http://user@127.0.0.1:{server.server_address[1]}/",
            f"https://127.0.0.1:{server.server_address[1]}/",
            "//evil.example/",
            "file:///etc/passwd",
            "http://[x/",
        )
        for place in places:
            server.answers["/tile/0/000.p/2"] = giving(b"", 307, Location=place)
            assert refused(server.url).what == "log redirects to somewhere else"
        assert other.asked == []
    server.asked.clear()
    server.answers["/tile/0/000.p/2"] = giving(b"", 308, Location="/tile/0/000.p/2")
    assert "too often" in refused(server.url).what
    assert len(server.asked) == 4


@pytest.mark.parametrize("status", [204, 206, 304, 400, 401, 418, 501])
def test_other_statuses_are_refusals(server: _Server, status: int) -> None:
    server.answers["/tile/0/000.p/2"] = giving(b"", status)
    assert refused(server.url).got == f"HTTP status {status}"
    assert len(server.asked) == 1


def test_nobody_there(unused: str = "127.0.0.1") -> None:
    with socket.socket() as taken:
        taken.bind((unused, 0))
        error = refused(f"http://{unused}:{taken.getsockname()[1]}")
    assert error.got == "ConnectionRefusedError" and error.hint == "try again later"


def test_a_certificate_is_verified(server: _Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = self_signed(tmp_path / "cert.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    url = server.url.replace("http:", "https:")
    assert refused(url, 2.0).got == "SSLCertVerificationError"
    assert server.asked == []
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    server.answers["/tile/0/000.p/2"] = giving(b"h" * 64)
    with closing(log_at(url)) as log:
        assert log.read(TILE) == b"h" * 64


@pytest.mark.parametrize(
    "address",
    ["http://", "http://u:p@x/", "http://x/?q", "http://x/#f", "http://x:99999/", "https://[x/", "http://x/é", "ftp://x",
     "http://x/a b", "http://x/\r\nHost: y"],
)  # fmt: skip
def test_other_addresses_are_refused(address: str) -> None:
    with pytest.raises(MalformedError, match="not the address") as raised:
        open_log(address)
    assert "u:p" not in raised.value.message
