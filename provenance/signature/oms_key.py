"""Keys that other people's OMS bundles may be signed with: ECDSA on P-256, P-384 or P-521.

Invariants: these keys verify and never sign; none of them makes anyone a trusted source (`provenance.signature.keys`
holds those). The hash follows the curve: SHA-256, SHA-384, SHA-512 (OMS algorithm registry). A signature is strict DER;
high s is accepted, because other tools do not normalise it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, TypeAlias

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from provenance.errors import MalformedError, VerificationError
from provenance.limits import MAX_KEY_BYTES, check_size
from provenance.signature.ecdsa import P256_ORDER, P384_ORDER, P521_ORDER, parse_der_signature
from provenance.signature.keys import UNREADABLE, key_id

_Hash: TypeAlias = SHA256 | SHA384 | SHA512

_CURVES: Final[dict[str, tuple[str, int, type[_Hash]]]] = {
    "secp256r1": ("P-256", P256_ORDER, SHA256),
    "secp384r1": ("P-384", P384_ORDER, SHA384),
    "secp521r1": ("P-521", P521_ORDER, SHA512),
}


@dataclass(frozen=True, slots=True)
class OmsKey:
    """A verification key of an OMS bundle. `curve` is "P-256", "P-384" or "P-521"."""

    curve: str
    pem: str
    keyid: str
    _key: ec.EllipticCurvePublicKey = field(repr=False, compare=False)

    def verify(self, signature: bytes, message: bytes) -> None:
        """Return if `signature` is this key's over `message`. `VerificationError`, or `MalformedError` if not DER."""
        _, order, hash_type = _CURVES[self._key.curve.name]
        parse_der_signature(signature, order)
        try:
            self._key.verify(signature, message, ec.ECDSA(hash_type()))
        except InvalidSignature:
            expected = f"a signature by key {self.keyid}"
            raise VerificationError("OMS signature does not verify", expected=expected) from None


def parse_oms_key(pem: str | bytes) -> OmsKey:
    """The key of a PEM SubjectPublicKeyInfo. `MalformedError` unless it is on one of the three curves."""
    data = pem.encode("utf-8", "replace") if isinstance(pem, str) else pem
    check_size("public key", len(data), MAX_KEY_BYTES)
    try:
        return _oms_key(load_pem_public_key(data))
    except UNREADABLE:
        raise MalformedError("public key cannot be read", expected="a PEM SubjectPublicKeyInfo") from None


def certificate_key(der: bytes) -> OmsKey:
    """The key inside a DER certificate, whose own validity is not judged. `MalformedError` for other kinds of keys."""
    from cryptography import x509

    try:
        return _oms_key(x509.load_der_x509_certificate(der).public_key())
    except (*UNREADABLE, x509.InvalidVersion, Warning):  # a serial number of zero is a warning: an error where asked
        raise MalformedError("OMS certificate cannot be read", expected="a DER X.509 certificate") from None


def _oms_key(key: object) -> OmsKey:
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise MalformedError("OMS key is of an unsupported kind", expected="an ECDSA key", got=type(key).__name__)
    if key.curve.name not in _CURVES:
        raise MalformedError("OMS key is on an unsupported curve", expected="P-256, P-384 or P-521", got=key.curve.name)
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii")
    return OmsKey(_CURVES[key.curve.name][0], pem, key_id(pem), key)
