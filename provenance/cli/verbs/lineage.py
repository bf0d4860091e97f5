"""`provenance lineage`: what a dataset was made from, judged, and what was made from it."""

from __future__ import annotations

from typing import Annotated

import typer

from provenance.cli.arguments import ReferenceArgument, parse_number
from provenance.cli.completion import complete_form
from provenance.cli.exits import DONE, FAILED
from provenance.cli.files import check_output, write_file
from provenance.cli.invocation import Invocation
from provenance.cli.lineage_view import show_lineage
from provenance.errors import MalformedError
from provenance.limits import MAX_LINEAGE_NODES


def lineage(
    run: Invocation,
    reference: ReferenceArgument,
    form: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="WORD",
            help="text, json, dot, mermaid, svg or prov-json.",
            autocompletion=complete_form,
        ),
    ] = "text",
    direction: Annotated[
        str,
        typer.Option(
            "--direction", metavar="WORD", help="up (what it was made from), down (what was made of it) or both."
        ),
    ] = "both",
    depth: Annotated[str | None, typer.Option("--depth", metavar="N", help="Show N steps to either side.")] = None,
    as_of: Annotated[
        str | None,
        typer.Option("--as-of", metavar="TIME", help="As an anchor's block proves that it was known then (RFC 3339)."),
    ] = None,
    output: Annotated[str | None, typer.Option("--output", "-o", metavar="FILE", help="Write it there.")] = None,
) -> int:
    """Show ancestors, judged by their records, and descendants. No bytes are read: that is `verify --deep`."""
    from provenance.cli.report_view import show_failures

    if form == "json":
        run.use_json()
    steps = parse_number(depth, "--depth", maximum=MAX_LINEAGE_NODES) if depth is not None else None
    if output is not None:
        if form in ("text", "json"):
            raise MalformedError("--output takes a picture", expected="--format dot, mermaid, svg or prov-json")
        check_output(output)
    with run.ledger() as ledger:
        found = ledger.lineage(reference, direction=direction, depth=steps, as_of=as_of)
    if form not in ("text", "json"):
        from dataclasses import replace

        from provenance.verify.drawing import draw

        # A picture is of what is asked for; what the last ones shown were made from is drawn as not at hand.
        text = draw(replace(found.report, artefacts=found.shown), form)
        if output is not None:
            write_file(output, text.encode("utf-8"))
        else:
            run.stream(text)
        run.document(found.to_json())
        return DONE if found.report.sound else FAILED
    show_lineage(run.screen, found)
    show_failures(run.screen, found.report.failures)
    run.document(found.to_json())
    return DONE if found.report.sound else FAILED
