"""Transparency log proofs (c2sp.org/tlog-proof@v1): an entry's inclusion, provable with no log at hand.

Invariants: `encode_proof(parse_proof(x)) == x`; the checkpoint is kept byte for byte; a verified proof says that the
entry is at `index` of the tree the log signed. `extra` is authenticated by nothing and trusted for nothing.

    c2sp.org/tlog-proof@v1
    index 2
    YcoROfaBWEHVuvLQ0tm9nf7pfImN1ve6DAqpQe5sAes=
    WkdmL9ijF9lgSaP59HxV3GfKZgUbqjaD27GbL+CaB7A=
    SFM123z+yWXxX/dF/GJcQdXqJkaTaTAWWCj3PdS2iFQ=

    <checkpoint of a tree of five>

A line "extra <base64>" may stand before the index; a tree of one has no hashes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from provenance.encoding import b64decode, b64encode
from provenance.errors import LimitError, MalformedError
from provenance.limits import MAX_NOTE_BYTES, MAX_PROOF_HASHES, check_size
from provenance.log.checkpoint import Checkpoint, parse_checkpoint
from provenance.log.cosignature import CosignedCheckpoint, open_cosigned
from provenance.log.decimal import check_range, parse_decimal
from provenance.log.note import NoteVerifier, parse_note
from provenance.merkle import HASH_BYTES, verify_inclusion

_HEADER = b"c2sp.org/tlog-proof@v1\n"
_MAX_HEADS = 16


@dataclass(frozen=True, slots=True)
class TlogProof:
    """An entry's index (uint64), its inclusion proof (32-byte hashes, leaf's sibling first) and a signed checkpoint.

    `checkpoint` is the note's bytes; `extra` is opaque and unauthenticated. `MalformedError` or `LimitError` if it
    could not be encoded, or if the index is outside the checkpoint's tree.
    """

    index: int
    hashes: tuple[bytes, ...]
    checkpoint: bytes
    extra: bytes | None = None

    def __post_init__(self) -> None:
        check_range(self.index, what="entry index")
        if len(self.hashes) > MAX_PROOF_HASHES:
            raise LimitError("proof is too long", expected=f"at most {MAX_PROOF_HASHES}", got=len(self.hashes))
        if any(len(value) != HASH_BYTES for value in self.hashes):
            raise MalformedError("proof hash has a wrong length", expected=f"{HASH_BYTES} bytes")
        if self.extra == b"":
            raise MalformedError("extra data is empty", expected="bytes, or no extra line")
        if self.index >= self.head.size:
            raise MalformedError("index is outside the tree", expected=f"below {self.head.size}", got=self.index)

    @property
    def head(self) -> Checkpoint:
        """The checkpoint as it reads, nothing verified."""
        return _head(self.checkpoint)


@lru_cache(maxsize=_MAX_HEADS)
def _head(checkpoint: bytes) -> Checkpoint:
    """As `TlogProof.head`. Kept for a few: the proofs of a bundle have one checkpoint, of kilobytes with ML-DSA-44."""
    return parse_checkpoint(parse_note(checkpoint).text)


def encode_proof(proof: TlogProof) -> bytes:
    """The proof's text, 1,000,000 bytes at most."""
    lines = [] if proof.extra is None else [f"extra {b64encode(proof.extra)}"]
    lines += [f"index {proof.index}", *map(b64encode, proof.hashes), ""]
    data = _HEADER + "".join(f"{line}\n" for line in lines).encode("ascii") + proof.checkpoint
    check_size("tlog proof", len(data), MAX_NOTE_BYTES)
    return data


def parse_proof(data: bytes) -> TlogProof:
    """The proof of a text, nothing verified; `MalformedError` or `LimitError` for what does not re-encode to `data`."""
    check_size("tlog proof", len(data), MAX_NOTE_BYTES)
    if not data.startswith(_HEADER):
        raise MalformedError("not a tlog proof", expected=_HEADER.decode().strip(), got=repr(data[: len(_HEADER)]))
    body, blank, checkpoint = data[len(_HEADER) :].partition(b"\n\n")
    if not blank or not body.isascii():
        raise MalformedError("tlog proof is out of form", expected="ASCII lines, a blank line and a checkpoint")
    lines = body.decode("ascii").split("\n")
    extra = None
    if lines[0].startswith("extra "):
        extra = b64decode(lines.pop(0).removeprefix("extra "), what="extra data", max_bytes=MAX_NOTE_BYTES)
    if not lines or not lines[0].startswith("index "):
        raise MalformedError(
            "tlog proof has no index", expected="index <decimal>", got=lines[0] if lines else "nothing"
        )
    index = parse_decimal(lines[0].removeprefix("index "), what="entry index")
    if len(lines) - 1 > MAX_PROOF_HASHES:
        raise LimitError("proof is too long", expected=f"at most {MAX_PROOF_HASHES}", got=len(lines) - 1)
    hashes = tuple(b64decode(line, what="proof hash", max_bytes=HASH_BYTES) for line in lines[1:])
    return TlogProof(index, hashes, checkpoint, extra)


def verify_proof(
    proof: TlogProof,
    leaf: bytes,
    log_verifier: NoteVerifier,
    *,
    witnesses: Iterable[NoteVerifier] = (),
    origin: str | None = None,
) -> CosignedCheckpoint:
    """The verified checkpoint whose tree holds the leaf hash `leaf` (32 bytes) at the proof's index.

    In order: 1. the log's signature, and every known witness's; 2. the origin; 3. the inclusion proof. How many
    witnesses are enough is the caller's policy. `VerificationError` for the first that fails.
    """
    opened = open_cosigned(proof.checkpoint, log_verifier, witnesses, origin=origin)
    head = opened.checkpoint
    verify_inclusion(leaf, proof.index, head.size, proof.hashes, head.root)
    return opened
