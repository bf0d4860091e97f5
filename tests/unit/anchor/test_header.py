"""Headers of py-evm and of Ethereum's own genesis; everything that is no header."""

from __future__ import annotations

from typing import Any

import pytest
import rlp as canonical
from eth.constants import EMPTY_SHA256
from eth.rlp.headers import BlockHeader as FrontierHeader
from eth.vm.forks.cancun.blocks import CancunBlockHeader
from eth.vm.forks.london.blocks import LondonBlockHeader
from eth.vm.forks.prague.blocks import PragueBlockHeader
from eth.vm.forks.shanghai.blocks import ShanghaiBlockHeader
from hypothesis import given, settings
from hypothesis import strategies as st

from provenance.anchor.header import MAX_HEADER_BYTES, MAX_HEADER_FIELDS, parse_header
from provenance.errors import LimitError, MalformedError, ProvenanceError
from tests.unit.anchor.anchored_block import anchored_block

NUMBER, TIME_S = 22_431_084, 1_746_612_311
COMMON: dict[str, Any] = {
    "difficulty": 0,
    "block_number": NUMBER,
    "gas_limit": 36_000_000,
    "gas_used": 12_345,
    "timestamp": TIME_S,
    "parent_hash": b"p" * 32,
    "receipt_root": b"r" * 32,
    "extra_data": b"extra",
}


def prague(**fields: Any) -> bytes:
    values = {**COMMON, "base_fee_per_gas": 7, "requests_hash": EMPTY_SHA256, **fields}
    return bytes(canonical.encode(PragueBlockHeader(**values)))


def fields_of(data: bytes) -> list[object]:
    return list(canonical.decode(data))


def test_a_prague_header() -> None:
    built = PragueBlockHeader(**COMMON, base_fee_per_gas=7, requests_hash=EMPTY_SHA256)
    header = parse_header(canonical.encode(built))
    assert len(fields_of(canonical.encode(built))) == 21
    assert header.hash == built.hash
    assert (header.number, header.time_s) == (NUMBER, TIME_S)
    assert (header.parent_hash, header.receipts_root) == (b"p" * 32, b"r" * 32)


@pytest.mark.parametrize(
    "built",
    [
        FrontierHeader(**{**COMMON, "difficulty": 2**34}),
        LondonBlockHeader(**COMMON, base_fee_per_gas=7),
        ShanghaiBlockHeader(**COMMON, base_fee_per_gas=7),
        CancunBlockHeader(**COMMON, base_fee_per_gas=7),
    ],
    ids=lambda header: type(header).__module__.split(".")[-2],
)
def test_headers_of_earlier_forks(built: FrontierHeader) -> None:
    header = parse_header(canonical.encode(built))
    assert (header.hash, header.number, header.time_s) == (built.hash, NUMBER, TIME_S)


def test_a_later_fork_only_appends() -> None:
    data = canonical.encode([*fields_of(prague()), b"appended", b"\1"])
    assert parse_header(data).number == NUMBER
    assert parse_header(data).hash != parse_header(prague()).hash


def test_ethereum_s_genesis() -> None:
    zero = bytes(32)
    empty = bytes.fromhex("56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421")
    data = canonical.encode(
        [
            zero,
            bytes.fromhex("1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347"),
            bytes(20),
            bytes.fromhex("d7f8974fb5ac78d9ac099b9ad5018bedc2ce0a72dad1827a1709da30580f0544"),
            empty,
            empty,
            bytes(256),
            (0x400000000).to_bytes(5, "big"),
            b"",
            (5000).to_bytes(2, "big"),
            b"",
            b"",
            bytes.fromhex("11bbe8db4e347b4e8c937c1c8370e4b5ed33adb3db69cbdb7a38e1e50b1b82fa"),
            zero,
            (0x42).to_bytes(8, "big"),
        ]
    )
    header = parse_header(data)
    assert header.hash.hex() == "d4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3"
    assert (header.number, header.time_s, header.receipts_root) == (0, 0, empty)


def test_a_mined_header() -> None:
    block = anchored_block().block
    header = parse_header(block.header)
    assert (header.hash, header.number, header.time_s) == (block.hash, block.number, block.time_s)


def test_any_byte_changed_changes_the_hash_or_is_refused() -> None:
    data = prague()
    expected = parse_header(data).hash
    for at in range(len(data)):
        for bit in (1, 0x80):
            changed = data[:at] + bytes((data[at] ^ bit,)) + data[at + 1 :]
            try:
                assert parse_header(changed).hash != expected
            except ProvenanceError as error:
                assert isinstance(error, MalformedError)


def test_every_truncation_is_refused() -> None:
    data = prague()
    for length in range(len(data)):
        with pytest.raises(MalformedError):
            parse_header(data[:length])
    with pytest.raises(MalformedError):
        parse_header(data + b"\0")


@pytest.mark.parametrize("position", [0, 1, 2, 3, 4, 5, 6, 13, 14])
@pytest.mark.parametrize("change", [b"", b"\0"])
def test_fixed_fields_have_their_length(position: int, change: bytes) -> None:
    fields = fields_of(prague())
    value = fields[position]
    assert isinstance(value, bytes)
    fields[position] = value + change if change else value[:-1]
    with pytest.raises(MalformedError, match="wrong length"):
        parse_header(canonical.encode(fields))


@pytest.mark.parametrize("position", range(21))
def test_no_field_is_a_list(position: int) -> None:
    fields = fields_of(prague())
    fields[position] = [b"", b""]
    with pytest.raises(MalformedError, match="not a byte string"):
        parse_header(canonical.encode(fields))


@pytest.mark.parametrize("position", [7, 8, 9, 10, 11])
@pytest.mark.parametrize("value", [b"\0", b"\0\5", b"\1" + bytes(32), b"\xff" * 5000])
def test_integers_are_canonical_and_bounded(position: int, value: bytes) -> None:
    fields = fields_of(prague())
    fields[position] = value
    with pytest.raises(MalformedError):
        parse_header(canonical.encode(fields))


@pytest.mark.parametrize("position", [8, 9, 10, 11])
def test_integers_but_the_difficulty_are_64_bits(position: int) -> None:
    fields = fields_of(prague())
    fields[position] = b"\xff" * 8
    parse_header(canonical.encode(fields))
    fields[position] = b"\1" + bytes(8)
    with pytest.raises(MalformedError, match="out of range"):
        parse_header(canonical.encode(fields))


def test_limits() -> None:
    fields = fields_of(prague())
    assert parse_header(canonical.encode([*fields, *[b""] * (MAX_HEADER_FIELDS - 21)]))
    with pytest.raises(LimitError, match="fields"):
        parse_header(canonical.encode([*fields, *[b""] * (MAX_HEADER_FIELDS - 20)]))
    with pytest.raises(MalformedError, match="too short"):
        parse_header(canonical.encode(fields[:14]))
    fields[12] = bytes(MAX_HEADER_BYTES)
    with pytest.raises(LimitError, match="too large"):
        parse_header(canonical.encode(fields))


@pytest.mark.parametrize("data", [b"", b"\x80", b"\xc0", b"header", b"\xc1" * 10_000, b"\xf9\xff\xff", b"{}"])
def test_what_is_no_header(data: bytes) -> None:
    with pytest.raises(MalformedError):
        parse_header(data)


@given(st.binary(max_size=700))
@settings(deadline=None)
def test_noise_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedError):
        parse_header(data)
