"""Source keys: ECDSA P-256 and Ed25519, public and private.

Invariants: a `PublicKey` is on one of the two curves and has one text, the PEM SubjectPublicKeyInfo as OpenSSL writes
it; its `keyid` is the hex SHA-256 of exactly those bytes. P-256 signatures are deterministic (RFC 6979, SHA-256), DER,
and low (`provenance.signature.ecdsa`), Ed25519 signatures are RFC 8032's: one key and one message have one signature.
No key of small order is accepted (it would verify signatures that nobody made). A `PrivateKey` shows its public half
only: not its secret in `repr`, in an error, in a pickle or in a copy.

A key may be a pair: an ML-DSA-44 key stands beside the classical one, whose key id the pair goes by. Envelopes are then
signed with both, and whoever has the pair asks for both (`provenance.signature.dsse`). `sign` and `verify` are of the
classical key alone.

    -----BEGIN PUBLIC KEY-----
    MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEUVkLelFRQNLXhMhWCGaP3++Mgv0f
    W+UkIVVKDcPQM+3gwX2okEpyfYrhvza/inkmDQEvANTYCIjR0LtE/aFtpA==
    -----END PUBLIC KEY-----
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field, replace
from typing import Final, Literal, NoReturn, Protocol, TypeAlias, runtime_checkable

from cryptography.exceptions import InternalError, InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.hashes import SHA256
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
from provenance.signature.ecdsa import P256_ORDER, parse_der_signature, require_low_s, to_low_s
from provenance.signature.ml_dsa import (
    ML_DSA_44,
    MlDsaKey,
    MlDsaPrivateKey,
    derive_ml_dsa_key,
    parse_ml_dsa_key,
    parse_ml_dsa_private_key,
)
from provenance.signature.pkcs8 import check_passphrase, encrypt_pkcs8

Algorithm: TypeAlias = Literal["ecdsa-p256", "ed25519"]
ECDSA_P256: Final = "ecdsa-p256"
ED25519: Final = "ed25519"
ALGORITHMS: Final[tuple[Algorithm, ...]] = (ECDSA_P256, ED25519)
SEED_BYTES: Final[dict[Algorithm, int]] = {ECDSA_P256: 48, ED25519: 32}
"""Random bytes that `derive_private_key` takes; P-256 takes 128 bits more than its order has (FIPS 186-5, A.2.1)."""
UNREADABLE: Final = (ValueError, UnsupportedAlgorithm, InternalError)
"""What the cryptography package raises for damaged keys; OpenSSL rejects some key sizes only deep inside."""

_EcOrEd: TypeAlias = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey
_EcOrEdPrivate: TypeAlias = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
_EXPECTED_PUBLIC: Final = "a PEM SubjectPublicKeyInfo of a P-256 or Ed25519 key"
_HINT_PUBLIC: Final = "write it with `openssl pkey -pubin -in FILE -pubout`"
_BEGIN_PUBLIC: Final = re.compile(rb"-----BEGIN PUBLIC KEY-----")
_BEGIN_PRIVATE: Final = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----")
_ED25519_SIGNATURE_BYTES: Final = 64
_ED25519_PRIME: Final = 2**255 - 19
_ED25519_SMALL_ORDER_Y: Final = frozenset(
    {
        0,
        1,
        _ED25519_PRIME - 1,
        0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7,
        0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826,
    }
)
"""The y coordinates of the eight points whose order divides eight."""


class Signer(Protocol):
    """Whatever signs for a source: a file key, an agent, a hardware token."""

    @property
    def public(self) -> PublicKey:
        """The key that verifies this signer's signatures."""

    def sign(self, message: bytes) -> bytes:
        """The signature over `message`, in the form `PublicKey.verify` accepts."""


@runtime_checkable
class PairSigner(Signer, Protocol):
    """A signer whose `public` is a pair."""

    def sign_ml_dsa(self, message: bytes) -> bytes:
        """A signature over `message` by the pair's ML-DSA-44 key."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A verification key, made by `parse_public_key`, or a pair, by `parse_key_text`. Equal keys have equal `text`.

    `algorithm`, `pem` and `keyid` are those of the classical key; `ml_dsa` is what stands beside it.
    """

    algorithm: Algorithm
    pem: str
    keyid: str
    _key: _EcOrEd = field(repr=False, compare=False)
    ml_dsa: MlDsaKey | None = None

    @property
    def algorithms(self) -> tuple[str, ...]:
        """By what an envelope of this key is signed."""
        return (self.algorithm,) if self.ml_dsa is None else (self.algorithm, ML_DSA_44)

    @property
    def alone(self) -> PublicKey:
        """The classical key, without what stands beside it."""
        return self if self.ml_dsa is None else replace(self, ml_dsa=None)

    @property
    def text(self) -> str:
        """What its owner hands to others: its PEM block; of a pair, both, the ML-DSA-44 key's second."""
        return self.pem if self.ml_dsa is None else self.pem + self.ml_dsa.pem

    def verify(self, signature: bytes, message: bytes) -> None:
        """Return if `signature` is this key's over `message` in its one byte form.

        `VerificationError` if it does not verify or is the high-s twin, `MalformedError` if it is no signature at all.
        """
        try:
            if isinstance(self._key, ec.EllipticCurvePublicKey):
                parse_der_signature(signature, P256_ORDER)
                self._key.verify(signature, message, ec.ECDSA(SHA256()))
                require_low_s(signature, P256_ORDER)
            else:
                _check_ed25519_size(signature)
                self._key.verify(signature, message)
        except InvalidSignature:
            raise VerificationError("signature does not verify", expected=f"a signature by key {self.keyid}") from None

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return parse_key_text, (self.text,)


