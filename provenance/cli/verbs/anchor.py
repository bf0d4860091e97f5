"""`provenance anchor`: one transaction for everything logged since the last one."""

from __future__ import annotations

from provenance.cli.exits import DONE
from provenance.cli.invocation import Invocation
from provenance.cli.progress import Meter
from provenance.cli.receipt_view import show_anchor


def anchor(run: Invocation) -> int:
    """Anchor everything logged so far in one transaction. Nothing is sent twice."""
    with run.ledger() as ledger, Meter("anchoring"):
        outcome = ledger.anchor()
    show_anchor(run.screen, outcome)
    run.document(outcome.to_json())
    return DONE
