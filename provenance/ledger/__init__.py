"""The ledger: stages joined to the outside world."""

from provenance.ledger.anchoring import Deployment
from provenance.ledger.fsck_report import FsckReport
from provenance.ledger.ledger import Ledger, Lineage, fingerprint
from provenance.ledger.receipts import AnchorOutcome, Receipt
from provenance.ledger.reference import pinned_name

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