class PrivateKey:
    """A signing key held in memory. It is a `Signer`; its secret leaves it only through `encode_private_key`."""

    __slots__ = ("_key", "ml_dsa", "public")

    public: PublicKey

    def __init__(self, key: _EcOrEdPrivate, ml_dsa: MlDsaPrivateKey | None = None) -> None:
        public = _public_key(key.public_key(), error=SignerError)
        self.public = public if ml_dsa is None else replace(public, ml_dsa=ml_dsa.public)
        self._key, self.ml_dsa = key, ml_dsa

    def sign(self, message: bytes) -> bytes:
        """The one signature of this key over `message`: DER low-s ECDSA (8 to 71 bytes) or Ed25519 (64 bytes)."""
        if isinstance(self._key, ec.EllipticCurvePrivateKey):
            signature = self._key.sign(message, ec.ECDSA(SHA256(), deterministic_signing=True))
            return to_low_s(signature, P256_ORDER)
        return self._key.sign(message)

    def sign_ml_dsa(self, message: bytes) -> bytes:
        """A signature of the pair's ML-DSA-44 key over `message` (2,420 bytes); `SignerError` if it is no pair."""
        if self.ml_dsa is None:
            raise SignerError("key has no ML-DSA-44 key beside it", got=self.public.keyid)
        return self.ml_dsa.sign(message)

    def __repr__(self) -> str:
        return f"PrivateKey({', '.join(self.public.algorithms)}, keyid={self.public.keyid})"

    def __reduce__(self) -> NoReturn:
        raise SignerError("a private key is not copied or pickled", hint="use encode_private_key with a passphrase")


def parse_public_key(pem: str | bytes) -> PublicKey:
    """The key of one PEM block and nothing else. `MalformedError` for other kinds, curves, texts and sizes."""
    return _public_key(_load_public(pem), given=pem)


def parse_key_text(text: str | bytes) -> PublicKey:
    """The key, or pair, in what its owner hands out: one PEM block, or two of which the second is an ML-DSA-44 key.

    `MalformedError` for anything else.
    """
    first, second = _split_blocks(text.encode("utf-8", "replace") if isinstance(text, str) else text, _BEGIN_PUBLIC)
    key = parse_public_key(first)
    return key if second is None else replace(key, ml_dsa=parse_ml_dsa_key(second))


def with_ml_dsa(key: PrivateKey, seed: bytes) -> PrivateKey:
    """A pair of `key` and the ML-DSA-44 key of 32 random bytes."""
    return PrivateKey(key._key, derive_ml_dsa_key(seed))


def derive_private_key(algorithm: Algorithm, seed: bytes) -> PrivateKey:
    """The key that `SEED_BYTES[algorithm]` random bytes stand for; the same seed gives the same key.

    Ed25519: the seed is the private key (RFC 8032, 5.1.5). P-256: 1 + seed mod (n - 1) (FIPS 186-5, A.2.1).
    """
    if algorithm not in ALGORITHMS:
        raise SignerError("key algorithm is not supported", expected=" or ".join(ALGORITHMS), got=algorithm)
    if len(seed) != SEED_BYTES[algorithm]:
        expected = f"{SEED_BYTES[algorithm]} bytes"
        raise SignerError("key seed has the wrong size", expected=expected, got=f"{len(seed)} bytes")
    if algorithm == ED25519:
        return PrivateKey(ed25519.Ed25519PrivateKey.from_private_bytes(seed))
    scalar = 1 + int.from_bytes(seed, "big") % (P256_ORDER - 1)
    return PrivateKey(ec.derive_private_key(scalar, ec.SECP256R1()))


