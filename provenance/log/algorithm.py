"""The signature algorithms of signed notes, by the type byte of c2sp.org/signed-note.

Invariants: a type byte decides the key's length, the signature's length and the exact message that is signed; what is
not in `ALGORITHMS` is not a key this project can hold; 0x04 and 0x06 begin with a time, 0x06 binds the key's name.

Messages: 0x01 signs the note text as it is. 0x04 signs "cosignature/v1\\ntime <seconds>\\n" and then the note text;
its signature is the time as a big-endian u64 followed by 64 Ed25519 bytes. 0x06 signs the `cosigned_message` structure
of c2sp.org/tlog-cosignature, which holds a checkpoint's origin, size and root and none of its extension lines; its
signature is the time followed by 2,420 bytes of ML-DSA-44 (FIPS 204, pure, with an empty context):

    "subtree/v1\\n\\0"  u8 n || key name  u64 time  u8 n || origin  u64 start (0)  u64 end (size)  root (32 bytes)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from types import MappingProxyType
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey

from provenance.errors import MalformedError, VerificationError
from provenance.log.body import Checkpoint, parse_checkpoint
from provenance.log.decimal import check_range

ED25519: Final = 0x01
ED25519_COSIGNATURE: Final = 0x04
ML_DSA_44: Final = 0x06

KEY_ID_BYTES: Final = 4
MAX_TIME_S: Final = 2**63 - 1
"""Largest cosignature time (c2sp.org/tlog-cosignature)."""
MAX_COSIGNED_NAME_BYTES: Final = 255
"""A cosigner's name, and a log's origin, as ML-DSA-44 cosignatures can bind them: opaque<1..2^8-1>."""

_TIME_BYTES = 8
_ED25519_SIGNATURE_BYTES = 64
_ML_DSA_44_KEY_BYTES = 1_312
_ML_DSA_44_SIGNATURE_BYTES = 2_420
_SUBTREE_LABEL = b"subtree/v1\n\0"

Verify = Callable[[str, bytes, bytes, bytes], None]
"""verify(key name, public key, note text, signature): returns, or raises `VerificationError`."""


@dataclass(frozen=True, slots=True)
class Algorithm:
    """What a type byte stands for. Lengths are in bytes; the signature's leaves the key id out."""

    type_byte: int
    label: str
    public_key_bytes: int
    signature_bytes: int
    verify: Verify


def key_id(name: str, type_byte: int, public_key: bytes) -> bytes:
    """The 4-byte key id: SHA-256(name || 0x0A || type byte || public key)[:4]."""
    return sha256(name.encode("utf-8") + b"\n" + bytes([type_byte]) + public_key).digest()[:KEY_ID_BYTES]


def cosignature_message(text: bytes, time_s: int) -> bytes:
    """The bytes an Ed25519 cosigner signs for the note text, as of `time_s` in Unix seconds."""
    check_range(time_s, what="cosignature time", max_value=MAX_TIME_S)
    return b"cosignature/v1\ntime %d\n%b" % (time_s, text)


def subtree_message(cosigner: str, checkpoint: Checkpoint, time_s: int) -> bytes:
    """The `cosigned_message` an ML-DSA-44 cosigner signs for a checkpoint, as of `time_s` in Unix seconds.

    A time of 0 states none. `MalformedError` if the cosigner's name or the origin is longer than 255 bytes.
    """
    check_range(time_s, what="cosignature time", max_value=MAX_TIME_S)
    return b"".join(
        (
            _SUBTREE_LABEL,
            _opaque(cosigner, "cosigner's name"),
            time_s.to_bytes(_TIME_BYTES, "big"),
            _opaque(checkpoint.origin, "origin"),
            bytes(8),
            checkpoint.size.to_bytes(8, "big"),
            checkpoint.root,
        )
    )


def encode_cosignature(time_s: int, signature: bytes) -> bytes:
    """The `timestamped_signature` structure: time as big-endian u64, then the signature."""
    check_range(time_s, what="cosignature time", max_value=MAX_TIME_S)
    return time_s.to_bytes(_TIME_BYTES, "big") + signature


def cosignature_time(signature: bytes) -> int:
    """The time in Unix seconds that a cosignature states; `VerificationError` if it states none."""
    time_s = int.from_bytes(signature[:_TIME_BYTES], "big")
    if len(signature) <= _TIME_BYTES or time_s > MAX_TIME_S:
        raise VerificationError("cosignature has no valid time", expected=f"0 to {MAX_TIME_S}", got=time_s)
    return time_s


def _opaque(text: str, what: str) -> bytes:
    data = text.encode("utf-8")
    if not 1 <= len(data) <= MAX_COSIGNED_NAME_BYTES:
        expected = f"1 to {MAX_COSIGNED_NAME_BYTES} bytes"
        raise MalformedError(f"{what} does not fit an ML-DSA-44 cosignature", expected=expected, got=len(data))
    return bytes([len(data)]) + data


def _verify_ed25519(_key_name: str, public_key: bytes, message: bytes, signature: bytes) -> None:
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except InvalidSignature:
        raise VerificationError("signature does not verify", expected="an Ed25519 signature by this key") from None


def _verify_ed25519_cosignature(key_name: str, public_key: bytes, text: bytes, signature: bytes) -> None:
    message = cosignature_message(text, cosignature_time(signature))
    _verify_ed25519(key_name, public_key, message, signature[_TIME_BYTES:])


def _verify_ml_dsa_44(key_name: str, public_key: bytes, text: bytes, signature: bytes) -> None:
    time_s = cosignature_time(signature)
    try:
        message = subtree_message(key_name, parse_checkpoint(text), time_s)
    except MalformedError as error:
        raise VerificationError("an ML-DSA-44 key signs checkpoints only", got=error.what) from error
    try:
        MLDSA44PublicKey.from_public_bytes(public_key).verify(signature[_TIME_BYTES:], message)
    except InvalidSignature:
        raise VerificationError("signature does not verify", expected="an ML-DSA-44 signature by this key") from None
    except UnsupportedAlgorithm:
        raise VerificationError("this build of cryptography has no ML-DSA-44", expected="a wheel of it") from None


ALGORITHMS: Final[Mapping[int, Algorithm]] = MappingProxyType(
    {
        row.type_byte: row
        for row in (
            Algorithm(ED25519, "Ed25519", 32, _ED25519_SIGNATURE_BYTES, _verify_ed25519),
            Algorithm(
                ED25519_COSIGNATURE,
                "Ed25519 cosignature",
                32,
                _TIME_BYTES + _ED25519_SIGNATURE_BYTES,
                _verify_ed25519_cosignature,
            ),
            Algorithm(
                ML_DSA_44,
                "ML-DSA-44",
                _ML_DSA_44_KEY_BYTES,
                _TIME_BYTES + _ML_DSA_44_SIGNATURE_BYTES,
                _verify_ml_dsa_44,
            ),
        )
    }
)
