from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from provenance.errors import MalformedError, VerificationError
from provenance.signature.ecdsa import (
    MAX_SIGNATURE_BYTES,
    P256_ORDER,
    P384_ORDER,
    P521_ORDER,
    parse_der_signature,
    require_low_s,
    to_low_s,
)

ORDERS = [(ec.SECP256R1(), P256_ORDER), (ec.SECP384R1(), P384_ORDER), (ec.SECP521R1(), P521_ORDER)]


def naive_der(r: int, s: int) -> bytes:
    """X.690: INTEGER is two's complement in the fewest bytes, SEQUENCE and INTEGER lengths in the fewest bytes."""

    def tlv(tag: int, body: bytes) -> bytes:
        size = len(body)
        return bytes([tag]) + (bytes([size]) if size < 128 else bytes([0x81, size])) + body

    def integer(value: int) -> bytes:
        size = 1
        while value >= 1 << (8 * size - 1):
            size += 1
        return tlv(2, value.to_bytes(size, "big"))

    return tlv(0x30, integer(r) + integer(s))


@pytest.mark.parametrize(("curve", "order"), ORDERS, ids=lambda p: getattr(p, "name", ""))
def test_orders_are_the_curves_own(curve: ec.EllipticCurve, order: int) -> None:
    ec.derive_private_key(order - 1, curve)
    with pytest.raises(ValueError):
        ec.derive_private_key(order, curve)


@given(st.integers(1, P521_ORDER - 1), st.integers(1, P521_ORDER - 1))
def test_parse_inverts_a_naive_encoder(r: int, s: int) -> None:
    encoded = naive_der(r, s)
    assert len(encoded) <= MAX_SIGNATURE_BYTES
    assert parse_der_signature(encoded, P521_ORDER) == (r, s)


@given(st.binary(max_size=160))
def test_what_parses_has_one_form(data: bytes) -> None:
    try:
        r, s = parse_der_signature(data, P256_ORDER)
    except MalformedError:
        return
    assert naive_der(r, s) == data


@pytest.mark.parametrize(("r", "s"), [(0, 1), (1, 0), (P256_ORDER, 1), (1, P256_ORDER), (2**256, 1)])
def test_r_and_s_outside_the_group_are_refused(r: int, s: int) -> None:
    with pytest.raises(MalformedError, match="out of range"):
        parse_der_signature(naive_der(r, s), P256_ORDER)


GOOD = naive_der(0x80 << 248, 5)
BER = {
    "long form length": b"\x30\x81" + GOOD[1:],
    "indefinite length": b"\x30\x80" + GOOD[2:] + b"\x00\x00",
    "trailing byte": GOOD + b"\x00",
    "trailing byte inside": bytes([0x30, GOOD[1] + 1]) + GOOD[2:] + b"\x00",
    "padded integer": bytes([0x30, GOOD[1] + 1]) + GOOD[2:-3] + b"\x02\x02\x00\x05",
    "negative integer": naive_der(1, 1)[:2] + b"\x02\x01\xff\x02\x01\x01",
    "one integer": b"\x30\x03\x02\x01\x01",
    "three integers": b"\x30\x09" + b"\x02\x01\x01" * 3,
    "empty integer": b"\x30\x05\x02\x00\x02\x01\x01",
    "set": b"\x31" + GOOD[1:],
    "empty": b"",
    "raw r and s": bytes(31) + b"\x01" + bytes(31) + b"\x01",
    "too long": bytes(MAX_SIGNATURE_BYTES + 1),
}


@pytest.mark.parametrize("case", BER)
def test_other_encodings_are_refused(case: str) -> None:
    with pytest.raises(MalformedError, match="ECDSA signature"):
        parse_der_signature(BER[case], P256_ORDER)


def test_every_truncation_is_refused() -> None:
    for size in range(len(GOOD)):
        with pytest.raises(MalformedError):
            parse_der_signature(GOOD[:size], P256_ORDER)


@given(st.integers(1, P256_ORDER - 1), st.integers(1, P256_ORDER - 1))
def test_the_low_form_is_one_of_the_twins(r: int, s: int) -> None:
    low = to_low_s(naive_der(r, s), P256_ORDER)
    assert low == to_low_s(naive_der(r, P256_ORDER - s), P256_ORDER) == to_low_s(low, P256_ORDER)
    require_low_s(low, P256_ORDER)
    _, low_s = parse_der_signature(low, P256_ORDER)
    with pytest.raises(VerificationError, match="low form"):
        require_low_s(naive_der(r, P256_ORDER - low_s), P256_ORDER)


def test_the_border_of_the_low_half() -> None:
    require_low_s(naive_der(1, P256_ORDER // 2), P256_ORDER)
    with pytest.raises(VerificationError):
        require_low_s(naive_der(1, P256_ORDER // 2 + 1), P256_ORDER)