def parse_private_key(pem: bytes, passphrase: bytes | None = None) -> PrivateKey:
    """The key of a PEM PKCS#8 (or SEC 1) block.

    `SignerError`, always without the content: another kind of key, no PEM, encrypted and no passphrase given, wrong
    passphrase, passphrase given for a key that is not encrypted. `LimitError` above 16 KiB.
    """
    check_size("private key", len(pem), MAX_KEY_BYTES)
    if passphrase is not None:
        check_passphrase(passphrase)
    try:
        key = load_pem_private_key(pem, passphrase)
    except TypeError:
        raise _passphrase_error(given=passphrase is not None) from None
    except UNREADABLE:
        if passphrase is not None:
            hint = "check the passphrase; it is never stored, so a lost one cannot be recovered"
            raise SignerError("passphrase is wrong, or the private key is damaged", hint=hint) from None
        raise SignerError("private key cannot be read", expected="a PEM PKCS#8 private key") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey):
        raise SignerError("private key is of an unsupported kind", expected="P-256 or Ed25519", got=type(key).__name__)
    return PrivateKey(key)


def parse_private_pair(pem: bytes, passphrase: bytes | None = None) -> PrivateKey:
    """As `parse_private_key`; if a second block follows, a pair of the two keys, both under the same passphrase."""
    first, second = _split_blocks(pem, _BEGIN_PRIVATE)
    if second is not None and len(_BEGIN_PRIVATE.findall(second)) > 1:
        raise SignerError("private key cannot be read", expected="one private key, or two of a pair")
    key = parse_private_key(first, passphrase)
    return key if second is None else PrivateKey(key._key, parse_ml_dsa_private_key(second, passphrase))


def encode_private_key(key: PrivateKey, passphrase: bytes | None = None, *, entropy: bytes = b"") -> bytes:
    """PEM PKCS#8 of `key`, of a pair the classical one; encrypted with scrypt and AES-256 if there is a passphrase.

    `entropy`: with a passphrase, `pkcs8.ENTROPY_BYTES` fresh random bytes for salt and IV. `SignerError` otherwise.
    """
    if passphrase is None:
        return key._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return encrypt_pkcs8(key._key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()), passphrase, entropy)


def key_id(pem: str) -> str:
    """Hex SHA-256 of a PEM SubjectPublicKeyInfo as OpenSSL writes it (OMS: `publicKey.hint`)."""
    return hashlib.sha256(pem.encode("ascii")).hexdigest()


def _split_blocks(data: bytes, begin: re.Pattern[bytes]) -> tuple[bytes, bytes | None]:
    """What comes before the second PEM block that begins so, and all from there on; None if there is none."""
    begins = [found.start() for found in begin.finditer(data)]
    return (data, None) if len(begins) < 2 else (data[: begins[1]], data[begins[1] :])


def _load_public(pem: str | bytes) -> object:
    data = pem.encode("utf-8", "replace") if isinstance(pem, str) else pem
    check_size("public key", len(data), MAX_KEY_BYTES)
    try:
        return load_pem_public_key(data)
    except UNREADABLE:
        raise MalformedError("public key cannot be read", expected=_EXPECTED_PUBLIC, hint=_HINT_PUBLIC) from None


def _public_key(
    key: object, *, given: str | bytes | None = None, error: type[MalformedError] | type[SignerError] = MalformedError
) -> PublicKey:
    algorithm: Algorithm
    if isinstance(key, ec.EllipticCurvePublicKey):
        if not isinstance(key.curve, ec.SECP256R1):
            raise error("key is on an unsupported curve", expected="P-256", got=key.curve.name)
        algorithm = ECDSA_P256
    elif isinstance(key, ed25519.Ed25519PublicKey):
        _check_ed25519_point(key.public_bytes_raw())
        algorithm = ED25519
    else:
        raise error("key is of an unsupported kind", expected="P-256 or Ed25519", got=type(key).__name__)
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii")
    if given is not None and _plain_lines(given) != pem.strip().encode("ascii"):
        raise MalformedError("public key is not in its one text form", expected="one PEM block", hint=_HINT_PUBLIC)
    return PublicKey(algorithm, pem, key_id(pem), key)


def _plain_lines(pem: str | bytes) -> bytes:
    data = pem.encode("utf-8", "replace") if isinstance(pem, str) else pem
    return data.replace(b"\r\n", b"\n").strip()


def _check_ed25519_point(raw: bytes) -> None:
    y = int.from_bytes(raw, "little") & (2**255 - 1)
    if y >= _ED25519_PRIME or y in _ED25519_SMALL_ORDER_Y:
        raise MalformedError("Ed25519 key is weak", expected="a canonical point that is not of small order")


def _check_ed25519_size(signature: bytes) -> None:
    if len(signature) != _ED25519_SIGNATURE_BYTES:
        expected = f"{_ED25519_SIGNATURE_BYTES} bytes"
        raise MalformedError("Ed25519 signature has the wrong size", expected=expected, got=f"{len(signature)} bytes")


def _passphrase_error(*, given: bool) -> SignerError:
    if given:
        return SignerError("private key is not encrypted, but a passphrase was given", hint="leave the passphrase out")
    return SignerError("private key is encrypted", expected="its passphrase", hint="give the key's passphrase")
