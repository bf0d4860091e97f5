"""A web server on the loopback address that serves pages from memory, with ranges, and misbehaves when it is told to.

A fault answers one GET in place of the server; faults of a page are used up one by one.
"""

from __future__ import annotations

import re
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self, TypeAlias

MODIFIED = "Fri, 20 Nov 2026 12:00:00 GMT"
_RANGE = re.compile(r"bytes=([0-9]+)-([0-9]*)")


@dataclass
class Page:
    """What is served at one path."""

    content: bytes
    etag: str | None = '"v1"'
    modified: str | None = MODIFIED
    headers: dict[str, str] = field(default_factory=dict)
    has_ranges: bool = True
    head_status: int = 200
    is_length_stated: bool = True
    faults: list[Fault] = field(default_factory=list)
    after: list[Callable[[], object]] = field(default_factory=list)
    """Called one by one, each after a GET was answered."""


@dataclass(frozen=True)
class Request:
    """What was asked of the server."""

    method: str
    path: str
    headers: dict[str, str]


class WebServer:
    """Serves `pages` until it is left. `url` ends without a slash."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.pages: dict[str, Page | Fault] = {}
        self.requests: list[Request] = []
        self.released = threading.Event()
        """Set when the server stops: what hangs must wait for it, and no longer."""
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._scheme = "http"
        if context is not None:
            self._scheme = "https"
            # The handshake is the business of each connection's own thread.
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    @property
    def url(self) -> str:
        """`http://127.0.0.1:port`, or `https`."""
        return f"{self._scheme}://127.0.0.1:{self._server.server_address[1]}"

    def asked(self, method: str, path: str | None = None) -> list[Request]:
        """The requests so far by this method, for this path."""
        return [one for one in self.requests if one.method == method and path in (None, one.path)]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.released.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients hang up when they have seen enough."""


class Handler(BaseHTTPRequestHandler):
    """One connection. `web` is the server."""

    protocol_version = "HTTP/1.1"
    web: WebServer
    timeout = 30

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def do_CONNECT(self) -> None:
        """What a proxy does: bytes to and fro, until one side has had enough."""
        self.web.requests.append(Request(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}))
        host, _, port = self.path.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=5) as target:
            self.send_response(200)
            self.end_headers()
            thread = threading.Thread(target=_pump, args=(target, self.connection))
            thread.start()
            _pump(self.connection, target)
            thread.join()
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is logged."""

    def _answer(self) -> None:
        self.web.requests.append(Request(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}))
        self.close_connection = True
        page = self.web.pages.get(self.path)
        if page is None:
            self.send(404, b"nothing here")
        elif not isinstance(page, Page):
            page(self)
        elif self.command == "GET" and page.faults:
            page.faults.pop(0)(self)
        else:
            self.serve(page)
        if isinstance(page, Page) and self.command == "GET" and page.after:
            page.after.pop(0)()

    def serve(self, page: Page) -> None:
        """The page as a good server gives it."""
        if self.command == "HEAD" and page.head_status != 200:
            self.send(page.head_status, b"")
            return
        asked = _RANGE.fullmatch(self.headers.get("Range", ""))
        if_range = self.headers.get("If-Range")
        if asked is None or not page.has_ranges or (if_range is not None and if_range != page.etag):
            self.send(200, page.content, page=page)
            return
        start, size = int(asked[1]), len(page.content)
        stop = min(int(asked[2]) + 1 if asked[2] else size, size)
        if start >= size:
            self.send(416, b"", {"Content-Range": f"bytes */{size}"})
            return
        self.send(206, page.content[start:stop], {"Content-Range": f"bytes {start}-{stop - 1}/{size}"}, page=page)

    def send(
        self,
        status: int,
        content: bytes,
        headers: dict[str, str] | None = None,
        *,
        page: Page | None = None,
        length: int | None = None,
    ) -> None:
        """An answer; `length` is what it says its length is."""
        self.send_response(status)
        sent = {**(page_headers(page) if page else {}), **(headers or {})}
        for name, value in sent.items():
            self.send_header(name, value)
        if page is None or page.is_length_stated:
            self.send_header("Content-Length", str(len(content) if length is None else length))
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)
            self.wfile.flush()

    def hang(self) -> None:
        """Nothing more until the server stops."""
        self.web.released.wait(30)

    def hang_up(self) -> None:
        """The connection ends here."""
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR)


Fault: TypeAlias = Callable[[Handler], None]


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def page_headers(page: Page) -> dict[str, str]:
    """The head of an answer with this page."""
    headers = {"Last-Modified": page.modified, "ETag": page.etag, **page.headers}
    return {name: value for name, value in headers.items() if value is not None}


def truncated(page: Page, after_bytes: int) -> Fault:
    """The right answer, but the connection ends after so many bytes of content."""

    def fault(handler: Handler) -> None:
        asked = _RANGE.fullmatch(handler.headers.get("Range", ""))
        start, size = int(asked[1]) if asked else 0, len(page.content)
        headers = {"Content-Range": f"bytes {start}-{size - 1}/{size}"} if asked else {}
        rest = page.content[start:]
        handler.send(206 if asked else 200, rest[:after_bytes], headers, page=page, length=len(rest))
        handler.hang_up()

    return fault


def status(code: int, headers: dict[str, str] | None = None) -> Fault:
    """A status without the page."""
    return lambda handler: handler.send(code, b"<html>not now</html>", headers)


def redirect(location: str, code: int = 302) -> Fault:
    """To somewhere else."""
    return lambda handler: handler.send(code, b"", {"Location": location})


def silent(handler: Handler) -> None:
    """No answer at all."""
    handler.hang()


def _handler(web: WebServer) -> type[Handler]:
    return type("_Handler", (Handler,), {"web": web})
