"""Checkpoints (c2sp.org/tlog-checkpoint): the head of a log, as the text of a signed note.

Invariants: a checkpoint that was opened is of the origin it was asked for and signed by that log's key. This project's
logs sign no extension lines; an ML-DSA-44 signature would not cover them.

    ledger.example/main
    70000
    o5IPun8jmgcam9EHIfE0Gt3vuu3ttBx+JEN6nRa98Ao=

    — ledger.example/main IgRPDyGdtLKaVTCbw+zoToNCdmpZ1Yr9ll9YR1VTuOSmPiPsMW3Dw5rV4HDDcm6B0Fhq5H3/vwg20FukohdgmqtkGwY=
"""

from __future__ import annotations

from typing import Protocol

from provenance.errors import MalformedError, VerificationError
from provenance.log.algorithm import ED25519, ML_DSA_44
from provenance.log.body import Checkpoint, encode_checkpoint, parse_checkpoint
from provenance.log.note import NoteSignature, NoteVerifier, encode_note, open_note

__all__ = [
    "LOG_KEY_TYPES",
    "Checkpoint",
    "CheckpointSigner",
    "check_log_key",
    "check_origin",
    "encode_checkpoint",
    "open_checkpoint",
    "parse_checkpoint",
    "sign_checkpoint",
]

LOG_KEY_TYPES = (ED25519, ML_DSA_44)
"""The types logs sign checkpoints with."""


class CheckpointSigner(Protocol):
    """A log's signer: one key, or several that sign side by side."""

    @property
    def name(self) -> str:
        """The origin of the log."""

    @property
    def verifiers(self) -> tuple[NoteVerifier, ...]:
        """The public halves, in the order of the lines."""

    def sign_lines(self, checkpoint: Checkpoint) -> tuple[NoteSignature, ...]:
        """The signatures of a checkpoint, a key each, in the order they stand in the note."""


def sign_checkpoint(checkpoint: Checkpoint, signer: CheckpointSigner) -> bytes:
    """The signed note of `checkpoint`. The signer is named after the origin and there are no extensions."""
    if signer.name != checkpoint.origin:
        raise MalformedError("signer is not the log's", expected=checkpoint.origin, got=signer.name)
    if checkpoint.extensions:
        raise MalformedError("a log signs no extension lines", got=f"{len(checkpoint.extensions)} lines")
    return encode_note(encode_checkpoint(checkpoint), signer.sign_lines(checkpoint))


def open_checkpoint(data: bytes, log_verifier: NoteVerifier, *, origin: str | None = None) -> Checkpoint:
    """The checkpoint of a signed note, its log signature verified and its origin as expected.

    `origin` is needed only for a log whose key name is not its origin. Other keys' signatures are not judged: see
    `open_cosigned`. `VerificationError` for a missing or wrong signature or another log's origin.
    """
    check_log_key(log_verifier)
    return check_origin(parse_checkpoint(open_note(data, [log_verifier]).text), origin or log_verifier.name)


def check_log_key(verifier: NoteVerifier) -> None:
    """Return if `verifier` is of a type logs sign checkpoints with (0x01, 0x06); otherwise `MalformedError`."""
    if verifier.type_byte not in LOG_KEY_TYPES:
        expected = "type " + " or ".join(f"0x{number:02x}" for number in LOG_KEY_TYPES)
        raise MalformedError("key is not a log's", expected=expected, got=f"0x{verifier.type_byte:02x}")


def check_origin(checkpoint: Checkpoint, origin: str) -> Checkpoint:
    """`checkpoint` if it is of the log `origin`; otherwise `VerificationError`."""
    if checkpoint.origin != origin:
        raise VerificationError("checkpoint is of another log", expected=origin, got=checkpoint.origin)
    return checkpoint
