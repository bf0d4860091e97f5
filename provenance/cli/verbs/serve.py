"""`provenance serve`: the HTTP API of this ledger."""

from __future__ import annotations

from typing import Annotated

import typer

from provenance.cli.arguments import KeyOption, PassphraseFileOption, parse_number
from provenance.cli.exits import DONE
from provenance.cli.files import read_file
from provenance.cli.invocation import Invocation
from provenance.cli.passphrase import passphrase_for
from provenance.errors import LogError, MalformedError
from provenance.limits import MAX_CONFIG_BYTES

_MIN_KEY_CHARS = 16


def serve(
    run: Invocation,
    host: Annotated[str, typer.Option("--host", metavar="ADDRESS", help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[
        str, typer.Option("--port", metavar="PORT", help="The port to listen on; 0 is any free one.")
    ] = "8000",
    openlineage: Annotated[
        bool, typer.Option("--openlineage", help="Take OpenLineage events at /api/v1/lineage, and sign that they came.")
    ] = False,
    access_log: Annotated[
        bool, typer.Option("--access-log", help="Log who asked for what, by pseudonyms, in batches signed by --key.")
    ] = False,
    publish: Annotated[
        str | None,
        typer.Option("--publish", metavar="URL", help="Keep the log at s3://bucket[/prefix] or in a folder current."),
    ] = None,
    key: KeyOption = None,
    passphrase_file: PassphraseFileOption = None,
    bearer_file: Annotated[
        str | None,
        typer.Option(
            "--bearer-file", metavar="FILE", help="With --openlineage: the keys that senders need, one a line."
        ),
    ] = None,
) -> int:
    """Serve the HTTP API until Ctrl-C. It never holds a source's key.

    With --openlineage, events of Airflow, Spark and other producers are logged in batches, signed by --key. With
    --access-log, so are the requests themselves, every minute: `provenance log access` shows them. With --publish, the
    log is copied to a place for anyone to serve; where that is down, it catches up later.
    """
    if not openlineage and bearer_file is not None:
        raise MalformedError("--bearer-file says how lineage events are taken", expected="--openlineage with it")
    if not (openlineage or access_log) and key is not None:
        raise MalformedError("--key signs what a server logs", expected="--openlineage or --access-log with it")
    bearer_keys = _bearer_keys(bearer_file)
    number = parse_number(port, "--port", maximum=65_535)
    with run.ledger() as ledger:  # a folder that holds no ledger is refused before anything listens
        folder = ledger.layout.directory
        signs = openlineage or access_log
        passphrase = passphrase_for(ledger.keyring, key, passphrase_file) if signs else None
    if publish is not None:
        _try_place(run, publish)
    from provenance.server import serve as serve_ledger

    receiving, noting = None, None
    if openlineage:
        from provenance.server import Receiving

        receiving = Receiving(key, passphrase, bearer_keys)
    if access_log:
        from provenance.server import Noting

        noting = Noting(key, passphrase)

    def listening(url: str) -> None:
        run.screen.pairs([("ledger", str(folder)), ("serving", url), ("described", f"{url}/openapi.json")])
        run.document({"ledger": str(folder), "url": url})
        run.flush()

    serve_ledger(folder, host, number, receiving=receiving, noting=noting, publish=publish, listening=listening)
    return DONE


def _try_place(run: Invocation, address: str) -> None:
    """Refuse a place that can be none before anything listens; one that is not there now may be there later."""
    from provenance.publishers import open_publisher

    try:
        open_publisher(address).close()
    except LogError as error:
        run.problem(error)


def _bearer_keys(path: str | None) -> tuple[str, ...]:
    if path is None:
        return ()
    data = read_file(path, "bearer keys", max_bytes=MAX_CONFIG_BYTES)
    try:
        keys = tuple(line.strip() for line in data.decode("ascii").splitlines() if line.strip())
    except UnicodeDecodeError:
        raise MalformedError("bearer keys are not ASCII", expected="one key a line", where=path) from None
    if not keys or any(len(key) < _MIN_KEY_CHARS for key in keys):
        expected = f"one key a line, at least {_MIN_KEY_CHARS} characters"
        raise MalformedError("bearer keys are missing or too short", expected=expected, where=path)
    return keys
