"""What a verifier trusts, and how far that gets an artefact."""

from provenance.policy.levels import (
    REQUIRED_LEVEL,
    REQUIREMENTS,
    Level,
    Standing,
    Status,
    parse_level,
    standing,
)
from provenance.policy.log_trust import SizeSpan, TimeSpan
from provenance.policy.quorum import QuorumFinding, find_quorum, policy_of
from provenance.policy.trust import (
    TrustedAnchor,
    TrustedBlock,
    TrustedSource,
    TrustRoots,
    encode_trust,
    parse_trust,
)

__all__ = [
    "REQUIRED_LEVEL",
    "REQUIREMENTS",
    "Level",
    "QuorumFinding",
    "SizeSpan",
    "Standing",
    "Status",
    "TimeSpan",
    "TrustRoots",
    "TrustedAnchor",
    "TrustedBlock",
    "TrustedSource",
    "encode_trust",
    "find_quorum",
    "parse_level",
    "parse_trust",
    "policy_of",
    "standing",
]
