"""ECDSA signature values: one byte form for one value.

Invariants: a signature is the DER (X.690 section 10) SEQUENCE of exactly two INTEGERs r and s, both in 1..n-1, in
their shortest encoding, with nothing after it; BER, padding, negative or oversized integers are refused. The low form
has s <= n // 2: the pair (r, n - s) verifies just as well, so what must have one byte form is made and required low.

    30 44  02 20 <r, 32 bytes>  02 20 <s, 32 bytes>
"""

from __future__ import annotations

from typing import Final

from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from provenance.errors import MalformedError, VerificationError

P256_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
P384_ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973
P521_ORDER: Final = int(
    "01fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffa"
    "51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409",
    16,
)
MAX_SIGNATURE_BYTES: Final = 144
"""The longest DER signature on P-521 is 139 bytes."""


def parse_der_signature(signature: bytes, order: int) -> tuple[int, int]:
    """(r, s) of a strict DER signature. `MalformedError` if it is not DER or r or s is outside 1..order-1."""
    if len(signature) > MAX_SIGNATURE_BYTES:
        expected = f"at most {MAX_SIGNATURE_BYTES} bytes"
        raise MalformedError("ECDSA signature is too long", expected=expected, got=f"{len(signature)} bytes")
    try:
        r, s = decode_dss_signature(signature)
    except ValueError:
        raise MalformedError("ECDSA signature is not DER", expected="SEQUENCE of two INTEGERs") from None
    if not (0 < r < order and 0 < s < order):
        raise MalformedError("ECDSA signature is out of range", expected="r and s from 1 to the curve's order - 1")
    if encode_dss_signature(r, s) != signature:
        raise MalformedError("ECDSA signature is not canonical DER", expected="its shortest encoding")
    return r, s


def to_low_s(signature: bytes, order: int) -> bytes:
    """The same signature with s in the lower half. `MalformedError` as `parse_der_signature`."""
    r, s = parse_der_signature(signature, order)
    return encode_dss_signature(r, min(s, order - s))


def require_low_s(signature: bytes, order: int) -> None:
    """`VerificationError` if s is in the upper half: the signature is the malleated twin of another one."""
    _, s = parse_der_signature(signature, order)
    if s > order // 2:
        raise VerificationError("ECDSA signature is not in its low form", expected="s at most half the curve's order")
