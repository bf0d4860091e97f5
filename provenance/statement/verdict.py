"""What a policy decided about an artefact, as a SLSA verification summary.

Invariants: it is what its signer found then, and nothing that a later verification relies on; the policy is named by
its digest, so that whoever has it can ask the same again; a level is one of ours, as `PROVENANCE_D2`.

Bytes of its predicate (canonical JSON, with what every event has; its own fields are those of the specification):
`{"created":"..","inputAttestations":[{"digest":{"sha256":"<64 hex>"}}],"policy":{"digest":{"sha256":"<64 hex>"},"uri":
"urn:provenance-ledger:policy:sha256:<64 hex>"},"resourceUri":"urn:provenance-ledger:artefact:sha256:<64 hex>",
"slsaVersion":"1.1","statement":{..},"timeVerified":"..","verificationResult":"PASSED","verifiedLevels":
["PROVENANCE_D2"],"verifier":{"id":"urn:provenance-ledger:gate:1"}}`

Source: SLSA verification summary attestation v1.1.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Final

from provenance.encoding import Digest, Fields, JsonValue
from provenance.errors import MalformedError
from provenance.limits import MAX_URI_CHARS, check_size
from provenance.statement.frame import check_time, parse_choice
from provenance.statement.text import MAX_WORD_CHARS

VERIFIER: Final = "urn:provenance-ledger:gate:1"
SLSA_VERSION: Final = "1.1"
MAX_ATTESTATIONS: Final = 256
"""Those of the artefact and its nearest inputs."""
_MAX_LEVELS: Final = 64
_LEVEL = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_POLICY: Final = "urn:provenance-ledger:policy:sha256:"
_RESOURCE: Final = "urn:provenance-ledger:artefact:sha256:"


class VerdictResult(StrEnum):
    """Whether it may be used."""

    PASSED = "PASSED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result, under the policy whose bytes have this SHA-256, on the `artefact` of this digest; the levels it had,
    and the SHA-256 of the envelopes that were looked at."""

    TYPE: ClassVar[str] = "https://slsa.dev/verification_summary/v1"

    result: VerdictResult
    policy: Digest
    artefact: Digest
    verified: str
    levels: tuple[str, ...] = ()
    attestations: tuple[Digest, ...] = ()

    def __post_init__(self) -> None:
        check_time(self.verified)
        check_size("attestations", len(self.attestations), MAX_ATTESTATIONS, "envelopes")
        check_size("levels", len(self.levels), _MAX_LEVELS, "levels")
        for level in self.levels:
            if not _LEVEL.fullmatch(level):
                raise MalformedError("not a level", expected="capitals, digits and _", got=level)

    def to_json(self) -> dict[str, JsonValue]:
        """The fields of its own."""
        return {
            "verifier": {"id": VERIFIER},
            "timeVerified": self.verified,
            "resourceUri": _RESOURCE + self.artefact.hex,
            "policy": {"uri": _POLICY + self.policy.hex, "digest": {"sha256": self.policy.hex}},
            "inputAttestations": [{"digest": {"sha256": one.hex}} for one in self.attestations],
            "verificationResult": str(self.result),
            "verifiedLevels": list(self.levels),
            "slsaVersion": SLSA_VERSION,
        }


def read_verdict(fields: Fields) -> Verdict:
    """The verdict in a predicate; its other fields are read by `events`."""
    verifier, policy = fields.object("verifier"), fields.object("policy")
    verifier.constant("id", VERIFIER)
    fields.constant("slsaVersion", SLSA_VERSION)
    digest = policy.digest_set("digest")
    policy.constant("uri", _POLICY + digest.hex)
    verifier.end()
    policy.end()
    attestations = []
    for item in fields.array("inputAttestations", max_items=MAX_ATTESTATIONS):
        one = Fields(item, "statement.predicate.inputAttestations")
        attestations.append(one.digest_set("digest"))
        one.end()
    return Verdict(
        result=parse_choice(VerdictResult, fields.string("verificationResult", max_chars=MAX_WORD_CHARS), "result"),
        policy=digest,
        artefact=_artefact(fields.string("resourceUri", max_chars=MAX_URI_CHARS)),
        verified=fields.string("timeVerified", max_chars=20),
        levels=_levels(fields),
        attestations=tuple(attestations),
    )


def _levels(fields: Fields) -> tuple[str, ...]:
    levels = []
    for level in fields.array("verifiedLevels", max_items=_MAX_LEVELS):
        if not isinstance(level, str):
            raise MalformedError("level is no text", expected="text", where="verifiedLevels")
        levels.append(level)
    return tuple(levels)


def _artefact(uri: str) -> Digest:
    if not uri.startswith(_RESOURCE):
        raise MalformedError("resource is no artefact of a ledger", expected=f"{_RESOURCE}<64 hex digits>", got=uri)
    return Digest.from_hex(uri.removeprefix(_RESOURCE), what="resourceUri")
