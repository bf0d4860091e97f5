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
    "Standing",
    "Status",
    "TrustRoots",
    "TrustedAnchor",
    "TrustedBlock",
    "TrustedSource",
    "encode_trust",
    "parse_level",
    "parse_trust",
    "standing",
]
