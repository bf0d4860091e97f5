"""An ASGI middleware that records the decisions of a service: request body in, response body out.

Invariants: nothing of an answer leaves, not even its status, before its decision is in the journal, also if the answer
is streamed; an answer that cannot be recorded is not given; bodies are held until the answer is recorded, and never
kept; a body above the limit is refused, and nothing of its answer is given; the body of an answer comes through here,
and not by the path of a file.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any, Final

from provenance.errors import LimitError, MalformedError
from provenance.ledger.decisions import Decisions

MAX_BODY_BYTES: Final = 16 * 2**20
_MAX_PIECES: Final = 2**16
"""Messages of one answer: an empty one costs memory, too."""
_PAST_BODY: Final = frozenset({"http.response.pathsend", "http.response.zerocopysend"})
"""Extensions of ASGI by which an answer's body would not come through here."""

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]


class DecisionMiddleware:
    """Records successful POST requests to these paths (all, if none are named). Their answers are given whole, at the
    end: what an application streams arrives at once."""

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
        extensions = scope.get("extensions") or {}
        if _PAST_BODY & extensions.keys():
            kept = {name: value for name, value in extensions.items() if name not in _PAST_BODY}
            scope = {**scope, "extensions": kept}
        exchange = _Exchange(self._decisions, self._max_bytes, receive, send)
        await self._app(scope, exchange.receive, exchange.send)


class _Exchange:
    """One request and its answer, which is held until it is recorded."""

    def __init__(self, decisions: Decisions, max_bytes: int, receive: Receive, send: Send) -> None:
        self._decisions, self._max_bytes, self._receive, self._send = decisions, max_bytes, receive, send
        self._given, self._answer = bytearray(), bytearray()
        self._held: list[Message] = []
        self._holds = self._is_refused = False

    async def receive(self) -> Message:
        """The next message of the client, noted."""
        message = await self._receive()
        if message["type"] == "http.request":
            self._given.extend(message.get("body", b""))
            self._check(self._given)
        return message

    async def send(self, message: Message) -> None:
        """Hold a message of the application, or pass on what needs no record."""
        kind = message["type"]
        if kind == "http.response.start":  # again, if the application answers that its answer was refused
            self._drop()
            self._holds, self._is_refused = 200 <= message["status"] < 300, False
        elif kind in _PAST_BODY:
            raise MalformedError("an answer that is given by the path of a file cannot be recorded")
        elif self._is_refused:
            raise MalformedError("the answer was refused: it could not be recorded")
        if not self._holds:
            await self._send(message)
            return
        is_last = kind == "http.response.body" and not message.get("more_body", False)
        try:
            self._hold(message)
            if is_last:
                self._check(self._given)  # the application may have gone on although it was told
                await asyncio.to_thread(self._decisions.record, bytes(self._given), bytes(self._answer))
        except BaseException:
            self._drop()
            self._is_refused = True
            raise
        if is_last:
            held, self._held, self._holds = self._held, [], False
            for one in held:
                await self._send(one)

    def _hold(self, message: Message) -> None:
        self._held.append(message)
        if len(self._held) > _MAX_PIECES:
            raise LimitError("answer comes in too many pieces to be recorded", expected=f"at most {_MAX_PIECES}")
        if message["type"] == "http.response.body":
            self._answer.extend(message.get("body", b""))
            self._check(self._answer)

    def _drop(self) -> None:
        self._held.clear()
        self._answer.clear()

    def _check(self, body: bytearray) -> None:
        if len(body) > self._max_bytes:
            raise LimitError("body is too large to be recorded", expected=f"at most {self._max_bytes} bytes")
