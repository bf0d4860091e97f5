"""Verification of evidence: pure, offline, and the same for a bundle and for a ledger."""

from provenance.verify.evidence import (
    MEDIA_TYPE,
    BlockFinding,
    ContentFinding,
    Evidence,
    EvidenceEntry,
    encode_bundle,
    parse_bundle,
)
from provenance.verify.report import Artefact, Check, Report, TimeBound
from provenance.verify.verifier import verify_bundle, verify_evidence

__all__ = [
    "MEDIA_TYPE",
    "Artefact",
    "BlockFinding",
    "Check",
    "ContentFinding",
    "Evidence",
    "EvidenceEntry",
    "Report",
    "TimeBound",
    "encode_bundle",
    "parse_bundle",
    "verify_bundle",
    "verify_evidence",
]
