"""What the access log is told: each request that was answered, by its route and not by its path.

Invariants: it is told of what was sent, whoever answered; a client is told apart by the address it comes from; no
address, header, query or body is kept; a path or method that is none of the API's is not repeated; whoever went away
before an answer began was given nothing, and is not noted.
"""

from __future__ import annotations

from typing import Final

from starlette.types import Scope

from provenance.ledger.access import AccessLog

_ABOUT: Final = ("ref", "index")


class AccessNotes:
    """Tells an access log of each request."""

    def __init__(self, log: AccessLog) -> None:
        self._log = log

    def __call__(self, scope: Scope, method: str, status: int) -> None:
        """Note that a request was answered with this status. `scope` is as the router left it."""
        client = scope.get("client")
        route = getattr(scope.get("route"), "path", "other").replace(":path}", "}")
        self._log.note(client[0] if client else "unknown", f"{method} {route}", status, _about(scope))


def _about(scope: Scope) -> str | None:
    given = scope.get("path_params") or {}
    if "namespace" in given and "name" in given:
        version = f"@{given['version']}" if "version" in given else ""
        return f"{given['namespace']}/{given['name']}{version}"
    return next((str(given[name]) for name in _ABOUT if name in given), None)
