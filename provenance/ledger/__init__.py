"""The ledger: stages joined to the outside world.

Names are loaded when they are first used: fingerprinting a folder needs neither chain nor store.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from provenance.ledger.anchoring import Deployment
    from provenance.ledger.fsck_report import FsckReport
    from provenance.ledger.ledger import Ledger, fingerprint
    from provenance.ledger.lineage import Lineage
    from provenance.ledger.receipts import AnchorOutcome, Receipt
    from provenance.ledger.reference import pinned_name

_HOME_OF = {
    "AnchorOutcome": "receipts",
    "Deployment": "anchoring",
    "FsckReport": "fsck_report",
    "Ledger": "ledger",
    "Lineage": "lineage",
    "Receipt": "receipts",
    "fingerprint": "ledger",
    "pinned_name": "reference",
}

__all__ = [
    "AnchorOutcome",
    "Deployment",
    "FsckReport",
    "Ledger",
    "Lineage",
    "Receipt",
    "fingerprint",
    "pinned_name",
]


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
