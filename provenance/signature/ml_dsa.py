"""ML-DSA-44 (FIPS 204) keys of sources, which sign beside an ECDSA or Ed25519 key and never alone.

Invariants: a key has one text, the PEM SubjectPublicKeyInfo of RFC 9881; its `keyid` is the hex SHA-256 of exactly
those bytes; what is signed is the message itself, with an empty context. Signatures are hedged: one key makes many of
one message, and nobody else makes another of them. A private key is its seed of 32 bytes, which is in no `repr` and no
error.

    -----BEGIN PUBLIC KEY-----
    MIIFMjALBglghkgBZQMEAxEDggUhANeytHJUquDbReeTDUqY0sl9jxOX0Xidr6Fw
    ...
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Final, NoReturn

from cryptography.exceptions import InternalError, InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from provenance.errors import MalformedError, SignerError, VerificationError
from provenance.limits import MAX_KEY_BYTES, check_size
from provenance.signature.pkcs8 import encrypt_pkcs8

ML_DSA_44: Final = "ml-dsa-44"
ML_DSA_SEED_BYTES: Final = 32
ML_DSA_SIGNATURE_BYTES: Final = 2_420
_UNREADABLE: Final = (ValueError, TypeError, UnsupportedAlgorithm, InternalError)


@dataclass(frozen=True, slots=True)
class MlDsaKey:
    """A verification key. Made by `parse_ml_dsa_key` only; equal keys have equal `pem` and `keyid`."""

    pem: str
    keyid: str
    _key: MLDSA44PublicKey = field(repr=False, compare=False)

    def verify(self, signature: bytes, message: bytes) -> None:
        """Return if `signature` is this key's over `message`.

        `VerificationError` if it does not verify, `MalformedError` if it does not have 2,420 bytes.
        """
        if len(signature) != ML_DSA_SIGNATURE_BYTES:
            expected = f"{ML_DSA_SIGNATURE_BYTES} bytes"
            raise MalformedError(
                "ML-DSA-44 signature has the wrong size", expected=expected, got=f"{len(signature)} bytes"
            )
        try:
            self._key.verify(signature, message)
        except InvalidSignature:
            expected = f"a signature by key {self.keyid}"
            raise VerificationError("ML-DSA-44 signature does not verify", expected=expected) from None
        except UnsupportedAlgorithm:
            raise _unsupported(VerificationError) from None

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return parse_ml_dsa_key, (self.pem,)


class MlDsaPrivateKey:
    """A signing key held in memory; its secret leaves it only through `encode_ml_dsa_private_key`."""

    __slots__ = ("_key", "public")

    public: MlDsaKey

    def __init__(self, key: MLDSA44PrivateKey) -> None:
        self.public = _public(key.public_key())
        self._key = key

    def sign(self, message: bytes) -> bytes:
        """A signature of this key over `message`: 2,420 bytes."""
        return self._key.sign(message)

    def __repr__(self) -> str:
        return f"MlDsaPrivateKey(keyid={self.public.keyid})"

    def __reduce__(self) -> NoReturn:
        raise SignerError("a private key is not copied or pickled", hint="copy its file")


def parse_ml_dsa_key(pem: str | bytes) -> MlDsaKey:
    """The key of one PEM block and nothing else. `MalformedError` for other kinds and texts."""
    data = pem.encode("utf-8", "replace") if isinstance(pem, str) else pem
    check_size("public key", len(data), MAX_KEY_BYTES)
    try:
        key = load_pem_public_key(data)
    except _UNREADABLE:
        raise MalformedError("ML-DSA-44 key cannot be read", expected="a PEM SubjectPublicKeyInfo") from None
    if not isinstance(key, MLDSA44PublicKey):
        raise MalformedError("key is of another kind", expected="ML-DSA-44", got=type(key).__name__)
    found = _public(key)
    if data.replace(b"\r\n", b"\n").strip() != found.pem.strip().encode("ascii"):
        raise MalformedError("ML-DSA-44 key is not in its one text form", expected="one PEM block")
    return found


def derive_ml_dsa_key(seed: bytes) -> MlDsaPrivateKey:
    """The key of 32 random bytes. `SignerError` for another number of them."""
    if len(seed) != ML_DSA_SEED_BYTES:
        expected = f"{ML_DSA_SEED_BYTES} bytes"
        raise SignerError("key seed has the wrong size", expected=expected, got=f"{len(seed)} bytes")
    try:
        return MlDsaPrivateKey(MLDSA44PrivateKey.from_seed_bytes(seed))
    except UnsupportedAlgorithm:
        raise _unsupported(SignerError) from None


def parse_ml_dsa_private_key(pem: bytes, passphrase: bytes | None = None) -> MlDsaPrivateKey:
    """The key of a PEM PKCS#8 block. `SignerError`, always without the content, for anything else."""
    check_size("private key", len(pem), MAX_KEY_BYTES)
    try:
        key = load_pem_private_key(pem, passphrase)
    except _UNREADABLE:
        hint = "it has the passphrase of the key it stands beside"
        raise SignerError("ML-DSA-44 private key cannot be read", expected="a PEM PKCS#8 key", hint=hint) from None
    if not isinstance(key, MLDSA44PrivateKey):
        raise SignerError("private key is of another kind", expected="ML-DSA-44", got=type(key).__name__)
    return MlDsaPrivateKey(key)


def encode_ml_dsa_private_key(key: MlDsaPrivateKey, passphrase: bytes | None = None, *, entropy: bytes = b"") -> bytes:
    """PEM PKCS#8 of `key`, its seed alone (RFC 9881); encrypted as `provenance.signature.pkcs8` says if there is a
    passphrase, with fresh `entropy`."""
    if passphrase is None:
        return key._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return encrypt_pkcs8(key._key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()), passphrase, entropy)


def _public(key: MLDSA44PublicKey) -> MlDsaKey:
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return MlDsaKey(pem.decode("ascii"), hashlib.sha256(pem).hexdigest(), key)


def _unsupported(error: type[SignerError] | type[VerificationError]) -> SignerError | VerificationError:
    return error("this build of cryptography has no ML-DSA-44", expected="a wheel of it")
