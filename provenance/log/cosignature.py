"""Cosignatures (c2sp.org/tlog-cosignature, cosignature/v1): a witness saw the log grow consistently up to a time.

Invariants: a cosignature never verifies as a log signature or the other way round (the signed message starts with
"cosignature/v1\\n", and the type byte is part of the key id); a cosigned checkpoint is opened only if the log's own
signature verifies; one witness key counts once, and no two witnesses of a policy share a public key.

    message:        cosignature/v1\\ntime 1679315147\\n<origin>\\n<size>\\n<base64 root>\\n
    signature line: — witness.example/w1 <base64(key id || time as big-endian u64 || Ed25519 signature)>
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from provenance.errors import MalformedError, SignerError, VerificationError
from provenance.log.algorithm import (
    ED25519,
    ED25519_COSIGNATURE,
    cosignature_message,
    cosignature_time,
    encode_cosignature,
)
from provenance.log.checkpoint import Checkpoint, check_log_key, check_origin, encode_checkpoint, parse_checkpoint
from provenance.log.note import Note, NoteSignature, NoteVerifier, encode_vkey, open_note, private_key


class Cosigner:
    """Cosigns checkpoints with an Ed25519 key (type 0x04). The seed is in no repr, message or pickle."""

    __slots__ = ("_key", "verifier")

    def __init__(self, name: str, seed: bytes) -> None:
        """`seed` is the raw 32-byte Ed25519 private key, not shared with another cosigner or a log."""
        self._key = private_key(seed)
        self.verifier = NoteVerifier(name, ED25519_COSIGNATURE, self._key.public_key().public_bytes_raw())

    @property
    def name(self) -> str:
        """The key name: a schema-less URL that identifies the witness."""
        return self.verifier.name

    def cosign(self, checkpoint: Checkpoint, time_s: int) -> NoteSignature:
        """The cosignature of `checkpoint` as of `time_s` in Unix seconds. The caller checked that the log only grew."""
        signature = self._key.sign(cosignature_message(encode_checkpoint(checkpoint), time_s))
        return NoteSignature(self.name, self.verifier.key_id, encode_cosignature(time_s, signature))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({encode_vkey(self.verifier)!r})"

    def __reduce__(self) -> str:
        raise SignerError("a signer cannot be copied or pickled")


@dataclass(frozen=True, slots=True)
class Cosignature:
    """A verified cosignature: whose, and the time in Unix seconds by that witness's clock."""

    witness: NoteVerifier
    time_s: int


@dataclass(frozen=True, slots=True)
class CosignedCheckpoint:
    """A checkpoint with its log signature verified, and the cosignatures of known witnesses, each key once."""

    checkpoint: Checkpoint
    cosignatures: tuple[Cosignature, ...]


def verify_cosignature(checkpoint: Checkpoint, signature: NoteSignature, witness: NoteVerifier) -> Cosignature:
    """The cosignature, if it is `witness`'s of `checkpoint`; otherwise `VerificationError`."""
    _check_witness(witness)
    if (signature.name, signature.key_id) != (witness.name, witness.key_id):
        raise VerificationError("cosignature is another key's", expected=encode_vkey(witness), got=signature.name)
    witness.verify(encode_checkpoint(checkpoint), signature.signature)
    return Cosignature(witness, cosignature_time(signature.signature))


def open_cosigned(
    data: bytes, log_verifier: NoteVerifier, witnesses: Iterable[NoteVerifier], *, origin: str | None = None
) -> CosignedCheckpoint:
    """The checkpoint with the log signature and every known witness's cosignature verified.

    How many cosignatures are enough is the caller's policy: none is not an error here. `VerificationError` if the
    log's signature is missing or any signature of a known key fails; `origin` as in `open_checkpoint`.
    """
    check_log_key(log_verifier)
    known = tuple(dict.fromkeys(witnesses))
    check_witnesses(known)
    note = open_note(data, [log_verifier, *known])
    if not _signed_by(note, log_verifier):
        raise VerificationError("checkpoint is not signed by its log", expected=encode_vkey(log_verifier))
    checkpoint = check_origin(parse_checkpoint(note.text), origin or log_verifier.name)
    by_identity = {(witness.name, witness.key_id): witness for witness in known}
    cosignatures = tuple(
        Cosignature(by_identity[signature.name, signature.key_id], cosignature_time(signature.signature))
        for signature in note.verified
        if (signature.name, signature.key_id) in by_identity
    )
    return CosignedCheckpoint(checkpoint, cosignatures)


def _signed_by(note: Note, verifier: NoteVerifier) -> bool:
    return any((each.name, each.key_id) == (verifier.name, verifier.key_id) for each in note.verified)


def check_witnesses(witnesses: Sequence[NoteVerifier]) -> None:
    """Return if these can be the witnesses of one policy: keys of type 0x04, no public key twice; `MalformedError`."""
    for witness in witnesses:
        _check_witness(witness)
    if len({witness.public_key for witness in witnesses}) != len(witnesses):
        raise MalformedError("two witnesses share a public key", expected="one key a witness", got=len(witnesses))


def _check_witness(verifier: NoteVerifier) -> None:
    if verifier.type_byte == ED25519:
        raise MalformedError("key is not a witness's", expected="type 0x04", got=f"0x{verifier.type_byte:02x}")
