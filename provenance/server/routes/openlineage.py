"""`POST /api/v1/lineage[/batch]`, `GET /api/v1/lineage`, `GET /api/v1/column-lineage`: lineage events of other tools,
as OpenLineage clients send them and Marquez clients ask for them.

Invariants: an event is answered with 201 once it is durable and in the log; what is wrong with it is said; too much at
a time, by count or by bytes, is 503 with Retry-After, never 429; a large event makes no small one wait; a compressed
body is inflated under the limit; keys are compared in constant time.
"""

from __future__ import annotations

import asyncio
import hmac
import zlib
from collections.abc import Sequence
from hashlib import sha256
from typing import Any, Final

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from provenance.encoding import JsonValue, items_of
from provenance.errors import LimitError, MalformedError, NotFoundError, ProvenanceError
from provenance.ledger.receiving import LARGE_EVENT_BYTES, Receiver
from provenance.lineage.openlineage import LineageEvent
from provenance.lineage.signed_event import is_signed
from provenance.log.decimal import parse_decimal
from provenance.server.answers import json_answer
from provenance.server.bodies import body_pieces, check_nodes
from provenance.server.parameters import read_query
from provenance.server.problems import UNAUTHORIZED, RequestRefusedError, busy
from provenance.server.service import Service, Slots
from provenance.statement.received import MAX_EVENT_BYTES, MAX_EVENTS
from provenance.stores.lineage_nodes import GraphNode

MAX_LARGE_BYTES: Final = 16 * 2**20
"""Large events that are read, parsed or waiting at a time; more are told to come back."""
_MAX_DIGITS: Final = 20
_MAX_DEPTH: Final = 100


def routes(service: Service, receiver: Receiver, keys: Sequence[str] = ()) -> APIRouter:
    """The routes of this module. `keys` are the bearer keys that are taken; none: anybody's events are."""
    router = APIRouter(include_in_schema=False)
    digests = [sha256(key.encode()).digest() for key in keys]
    large = Slots(MAX_LARGE_BYTES, "large lineage events", retry_after_s=service.limits.retry_after_s)
    parsing = CapacityLimiter(1)  # one interpreter parses no faster in two threads, and holds both in memory

    @router.post("/api/v1/lineage")
    async def receive(request: Request) -> Response:
        _check_key(request, digests)
        with _Room(service, large) as room:
            raw = await _body(request, service, room)
            event = await _parsed(receiver, raw, parsing)
            await _durable(service, receiver, [(raw, event)])
        return Response(status_code=201)

    @router.post("/api/v1/lineage/batch")
    async def receive_batch(request: Request) -> Response:
        _check_key(request, digests)
        good: list[tuple[bytes, LineageEvent]] = []
        failed: list[JsonValue] = []
        with _Room(service, large) as room:
            raw = await _body(request, service, room)
            items = await run_sync(_split, raw, limiter=parsing)
            for number, item in enumerate(items):
                try:
                    good.append((item, await _parsed(receiver, item, parsing)))
                except ProvenanceError as error:
                    failed.append({"index": number, "reason": error.message, "retriable": False})
            if good:
                await _durable(service, receiver, good)
        if not failed:
            return Response(status_code=204)
        summary = {
            "received": len(items), "successful": len(good), "failed": len(failed), "retriable": 0,
            "non_retriable": len(failed),
        }  # fmt: skip
        status = "partial_success" if good else "failure"
        return json_answer({"status": status, "summary": dict(summary), "failed_events": failed})

    @router.get("/api/v1/lineage")
    async def graph(request: Request) -> Response:
        query = read_query(request, "nodeId", "depth", "namespace")
        node = _node(query)
        depth = parse_decimal(query.get("depth", "20"), what="depth", max_value=_MAX_DEPTH)

        def look() -> Response:
            found = receiver.index.graph(node, depth, query.get("namespace"))
            if not found:
                raise NotFoundError("no event names this node", got=node)
            return json_answer({"graph": [_shown(one) for one in found]})

        return await service.heavy(look)

    @router.get("/api/v1/column-lineage")
    async def columns(request: Request) -> Response:
        query = read_query(request, "nodeId", "namespace")
        node = _node(query)

        def look() -> Response:
            rows = receiver.index.columns(node, query.get("namespace"))
            if not rows:
                raise NotFoundError("no event says what this was made from", got=node)
            return json_answer(
                {"nodeId": node, "columns": [{"field": a, "source": b, "sourceField": c} for a, b, c in rows]}
            )

        return await service.read(look)

    return router


def _check_key(request: Request, digests: Sequence[bytes]) -> None:
    if not digests:
        return
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    given = sha256(key.strip().encode("latin-1", "replace")).digest()
    matches = [hmac.compare_digest(given, one) for one in digests]
    if scheme.lower() != "bearer" or not any(matches):
        raise RequestRefusedError(
            UNAUTHORIZED,
            "key is missing or not known",
            expected="Authorization: Bearer",
            headers={"WWW-Authenticate": "Bearer"},
        )


