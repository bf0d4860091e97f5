"""An ASGI middleware that records the decisions of a service: request body in, response body out.

Invariants: the last byte of an answer leaves only after its decision is in the journal; an answer that cannot be
recorded is not given; bodies are held until the answer is recorded, and never kept; a body above the limit
is refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any, Final

from provenance.errors import LimitError
from provenance.ledger.decisions import Decisions

MAX_BODY_BYTES: Final = 16 * 2**20

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]


class DecisionMiddleware:
    """Records successful POST requests to these paths (all, if none are named)."""

    def __init__(
        self, app: App, decisions: Decisions, *, paths: Collection[str] = (), max_body_bytes: int = MAX_BODY_BYTES
    ) -> None:
        self._app, self._decisions, self._paths, self._max_bytes = app, decisions, frozenset(paths), max_body_bytes

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Pass a request on, and record what it was answered with."""
        is_one = scope["type"] == "http" and scope["method"] == "POST"
        if not is_one or (self._paths and scope["path"] not in self._paths):
            await self._app(scope, receive, send)
            return
        given, answer, status = bytearray(), bytearray(), 0

        async def receive_noting() -> Message:
            message = await receive()
            if message["type"] == "http.request":
                given.extend(message.get("body", b""))
                self._check(given)
            return message

        async def send_noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            elif message["type"] == "http.response.body" and 200 <= status < 300:
                answer.extend(message.get("body", b""))
                self._check(answer)
                if not message.get("more_body", False):
                    await asyncio.to_thread(self._decisions.record, bytes(given), bytes(answer))
            await send(message)

        await self._app(scope, receive_noting, send_noting)

    def _check(self, body: bytearray) -> None:
        if len(body) > self._max_bytes:
            raise LimitError("body is too large to be recorded", expected=f"at most {self._max_bytes} bytes")
