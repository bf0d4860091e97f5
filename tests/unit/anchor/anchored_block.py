"""One real block with anchors of several publishers in it, and the receipts built from it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from hashlib import sha256
from typing import Any

from provenance.anchor import AnchorReceipt, build_receipt, encode_anchor, origin_id
from tests.unit.anchor.evm import CHAIN_ID, Call, Evm, MinedBlock

ORIGIN = "ledger.example/main"
SENDERS = 20
SIZE = 1000
ROOT = sha256(b"root").digest()
INDEX = 17
"""The publisher whose receipt the tests look at; its path in the trie has several nodes."""


@dataclass(frozen=True, slots=True)
class AnchoredBlock:
    """The contract's address, the publishers' and the block in which each anchored its own size."""

    contract: bytes
    publishers: tuple[bytes, ...]
    block: MinedBlock


@cache
def anchored_block() -> AnchoredBlock:
    """`SENDERS` publishers anchor sizes SIZE, SIZE + 1 and so on under `ROOT`, in one block."""
    evm = Evm(SENDERS)
    contract = evm.deploy(0)
    calls = [Call(n, contract, encode_anchor(origin_id(ORIGIN), SIZE + n, ROOT)) for n in range(SENDERS)]
    return AnchoredBlock(contract, tuple(evm.address(n) for n in range(SENDERS)), evm.mine(calls))


def changed(receipt: AnchorReceipt, name: str, value: Any) -> AnchorReceipt:
    """`receipt` with one field, named at run time, replaced."""
    fields: dict[str, Any] = {name: value}
    return replace(receipt, **fields)


@cache
def documented_receipt() -> AnchorReceipt:
    """The receipt that docs/formats/anchor-receipt.md shows: one anchor in a block of its own."""
    evm = Evm(1)
    contract = evm.deploy(0)
    block = evm.mine([Call(0, contract, encode_anchor(origin_id(ORIGIN), SIZE, ROOT))])
    return build_receipt(
        chain_id=CHAIN_ID,
        client="py-evm",
        development=True,
        finality="single-operator development chain",
        contract="0x" + contract.hex(),
        publisher="0x" + evm.address(0).hex(),
        origin=ORIGIN,
        size=SIZE,
        root=ROOT,
        transaction=block.transactions[0],
        transaction_index=0,
        header=block.header,
        receipts=block.receipts,
    )


@cache
def built_receipt(index: int = INDEX) -> AnchorReceipt:
    """The anchor receipt of the publisher at `index`."""
    anchored = anchored_block()
    return build_receipt(
        chain_id=CHAIN_ID,
        client="py-evm",
        development=True,
        finality="single-operator development chain",
        contract="0x" + anchored.contract.hex(),
        publisher="0x" + anchored.publishers[index].hex(),
        origin=ORIGIN,
        size=SIZE + index,
        root=ROOT,
        transaction=anchored.block.transactions[index],
        transaction_index=index,
        header=anchored.block.header,
        receipts=anchored.block.receipts,
    )
