"""Serves a ledger on a free loopback port until SIGTERM: serve_ledger.py LEDGER LIMITS-JSON. Prints its URL."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from provenance.server import ServerLimits, serve

if __name__ == "__main__":
    limits = ServerLimits(**json.loads(sys.argv[2]))
    serve(Path(sys.argv[1]), "127.0.0.1", 0, limits=limits, listening=lambda url: print(url, flush=True))
