"""Cosignatures (c2sp.org/tlog-cosignature): a witness saw the log grow consistently up to a time.

Invariants: a cosignature never verifies as another type's or as an Ed25519 log signature (the signed message starts
with "cosignature/v1\\n" or "subtree/v1\\n\\0", and the type byte is part of the key id); a cosigned checkpoint is
opened only if the log's own signature verifies; one witness key counts once, and no two keys of a policy are the same.

    message:        cosignature/v1\\ntime 1679315147\\n<origin>\\n<size>\\n<base64 root>\\n
    signature line: — witness.example/w1 <base64(key id || time as big-endian u64 || Ed25519 signature)>

ML-DSA-44 cosignatures (type 0x06) have the same line with a longer signature; their message is
`provenance.log.algorithm.subtree_message`. A log, too, signs with that type, its origin being the key's name.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from provenance.errors import MalformedError, SignerError, VerificationError
from provenance.log.algorithm import (
    ED25519_COSIGNATURE,
    MAX_COSIGNED_NAME_BYTES,
    ML_DSA_44,
    cosignature_message,
    cosignature_time,
    encode_cosignature,
    subtree_message,
)
from provenance.log.body import Checkpoint, encode_checkpoint, parse_checkpoint
from provenance.log.checkpoint import check_log_key, check_origin
from provenance.log.note import SEED_BYTES, Note, NoteSignature, NoteVerifier, encode_vkey, open_note, private_key


class WitnessSigner(Protocol):
    """A witness's signer: one key, or several that cosign side by side."""

    @property
    def name(self) -> str:
        """The name of the witness, which all of its keys have."""

    @property
    def verifiers(self) -> tuple[NoteVerifier, ...]:
        """The public halves, in the order of the lines."""

    def cosign_lines(self, checkpoint: Checkpoint, time_s: int) -> tuple[NoteSignature, ...]:
        """The cosignatures as of a time in Unix seconds, a key each; `MalformedError` if none can be made."""


class Cosigner:
    """Cosigns checkpoints with one key (type 0x04 or 0x06). The seed is in no repr, message or pickle."""

    __slots__ = ("_key", "verifier")

    def __init__(self, name: str, seed: bytes, type_byte: int = ED25519_COSIGNATURE) -> None:
        """`seed` is the raw 32-byte private key of Ed25519, or the 32-byte seed of ML-DSA-44 (FIPS 204, xi); it is not
        shared with another cosigner or a log."""
        _check_cosigner(type_byte)
        self._key = ml_dsa_key(seed) if type_byte == ML_DSA_44 else private_key(seed)
        self.verifier = NoteVerifier(name, type_byte, self._key.public_key().public_bytes_raw())
        if type_byte == ML_DSA_44 and len(name.encode()) > MAX_COSIGNED_NAME_BYTES:
            expected = f"at most {MAX_COSIGNED_NAME_BYTES} bytes"
            raise MalformedError("name is too long for an ML-DSA-44 key", expected=expected, got=len(name.encode()))

    @property
    def name(self) -> str:
        """The key name: a schema-less URL that identifies the witness; of a log's key it is the log's origin."""
        return self.verifier.name

    @property
    def verifiers(self) -> tuple[NoteVerifier, ...]:
        """The one public half. See `WitnessSigner`."""
        return (self.verifier,)

    def cosign(self, checkpoint: Checkpoint, time_s: int) -> NoteSignature:
        """The cosignature of `checkpoint` as of `time_s` in Unix seconds. The caller checked that the log only grew.

        An ML-DSA-44 cosignature with a time of 0 states no time.
        """
        if isinstance(self._key, Ed25519PrivateKey):
            signature = self._key.sign(cosignature_message(encode_checkpoint(checkpoint), time_s))
        else:
            signature = self._key.sign(subtree_message(self.name, checkpoint, time_s))
        return NoteSignature(self.name, self.verifier.key_id, encode_cosignature(time_s, signature))

    def cosign_lines(self, checkpoint: Checkpoint, time_s: int) -> tuple[NoteSignature, ...]:
        """This key's one cosignature. See `WitnessSigner`."""
        return (self.cosign(checkpoint, time_s),)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({encode_vkey(self.verifier)!r})"

    def __reduce__(self) -> str:
        raise SignerError("a signer cannot be copied or pickled")


@dataclass(frozen=True, slots=True)
class Cosigners:
    """The keys of one witness, all of one name: each cosigns what it can."""

    keys: tuple[Cosigner, ...]

    def __post_init__(self) -> None:
        if not self.keys or len({key.name for key in self.keys}) != 1:
            names = ", ".join(sorted({key.name for key in self.keys})) or "none"
            raise MalformedError("a witness's keys have one name", expected="one key at least", got=names)

    @property
    def name(self) -> str:
        """See `WitnessSigner`."""
        return self.keys[0].name

    @property
    def verifier(self) -> NoteVerifier:
        """The first key's public half."""
        return self.keys[0].verifier

    @property
    def verifiers(self) -> tuple[NoteVerifier, ...]:
        """See `WitnessSigner`."""
        return tuple(key.verifier for key in self.keys)

    def cosign_lines(self, checkpoint: Checkpoint, time_s: int) -> tuple[NoteSignature, ...]:
        """See `WitnessSigner`. An ML-DSA-44 key cosigns for no log whose origin is longer than it can bind."""
        is_long = len(checkpoint.origin.encode()) > MAX_COSIGNED_NAME_BYTES
        able = [key for key in self.keys if not (is_long and key.verifier.type_byte == ML_DSA_44)]
        if not able:
            raise MalformedError("origin is too long", expected=f"at most {MAX_COSIGNED_NAME_BYTES} bytes")
        return tuple(key.cosign(checkpoint, time_s) for key in able)


def ml_dsa_key(seed: bytes) -> MLDSA44PrivateKey:
    """The ML-DSA-44 key of a 32-byte seed. Its errors never hold the seed."""
    if not isinstance(seed, bytes) or len(seed) != SEED_BYTES:
        raise MalformedError("ML-DSA-44 seed has a wrong length", expected=f"{SEED_BYTES} bytes")
    try:
        return MLDSA44PrivateKey.from_seed_bytes(seed)
    except UnsupportedAlgorithm:
        raise SignerError("this build of cryptography has no ML-DSA-44", expected="a wheel of it") from None


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
    _check_cosigner(witness.type_byte)
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
    """Return if these can be the witnesses of one policy: keys of type 0x04 or 0x06, no public key twice;
    `MalformedError`."""
    for witness in witnesses:
        _check_cosigner(witness.type_byte)
    if len({witness.public_key for witness in witnesses}) != len(witnesses):
        raise MalformedError("two witnesses share a public key", expected="one key a witness", got=len(witnesses))


def _check_cosigner(type_byte: int) -> None:
    if type_byte not in (ED25519_COSIGNATURE, ML_DSA_44):
        raise MalformedError("key is not a witness's", expected="type 0x04 or 0x06", got=f"0x{type_byte:02x}")
