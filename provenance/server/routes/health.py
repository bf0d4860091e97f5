"""`GET /healthz` and `GET /readyz`: whether the process lives, and whether it can do its work."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from provenance.encoding import JsonValue
from provenance.server.answers import json_answer
from provenance.server.openapi import documented
from provenance.server.service import Service


def routes(service: Service) -> APIRouter:
    """The routes of this module."""
    router = APIRouter()

    @router.get("/healthz", **documented("getHealth"))
    async def health(_: Request) -> Response:
        return json_answer({"status": "alive"})

    @router.get("/readyz", **documented("getReadiness"))
    async def ready(_: Request) -> Response:
        def look() -> JsonValue:
            size, signer = service.ledger.log.size(), service.ledger.keyring.note_signer()
            return {"status": "ready", "origin": signer.name, "size": size}

        return json_answer(await service.read(look))

    return router
