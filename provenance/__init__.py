"""Provenance: a data-provenance ledger for AI datasets.

    from provenance import Ledger, parse_trust, verify_offline

Names are loaded when they are first used: importing the package alone costs next to nothing and loads neither web3
nor FastAPI.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from provenance.errors import (
        ChainError,
        CommandError,
        ConflictError,
        LimitError,
        MalformedError,
        NotFoundError,
        PolicyError,
        ProvenanceError,
        SignerError,
        SourceError,
        StoreError,
        VerificationError,
    )
    from provenance.fingerprint import Fingerprint
    from provenance.ledger import AnchorOutcome, FsckReport, Ledger, Lineage, Receipt
    from provenance.ledger.autolog import Autolog, autolog
    from provenance.ledger.decisions import decisions
    from provenance.ledger.inputs import verify_inputs
    from provenance.ledger.offline import verify_offline
    from provenance.ledger.reading import ReadUsage, VerifiedDataset, open_verified
    from provenance.policy import TrustRoots, encode_trust, parse_trust
    from provenance.policy.policy import Policy, parse_policy
    from provenance.verify import Check, ContentFinding, Report, verify_bundle

__version__ = "0.1.0"

_HOMES = {
    "provenance.errors": (
        "ChainError",
        "CommandError",
        "ConflictError",
        "LimitError",
        "MalformedError",
        "NotFoundError",
        "PolicyError",
        "ProvenanceError",
        "SignerError",
        "SourceError",
        "StoreError",
        "VerificationError",
    ),
    "provenance.fingerprint.document": ("Fingerprint",),
    "provenance.ledger": ("AnchorOutcome", "FsckReport", "Ledger", "Lineage", "Receipt"),
    "provenance.ledger.autolog": ("Autolog", "autolog"),
    "provenance.ledger.decisions": ("decisions",),
    "provenance.ledger.inputs": ("verify_inputs",),
    "provenance.ledger.offline": ("verify_offline",),
    "provenance.ledger.reading": ("ReadUsage", "VerifiedDataset", "open_verified"),
    "provenance.policy.policy": ("Policy", "parse_policy"),
    "provenance.policy": ("TrustRoots", "encode_trust", "parse_trust"),
    "provenance.verify": ("Check", "ContentFinding", "Report", "verify_bundle"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "AnchorOutcome",
    "Autolog",
    "ChainError",
    "Check",
    "CommandError",
    "ConflictError",
    "ContentFinding",
    "Fingerprint",
    "FsckReport",
    "Ledger",
    "LimitError",
    "Lineage",
    "MalformedError",
    "NotFoundError",
    "Policy",
    "PolicyError",
    "ProvenanceError",
    "ReadUsage",
    "Receipt",
    "Report",
    "SignerError",
    "SourceError",
    "StoreError",
    "TrustRoots",
    "VerificationError",
    "VerifiedDataset",
    "autolog",
    "decisions",
    "encode_trust",
    "open_verified",
    "parse_policy",
    "parse_trust",
    "verify_bundle",
    "verify_inputs",
    "verify_offline",
]


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted(__all__)
