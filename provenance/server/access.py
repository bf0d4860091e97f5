"""What the access log is told: each request that was answered, by its route and not by its path.

Invariants: a client is told apart by the address it comes from; no address, header, query or body is kept; a path
that is none of the API's is not repeated; what was refused before it was routed is not noted: it was given nothing.
"""

from __future__ import annotations

from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from provenance.ledger.access import AccessLog

_ABOUT: Final = ("ref", "index")


class AccessNotes:
    """Tells an access log of each request."""

    def __init__(self, app: ASGIApp, log: AccessLog) -> None:
        self._app, self._log = app, log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and note how it was answered."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            client = scope.get("client")
            route = getattr(scope.get("route"), "path", "other").replace(":path}", "}")
            self._log.note(client[0] if client else "unknown", f"{scope['method']} {route}", status, _about(scope))


def _about(scope: Scope) -> str | None:
    given = scope.get("path_params") or {}
    if "namespace" in given and "name" in given:
        version = f"@{given['version']}" if "version" in given else ""
        return f"{given['namespace']}/{given['name']}{version}"
    return next((str(given[name]) for name in _ABOUT if name in given), None)
