"""What the shell offers for REF, key names and words that are one of a few.

Invariant: completion prints nothing and never fails; where there is no ledger, it offers nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import typer

if TYPE_CHECKING:
    from provenance.ledger import Ledger
    from provenance.ledger.keyring import Keyring

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
    return _names(context, incomplete, lambda keyring: {*_held(keyring), *_trusted(keyring)})


def complete_own_key(context: typer.Context, incomplete: str) -> list[str]:
    """Names of keys that can sign here."""
    return _names(context, incomplete, _held)


def complete_trusted_key(context: typer.Context, incomplete: str) -> list[str]:
    """Names of keys that are trusted here, and not revoked."""
    return _names(context, incomplete, _trusted)


def complete_sensitivity(incomplete: str) -> list[str]:
    """The four sensitivities."""
    from provenance.statement import Sensitivity

    return [str(word) for word in Sensitivity if word.startswith(incomplete)]


def complete_kind(incomplete: str) -> list[str]:
    """What bytes can be."""
    from provenance.statement import Kind

    return [str(word) for word in Kind if word.startswith(incomplete)]


def complete_level(incomplete: str) -> list[str]:
    """The levels."""
    from provenance.policy import Level

    return [level.name for level in Level if level.name.startswith(incomplete)]


def complete_form(incomplete: str) -> list[str]:
    """The forms a lineage is shown in."""
    from provenance.verify.drawing import FORMS

    return [name for name in ("text", "json", *FORMS) if name.startswith(incomplete)]


def complete_key_reason(incomplete: str) -> list[str]:
    """Why a key is revoked."""
    from provenance.statement.key_event import KeyReason

    return [str(reason) for reason in KeyReason if reason.startswith(incomplete)]


def complete_import(incomplete: str) -> list[str]:
    """The formats lineage is imported from."""
    from provenance.lineage.imports import FORMS

    return [name for name in ("auto", *FORMS) if name.startswith(incomplete)]


def complete_export(incomplete: str) -> list[str]:
    """The formats a lineage is exported in."""
    from provenance.verify.exports import FORMATS

    return [name for name in FORMATS if name.startswith(incomplete)]


def complete_algorithm(incomplete: str) -> list[str]:
    """Kinds of signing keys."""
    from provenance.signature import ALGORITHMS

    return [name for name in ALGORITHMS if name.startswith(incomplete)]


def complete_hash(incomplete: str) -> list[str]:
    """How file contents may be hashed."""
    from provenance.fingerprint import Algorithm

    return [str(name) for name in Algorithm if name.startswith(incomplete)]


def complete_engine(incomplete: str) -> list[str]:
    """The engines that are installed."""
    from provenance.engines import engine_names

    return [name for name in ("local", *engine_names()) if name.startswith(incomplete)]


def _held(keyring: Keyring) -> set[str]:
    return {key.name for key in keyring.list()}


def _trusted(keyring: Keyring) -> set[str]:
    return {source.name for source in keyring.trust().sources if not source.revoked}


def _names(context: typer.Context, incomplete: str, names_in: Callable[[Keyring], set[str]]) -> list[str]:
    try:
        with _ledger(context) as ledger:
            names = names_in(ledger.keyring)
    except Exception:  # noqa: BLE001 - as above
        return []
    return [name for name in sorted(names) if name.startswith(incomplete) and name.isprintable()]


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
