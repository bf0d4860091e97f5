"""What every chain says of its blocks, and that it can be checked without trusting the chain."""

from __future__ import annotations

import pytest

from provenance.anchor import trie
from provenance.anchor.consensus_receipt import parse_consensus_receipt
from provenance.anchor.header import parse_header
from provenance.anchor.hexdata import checksum_address
from provenance.anchor.keccak import keccak256
from provenance.chains import Chain, TransactionReceipt
from provenance.errors import ChainError
from tests.conformance.chains.beds import Bed
from tests.conformance.chains.contract import sign, word


def test_interface(bed: Bed) -> None:
    assert isinstance(bed.chain, Chain)


def test_info(bed: Bed) -> None:
    info = bed.chain.info()
    assert info.chain_id > 0
    assert info.client and info.label and info.finality
    assert info.development
    assert bed.chain.block_hash(info.head.number) == info.head.hash
    header = parse_header(bed.chain.header(info.head.hash))
    assert (header.number, header.time_s) == (info.head.number, info.head.time_s)


def test_fees_are_payable(bed: Bed) -> None:
    fees = bed.chain.fees()
    assert 0 <= fees.max_priority_fee_per_gas <= fees.max_fee_per_gas
    assert fees.max_fee_per_gas > 0


def test_blocks_are_linked_and_their_time_never_goes_back(bed: Bed, deployed: TransactionReceipt) -> None:
    number = bed.chain.info().head.number
    child = None
    while number >= max(0, bed.chain.info().head.number - 5):
        block_hash = bed.chain.block_hash(number)
        assert block_hash is not None
        encoded = bed.chain.header(block_hash)
        assert keccak256(encoded) == block_hash
        header = parse_header(encoded)
        assert header.number == number
        if child is not None:
            assert child.parent_hash == block_hash
            assert child.time_s >= header.time_s
        child, number = header, number - 1


def test_a_receipt_is_proven_from_its_block_hash(bed: Bed, contract: str) -> None:
    raw = sign(bed.key, bed.chain, nonce=bed.chain.nonce(bed.address), to=contract, data=word(11))
    receipt = bed.chain.receipt(bed.chain.send_raw(raw), timeout_s=20)
    assert receipt is not None
    header = parse_header(bed.chain.header(receipt.block_hash))
    assert header.hash == receipt.block_hash
    assert header.number == receipt.block_number
    encoded = bed.chain.block_receipts(receipt.block_hash)
    proof = trie.prove_inclusion(encoded, receipt.transaction_index)
    own = encoded[receipt.transaction_index]
    trie.verify_inclusion(own, receipt.transaction_index, proof, header.receipts_root)
    consensus = parse_consensus_receipt(own)
    assert consensus.status == receipt.status
    assert consensus.cumulative_gas == receipt.gas_used
    assert [(checksum_address(log.address), log.topics, log.data) for log in consensus.logs] == [
        (log.address, log.topics, log.data) for log in receipt.logs
    ]


def test_a_block_without_transactions(bed: Bed) -> None:
    genesis = bed.chain.block_hash(0)
    assert genesis is not None
    assert bed.chain.block_receipts(genesis) == ()


def test_unknown_blocks(bed: Bed) -> None:
    for use in (bed.chain.header, bed.chain.block_receipts):
        with pytest.raises(ChainError, match="no such block"):
            use(word(1))
        with pytest.raises(ChainError, match="32 bytes"):
            use(b"short")
    head = bed.chain.info().head.number
    assert [bed.chain.block_hash(number) for number in (-1, head + 1000, 2**63, 2**64)] == [None] * 4


def test_finalized_is_at_or_below_the_head(bed: Bed) -> None:
    assert 0 <= bed.chain.finalized() <= bed.chain.info().head.number
