"""Receipts built from real blocks verify; whatever is changed in them is found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from hashlib import sha256
from typing import Any

import pytest
import rlp as canonical
from eth_utils.crypto import keccak
from trie.hexary import HexaryTrie

from provenance.anchor import encode_anchor, origin_id
from provenance.anchor.calldata import ANCHORED_TOPIC
from provenance.anchor.hexdata import checksum_address
from provenance.anchor.inclusion import build_receipt, verify_receipt
from provenance.anchor.receipt import CLAIMED_FIELDS, AnchorReceipt
from provenance.errors import LimitError, MalformedError, ProvenanceError, VerificationError
from tests.unit.anchor.anchored_block import INDEX, ORIGIN, ROOT, SENDERS, SIZE, anchored_block, built_receipt, changed
from tests.unit.anchor.evm import CHAIN_ID, Call, Evm, MinedBlock


def build(**changes: Any) -> AnchorReceipt:
    anchored = anchored_block()
    arguments: dict[str, Any] = {
        "chain_id": CHAIN_ID,
        "client": "py-evm",
        "development": True,
        "finality": "head",
        "contract": "0x" + anchored.contract.hex(),
        "publisher": "0x" + anchored.publishers[INDEX].hex(),
        "origin": ORIGIN,
        "size": SIZE + INDEX,
        "root": ROOT,
        "transaction": anchored.block.transactions[INDEX],
        "transaction_index": INDEX,
        "header": anchored.block.header,
        "receipts": anchored.block.receipts,
    }
    return build_receipt(**{**arguments, **changes})


@pytest.mark.parametrize("index", range(SENDERS))
def test_every_anchor_of_a_real_block_verifies(index: int) -> None:
    receipt = built_receipt(index)
    verify_receipt(receipt)
    block = anchored_block().block
    assert (receipt.block_hash, receipt.block_number, receipt.block_time_s) == (block.hash, block.number, block.time_s)
    assert (receipt.size, receipt.sequence, receipt.log_index) == (SIZE + index, 1, 0)


def test_addresses_may_be_given_with_checksum() -> None:
    anchored = anchored_block()
    receipt = build(
        contract=checksum_address(anchored.contract), publisher=checksum_address(anchored.publishers[INDEX])
    )
    assert receipt.contract == "0x" + anchored.contract.hex()
    assert receipt.publisher == "0x" + anchored.publishers[INDEX].hex()


# A change of each proven field. Together with the claimed ones these are all fields, which a test checks.
PROVEN: dict[str, Callable[[AnchorReceipt], list[object]]] = {
    "contract": lambda r: ["0x" + "00" * 20, r.publisher],
    "publisher": lambda r: ["0x" + "00" * 20, r.contract, "0x" + anchored_block().publishers[0].hex()],
    "origin": lambda r: [r.origin + "/", r.origin.upper(), r.origin[:-1], "other.example/log"],
    "size": lambda r: [r.size + 1, r.size - 1, 1],
    "root": lambda r: [*_flips(r.root), sha256(b"other").digest()],
    "sequence": lambda r: [r.sequence + 1, 1000],
    "block_number": lambda r: [r.block_number + 1, r.block_number - 1, 0],
    "block_hash": lambda r: _flips(r.block_hash),
    "block_time_s": lambda r: [r.block_time_s + 1, r.block_time_s - 1, 0],
    "log_index": lambda r: [1, 2, 2**53 - 1],
    "header": lambda r: [*_flips(r.header), b"", r.header[:-1], r.header + b"\0"],
    "receipt": lambda r: [
        *_flips(r.receipt),
        b"",
        r.receipt[:-1],
        r.receipt + b"\0",
        *anchored_block().block.receipts[:3],
    ],
    "receipt_proof": lambda r: [*_changed_proofs(r.receipt_proof)],
    "transaction_index": lambda r: [INDEX + 1, INDEX - 1, 0, 128, 65_535],
}


def _flips(data: bytes) -> list[object]:
    return [data[:at] + bytes((data[at] ^ bit,)) + data[at + 1 :] for at in range(len(data)) for bit in (1, 0x40)]


def _changed_proofs(proof: tuple[bytes, ...]) -> list[object]:
    changed: list[object] = [(), proof[:-1], proof[1:], proof[::-1], (*proof, b""), (*proof, proof[-1])]
    for at, node in enumerate(proof):
        changed.extend((*proof[:at], other, *proof[at + 1 :]) for other in _flips(node))
    return changed


@pytest.mark.parametrize("name", PROVEN)
def test_a_change_of_a_proven_field_is_found(name: str) -> None:
    receipt = built_receipt()
    for value in PROVEN[name](receipt):
        assert value != getattr(receipt, name)
        with pytest.raises((VerificationError, MalformedError)):
            verify_receipt(changed(receipt, name, value))


def test_every_field_is_proven_or_claimed() -> None:
    assert set(PROVEN) | set(CLAIMED_FIELDS) == {field.name for field in fields(AnchorReceipt)}
    assert not set(PROVEN) & set(CLAIMED_FIELDS)


def test_what_is_claimed_is_not_judged() -> None:
    receipt = built_receipt()
    verify_receipt(
        replace(receipt, chain_id=1, client="other", development=False, finality="other", transaction=bytes(32))
    )


def test_errors_name_the_step() -> None:
    receipt = built_receipt()
    steps: list[tuple[dict[str, Any], str]] = [
        ({"block_hash": bytes(32)}, "header is not that of the block"),
        ({"block_number": 9}, "block has another number"),
        ({"block_time_s": 9}, "block has another time"),
        ({"receipt_proof": ()}, "trie proof ends early"),
        ({"log_index": 1}, "transaction has no such log"),
        ({"contract": "0x" + "11" * 20}, "emitted by another contract"),
        ({"publisher": "0x" + "11" * 20}, "another account anchored"),
        ({"origin": "other"}, "another log was anchored"),
        ({"size": 9}, "another size was anchored"),
        ({"root": b"r" * 32}, "another root was anchored"),
        ({"sequence": 9}, "another sequence"),
    ]
    for change, message in steps:
        with pytest.raises(VerificationError, match=message):
            verify_receipt(replace(receipt, **change))


# A forger who may make up a whole block: everything fits together but for what is wrong on purpose.
def forged(log: object, *, status: bytes = b"\1", logs: list[object] | None = None) -> AnchorReceipt:
    anchored = anchored_block()
    body = [status, b"\x52\x08", bytes(256), logs if logs is not None else [log]]
    receipt = b"\2" + canonical.encode(body)
    built = HexaryTrie({})
    built[canonical.encode(0)] = receipt
    header = list(canonical.decode(anchored.block.header))
    header[5] = built.root_hash
    data = canonical.encode(header)
    nodes = built.get_proof(canonical.encode(0))  # type: ignore[no-untyped-call]
    return replace(
        built_receipt(),
        block_hash=keccak(data),
        header=data,
        receipt=receipt,
        receipt_proof=tuple(canonical.encode(node) for node in nodes),
        transaction_index=0,
    )


def anchored_log(**changes: bytes) -> list[object]:
    anchored = anchored_block()
    size = (SIZE + INDEX).to_bytes(32, "big")
    parts = {
        "address": anchored.contract,
        "topic": ANCHORED_TOPIC,
        "publisher": bytes(12) + anchored.publishers[INDEX],
        "origin": sha256(ORIGIN.encode()).digest(),
        "data": size + (1).to_bytes(32, "big") + ROOT,
        **changes,
    }
    return [parts["address"], [parts["topic"], parts["publisher"], parts["origin"]], parts["data"]]


def test_a_made_up_block_differs_in_its_hash_alone() -> None:
    receipt = forged(anchored_log())
    verify_receipt(receipt)
    assert receipt.block_hash != built_receipt().block_hash
    with pytest.raises(VerificationError, match="header is not that of the block"):
        verify_receipt(replace(receipt, block_hash=built_receipt().block_hash))


def test_a_reverted_transaction_proves_nothing() -> None:
    with pytest.raises(VerificationError, match="reverted"):
        verify_receipt(forged(anchored_log(), status=b""))


@pytest.mark.parametrize(
    "change",
    [
        {"address": b"x" * 20},
        {"topic": b"t" * 32},
        {"publisher": bytes(12) + b"x" * 20},
        {"publisher": b"\1" + bytes(11) + b"x" * 20},
        {"origin": b"o" * 32},
        {"data": bytes(96)},
        {"data": b""},
        {"data": b"\xff" * 96},
    ],
)
def test_events_that_are_not_this_anchor(change: dict[str, bytes]) -> None:
    with pytest.raises((VerificationError, MalformedError)):
        verify_receipt(forged(anchored_log(**change)))


def test_the_log_is_the_one_at_its_index() -> None:
    other = anchored_log(address=b"x" * 20)
    for position in range(3):
        logs: list[object] = [other, other, other]
        logs[position] = anchored_log()
        receipt = forged(None, logs=logs)
        for index in range(3):
            if index == position:
                verify_receipt(replace(receipt, log_index=index))
            else:
                with pytest.raises(VerificationError):
                    verify_receipt(replace(receipt, log_index=index))


@pytest.mark.parametrize(
    "receipt", [b"", b"\2", b"\2\xc0", b"\x7e\xc0", b"\xc1" * 200, b"\2" + b"\xc1" * 5000, b"text", b"\xff" * 40]
)
def test_a_committed_receipt_that_is_none(receipt: bytes) -> None:
    proof = canonical.encode([b"\x20\x80", receipt])
    header = list(canonical.decode(anchored_block().block.header))
    header[5] = keccak(proof)
    data = canonical.encode(header)
    with pytest.raises(ProvenanceError):
        verify_receipt(
            replace(
                built_receipt(),
                block_hash=keccak(data),
                header=data,
                receipt=receipt,
                receipt_proof=(proof,),
                transaction_index=0,
            )
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"transaction_index": SENDERS}, "no such item"),
        ({"transaction_index": -1}, "no such item"),
        ({"transaction_index": INDEX - 1}, "did not anchor this checkpoint"),
        ({"size": SIZE}, "did not anchor this checkpoint"),
        ({"root": b"r" * 32}, "did not anchor this checkpoint"),
        ({"origin": "other"}, "did not anchor this checkpoint"),
        ({"contract": "0x" + "11" * 20}, "did not anchor this checkpoint"),
        ({"publisher": "0x" + "11" * 20}, "did not anchor this checkpoint"),
        ({"contract": "11" * 20}, "not an Ethereum address"),
        ({"publisher": "0x11"}, "not an Ethereum address"),
        ({"header": b"\xc0"}, "block header is too short"),
        ({"transaction": b"t"}, "wrong length"),
        ({"chain_id": 0}, "out of range"),
        ({"chain_id": 2**60}, "out of range"),
        ({"client": ""}, "not text"),
    ],
)
def test_nothing_is_built_from_what_does_not_fit(change: dict[str, Any], message: str) -> None:
    with pytest.raises((VerificationError, MalformedError), match=message):
        build(**change)


def test_receipts_are_those_of_the_block() -> None:
    receipts = anchored_block().block.receipts
    for wrong in ((), receipts[:-1], receipts[1:], receipts[::-1], (*receipts, receipts[0])):
        with pytest.raises(VerificationError, match="not those of the block"):
            build(receipts=wrong)


def test_items_and_counts_are_limited() -> None:
    with pytest.raises(LimitError):
        build(receipts=(b"\2",) * 65_537)
    with pytest.raises(MalformedError):
        build(receipts=(b"",))


# The contract's own story: several anchors of one publisher, a repetition and a refusal.
def mine(evm: Evm, contract: bytes, size: int, root: bytes = ROOT) -> MinedBlock:
    return evm.mine([Call(0, contract, encode_anchor(origin_id(ORIGIN), size, root))])


def receipt_of(evm: Evm, contract: bytes, block: MinedBlock, size: int, index: int = 0) -> AnchorReceipt:
    return build(
        contract="0x" + contract.hex(),
        publisher="0x" + evm.address(0).hex(),
        size=size,
        transaction=block.transactions[index],
        transaction_index=index,
        header=block.header,
        receipts=block.receipts,
    )


def test_sequences_count_and_repetitions_emit_nothing() -> None:
    evm = Evm(1)
    contract = evm.deploy(0)
    first, second = mine(evm, contract, 10), mine(evm, contract, 20)
    assert [receipt_of(evm, contract, block, size).sequence for block, size in ((first, 10), (second, 20))] == [1, 2]
    again = mine(evm, contract, 20)
    with pytest.raises(VerificationError) as caught:
        receipt_of(evm, contract, again, 20)
    assert caught.value.hint is not None and "anchored already" in caught.value.hint


def test_a_refused_anchor_has_no_receipt() -> None:
    evm = Evm(1)
    contract = evm.deploy(0)
    mine(evm, contract, 20)
    for block in (mine(evm, contract, 19), mine(evm, contract, 20, b"r" * 32)):
        with pytest.raises(VerificationError, match="reverted"):
            receipt_of(evm, contract, block, 20)


def test_two_contracts_are_told_apart() -> None:
    evm = Evm(1)
    ours, other = evm.deploy(0), evm.deploy(0)
    block = evm.mine([Call(0, contract, encode_anchor(origin_id(ORIGIN), 10, ROOT)) for contract in (other, ours)])
    assert receipt_of(evm, ours, block, 10, 1).contract == "0x" + ours.hex()
    with pytest.raises(VerificationError, match="did not anchor this checkpoint"):
        receipt_of(evm, ours, block, 10, 0)
    with pytest.raises(VerificationError, match="another contract"):
        verify_receipt(replace(receipt_of(evm, ours, block, 10, 1), contract="0x" + other.hex()))


def test_a_receipt_moved_to_another_transaction_of_the_block_is_refused() -> None:
    receipt, other = built_receipt(INDEX), built_receipt(INDEX - 1)
    for name in ("receipt", "receipt_proof", "transaction_index"):
        with pytest.raises(VerificationError):
            verify_receipt(changed(receipt, name, getattr(other, name)))
    moved = {name: getattr(other, name) for name in ("receipt", "receipt_proof", "transaction_index")}
    with pytest.raises(VerificationError, match="another account anchored"):
        verify_receipt(replace(receipt, **moved))


def test_other_events_of_the_contract_are_passed_over() -> None:
    unreadable = anchored_log(topic=b"t" * 32)
    anchored = anchored_block()
    body = [b"\1", b"\x52\x08", bytes(256), [unreadable, anchored_log(data=b""), anchored_log()]]
    receipt = b"\2" + canonical.encode(body)
    built = HexaryTrie({})
    built[canonical.encode(0)] = receipt
    header = list(canonical.decode(anchored.block.header))
    header[5] = built.root_hash
    found = build(header=canonical.encode(header), receipts=(receipt,), transaction_index=0)
    assert found.log_index == 2