class _Room:
    """What one request takes of the server's memory until it is answered: of that for bodies, and if it is large of
    that for large events too. Refused as busy where there is not so much; a context manager that gives it back."""

    def __init__(self, service: Service, large: Slots) -> None:
        self._bodies, self._large = service.held_bytes, large
        self._size = self._large_size = 0

    def __enter__(self) -> _Room:
        return self

    def __exit__(self, *_: object) -> None:
        self.hold(0)

    def hold(self, size: int) -> None:
        """Take so many bytes in all."""
        large_size = size if size > LARGE_EVENT_BYTES else 0
        self._bodies.hold(size - self._size)
        self._size = size
        self._large.hold(large_size - self._large_size)
        self._large_size = large_size


async def _body(request: Request, service: Service, room: _Room) -> bytes:
    """The body, inflated; room for it is taken before it is read, as far as its head says how long it is."""
    declared = request.headers.get("content-length", "")
    room.hold(min(int(declared), MAX_EVENT_BYTES) if declared.isdecimal() and len(declared) < _MAX_DIGITS else 0)
    pieces, received = list[bytes](), 0
    async for piece in body_pieces(request, service.limits, what="event", max_bytes=MAX_EVENT_BYTES):
        received += len(piece)
        if not declared:
            room.hold(received)
        pieces.append(piece)
    data = b"".join(pieces)
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    if coding in ("identity", ""):
        return data
    if coding not in ("gzip", "x-gzip"):
        raise MalformedError("body is compressed otherwise", expected="gzip", got=coding)
    if len(data) <= LARGE_EVENT_BYTES and (text := _inflated(data, LARGE_EVENT_BYTES)) is not None:
        return text
    room.hold(len(data) + MAX_EVENT_BYTES)
    inflated = await asyncio.to_thread(_inflated, data, MAX_EVENT_BYTES)
    if inflated is None:
        raise LimitError("event is too large", expected=f"at most {MAX_EVENT_BYTES} bytes, inflated")
    room.hold(len(inflated))
    return inflated


def _inflated(data: bytes, max_bytes: int) -> bytes | None:
    """What a gzip stream holds; None if that is more."""
    inflater = zlib.decompressobj(wbits=31)
    try:
        text = inflater.decompress(data, max_bytes + 1)
    except zlib.error as error:
        raise MalformedError("body is not gzip", got=error) from error
    if len(text) > max_bytes:
        return None
    if not inflater.eof or inflater.unused_data:
        raise MalformedError("body is not one whole gzip stream")
    return text


async def _parsed(receiver: Receiver, raw: bytes, parsing: CapacityLimiter) -> LineageEvent:
    if len(raw) > LARGE_EVENT_BYTES:
        check_nodes(raw, "event")
        return await run_sync(receiver.read, raw, limiter=parsing)
    if is_signed(raw):
        return await asyncio.to_thread(receiver.read, raw)
    return receiver.read(raw)


def _split(raw: bytes) -> list[bytes]:
    check_nodes(raw, "batch")
    items = items_of(raw, what="batch", max_bytes=MAX_EVENT_BYTES, max_items=MAX_EVENTS, member="events")
    if not items:
        raise MalformedError("batch is empty", expected=f"1 to {MAX_EVENTS} events")
    return items


async def _durable(service: Service, receiver: Receiver, events: Sequence[tuple[bytes, LineageEvent]]) -> None:
    loop = asyncio.get_running_loop()
    waiting = []
    for raw, event in events:
        future: asyncio.Future[None] = loop.create_future()

        def done(failure: BaseException | None, future: asyncio.Future[None] = future) -> None:
            loop.call_soon_threadsafe(_settle, future, failure)

        if not receiver.submit(raw, event, done):
            raise busy("lineage events", retry_after_s=service.limits.retry_after_s)
        waiting.append(future)
    await asyncio.gather(*waiting)


def _settle(future: asyncio.Future[None], failure: BaseException | None) -> None:
    if future.done():  # whoever waited went away
        return
    if failure is None:
        future.set_result(None)
    else:
        future.set_exception(failure)


def _node(query: dict[str, str]) -> str:
    if not query.get("nodeId"):
        raise MalformedError(
            "nodeId is missing", expected="dataset:NAMESPACE:NAME or job:NAMESPACE:NAME", where="query"
        )
    return query["nodeId"]


def _shown(node: GraphNode) -> dict[str, Any]:
    data: dict[str, Any] = {
        "id": {"namespace": node.namespace, "name": node.name},
        "type": "DB_TABLE" if node.type == "DATASET" else "BATCH",
        "name": node.name,
        "namespace": node.namespace,
        "createdAt": node.created,
        "updatedAt": node.updated,
        "facets": node.facets,
        "saidBy": node.said_by,
    }
    if node.type == "DATASET":
        data |= {
            "physicalName": node.name,
            "currentVersion": node.version,
            "versions": node.versions,
            "readVersions": node.read_versions,
            "fields": node.fields,
            "sources": node.sources,
            "sameAs": node.same_as,
            "lastLifecycleState": node.state,
            "deleted": node.state == "DROP",
        }
    else:
        data |= {"inputs": node.before, "outputs": node.after}
    return {
        "id": node.id,
        "type": node.type,
        "data": data,
        "inEdges": [{"origin": one, "destination": node.id} for one in node.before],
        "outEdges": [{"origin": node.id, "destination": one} for one in node.after],
    }
