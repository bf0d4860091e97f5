"""Whether a model may decide: its bytes, what was said of it, and the level that it needs.

Invariants: a check that fails is refused at any level; one that was not performed counts as missing, never as passed;
nothing of the model is run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from provenance.errors import VerificationError
from provenance.policy import Level

if TYPE_CHECKING:
    from provenance.ledger.ledger import Ledger, Location


def verify_model(ledger: Ledger, model: str, place: Location | None, required: Level | None) -> None:
    """`VerificationError` if a check of the model fails, or the level is not reached that `required` says, or else the
    sensitivity of the model."""
    where = place if place is not None else ledger.place_of(model)
    report = ledger.verify(where, expected=model)
    if required is not None:
        report = report.requiring(required)
    if report.failures:
        first = report.failures[0]
        what = f"model does not verify: {first.id} of {first.subject}: {first.note}"
        raise VerificationError(what, expected=first.expected, got=first.found, where=first.where)
    if not report.verified:
        reached, wanted = (one.name if one is not None else "no level" for one in (report.level, report.required))
        what = f"model does not verify: the level that is required of {model} is not reached"
        hint = f"missing: {', '.join(report.missing)}; `required` accepts less" if report.missing else None
        raise VerificationError(what, expected=wanted, got=reached, hint=hint)
