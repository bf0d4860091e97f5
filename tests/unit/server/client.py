"""The application without a server: requests as ASGI messages, in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.types import ASGIApp, Message

from provenance.server import ServerLimits
from provenance.server.gate import Gate


@dataclass(slots=True)
class Answer:
    """What an application sent, message by message."""

    messages: list[Message] = field(default_factory=list)

    @property
    def status(self) -> int:
        """The status; 0 if there was no answer."""
        return int(self.messages[0]["status"]) if self.messages else 0

    @property
    def headers(self) -> dict[str, str]:
        """Header fields by lower-case name."""
        return {name.decode(): value.decode() for name, value in self.messages[0]["headers"]}

    @property
    def body(self) -> bytes:
        """The whole body."""
        return b"".join(message.get("body", b"") for message in self.messages[1:])


def scope_of(method: str = "GET", path: str = "/", headers: dict[str, str] | None = None, query: str = "") -> Any:
    """The scope of a request."""
    return {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()],
        "server": ("127.0.0.1", 80),
        "client": ("127.0.0.1", 1),
    }


def body_of(pieces: Iterable[bytes], *, complete: bool = True) -> Callable[[], Any]:
    """A `receive` that gives these pieces; one that is not `complete` then waits for ever."""
    waiting = [*pieces]
    last = len(waiting) - 1 if complete else None
    sent = 0

    async def receive() -> Message:
        nonlocal sent
        if sent >= len(waiting):
            if complete:
                return {"type": "http.disconnect"}
            await asyncio.sleep(3_600)
        message = {"type": "http.request", "body": waiting[sent], "more_body": sent != last}
        sent += 1
        return message

    return receive


def request_of(pieces: Iterable[bytes] = (), *, complete: bool = True, **scope: Any) -> Request:
    """A request with this body."""
    return Request(scope_of(**scope), body_of(pieces, complete=complete))


def call(app: ASGIApp, scope: Any, receive: Callable[[], Any] | None = None) -> Answer:
    """The application's answer."""
    answer = Answer()

    async def send(message: Message) -> None:
        answer.messages.append(message)

    async def run() -> None:
        await app(scope, receive or body_of([b""]), send)

    asyncio.run(run())
    return answer


def gated(app: ASGIApp, **limits: Any) -> Gate:
    """`app` behind a gate."""
    return Gate(app, ServerLimits(**limits))
