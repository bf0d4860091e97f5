"""The ASGI application: routes, the gate around them, and problem documents for everything else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException

from provenance import __version__
from provenance.ledger import Ledger
from provenance.ledger.access import AccessLog
from provenance.ledger.receiving import Receiver
from provenance.server.access import AccessNotes
from provenance.server.bounds import DEFAULT_LIMITS, ServerLimits
from provenance.server.gate import Gate
from provenance.server.openapi import COMPONENTS, DESCRIPTION, TAGS
from provenance.server.problems import on_http_error, on_validation_error
from provenance.server.routes import ROUTES, openlineage
from provenance.server.service import Service

TITLE: Final = "Provenance ledger"


def create_app(
    ledger: Ledger,
    *,
    limits: ServerLimits = DEFAULT_LIMITS,
    receiver: Receiver | None = None,
    bearer_keys: Sequence[str] = (),
    access: AccessLog | None = None,
) -> FastAPI:
    """The API over `ledger`, which stays the caller's to close, as `receiver` does. For one event loop.

    With `receiver`, lineage events are taken, from whoever has one of `bearer_keys` (from anybody if there is none);
    with `access`, each request is noted there.
    """
    app = FastAPI(
        title=TITLE,
        version=__version__,
        docs_url=None,  # those pages load their scripts from a third party
        redoc_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
        exception_handlers={HTTPException: on_http_error, RequestValidationError: on_validation_error},
    )
    service = Service(ledger, limits)
    for routes in ROUTES:
        app.include_router(routes(service))
    if receiver is not None:
        app.include_router(openlineage.routes(service, receiver, bearer_keys))
    app.add_middleware(Gate, limits=limits, answered=AccessNotes(access) if access is not None else None)
    document = describe(app)
    app.openapi = lambda: document  # type: ignore[method-assign]  # FastAPI's documented way to extend it
    return app


def describe(app: FastAPI) -> dict[str, Any]:
    """The application's OpenAPI document."""
    document = get_openapi(
        title=app.title,
        version=app.version,
        description=DESCRIPTION,
        routes=app.routes,
        tags=[dict(tag) for tag in TAGS],
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        servers=[{"url": "/", "description": "this server"}],
    )
    document["components"] = COMPONENTS
    return document
