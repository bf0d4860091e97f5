"""Verification of everything in a ledger, one dataset after another.

Invariants: what cannot be examined stops nothing, and is no pass; a chain that does not answer is asked once.
"""

from __future__ import annotations

from collections.abc import Iterator

from provenance.errors import ChainError, ProvenanceError
from provenance.ledger.ledger import Ledger
from provenance.ledger.reference import pinned_name
from provenance.limits import MAX_PAGE_ITEMS
from provenance.sources import ProgressCallback
from provenance.verify import Report


def verify_all(
    ledger: Ledger, *, deep: bool = False, ask_chain: bool = True, progress: ProgressCallback | None = None
) -> Iterator[tuple[str, Report | ProvenanceError]]:
    """(`ns/name@version`, its report) for every dataset, in log order; an error where it cannot be examined.

    With `deep`, each report is on the bytes of its ancestors, too: they are read once for every descendant.
    """
    ask_chain = ask_chain and _chain_answers(ledger)
    after: int | None = None
    while rows := ledger.datasets(after=after, limit=MAX_PAGE_ITEMS):
        for row in rows:
            name = pinned_name(row)
            try:
                yield name, ledger.verify(name, deep=deep, ask_chain=ask_chain, progress=progress)
            except ProvenanceError as error:
                yield name, error
        after = rows[-1].entry_index


def _chain_answers(ledger: Ledger) -> bool:
    if ledger.contract() is None:
        return False
    try:
        with ledger.chain() as chain:
            chain.info()
    except ChainError:
        return False
    return True
