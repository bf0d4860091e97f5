"""What the shell offers for REF and key names.

Invariant: completion prints nothing and never fails; where there is no ledger, it offers nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import typer

if TYPE_CHECKING:
    from provenance.ledger import Ledger

_MAX_OFFERS: Final = 200


def complete_reference(context: typer.Context, incomplete: str) -> list[str]:
    """Names and pinned names that begin with what was typed."""
    try:
        with _ledger(context) as ledger:
            return _references(ledger, incomplete)
    except Exception:  # noqa: BLE001 - a shell that waits for an offer has no use for an error
        return []


def complete_key(context: typer.Context, incomplete: str) -> list[str]:
    """Names of keys that are held or trusted here."""
    try:
        with _ledger(context) as ledger:
            held = {key.name for key in ledger.keyring.list()}
            trusted = {source.name for source in ledger.keyring.trust().sources}
    except Exception:  # noqa: BLE001 - as above
        return []
    return [name for name in sorted(held | trusted) if name.startswith(incomplete) and name.isprintable()]


def _ledger(context: typer.Context) -> Ledger:
    from provenance.ledger import Ledger

    return Ledger.open(context.find_root().params.get("ledger"))


def _references(ledger: Ledger, incomplete: str) -> list[str]:
    name, at, _ = incomplete.partition("@")
    if at:
        rows = ledger.versions(name, limit=_MAX_OFFERS)
        return [f"{name}@{row.version}" for row in rows if f"{name}@{row.version}".startswith(incomplete)]
    names = {f"{row.namespace}/{row.name}" for row in ledger.datasets(limit=1_000)}
    return sorted(name for name in names if name.startswith(incomplete))[:_MAX_OFFERS]
