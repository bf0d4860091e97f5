"""The request a log sends to a witness (c2sp.org/tlog-witness): a checkpoint, and the proof that it extends what the
witness saw last.

Invariants: what `parse_add_checkpoint` takes, `encode_add_checkpoint` writes back unchanged; a proof has at most 63
hashes; an old size of 0 has no proof.

    old 20852163
    PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=
    jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=

    sum.golang.org
    20852165
    Dk2U+dEh0k1s5VVDQMT1M6OXVQ3aHJCbcZI3Iah0zHk=

    — sum.golang.org Az3grlF...
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from provenance.encoding import b64decode, b64encode
from provenance.errors import MalformedError
from provenance.limits import MAX_NOTE_BYTES, check_size
from provenance.log.decimal import check_range, parse_decimal
from provenance.merkle import HASH_BYTES

MAX_PROOF_HASHES: Final = 63
MAX_REQUEST_BYTES: Final = MAX_NOTE_BYTES + MAX_PROOF_HASHES * 64 + 64
SIZE_TYPE: Final = "text/x.tlog.size"
"""The content type of an answer that states the size a witness saw last."""


@dataclass(frozen=True, slots=True)
class AddCheckpoint:
    """`old` is the size that the witness saw last, 0 if it saw none; `proof` leads from it to the checkpoint in
    `note`."""

    old: int
    proof: tuple[bytes, ...]
    note: bytes

    def __post_init__(self) -> None:
        check_range(self.old, what="old size")
        check_size("consistency proof", len(self.proof), MAX_PROOF_HASHES, "hashes")
        if any(len(one) != HASH_BYTES for one in self.proof):
            raise MalformedError("consistency proof holds something that is no hash", expected=f"{HASH_BYTES} bytes")
        if not self.old and self.proof:
            raise MalformedError("there is a proof from nothing", expected="none", got=f"{len(self.proof)} hashes")


def encode_add_checkpoint(request: AddCheckpoint) -> bytes:
    """The body of the request."""
    lines = [f"old {request.old}", *map(b64encode, request.proof), ""]
    return "".join(f"{line}\n" for line in lines).encode() + request.note


def parse_add_checkpoint(data: bytes) -> AddCheckpoint:
    """The request in a body; `MalformedError` for anything else. The checkpoint is not looked at."""
    check_size("request", len(data), MAX_REQUEST_BYTES)
    head, blank, note = data.partition(b"\n\n")
    if not blank or not note:
        raise MalformedError("request has no checkpoint", expected="old size, proof, a blank line, a checkpoint")
    first, *hashes = head.split(b"\n")
    if not first.startswith(b"old ") or not first.isascii():
        raise MalformedError("request does not say which size came before", expected="old and a number")
    check_size("consistency proof", len(hashes), MAX_PROOF_HASHES, "hashes")
    proof = []
    for line in hashes:
        if not line.isascii():
            raise MalformedError("hash is not base64", expected="base64 of 32 bytes")
        proof.append(b64decode(line.decode("ascii"), what="hash of the proof", max_bytes=HASH_BYTES))
    return AddCheckpoint(parse_decimal(first[4:].decode("ascii"), what="old size"), tuple(proof), note)
