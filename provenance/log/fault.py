"""What a log did that no honest log does, and the evidence of it.

Invariants: evidence holds the signed checkpoints themselves; a fork is proven by it to anybody who has the log's key,
with no access to the log: either two roots of one size, or a consistency proof from another root of the earlier size
to the later checkpoint, of which RFC 9162 allows only one.

    {"type":"urn:provenance-ledger:log-fault:1","kind":"forked","what":"...","where":null,
     "earlier":"ledger.example/main\\n2\\n...","later":"ledger.example/main\\n5\\n...",
     "root":"<hex: the root of the earlier size in the later tree>","proof":["<hex>", ...]}
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from provenance.encoding import JsonValue, canonical_json, parse_json
from provenance.errors import MalformedError, VerificationError
from provenance.limits import MAX_NOTE_BYTES, MAX_PROOF_HASHES
from provenance.log.checkpoint import Checkpoint, open_checkpoint
from provenance.log.note import NoteVerifier
from provenance.merkle import verify_consistency

EVIDENCE_TYPE: Final = "urn:provenance-ledger:log-fault:1"
MAX_EVIDENCE_BYTES: Final = 4 * MAX_NOTE_BYTES


class FaultKind(StrEnum):
    """In what way a log is at fault. Only a fork is proven by the evidence alone; the rest is what one reader found."""

    FORKED = "forked"
    WENT_BACK = "went back"
    WITHHELD = "withheld"
    MISMATCH = "mismatch"


class LogFaultError(VerificationError):
    """A log is at fault. `earlier` is the signed checkpoint that was seen before, if one was, `later` the one now."""

    def __init__(
        self,
        kind: FaultKind,
        what: str,
        *,
        earlier: bytes | None,
        later: bytes,
        expected: object = None,
        got: object = None,
        where: object = None,
        root: bytes | None = None,
        proof: Sequence[bytes] = (),
    ) -> None:
        super().__init__(what, expected=expected, got=got, where=where)
        self.kind, self.earlier, self.later = kind, earlier, later
        self.root, self.proof = root, tuple(proof)


def encode_evidence(fault: LogFaultError) -> bytes:
    """The evidence of a fault, as canonical JSON and a newline."""
    value: dict[str, JsonValue] = {
        "type": EVIDENCE_TYPE,
        "kind": str(fault.kind),
        "what": fault.what,
        "where": fault.where,
        "earlier": None if fault.earlier is None else fault.earlier.decode("utf-8", "replace"),
        "later": fault.later.decode("utf-8", "replace"),
        "root": None if fault.root is None else fault.root.hex(),
        "proof": [one.hex() for one in fault.proof],
    }
    return canonical_json(value) + b"\n"


def verify_fork(data: bytes, verifier: NoteVerifier, *, origin: str | None = None) -> tuple[Checkpoint, Checkpoint]:
    """The two checkpoints of a fork that this evidence proves. `VerificationError` if it proves none, `MalformedError`
    if it is none."""
    value = parse_json(data, what="evidence", max_bytes=MAX_EVIDENCE_BYTES)
    if not isinstance(value, dict) or value.get("type") != EVIDENCE_TYPE:
        raise MalformedError("not evidence of a log's fault", expected=f"an object of type {EVIDENCE_TYPE}")
    earlier = open_checkpoint(_text(value, "earlier").encode(), verifier, origin=origin)
    later = open_checkpoint(_text(value, "later").encode(), verifier, origin=origin)
    if earlier.size == later.size:
        if earlier.root == later.root:
            raise VerificationError("evidence proves no fork: both checkpoints are the same", got=earlier.size)
        return earlier, later
    root, hashes = _hash(value.get("root")), value.get("proof")
    if not isinstance(hashes, list) or len(hashes) > MAX_PROOF_HASHES:
        raise MalformedError("evidence has no proof", expected=f"at most {MAX_PROOF_HASHES} hashes")
    verify_consistency(earlier.size, later.size, root, later.root, [_hash(one) for one in hashes])
    if root == earlier.root:
        raise VerificationError("evidence proves no fork: the later checkpoint extends the earlier one")
    return earlier, later


def _text(value: dict[str, JsonValue], name: str) -> str:
    text = value.get(name)
    if not isinstance(text, str):
        raise MalformedError("evidence lacks a checkpoint", expected="text", where=name)
    return text


def _hash(value: JsonValue) -> bytes:
    try:
        return bytes.fromhex(value) if isinstance(value, str) else b""
    except ValueError:
        raise MalformedError("evidence holds something that is no hash", expected="hex digits") from None
