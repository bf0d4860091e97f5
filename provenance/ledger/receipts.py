"""What the ledger gives back: receipts of registrations and outcomes of anchoring.

Invariants: a receipt is handed out only for what is durable; it holds enough to be checked later against any copy of
the log.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from provenance.anchor import AnchorReceipt
from provenance.encoding import JsonValue


@dataclass(frozen=True, slots=True)
class AnchorOutcome:
    """What `anchor` did. `covered` counts entries no earlier anchor covered; `gas_used` is 0 if nothing was sent."""

    status: Literal["anchored", "already anchored", "nothing to anchor"]
    size: int
    covered: int = 0
    gas_used: int = 0
    receipt: AnchorReceipt | None = None
    chain: str = ""

    def to_json(self) -> dict[str, JsonValue]:
        """The outcome as a JSON value."""
        return {
            "status": self.status,
            "size": self.size,
            "covered": self.covered,
            "gasUsed": self.gas_used,
            "gasPerDataset": round(self.gas_used / self.covered, 2) if self.covered else None,
            "chain": self.chain,
            "receipt": self.receipt.to_json() if self.receipt is not None else None,
        }


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a registrant keeps. `proof` is a tlog-proof; `anchor_problem` says why it is not anchored yet."""

    name: str
    digest: str
    index: int
    envelope: str
    signer: str
    created: bool
    proof: bytes
    files: int = 0
    total_bytes: int = 0
    notes: tuple[str, ...] = ()
    anchor: AnchorOutcome | None = None
    anchor_problem: str | None = None

    def to_json(self) -> dict[str, JsonValue]:
        """The receipt as a JSON value."""
        return {
            "name": self.name,
            "digest": {"sha256": self.digest},
            "index": self.index,
            "envelope": {"sha256": self.envelope},
            "signer": self.signer,
            "created": self.created,
            "files": self.files,
            "totalBytes": self.total_bytes,
            "proof": self.proof.decode("utf-8"),
            "notes": list(self.notes),
            "anchor": self.anchor.to_json() if self.anchor is not None else None,
            "anchorProblem": self.anchor_problem,
        }
