"""`provenance init`: a new ledger."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Annotated
from urllib.parse import urlsplit

import typer

from provenance.cli.invocation import Invocation
from provenance.errors import MalformedError


def init(
    run: Invocation,
    directory: Annotated[str, typer.Argument(metavar="DIR", help="Where .provenance is made.")] = ".",
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
    no_post_quantum: Annotated[
        bool,
        typer.Option(
            "--no-post-quantum", help="Sign the log with Ed25519 alone, not with ML-DSA-44 too (3.3 kB a checkpoint)."
        ),
    ] = False,
    database: Annotated[
        str | None,
        typer.Option(
            "--database",
            metavar="URL",
            help="Where the log is, for replicas to share: postgresql://USER@HOST/NAME, its password in PGPASSWORD,"
            " ~/.pgpass or a service file. Default: a file in DIR.",
        ),
    ] = None,
) -> int:
    """Make a ledger.

    That is a folder `.provenance` with the log's keys, the account that pays for anchors, and settings.
    """
    from provenance.ledger import Ledger

    taken = _chain_text(chain)
    with Ledger.init(
        directory or ".", origin=origin, chain=chain, post_quantum=not no_post_quantum, database=database
    ) as ledger:
        folder, account = str(ledger.layout.directory), ledger.account().address
        vkey, *others = ledger.keyring.vkeys
        name = ledger.config.origin
    development = chain == "embedded:"
    run.screen.pairs(
        [
            ("ledger", folder),
            ("origin", name),
            ("database", database),
            ("log key", vkey),
            *(("", f"and ML-DSA-44 key {one.split('+')[1]}: provenance log keys list --json") for one in others),
            ("chain", taken),
            ("account", f"{account} pays for anchors"),
            ("next", "provenance keys new NAME, then provenance register PATH --name NS/NAME --version V"),
        ]
    )
    shared = {} if database is None else {"database": database}
    run.document(
        {
            "ledger": folder,
            "origin": name,
            "logKey": vkey,
            "logKeys": [vkey, *others],
            "account": account,
            "development": development,
            **shared,
        }
    )
    return 0


def _chain_text(uri: str) -> str:
    """What kind of chain a URI names, without its path, query or user, which may be secret.

    `MalformedError` for a kind that nothing here can open. What is no URI at all is left to the ledger.
    """
    scheme, colon, _ = uri.partition(":")
    if scheme == "embedded" or not colon:
        return "embedded: a single-operator development chain"
    if scheme in ("http", "https"):
        try:
            parts = urlsplit(uri)
            place = f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)
        except ValueError as error:
            raise MalformedError("not a chain URI", expected="http://HOST:PORT/..., or https://...") from error
        return f"the Ethereum endpoint at {scheme}://{place}"
    from provenance.chains import ENTRY_POINT_GROUP

    if not entry_points(group=ENTRY_POINT_GROUP, name=scheme):
        raise MalformedError(
            "no such kind of chain",
            expected="embedded:, http://... or https://...",
            got=f"{scheme[:16]}:",
            hint=f"another kind needs a package that provides it (entry point `{ENTRY_POINT_GROUP}`)",
        )
    return f"{scheme}: by an installed package"
