"""The API's paths, one module a resource. Each hands out `routes(service)`.

Invariants: a handler reads its input, calls the ledger once in a thread, and writes what it got; it decides nothing.
"""

from provenance.server.routes import (
    audits,
    datasets,
    entries,
    events,
    health,
    keys,
    log_map,
    statements,
    tiles,
    verification,
)

ROUTES = (
    statements.routes,
    entries.routes,
    datasets.routes,
    verification.routes,
    events.routes,
    keys.routes,
    log_map.routes,
    audits.routes,
    tiles.routes,
    health.routes,
)

__all__ = ["ROUTES"]
