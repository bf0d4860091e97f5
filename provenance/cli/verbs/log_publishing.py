"""`provenance log export|publish`: the log as files that any web server can serve."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from provenance.cli.exits import DONE, failure_of
from provenance.cli.invocation import Invocation
from provenance.cli.progress import Meter
from provenance.cli.screen import complain, count_text, size_text

if TYPE_CHECKING:
    from provenance.ledger.log_publishing import OtherLogError, Published


def export(
    run: Invocation,
    folder: Annotated[str, typer.Argument(metavar="DIR", help="The folder; it is made if it is not there.")],
) -> int:
    """Write the log as files, for any web server: checkpoint, tiles and entry bundles (C2SP tlog-tiles), map/head.

    Again, it writes what is new. A folder that holds another log, or another history of this one, is refused.
    """
    return _publish(run, f"file://{folder}")


def publish(
    run: Invocation,
    url: Annotated[str, typer.Argument(metavar="URL", help="s3://bucket[/prefix], or a folder.")],
) -> int:
    """Publish what is new in the log to a bucket or folder. `serve --publish URL` keeps it current."""
    return _publish(run, url)


def _publish(run: Invocation, address: str) -> int:
    from contextlib import closing

    from provenance.ledger.log_publisher import carry_head, publish_ledger
    from provenance.ledger.log_publishing import OtherLogError
    from provenance.ledger.mapping import keep_heads
    from provenance.publishers import open_publisher

    with run.ledger() as ledger:
        ledger.log.checkpoint()  # an empty log is refused before a folder is made
        with closing(open_publisher(address)) as publisher, Meter("publishing") as meter:
            try:
                done = publish_ledger(ledger, publisher, progress=meter.count)
            except OtherLogError as error:
                return _refused(run, error)
            keep_heads(ledger, progress=meter.count)
            carry_head(ledger, publisher, done.size)
    _show(run, done)
    return DONE


def _show(run: Invocation, done: Published) -> None:
    run.screen.pairs(
        [
            ("published", done.where),
            ("size", f"{done.size}" + (f", was {done.since}" if done.since != done.size else ", as before")),
            ("root", done.root.hex()),
            ("written", f"{count_text(done.files, 'file')}, {size_text(done.bytes)}"),
        ]
    )
    run.document(done.to_json())


def _refused(run: Invocation, error: OtherLogError) -> int:
    """Show the error with both checkpoints."""
    failure = failure_of(error)
    theirs, ours = (note.decode("utf-8", "backslashreplace") for note in (error.theirs, error.ours))
    document = failure.to_json()
    document["checkpoints"] = {"published": theirs, "ledger": ours}
    run.document(document)
    if not run.as_json:
        sys.stdout.flush()
        complain(failure.what, failure.details)
        for title, note in (("published there:", theirs), ("this ledger's:", ours)):
            complain_lines(title, note)
    return failure.code


def complain_lines(title: str, text: str) -> None:
    """A title and, indented below it, lines of a text from outside, on stderr."""
    from provenance.errors import printable

    shown = "".join(f"    {printable(line)}\n" for line in text.rstrip("\n").split("\n"))
    sys.stderr.write(f"  {title}\n{shown}")
