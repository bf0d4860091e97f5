"""`provenance serve`: the HTTP API of this ledger."""

from __future__ import annotations

from typing import Annotated

import typer

from provenance.cli.arguments import parse_number
from provenance.cli.exits import DONE
from provenance.cli.invocation import Invocation


def serve(
    run: Invocation,
    host: Annotated[str, typer.Option("--host", metavar="ADDRESS", help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[
        str, typer.Option("--port", metavar="PORT", help="The port to listen on; 0 is any free one.")
    ] = "8000",
) -> int:
    """Serve the HTTP API until Ctrl-C. It never holds a source's key."""
    number = parse_number(port, "--port", maximum=65_535)
    with run.ledger() as ledger:  # a folder that holds no ledger is refused before anything listens
        folder = ledger.layout.directory
    from provenance.server import serve as serve_ledger

    def listening(url: str) -> None:
        run.screen.pairs([("ledger", str(folder)), ("serving", url), ("described", f"{url}/openapi.json")])
        run.document({"ledger": str(folder), "url": url})
        run.flush()

    serve_ledger(folder, host, number, listening=listening)
    return DONE
