"""`POST /v1/verify`, `GET /v1/lineage/{ref}`, `GET /v1/bundles/{ref}`: what the ledger can prove of a dataset.

Invariants: a report is 200 whether it says verified or not; an uploaded file is hashed and not kept; no path of this
machine is opened because a request names it.
"""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from provenance.encoding import Fields, JsonValue, canonical_json
from provenance.errors import MalformedError
from provenance.fingerprint import FileEntry
from provenance.ledger import Ledger
from provenance.limits import MAX_LINEAGE_NODES
from provenance.log.decimal import parse_decimal
from provenance.server.answers import json_answer
from provenance.server.bodies import (
    JSON_TYPE,
    MediaType,
    body_pieces,
    check_nodes,
    parse_body,
    require_media_type,
    whole_body,
)
from provenance.server.openapi import documented
from provenance.server.parameters import flag, read_query, reference
from provenance.server.service import Service
from provenance.server.uploads import BYTES, FORM, Upload, hash_upload, hasher_for
from provenance.statement import parse_reference
from provenance.verify import MEDIA_TYPE as BUNDLE_TYPE
from provenance.verify import Report

ACCEPTED: Final = (JSON_TYPE, BUNDLE_TYPE, FORM, BYTES)
_MAX_REFERENCE_CHARS = 512


def routes(service: Service) -> APIRouter:
    """The routes of this module."""
    router = APIRouter()
    ledger = service.ledger

    @router.post("/v1/verify", **documented("verify"))
    async def verify(request: Request) -> Response:
        read_query(request)
        media_type = require_media_type(request, ACCEPTED)
        if media_type.essence in (FORM, BYTES):
            upload = await _hashed(request, service, media_type)
            return await service.heavy(lambda: json_answer(verify_upload(ledger, upload).to_json()))
        judge = verify_bundle if media_type.essence == BUNDLE_TYPE else verify_question
        limit = service.limits.max_request_bytes
        async with whole_body(request, service, what="request", max_bytes=limit) as body:
            return await service.heavy(lambda: json_answer(judge(ledger, body, limit).to_json()))

    @router.get("/v1/lineage/{ref:path}", **documented("getLineage"))
    async def lineage(request: Request) -> Response:
        query = read_query(request, "direction", "depth", "asOf")
        ref = reference(request)
        depth = parse_decimal(query["depth"], what="depth", max_value=MAX_LINEAGE_NODES) if "depth" in query else None
        direction, as_of = query.get("direction", "both"), query.get("asOf")

        def found() -> Response:
            lineage = ledger.lineage(str(ref), direction=direction, depth=depth, as_of=as_of, ask_chain=True)
            return json_answer(lineage.to_json())

        return await service.heavy(found)

    @router.get("/v1/bundles/{ref:path}", **documented("getBundle"))
    async def bundle(request: Request) -> Response:
        query = read_query(request, "manifests", "complete")
        with_manifests = flag(query, "manifests", default=True)
        complete = flag(query, "complete", default=False)
        ref = reference(request)
        data = await service.heavy(lambda: ledger.bundle(str(ref), with_manifests=with_manifests, complete=complete))
        return Response(data, media_type=BUNDLE_TYPE)

    return router


def verify_bundle(ledger: Ledger, body: bytes, max_bytes: int) -> Report:  # noqa: ARG001 one shape for both
    """The report on an offline bundle."""
    check_nodes(body, "bundle")
    return ledger.verify_bundle(body)


def verify_question(ledger: Ledger, body: bytes, max_bytes: int) -> Report:
    """The report on what a JSON object asks for by `digest`, `reference` or `bundle`."""
    value = parse_body(body, what="request", max_bytes=max_bytes)
    fields = Fields(value, "request")
    asked = [name for name in ("digest", "reference", "bundle") if isinstance(value, dict) and name in value]
    if len(asked) != 1:
        expected = "exactly one of digest, reference and bundle"
        raise MalformedError("request asks for nothing or too much", expected=expected, got=", ".join(asked) or "none")
    if asked == ["digest"]:
        digest = fields.digest("digest")
        fields.end()
        return ledger.verify_digest(digest)
    if asked == ["reference"]:
        ref = parse_reference(fields.string("reference", max_chars=_MAX_REFERENCE_CHARS))
        fields.end()
        return ledger.verify_reference(str(ref))
    bundle: JsonValue = fields.value("bundle")
    fields.end()
    return ledger.verify_bundle(canonical_json(bundle) + b"\n")  # the bundle's one byte form


def verify_upload(ledger: Ledger, upload: Upload) -> Report:
    """The report on a file of which digest, size and perhaps name are known."""
    file = _named(upload)
    return ledger.verify_file(file) if file is not None else ledger.verify_digest(upload.digest)


async def _hashed(request: Request, service: Service, media_type: MediaType) -> Upload:
    with service.uploads.take():
        limits = service.limits
        pieces = body_pieces(request, limits, what="upload", max_bytes=limits.max_upload_bytes)
        return await hash_upload(pieces, hasher_for(media_type), service)


def _named(upload: Upload) -> FileEntry | None:
    try:
        return FileEntry(upload.name, upload.size, upload.digest) if upload.name is not None else None
    except MalformedError:
        return None  # a name no dataset can hold: the content alone decides
