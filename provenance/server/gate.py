"""The gate every request passes: its head's limits, the count of requests, and what every answer carries.

Invariants: an answer always comes and is a problem document if it is no success; a request whose body was not read to
its end is the last of its connection; a large answer leaves in pieces, so that a slow reader is noticed; HEAD is
answered as GET without the body; nothing of a request's path, query or body is logged, only the route it took.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from provenance.errors import MalformedError, ProvenanceError
from provenance.server.bounds import ServerLimits
from provenance.server.problems import (
    HEAD,
    TIMEOUT,
    URL,
    VERSION,
    RequestRefusedError,
    logger,
    respond,
    respond_unexpected,
)
from provenance.server.service import Slots

SECURITY_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})
UNCOUNTED: Final = frozenset({"/healthz"})
Answered = Callable[[Scope, str, int], None]
"""answered(scope as the router left it, method, status)."""
_PIECE_BYTES = 64 * 2**10
_MAX_DRAINED_BYTES = 8 * 2**20
_MAX_DRAIN_S = 1.0


class Gate:
    """ASGI middleware around the whole application. `answered` is told of each request whose answer began."""

    def __init__(self, app: ASGIApp, limits: ServerLimits, answered: Answered | None = None) -> None:
        self._app, self._limits, self._answered = app, limits, answered
        self._requests = Slots(limits.max_requests, "requests", retry_after_s=limits.retry_after_s)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request and its answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started_s = time.monotonic()
        method = scope["method"] if scope["method"] in METHODS else "other"
        exchange = Exchange(scope, receive, send)
        try:
            check_head(scope, self._limits)
            if scope["path"] in UNCOUNTED:
                await self._app(exchange.scope, exchange.receive, exchange.send)
            else:
                with self._requests.take():
                    await self._app(exchange.scope, exchange.receive, exchange.send)
        except ClientDisconnect:
            logger.info("%s: the client went away", method)
        except ProvenanceError as error:
            await exchange.answer_with(error)
        except Exception as error:  # noqa: BLE001 - the last resort: whatever it is, the client gets no detail
            await exchange.answer_with(error)
        finally:
            if self._answered is not None and exchange.status:
                self._answered(exchange.scope, method, exchange.status)
        logger.info(
            "%s %s %d %.0f ms",
            method,
            getattr(exchange.scope.get("route"), "path", "-"),
            exchange.status,
            (time.monotonic() - started_s) * 1000,
        )


class Exchange:
    """One request and its answer, as the application sees them. `status` is 0 before the answer."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._receive, self._send = receive, send
        self._is_head = scope["method"] == "HEAD"
        names = {name for name, _ in scope["headers"]}
        self._body_pending = b"transfer-encoding" in names or _content_length(scope) not in (None, b"0")
        self._waits_for_leave = b"expect" in names
        self.scope: Scope = {**scope, "method": "GET"} if self._is_head else dict(scope)
        self.status = 0

    async def receive(self) -> Message:
        """The next piece of the request."""
        self._waits_for_leave = False
        message = await self._receive()
        if message["type"] != "http.request" or not message.get("more_body", False):
            self._body_pending = False
        return message

    async def send(self, message: Message) -> None:
        """Send a piece of the answer."""
        if message["type"] == "http.response.start":
            if message["status"] != TIMEOUT.status:
                await self._settle_body()
            self.status = message["status"]
            await self._send({**message, "headers": self._headers(message)})
            return
        body = b"" if self._is_head else message.get("body", b"")
        for at in range(0, len(body) - _PIECE_BYTES, _PIECE_BYTES):
            await self._send({"type": "http.response.body", "body": body[at : at + _PIECE_BYTES], "more_body": True})
        last = (len(body) - 1) // _PIECE_BYTES * _PIECE_BYTES if body else 0
        await self._send({**message, "body": body[last:]})

    async def answer_with(self, error: Exception) -> None:
        """Answer with a problem document, unless an answer is on its way already."""
        response = respond(error) if isinstance(error, ProvenanceError) else respond_unexpected(error)
        if self.status == 0:
            await response(self.scope, self.receive, self.send)

    def _headers(self, message: Message) -> list[tuple[bytes, bytes]]:
        headers = [(name.lower(), value) for name, value in message.get("headers", ())]
        present = {name for name, _ in headers}
        headers += [(name, value) for name, value in SECURITY_HEADERS if name not in present]
        if b"cache-control" not in present:
            headers.append((b"cache-control", b"no-store"))
        if self._body_pending:
            headers.append((b"connection", b"close"))
        return headers

    async def _settle_body(self) -> None:
        # A client that is still sending does not read: closing now would cost it the answer. So take some of the rest,
        # but not from one that waits for leave to send (Expect: 100-continue): taking would give it.
        if not self._body_pending or self._waits_for_leave:
            return
        drained = 0
        try:
            async with asyncio.timeout(_MAX_DRAIN_S):
                while self._body_pending and drained < _MAX_DRAINED_BYTES:
                    drained += len((await self.receive()).get("body", b""))
        except TimeoutError:
            pass


def check_head(scope: Scope, limits: ServerLimits) -> None:
    """Raise unless lengths and characters are as they may be, and the body has one length (RFC 9112 section 6)."""
    length = len(scope.get("raw_path") or scope["path"].encode()) + len(scope["query_string"])
    if length > limits.max_url_bytes:
        raise RequestRefusedError(
            URL, "URL is too long", expected=f"at most {limits.max_url_bytes} bytes", got=f"{length} bytes"
        )
    if scope.get("http_version", "1.1") not in ("1.0", "1.1"):
        raise RequestRefusedError(VERSION, "this is another HTTP version", hint="speak HTTP/1.1 (RFC 9112)")
    path = scope["path"]
    if not path.isascii() or not path.isprintable():  # the router would match past a newline
        raise MalformedError("path holds characters that no path here has", expected="printable ASCII", got=path)
    head = length + sum(len(name) + len(value) for name, value in scope["headers"])
    if head > limits.max_head_bytes:
        expected = f"at most {limits.max_head_bytes} bytes"
        raise RequestRefusedError(HEAD, "header fields are too large", expected=expected, got=f"{head} bytes")
    names = [name for name, _ in scope["headers"]]
    for name in (b"content-type", b"content-encoding", b"content-length", b"transfer-encoding", b"host", b"expect"):
        if names.count(name) > 1:
            raise MalformedError("header field appears twice", got=name.decode())
    if b"content-length" in names and b"transfer-encoding" in names:
        raise MalformedError("request has two lengths", got="Content-Length and Transfer-Encoding", expected="one")


def _content_length(scope: Scope) -> bytes | None:
    return next((value for name, value in scope["headers"] if name == b"content-length"), None)
