"""HTTP/1.1 connections with bounds that the server library leaves open.

Invariants: a connection that does not send a whole request head in time is closed; so is one that does not take its
answer, or stays open after its last; what is no HTTP is told so in a problem document; connections over the limit are
told to come back.
"""

from __future__ import annotations

import asyncio
import json
import sys
from http import HTTPStatus
from typing import Any, ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from provenance.errors import MalformedError
from provenance.server.bounds import DEFAULT_LIMITS, ServerLimits
from provenance.server.problems import (
    ENCODING,
    HEAD,
    MALFORMED,
    MEDIA_TYPE,
    RequestRefusedError,
    busy,
    kind_of,
    problem_of,
)

_KINDS = {kind.status: kind for kind in (HEAD, ENCODING, MALFORMED)}


class BoundedProtocol(H11Protocol):
    """One connection."""

    limits: ClassVar[ServerLimits] = DEFAULT_LIMITS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as the base has it
        """Take the connection, or refuse it if there are too many."""
        super().connection_made(transport)
        if len(self.connections) > self.limits.max_connections:
            transport.write(plain_answer(busy("connections", retry_after_s=self.limits.retry_after_s)))
            self._close()
        else:
            self._watch_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timers."""
        for timer in (self._head_timer, self._write_timer):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes of a request."""
        super().data_received(data)
        self._watch_head()

    def on_response_complete(self) -> None:
        """Wait for the next request, or close."""
        super().on_response_complete()
        if self.transport.is_closing():
            self._abort_later()

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection."""
        super().timeout_keep_alive_handler()
        self._abort_later()

    def pause_writing(self) -> None:
        """The client does not read as fast as it is written to."""
        super().pause_writing()
        if self._write_timer is None:
            self._write_timer = self.loop.call_later(self.limits.send_timeout_s, self.transport.abort)

    def resume_writing(self) -> None:
        """The client has read."""
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP request (`msg` is the library's word for it), if an answer can still be sent."""
        error = sys.exception()
        hint = error.error_status_hint if isinstance(error, h11.RemoteProtocolError) else HTTPStatus.BAD_REQUEST
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            kind = _KINDS.get(hint, MALFORMED)
            refused = RequestRefusedError(kind, "not an HTTP request", expected="HTTP/1.1 (RFC 9112)", got=error or msg)
            self.transport.write(plain_answer(refused))
        self._close()

    def _watch_head(self) -> None:
        waiting = (self.cycle is None or self.cycle.response_complete) and self.conn.their_state is h11.IDLE
        idle = self.timeout_keep_alive_task is not None  # nothing of the next request has come
        if waiting and not idle and self._head_timer is None:
            self._head_timer = self.loop.call_later(self.limits.head_timeout_s, self._close)
        elif not waiting and self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _close(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()
        self._abort_later()

    def _abort_later(self) -> None:
        # What was written has this long to leave; on a connection that is gone already it does nothing.
        self.loop.call_later(self.limits.send_timeout_s, self.transport.abort)


def bounded_protocol(limits: ServerLimits) -> type[BoundedProtocol]:
    """The protocol under these limits."""
    return type("BoundedProtocol", (BoundedProtocol,), {"limits": limits})


def plain_answer(error: MalformedError) -> bytes:
    """A whole HTTP response with an error's problem document, for where there is no request to answer."""
    body = json.dumps(problem_of(error)).encode("ascii")
    status = HTTPStatus(kind_of(error).status)
    headers = error.headers if isinstance(error, RequestRefusedError) else {}
    lines = [
        f"HTTP/1.1 {status.value} {status.phrase}",
        f"Content-Type: {MEDIA_TYPE}",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        "X-Content-Type-Options: nosniff",
        "Connection: close",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode("ascii") + body
