"""Consensus receipts that py-evm encodes; every other byte string."""

from __future__ import annotations

import pytest
import rlp as canonical
from eth.rlp.logs import Log as EvmLog
from eth.rlp.receipts import Receipt as EvmReceipt
from eth.vm.forks.prague.receipts import PragueReceiptBuilder
from eth_typing import Address
from hypothesis import given, settings
from hypothesis import strategies as st

from provenance.anchor.consensus_receipt import parse_consensus_receipt
from provenance.anchor.trie import MAX_TRIE_ITEM_BYTES
from provenance.errors import LimitError, MalformedError
from tests.unit.anchor.anchored_block import SENDERS, anchored_block

LOGS = [
    EvmLog(Address(b"a" * 20), (), b""),
    EvmLog(Address(b"b" * 20), (1, 2**256 - 1), b"data"),
    EvmLog(Address(b"c" * 20), (3, 4, 5, 6), b"d" * 500),
]


def typed(kind: int, logs: list[EvmLog] = LOGS, status: bytes = b"\1") -> bytes:
    inner = EvmReceipt(status, 21_000, logs)
    return bytes(PragueReceiptBuilder.typed_receipt_class(kind, inner).encode())


def fields() -> list[object]:
    log = [b"c" * 20, [b"t" * 32], b"data"]
    return [b"\1", b"\x52\x08", bytes(256), [log]]


def encoded(values: object) -> bytes:
    return b"\2" + bytes(canonical.encode(values))


@pytest.mark.parametrize("kind", [1, 2, 3, 4])
def test_typed_receipts(kind: int) -> None:
    receipt = parse_consensus_receipt(typed(kind))
    assert (receipt.transaction_type, receipt.status, receipt.cumulative_gas) == (kind, 1, 21_000)
    assert [log.address for log in receipt.logs] == [b"a" * 20, b"b" * 20, b"c" * 20]
    assert receipt.logs[1].topics == ((1).to_bytes(32, "big"), b"\xff" * 32)
    assert [log.data for log in receipt.logs] == [b"", b"data", b"d" * 500]


def test_a_legacy_receipt() -> None:
    data = EvmReceipt(b"", 2**40, []).encode()
    receipt = parse_consensus_receipt(bytes(data))
    assert (receipt.transaction_type, receipt.status, receipt.cumulative_gas, receipt.logs) == (0, 0, 2**40, ())


def test_mined_receipts() -> None:
    parsed = [parse_consensus_receipt(data) for data in anchored_block().block.receipts]
    assert len(parsed) == SENDERS
    assert all(receipt.status == 1 and len(receipt.logs) == 1 for receipt in parsed)
    gas = [receipt.cumulative_gas for receipt in parsed]
    assert gas == sorted(gas)


def test_every_truncation_is_refused() -> None:
    data = typed(2)
    for length in range(len(data)):
        with pytest.raises(MalformedError):
            parse_consensus_receipt(data[:length])
    with pytest.raises(MalformedError):
        parse_consensus_receipt(data + b"\0")


@pytest.mark.parametrize("kind", [0, 5, 0x64, 0x7B, 0x7E, 0x7F, 0x80, 0xBF])
def test_other_types_are_refused(kind: int) -> None:
    with pytest.raises(MalformedError, match="unknown type"):
        parse_consensus_receipt(bytes((kind,)) + canonical.encode(fields()))


def test_the_layout_is_exact() -> None:
    assert parse_consensus_receipt(encoded(fields())).logs[0].topics == (b"t" * 32,)
    for values in (fields()[:3], [*fields(), b""], [*fields(), b"\1", b"\1"], [], b"text"):
        with pytest.raises(MalformedError):
            parse_consensus_receipt(encoded(values))


@pytest.mark.parametrize(
    ("position", "value"),
    [
        (0, b"\0"),
        (0, b"\2"),
        (0, b"s" * 32),  # the state root of a receipt from before EIP-658
        (0, []),
        (1, b"\0\1"),
        (1, b"\1" + bytes(8)),
        (1, [b"\1"]),
        (2, bytes(255)),
        (2, bytes(257)),
        (2, []),
        (3, b""),
        (3, [b"log"]),
        (3, [[]]),
        (3, [[b"c" * 20, []]]),
        (3, [[b"c" * 20, [], b"", b""]]),
        (3, [[b"c" * 19, [], b""]]),
        (3, [[b"c" * 21, [], b""]]),
        (3, [[[], [], b""]]),
        (3, [[b"c" * 20, b"", b""]]),
        (3, [[b"c" * 20, [b"t" * 31], b""]]),
        (3, [[b"c" * 20, [b"t" * 33], b""]]),
        (3, [[b"c" * 20, [[]], b""]]),
        (3, [[b"c" * 20, [b"t" * 32] * 5, b""]]),
        (3, [[b"c" * 20, [], []]]),
    ],
)
def test_ill_formed_fields(position: int, value: object) -> None:
    values = fields()
    values[position] = value
    with pytest.raises(MalformedError):
        parse_consensus_receipt(encoded(values))


def test_the_error_names_the_log() -> None:
    good = [b"c" * 20, [], b""]
    with pytest.raises(MalformedError, match="receipt log 2 address"):
        parse_consensus_receipt(encoded([*fields()[:3], [good, good, [b"", [], b""]]]))


def test_size_and_depth_are_limited() -> None:
    with pytest.raises(LimitError):
        parse_consensus_receipt(b"\2" + bytes(MAX_TRIE_ITEM_BYTES + 1))
    with pytest.raises(MalformedError):
        parse_consensus_receipt(b"\2" + b"\xc1" * 50_000)


@given(st.binary(max_size=400))
@settings(deadline=None)
def test_noise_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedError):
        parse_consensus_receipt(data)
