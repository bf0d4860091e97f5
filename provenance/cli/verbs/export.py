"""`provenance export`: an artefact and what it was made from, in other people's formats."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from provenance.cli.auditing import HowToAudit, audited
from provenance.cli.completion import complete_export, complete_reference
from provenance.cli.exits import DONE, FAILED
from provenance.cli.files import STDOUT, check_output, write_file
from provenance.cli.invocation import Invocation
from provenance.errors import MalformedError

if TYPE_CHECKING:
    from provenance.encoding import JsonValue


def export(
    run: Invocation,
    reference: Annotated[
        str | None, typer.Argument(metavar="REF", help="What to export.", autocompletion=complete_reference)
    ] = None,
    form: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="WORD",
            help="croissant, spdx, cyclonedx, card, in-toto or slsa.",
            autocompletion=complete_export,
        ),
    ] = "croissant",
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="Where to write it. - is stdout, the default.")
    ] = STDOUT,
    how: HowToAudit = HowToAudit(),  # noqa: B008 - frozen
) -> int:
    """Write an artefact as a Croissant description or a Hugging Face card, it and its lineage as an SPDX 3 document or
    a CycloneDX bill of materials, or its signed statements (in-toto) or those of runs alone (slsa) as they were logged,
    one a line.

    Exit code 1 if a check failed: it is written all the same, and says so.
    """
    from provenance.verify.exports import FORMATS
    from provenance.verify.exports import export as exported

    if form not in FORMATS:
        raise MalformedError("unknown format", expected=" | ".join(FORMATS), got=form)
    if output != STDOUT:
        check_output(output, as_json=run.as_json)
    audit, evidence = audited(run, reference, how, tells=output != STDOUT)
    document = exported(audit, evidence, form)
    if output == STDOUT:
        run.stream(document.decode("utf-8"))
    else:
        write_file(output, document)
        run.screen.pairs([("exported", output), ("format", form), ("artefacts", str(len(audit.items)))])
    lines = document.decode().splitlines()
    inline: JsonValue = json.loads(document) if form in ("croissant", "spdx", "cyclonedx") else [*lines]
    run.document({"target": audit.report.target, "format": form, "sound": audit.report.sound, "document": inline})
    return DONE if audit.report.sound else FAILED
