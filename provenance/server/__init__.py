"""The HTTP API: translates requests into calls of the ledger and what it returns into answers. It decides nothing."""

from provenance.server.app import create_app
from provenance.server.bounds import DEFAULT_LIMITS, ServerLimits
from provenance.server.serving import Noting, Receiving, serve

__all__ = ["DEFAULT_LIMITS", "Noting", "Receiving", "ServerLimits", "create_app", "serve"]
