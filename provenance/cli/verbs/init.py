"""`provenance init`: a new ledger."""

from __future__ import annotations

from typing import Annotated

import typer

from provenance.cli.invocation import Invocation


def init(
    run: Invocation,
    directory: Annotated[str, typer.Argument(metavar="[DIR]", help="Where .provenance is made.")] = ".",
    origin: Annotated[
        str | None,
        typer.Option("--origin", metavar="NAME", help="The log's name for ever, as example.com/log. Default: random."),
    ] = None,
    chain: Annotated[
        str,
        typer.Option(
            "--chain",
            metavar="URI",
            help="Where to anchor: embedded: (a development chain) or an Ethereum JSON-RPC URL, http(s)://...",
        ),
    ] = "embedded:",
) -> int:
    """Make a ledger.

    That is a folder `.provenance` with the log's key, the account that pays for anchors, and settings.
    """
    from provenance.ledger import Ledger

    with Ledger.init(directory or ".", origin=origin, chain=chain) as ledger:
        folder, vkey, account = str(ledger.layout.directory), ledger.keyring.vkey, ledger.account().address
        name = ledger.config.origin
    development = chain == "embedded:"
    run.screen.pairs(
        [
            ("ledger", folder),
            ("origin", name),
            ("log key", vkey),
            ("chain", "embedded: a single-operator development chain" if development else "an Ethereum endpoint"),
            ("account", f"{account} pays for anchors"),
            ("next", "provenance keys new NAME, then provenance register PATH --name NS/NAME --version V"),
        ]
    )
    run.document({"ledger": folder, "origin": name, "logKey": vkey, "account": account, "development": development})
    return 0
