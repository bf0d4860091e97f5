"""Hex text is strict and has one form; addresses are checked by EIP-55."""

from __future__ import annotations

import pytest
from eth_utils.address import to_checksum_address
from hypothesis import given, settings
from hypothesis import strategies as st

from provenance.anchor.hexdata import checksum_address, encode_hex, parse_address, parse_hex, parse_hex_exact
from provenance.errors import LimitError, MalformedError

# The examples of EIP-55.
EIP55 = [
    "0x52908400098527886E0F7030069857D2E4169EE7",
    "0x8617E340B3D01FA5F11F306F4090FD50E238070D",
    "0xde709f2102306220921060314715629080e2fb77",
    "0x27b1fdb04752bbc536007a920d24acb045561c26",
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
    "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
    "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
    "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
]


@pytest.mark.parametrize("text", EIP55)
def test_eip_55(text: str) -> None:
    address = parse_address(text)
    assert checksum_address(address) == text
    assert parse_address(text.lower()) == address
    assert parse_address("0x" + text[2:].upper()) == address


@given(st.binary(min_size=20, max_size=20))
@settings(deadline=None)
def test_checksums_agree_with_another_implementation(address: bytes) -> None:
    assert checksum_address(address) == to_checksum_address(address)


def test_a_wrong_checksum_is_refused_at_every_letter() -> None:
    text = EIP55[4]
    for position, digit in enumerate(text[2:], 2):
        if digit.isalpha():
            with pytest.raises(MalformedError, match="checksum"):
                parse_address(text[:position] + digit.swapcase() + text[position + 1 :])


@pytest.mark.parametrize(
    "text",
    ["", "0x", "0x" + "00" * 19, "0x" + "00" * 21, "00" * 20, "0X" + "00" * 20, "0x" + "0g" * 20, None, 5, b"0x"],
)
def test_what_is_no_address(text: object) -> None:
    with pytest.raises(MalformedError):
        parse_address(text)


def test_an_address_with_a_line_break_is_refused() -> None:
    with pytest.raises(MalformedError):
        parse_address("0x" + "00" * 20 + "\n")


@pytest.mark.parametrize("size", [0, 19, 21])
def test_checksum_of_no_address(size: int) -> None:
    with pytest.raises(MalformedError):
        checksum_address(bytes(size))


@given(st.binary(max_size=100))
@settings(deadline=None)
def test_hex_round_trip(data: bytes) -> None:
    assert parse_hex(encode_hex(data), what="data", max_bytes=100) == data
    assert parse_hex_exact(encode_hex(data), what="data", size=len(data)) == data


@pytest.mark.parametrize("text", ["", "0", "00", "0x0", "0xAB", "0Xab", " 0x", "0x ", "0xab\n", "0x\u0661\u0661", "x0"])
def test_hex_is_strict(text: str) -> None:
    with pytest.raises(MalformedError):
        parse_hex(text, what="data", max_bytes=100)


@pytest.mark.parametrize("value", [None, 0, b"0x", ["0x"], True])
def test_hex_is_a_string(value: object) -> None:
    with pytest.raises(MalformedError, match="expected a string"):
        parse_hex(value, what="data", max_bytes=100)


def test_limits() -> None:
    assert parse_hex("0x0102", what="data", max_bytes=2) == b"\1\2"
    with pytest.raises(LimitError):
        parse_hex("0x010203", what="data", max_bytes=2)
    with pytest.raises(MalformedError, match="wrong length"):
        parse_hex_exact("0x01", what="data", size=2)
