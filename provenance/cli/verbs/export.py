"""`provenance export`: an artefact and what it was made from, in other people's formats."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from provenance.cli.arguments import parse_places
from provenance.cli.completion import complete_export, complete_reference
from provenance.cli.exits import DONE, FAILED
from provenance.cli.files import STDOUT, check_output, read_file, write_file
from provenance.cli.invocation import Invocation
from provenance.cli.verbs.verify import trust_of
from provenance.errors import MalformedError
from provenance.limits import MAX_BUNDLE_BYTES

if TYPE_CHECKING:
    from provenance.encoding import JsonValue
    from provenance.verify import Evidence
    from provenance.verify.audit import Audit


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
            help="croissant, spdx, cyclonedx, in-toto or slsa.",
            autocompletion=complete_export,
        ),
    ] = "croissant",
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="Where to write it. - is stdout, the default.")
    ] = STDOUT,
    bundle_file: Annotated[
        str | None, typer.Option("--bundle", metavar="FILE", help="Export what this bundle is of; needs no ledger.")
    ] = None,
    trust: Annotated[
        str | None, typer.Option("--trust", metavar="FILE", help="With --bundle: whose keys, which log and chain.")
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option("--data", metavar="REF=PATH", help="With --bundle: where a dataset's bytes are. Repeatable."),
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Do not ask the chain about blocks.")] = False,
) -> int:
    """Write an artefact as a Croissant description, it and its lineage as an SPDX 3 document or a CycloneDX bill of
    materials, or its signed statements (in-toto) or those of runs alone (slsa) as they were logged, one a line.

    Exit code 1 if a check failed: it is written all the same, and says so.
    """
    from provenance.verify.exports import FORMATS
    from provenance.verify.exports import export as exported

    if form not in FORMATS:
        raise MalformedError("unknown format", expected=" | ".join(FORMATS), got=form)
    if output != STDOUT:
        check_output(output, as_json=run.as_json)
    audit, evidence = _audited(run, reference, bundle_file, trust, data, offline=offline)
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


def _audited(
    run: Invocation,
    reference: str | None,
    bundle_file: str | None,
    trust: str | None,
    data: list[str] | None,
    *,
    offline: bool,
) -> tuple[Audit, Evidence]:
    if bundle_file is None:
        if reference is None or trust is not None or data:
            raise MalformedError("nothing to export", expected="a REF, or --bundle FILE with --trust and --data")
        with run.ledger() as ledger:
            return ledger.audited(reference, ask_chain=not offline)
    from provenance.ledger.offline import audit_offline
    from provenance.verify import parse_bundle

    if reference is not None:
        raise MalformedError("too much to export", expected="a REF, or --bundle FILE", got=reference)
    roots, _ = trust_of(run, trust)
    raw = read_file(bundle_file, "bundle", max_bytes=MAX_BUNDLE_BYTES)
    return audit_offline(raw, roots, parse_places(data or ())), parse_bundle(raw)
