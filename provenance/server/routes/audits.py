"""`POST /v1/audit`, `POST /v1/gate`, `GET /v1/usage/{ref}`: what went into something, whether it may be used, who did.

Invariants: no path of this machine is opened because a request names it: bytes count by the digest that the caller
computed; a policy from outside brings no rules that would have to be evaluated here.
"""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from provenance.encoding import Digest, Fields, JsonValue, canonical_json
from provenance.errors import MalformedError
from provenance.ledger import Ledger
from provenance.policy.policy import MAX_POLICY_BYTES, Policy, parse_policy
from provenance.server.answers import json_answer
from provenance.server.bodies import JSON_TYPE, parse_body, require_media_type, whole_body
from provenance.server.openapi import documented
from provenance.server.parameters import encode_cursor, page_limit, parse_cursor, read_query, reference
from provenance.server.service import Service
from provenance.statement import parse_reference
from provenance.statement.usage import Usage
from provenance.verify.ai_act import evidence_pack

MAX_INPUTS: Final = 64
_MAX_REFERENCE_CHARS: Final = 512


def routes(service: Service) -> APIRouter:
    """The routes of this module."""
    router = APIRouter()
    ledger = service.ledger

    @router.post("/v1/audit", **documented("audit"))
    async def audit(request: Request) -> Response:
        read_query(request)
        require_media_type(request, (JSON_TYPE,))
        async with whole_body(request, service, what="request", max_bytes=MAX_POLICY_BYTES) as body:
            return await service.heavy(lambda: json_answer(_audit(ledger, body)))

    @router.post("/v1/gate", **documented("gate"))
    async def gate(request: Request) -> Response:
        read_query(request)
        require_media_type(request, (JSON_TYPE,))
        async with whole_body(request, service, what="request", max_bytes=MAX_POLICY_BYTES) as body:
            return await service.heavy(lambda: json_answer(_gate(ledger, body)))

    @router.get("/v1/usage/{ref:path}", **documented("listUsage"))
    async def usage(request: Request) -> Response:
        query = read_query(request, "cursor", "limit")
        after, limit = parse_cursor("usage", query), page_limit(query)
        ref = str(reference(request))

        def look() -> Response:
            name = str(ledger.pin(ref).name)
            uses = [one for one in ledger.said_about(ref, after=after) if isinstance(one.event.body, Usage)]
            items: list[JsonValue] = [one.to_json() for one in uses[:limit]]
            cursor = encode_cursor("usage", uses[limit - 1].index) if len(uses) > limit else None
            return json_answer({"about": name, "items": items, "nextCursor": cursor})

        return await service.read(look)

    return router


def _audit(ledger: Ledger, body: bytes) -> dict[str, JsonValue]:
    fields = Fields(parse_body(body, what="request", max_bytes=MAX_POLICY_BYTES), "request")
    ref, digest = _input(fields)
    fields.end()
    found, _ = ledger.audited(ref, read=False, digest=digest)
    return {**found.to_json(), "aiAct": [line.to_json() for line in evidence_pack(found)]}


def _gate(ledger: Ledger, body: bytes) -> dict[str, JsonValue]:
    fields = Fields(parse_body(body, what="request", max_bytes=MAX_POLICY_BYTES), "request")
    policy = _policy(fields.value("policy"))
    inputs = []
    for item in fields.array("inputs", max_items=MAX_INPUTS):
        one = Fields(item, "request.inputs")
        inputs.append(_input(one))
        one.end()
    fields.end()
    if not inputs:
        raise MalformedError("request names no input", expected="one at least", where="request.inputs")
    decisions = [ledger.gate(ref, policy, read=False, digest=digest) for ref, digest in inputs]
    return {"allowed": all(one.allowed for one in decisions), "decisions": [one.to_json() for one in decisions]}


def _policy(value: JsonValue) -> Policy:
    policy = parse_policy(canonical_json(value))
    if policy.rules:
        hint = "decide by rules with `provenance gate` or verify_inputs"
        raise MalformedError("policy has rules", expected="none here", got=policy.rules[0].id, hint=hint)
    return policy


def _input(fields: Fields) -> tuple[str, Digest | None]:
    ref = str(parse_reference(fields.string("reference", max_chars=_MAX_REFERENCE_CHARS)))
    digest = fields.digest("digest") if fields.has("digest") else None
    fields.skip("digest")
    return ref, digest
