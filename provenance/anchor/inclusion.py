"""From a checkpoint's event to a block hash: building that proof and verifying it.

Invariants: a receipt that verifies holds an `Anchored` event with exactly its publisher, origin, size, sequence and
root, emitted by its contract in a transaction that succeeded, in the block whose hash is its `block_hash`, at its
height and time. Verification reads nothing but the receipt; what is built has been verified.

Not proven here, and for the caller to decide: that this block is in a chain, and in which one. The caller knows the
hash, or asks a node of the chain that `chain_id` names for the hash at that height. `receipt.CLAIMED_FIELDS` are said
by whoever wrote the receipt. A receipts trie names a transaction by its position, which is proven, and not by its
hash, which is there to be looked up.

    block_hash = keccak256(header) -> receipts root -> trie nodes -> receipt -> log -> (publisher, origin, size, root)
"""

from __future__ import annotations

from collections.abc import Sequence

from provenance.anchor import trie
from provenance.anchor.calldata import AnchoredEvent, decode_anchored, origin_id
from provenance.anchor.consensus_receipt import ConsensusReceipt, Log, parse_consensus_receipt
from provenance.anchor.header import BlockHeader, parse_header
from provenance.anchor.hexdata import encode_hex, parse_address
from provenance.anchor.receipt import AnchorReceipt
from provenance.errors import MalformedError, VerificationError


def build_receipt(
    *,
    chain_id: int,
    client: str,
    development: bool,
    finality: str,
    contract: str,
    publisher: str,
    origin: str,
    size: int,
    root: bytes,
    transaction: bytes,
    transaction_index: int,
    header: bytes,
    receipts: Sequence[bytes],
) -> AnchorReceipt:
    """The verified receipt for the checkpoint (origin, size, root) that `publisher` anchored in one transaction.

    `header` is the block header's RLP, `receipts` every consensus-encoded receipt of the block in order; addresses in
    any form `parse_address` takes. `VerificationError` if the receipts are not that block's, if the transaction was
    reverted or if it did not emit the event; `MalformedError` for input that is out of form.
    """
    block = parse_header(header)
    computed = trie.root_of(receipts)
    if computed != block.receipts_root:
        raise VerificationError(
            "receipts are not those of the block", expected=block.receipts_root.hex(), got=computed.hex()
        )
    proof = trie.prove_inclusion(receipts, transaction_index)
    receipt = receipts[transaction_index]
    emitter = encode_hex(parse_address(contract, what="contract"))
    log_index, event = _find_event(
        _parse_successful(receipt), emitter, encode_hex(parse_address(publisher, what="publisher")), origin, size, root
    )
    built = AnchorReceipt(
        chain_id=chain_id,
        client=client,
        contract=emitter,
        publisher=event.publisher,
        origin=origin,
        size=size,
        root=root,
        sequence=event.sequence,
        transaction=transaction,
        block_number=block.number,
        block_hash=block.hash,
        block_time_s=block.time_s,
        log_index=log_index,
        finality=finality,
        development=development,
        header=header,
        receipt=receipt,
        receipt_proof=proof,
        transaction_index=transaction_index,
    )
    verify_receipt(built)
    return built


def verify_receipt(receipt: AnchorReceipt) -> None:
    """Return if the receipt proves its checkpoint from its `block_hash`, in five steps.

    1 the header hashes to `block_hash` and holds the receipt's height and time; 2 the trie proof leads from the
    header's receipts root to the consensus receipt at `transaction_index`; 3 that transaction succeeded; 4 its log at
    `log_index` was emitted by `contract`; 5 the log is the `Anchored` event of exactly this checkpoint and publisher.
    `VerificationError` names the step that fails; `MalformedError` for bytes that have no form.
    """
    block = parse_header(receipt.header)
    _check_block(receipt, block)
    trie.verify_inclusion(receipt.receipt, receipt.transaction_index, receipt.receipt_proof, block.receipts_root)
    logs = _parse_successful(receipt.receipt).logs
    if receipt.log_index >= len(logs):
        raise VerificationError("transaction has no such log", expected=f"{len(logs)} logs", got=receipt.log_index)
    log = logs[receipt.log_index]
    _require("log was emitted by another contract", receipt.contract, encode_hex(log.address))
    event = decode_anchored(log)
    _require("another account anchored", receipt.publisher, event.publisher)
    _require("another log was anchored", origin_id(receipt.origin).hex(), event.origin_id.hex())
    _require("another size was anchored", receipt.size, event.size)
    _require("another root was anchored", receipt.root.hex(), event.root.hex())
    _require("the anchor has another sequence", receipt.sequence, event.sequence)


def _check_block(receipt: AnchorReceipt, block: BlockHeader) -> None:
    _require("header is not that of the block", receipt.block_hash.hex(), block.hash.hex())
    _require("block has another number", receipt.block_number, block.number)
    _require("block has another time", receipt.block_time_s, block.time_s)


def _parse_successful(data: bytes) -> ConsensusReceipt:
    receipt = parse_consensus_receipt(data)
    if receipt.status != 1:
        raise VerificationError("transaction was reverted", expected="status 1", got=f"status {receipt.status}")
    return receipt


def _find_event(
    receipt: ConsensusReceipt, contract: str, publisher: str, origin: str, size: int, root: bytes
) -> tuple[int, AnchoredEvent]:
    """Where in the receipt the contract reports this checkpoint, and the event with its sequence."""
    for index, log in enumerate(receipt.logs):
        event = _anchored_by(contract, log)
        if event and (event.publisher, event.origin_id, event.size, event.root) == (
            publisher,
            origin_id(origin),
            size,
            root,
        ):
            return index, event
    raise VerificationError(
        "transaction did not anchor this checkpoint",
        expected=f"an Anchored event of {contract} for size {size}, root {root.hex()}",
        got=f"{len(receipt.logs)} logs without it",
        hint="anchoring what is anchored already emits nothing: look for the transaction that anchored it first",
    )


def _anchored_by(contract: str, log: Log) -> AnchoredEvent | None:
    if encode_hex(log.address) != contract:
        return None
    try:
        return decode_anchored(log)
    except MalformedError:
        return None  # a contract may emit other events beside it


def _require(what: str, expected: object, got: object) -> None:
    if expected != got:
        raise VerificationError(f"anchor receipt does not hold: {what}", expected=expected, got=got)
