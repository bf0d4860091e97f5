"""`provenance lineage`: what a dataset was made from, judged, and what was made from it."""

from __future__ import annotations

from provenance.cli.arguments import ReferenceArgument
from provenance.cli.exits import DONE, FAILED
from provenance.cli.invocation import Invocation
from provenance.cli.lineage_view import show_lineage


def lineage(run: Invocation, reference: ReferenceArgument) -> int:
    """Show ancestors, judged by their records, and descendants. No bytes are read: that is `verify --deep`."""
    from provenance.cli.report_view import show_failures

    with run.ledger() as ledger:
        found = ledger.lineage(reference)
    show_lineage(run.screen, found)
    show_failures(run.screen, found.report.failures)
    run.document(found.to_json())
    return DONE if found.report.sound else FAILED
