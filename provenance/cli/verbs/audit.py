"""`provenance audit`: everything that went into a model or dataset, for an auditor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from provenance.cli.auditing import HowToAudit, audited
from provenance.cli.completion import complete_reference
from provenance.cli.exits import DONE, FAILED
from provenance.cli.files import check_output, write_file
from provenance.cli.invocation import Invocation
from provenance.cli.screen import STATUS_STYLES, Screen

if TYPE_CHECKING:
    from provenance.verify.audit import Audit

_MAX_SHOWN = 100


def audit(
    run: Invocation,
    reference: Annotated[
        str | None, typer.Argument(metavar="REF", help="What to audit.", autocompletion=complete_reference)
    ] = None,
    page: Annotated[
        str | None, typer.Option("--html", metavar="FILE", help="Write a page that needs nothing else and prints well.")
    ] = None,
    evidence: Annotated[
        str | None,
        typer.Option("--evidence", metavar="FILE", help="Write the bundle that all of it can be checked by."),
    ] = None,
    how: HowToAudit = HowToAudit(),  # noqa: B008 - frozen
) -> int:
    """Show everything that went into a model or dataset: origins, how each was made, licences and what they ask for,
    personal data, tests, reviews, findings, gaps, and the same arranged by articles of the EU AI Act.

    With --bundle it needs no ledger and asks nobody. Exit code 1 unless it is verified at the level its sensitivity
    asks for.
    """
    from provenance.verify import encode_bundle
    from provenance.verify.ai_act import evidence_pack
    from provenance.verify.audit_page import audit_page

    for output in (page, evidence):
        if output is not None:
            check_output(output)
    found, of = audited(run, reference, how)
    if page is not None or evidence is not None:
        bundle = encode_bundle(of)
        if page is not None:
            write_file(page, audit_page(found, bundle))
        if evidence is not None:
            write_file(evidence, bundle)
    _show(run.screen, found)
    pack = evidence_pack(found)
    run.screen.line()
    rows = [(line.article, line.asks, line.found, _indexes(line.entries)) for line in pack]
    run.screen.table(("AI Act", "asks for", "there is", "entries"), rows)
    run.screen.pairs([("page", page), ("evidence", evidence)])
    run.document({**found.to_json(), "aiAct": [line.to_json() for line in pack]})
    return DONE if found.report.verified else FAILED


def _show(screen: Screen, audit: Audit) -> None:
    from provenance.cli.report_view import VERDICT_STYLES, level_text, show_failures

    report = audit.report
    screen.spans((report.verdict.upper(), VERDICT_STYLES[report.verdict]), (f"  {report.target}", "strong"))
    personal = ", ".join(item.name for item in audit.personal())
    screen.pairs(
        [
            ("digest", report.digest),
            ("level", level_text(report)),
            ("made of", f"{len(audit.items) - 1} artefacts, {len(audit.origins)} of them origins"),
            ("sensitivity", f"{audit.sensitivity}, the highest of all"),
            ("personal data", personal or "nobody says that there are any"),
            ("geography", ", ".join(audit.geography()) or "nobody says"),
        ]
    )
    screen.line()
    for item in audit.items[:_MAX_SHOWN]:
        style = STATUS_STYLES[str(item.artefact.status)]
        screen.spans(
            (item.name, "strong"), (f"  {item.artefact.status}", style), (f"  {item.artefact.signer}", "faint")
        )
        asked = ", ".join(dict.fromkeys(str(one) for some in item.obligations().values() for one in some))
        licence = item.statement.license
        screen.pairs(
            [
                ("  origin", item.statement.origin),
                ("  made from", ", ".join(item.artefact.parents) or None),
                ("  licence", f"{licence} ({asked or 'asks for nothing'})" if licence else None),
                *((f"  {one.noun}", f"entry {one.index} by {one.signer}") for one in item.remarks),
                ("  gaps", "; ".join(item.gaps()) or None),
            ]
        )
    if len(audit.items) > _MAX_SHOWN:
        screen.line(f"and {len(audit.items) - _MAX_SHOWN} more (all of them with --json and --html)")
    if audit.keys:
        rows = [(one.name, one.event.key.keyid.hex[:16], one.words, f"entry {one.index}") for one in audit.keys]
        screen.table(("key of", "key", "it says", "log"), rows[:_MAX_SHOWN])
    show_failures(screen, report.failures)


def _indexes(entries: tuple[int, ...]) -> str:
    shown = ", ".join(str(index) for index in entries[:8])
    return shown + (f" and {len(entries) - 8} more" if len(entries) > 8 else "") or "none"
