"""`POST /api/v1/lineage[/batch]`, `GET /api/v1/lineage`, `GET /api/v1/column-lineage`: lineage events of other tools,
as OpenLineage clients send them and Marquez clients ask for them.

Invariants: an event is answered with 201 once it is durable and in the log; what is wrong with it is said; too much at
a time is 503 with Retry-After, never 429; a compressed body is inflated under the limit; keys are compared in constant
time.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import zlib
from collections.abc import Sequence
from hashlib import sha256
from typing import Any, Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from provenance.encoding import JsonValue, parse_foreign_json
from provenance.errors import LimitError, MalformedError, NotFoundError, ProvenanceError
from provenance.ledger.receiving import Receiver
from provenance.lineage.openlineage import LineageEvent
from provenance.lineage.signed_event import is_signed
from provenance.log.decimal import parse_decimal
from provenance.server.answers import json_answer
from provenance.server.bodies import body_pieces
from provenance.server.parameters import read_query
from provenance.server.problems import UNAUTHORIZED, RequestRefusedError, busy
from provenance.server.service import Service
from provenance.statement.received import MAX_EVENT_BYTES, MAX_EVENTS
from provenance.stores.lineage_index import GraphNode

_INLINE_BYTES: Final = 64 * 2**10
_MAX_DEPTH: Final = 100


def routes(service: Service, receiver: Receiver, keys: Sequence[str] = ()) -> APIRouter:
    """The routes of this module. `keys` are the bearer keys that are taken; none: anybody's events are."""
    router = APIRouter(include_in_schema=False)
    digests = [sha256(key.encode()).digest() for key in keys]

    @router.post("/api/v1/lineage")
    async def receive(request: Request) -> Response:
        _check_key(request, digests)
        raw = await _body(request, service)
        event = await _parsed(receiver, raw)
        await _durable(service, receiver, [(raw, event)])
        return Response(status_code=201)

    @router.post("/api/v1/lineage/batch")
    async def receive_batch(request: Request) -> Response:
        _check_key(request, digests)
        raw = await _body(request, service)
        items = await asyncio.to_thread(_split, raw)
        good: list[tuple[bytes, LineageEvent]] = []
        failed: list[JsonValue] = []
        for number, item in enumerate(items):
            try:
                good.append((item, await _parsed(receiver, item)))
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


async def _body(request: Request, service: Service) -> bytes:
    pieces = [piece async for piece in body_pieces(request, service.limits, what="event", max_bytes=MAX_EVENT_BYTES)]
    data = b"".join(pieces)
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    if coding in ("identity", ""):
        return data
    if coding not in ("gzip", "x-gzip"):
        raise MalformedError("body is compressed otherwise", expected="gzip", got=coding)
    return await asyncio.to_thread(_inflated, data)


def _inflated(data: bytes) -> bytes:
    inflater = zlib.decompressobj(wbits=31)
    try:
        text = inflater.decompress(data, MAX_EVENT_BYTES + 1)
    except zlib.error as error:
        raise MalformedError("body is not gzip", got=error) from error
    if len(text) > MAX_EVENT_BYTES:
        raise LimitError("event is too large", expected=f"at most {MAX_EVENT_BYTES} bytes, inflated")
    if not inflater.eof or inflater.unused_data:
        raise MalformedError("body is not one whole gzip stream")
    return text


async def _parsed(receiver: Receiver, raw: bytes) -> LineageEvent:
    if is_signed(raw) or len(raw) > _INLINE_BYTES:
        return await asyncio.to_thread(receiver.read, raw)
    return receiver.read(raw)


def _split(raw: bytes) -> list[bytes]:
    items = parse_foreign_json(raw, what="batch", max_bytes=MAX_EVENT_BYTES)
    if isinstance(items, dict) and isinstance(items.get("events"), list):
        items = items["events"]
    if not isinstance(items, list) or not items or len(items) > MAX_EVENTS:
        raise MalformedError("batch is no list of events", expected=f"1 to {MAX_EVENTS} events")
    return [json.dumps(item, separators=(",", ":")).encode() for item in items]


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
    }
    if node.type == "DATASET":
        data |= {
            "physicalName": node.name,
            "currentVersion": node.version,
            "fields": node.fields,
            "sources": node.sources,
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
