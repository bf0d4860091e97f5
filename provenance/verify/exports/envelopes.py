"""The signed statements of a lineage as they were logged, one DSSE envelope a line: for in-toto's and SLSA's tools.

Invariants: every line is the very bytes that were signed and logged; inputs come before what was made from them;
signatures and proofs are not vouched for by being here.

Source: in-toto attestation bundle (JSON lines of DSSE envelopes).
"""

from __future__ import annotations

from collections.abc import Sequence

from provenance.errors import NotFoundError, ProvenanceError
from provenance.log import parse_proof
from provenance.signature import parse_envelope
from provenance.statement.frame import open_frame
from provenance.verify.evidence import Evidence, EvidenceEntry


def envelopes(evidence: Evidence, wanted: Sequence[str] | None, events: Sequence[str]) -> bytes:
    """The envelopes whose predicate is of a `wanted` type (None: of any of ours), in log order."""
    found = []
    for entry in evidence.entries:
        try:
            kind = open_frame(parse_envelope(entry.envelope).payload).predicate_type
        except ProvenanceError:  # the report says so; it is no statement
            continue
        if wanted is None or kind in wanted:
            found.append((_index(entry), kind in events, entry.envelope))
    if not found:
        raise NotFoundError("the lineage holds no such statement", expected=" | ".join(wanted or ("a statement",)))
    return b"".join(envelope + b"\n" for _, _, envelope in sorted(found))


def _index(entry: EvidenceEntry) -> int:
    try:
        return parse_proof(entry.proof).index
    except ProvenanceError:
        return 0
