"""From the error tree to RFC 9457 problem documents: one table.

Invariants: every answer that is no success is a problem document; the nearest class of an error decides; an error of
this machine (store, keys, chain) keeps its details, which can name paths, in the server's own log; an error nobody
foresaw says nothing but an id that is in that log.

    {"type":"urn:provenance-ledger:problem:not-found","title":"Not found","status":404,
     "detail":"no such log entry","expected":"an index below 3","got":"7"}
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from provenance.errors import (
    ChainError,
    CommandError,
    ConflictError,
    LimitError,
    LogError,
    MalformedError,
    NotFoundError,
    PolicyError,
    ProvenanceError,
    SignerError,
    SourceError,
    StoreError,
    VerificationError,
    WitnessError,
    printable,
)

MEDIA_TYPE: Final = "application/problem+json"
TYPE_PREFIX: Final = "urn:provenance-ledger:problem:"
logger: Final = logging.getLogger("provenance.server")


@dataclass(frozen=True, slots=True)
class ProblemKind:
    """A kind of problem: the end of its type URI, its title and its status."""

    name: str
    title: str
    status: int

    @property
    def type(self) -> str:
        """The type URI."""
        return TYPE_PREFIX + self.name


MALFORMED: Final = ProblemKind("malformed", "Malformed input", 400)
UNAUTHORIZED: Final = ProblemKind("unauthorized", "A key is needed", 401)
"""Of lineage events alone: nothing else here asks who is calling."""
POLICY: Final = ProblemKind("policy", "Forbidden by this ledger's rules", 403)
NOT_FOUND: Final = ProblemKind("not-found", "Not found", 404)
METHOD: Final = ProblemKind("method", "Method not allowed", 405)
TIMEOUT: Final = ProblemKind("timeout", "The request came too slowly", 408)
CONFLICT: Final = ProblemKind("conflict", "Contradicts what is in the ledger", 409)
LIMIT: Final = ProblemKind("limit", "Larger than a limit", 413)
URL: Final = ProblemKind("url", "URL too long", 414)
MEDIA: Final = ProblemKind("media-type", "Unsupported media type", 415)
VERIFICATION: Final = ProblemKind("verification", "Does not verify", 422)
HEAD: Final = ProblemKind("head", "Header fields too large", 431)
INTERNAL: Final = ProblemKind("internal", "Internal error", 500)
ENCODING: Final = ProblemKind("transfer-encoding", "Transfer encoding not supported", 501)
VERSION: Final = ProblemKind("http-version", "HTTP version not supported", 505)
BUSY: Final = ProblemKind("busy", "Busy", 503)
SIGNER: Final = ProblemKind("signer", "The ledger's keys are not available", 503)
STORE: Final = ProblemKind("store", "The ledger's storage is not available", 503)
WITNESS: Final = ProblemKind("witness", "The log's witnesses are not available", 503)
LOG: Final = ProblemKind("log", "Files of a log are not available", 503)
CHAIN: Final = ProblemKind("chain", "The chain is not available", 503)
SOURCE: Final = ProblemKind("source", "Data is not available", 503)

TABLE: Final[tuple[tuple[type[ProvenanceError], ProblemKind], ...]] = (
    (MalformedError, MALFORMED),
    (NotFoundError, NOT_FOUND),
    (LimitError, LIMIT),
    (PolicyError, POLICY),
    (ConflictError, CONFLICT),
    (VerificationError, VERIFICATION),
    (SignerError, SIGNER),
    (StoreError, STORE),
    (ChainError, CHAIN),
    (WitnessError, WITNESS),
    (LogError, LOG),
    (SourceError, SOURCE),
    (CommandError, SOURCE),
    (ProvenanceError, INTERNAL),
)
"""(error class, problem). The nearest base class of an error counts, so the order of rows does not."""

KINDS: Final = tuple(
    dict.fromkeys([*(kind for _, kind in TABLE), METHOD, TIMEOUT, URL, MEDIA, HEAD, ENCODING, VERSION, BUSY])
)
_BY_CLASS: Final[Mapping[type, ProblemKind]] = dict(TABLE)
_BY_STATUS: Final = {kind.status: kind for kind in KINDS}
_DETAILS: Final = ("expected", "got", "where", "hint")


class RequestRefusedError(MalformedError):
    """An HTTP request that is refused for its form, size, speed or number, before anything is asked of the ledger."""

    def __init__(
        self,
        kind: ProblemKind,
        what: str,
        *,
        expected: object = None,
        got: object = None,
        where: object = None,
        hint: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(what, expected=expected, got=got, where=where, hint=hint)
        self.kind = kind
        self.headers = dict(headers or {})


class ProblemResponse(JSONResponse):
    """A problem document as an HTTP response."""

    media_type = MEDIA_TYPE


def busy(what: str, *, retry_after_s: int) -> RequestRefusedError:
    """The refusal of a request that would be one too many of `what`."""
    headers = {"Retry-After": str(retry_after_s)}
    return RequestRefusedError(BUSY, f"too many {what} at once", hint="send it again a little later", headers=headers)


def kind_of(error: ProvenanceError) -> ProblemKind:
    """The kind of problem that an error is."""
    if isinstance(error, RequestRefusedError):
        return error.kind
    return next(_BY_CLASS[base] for base in type(error).__mro__ if base in _BY_CLASS)


def problem_of(error: ProvenanceError) -> dict[str, object]:
    """The problem document of an error."""
    kind = kind_of(error)
    document: dict[str, object] = {"type": kind.type, "title": kind.title, "status": kind.status}
    document["detail"] = printable(error.what)
    told = _DETAILS if kind.status < HTTPStatus.INTERNAL_SERVER_ERROR or isinstance(error, RequestRefusedError) else ()
    details = {name: getattr(error, name) for name in told}
    document.update({name: printable(text) for name, text in details.items() if text is not None})
    return document


def respond(error: ProvenanceError) -> ProblemResponse:
    """The response to an error that was raised on purpose; one of this machine is logged whole."""
    kind = kind_of(error)
    headers = error.headers if isinstance(error, RequestRefusedError) else {}
    if kind.status >= HTTPStatus.INTERNAL_SERVER_ERROR and not isinstance(error, RequestRefusedError):
        logger.error("%s: %s", kind.name, error.message)
        headers = {"Retry-After": "5"}
    return ProblemResponse(problem_of(error), kind.status, headers)


def respond_unexpected(error: Exception) -> ProblemResponse:
    """The response to an error nobody foresaw: an id, under which the log has its traceback."""
    instance = f"urn:uuid:{uuid.uuid4()}"
    logger.error("unexpected error %s", instance, exc_info=error)
    document = {"type": INTERNAL.type, "title": INTERNAL.title, "status": INTERNAL.status, "instance": instance}
    return ProblemResponse(document, INTERNAL.status)


async def on_http_error(request: Request, error: Exception) -> ProblemResponse:
    """Exception handler for what the framework itself refuses: unknown paths and methods."""
    if not isinstance(error, HTTPException):
        return respond_unexpected(error)
    kind = _BY_STATUS.get(error.status_code) or ProblemKind("http", error.detail, error.status_code)
    refused = RequestRefusedError(
        kind,
        {404: "there is nothing at this path", 405: "this path does not take this method"}.get(
            error.status_code, error.detail
        ),
        expected=error.headers.get("Allow") if error.headers else None,
        got=f"{request.method} {request.scope['path']}",
        hint="GET /openapi.json describes every path",
        headers=error.headers,
    )
    return respond(refused)


async def on_validation_error(_: Request, error: Exception) -> ProblemResponse:
    """Exception handler for parameters that the framework itself refuses."""
    if not isinstance(error, RequestValidationError):
        return respond_unexpected(error)
    first = (error.errors() or [{}])[0]
    where = ".".join(str(part) for part in first.get("loc", ()))
    return respond(MalformedError("parameter is not what is expected", got=first.get("msg"), where=where or None))
