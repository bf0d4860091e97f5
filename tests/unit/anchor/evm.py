"""A real EVM for tests: py-evm with Prague rules, the committed contract artifact, fixed keys and a fixed clock.

Everything it makes is the same in every run, so that a document may show it. It shares no code with what is tested.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import rlp
from eth.chains.base import Chain
from eth.constants import CREATE_CONTRACT_ADDRESS, POST_MERGE_DIFFICULTY, ZERO_HASH32
from eth.db.atomic import AtomicDB
from eth.vm.forks.prague import PragueVM
from eth_keys.datatypes import PrivateKey
from eth_typing import Address
from eth_utils.crypto import keccak

from tests.paths import PROJECT

CHAIN_ID = 1_886_547_830
GENESIS_TIME_S = 1_750_000_000
BLOCK_TIME_S = 12
_GAS_LIMIT = 30_000_000
_GWEI = 10**9


@dataclass(frozen=True, slots=True)
class Call:
    """One transaction to make: which key sends what to whom (empty: a deployment)."""

    sender: int
    to: bytes
    data: bytes


@dataclass(frozen=True, slots=True)
class MinedBlock:
    """A block as a node would hand it out: header RLP, consensus receipts, and the transactions' hashes."""

    number: int
    hash: bytes
    time_s: int
    header: bytes
    receipts: tuple[bytes, ...]
    transactions: tuple[bytes, ...]
    returned: tuple[bytes, ...]


class Evm:
    """A chain on which `senders` keys have money; each `mine` makes one block of all its calls."""

    def __init__(self, senders: int) -> None:
        self.keys = [PrivateKey(keccak(b"test key %d" % number)) for number in range(senders)]
        account: Any = {"balance": 10**24, "nonce": 0, "code": b"", "storage": {}}
        params: Any = {
            "difficulty": POST_MERGE_DIFFICULTY,
            "gas_limit": _GAS_LIMIT,
            "timestamp": GENESIS_TIME_S,
            "parent_beacon_block_root": ZERO_HASH32,
        }
        chain = Chain.configure("TestChain", chain_id=CHAIN_ID, vm_configuration=((0, PragueVM),))
        self.chain = chain.from_genesis(
            AtomicDB(), params, {Address(key.public_key.to_canonical_address()): account for key in self.keys}
        )
        self._nonces = [0] * senders

    def address(self, sender: int) -> bytes:
        """The 20 bytes of a key's account."""
        return self.keys[sender].public_key.to_canonical_address()

    def mine(self, calls: Sequence[Call]) -> MinedBlock:
        """A block that holds these calls in order."""
        parent = self.chain.get_canonical_head()
        header = self.chain.create_header_from_parent(
            parent,
            timestamp=parent.timestamp + BLOCK_TIME_S,
            gas_limit=parent.gas_limit,
            parent_beacon_block_root=ZERO_HASH32,
        )
        transactions = [self._sign(call) for call in calls]
        vm = self.chain.get_vm(header)
        filled, receipts, computations = vm.apply_all_transactions(transactions, header)
        block = vm.mine_block(
            vm.set_block_transactions_and_withdrawals(vm.get_block(), filled, transactions, receipts)
        ).block
        self.chain.chaindb.persist_block(block)
        return MinedBlock(
            number=block.number,
            hash=bytes(block.hash),
            time_s=block.header.timestamp,
            header=rlp.encode(block.header),
            receipts=tuple(bytes(receipt.encode()) for receipt in receipts),
            transactions=tuple(bytes(transaction.hash) for transaction in transactions),
            returned=tuple(bytes(computation.output) for computation in computations),
        )

    def deploy(self, sender: int) -> bytes:
        """The address of a new CheckpointAnchor, in a block of its own."""
        address = keccak(rlp.encode([self.address(sender), self._nonces[sender]]))[12:]
        self.mine([Call(sender, CREATE_CONTRACT_ADDRESS, creation_code())])
        return address

    def _sign(self, call: Call) -> Any:
        nonce = self._nonces[call.sender]
        self._nonces[call.sender] += 1
        builder: Any = PragueVM.get_transaction_builder()
        unsigned = builder.new_unsigned_dynamic_fee_transaction(
            chain_id=CHAIN_ID,
            nonce=nonce,
            max_priority_fee_per_gas=_GWEI,
            max_fee_per_gas=10 * _GWEI,
            gas=500_000,
            to=call.to,
            value=0,
            data=call.data,
            access_list=(),
        )
        return unsigned.as_signed_transaction(self.keys[call.sender], CHAIN_ID)


@cache
def creation_code() -> bytes:
    """The contract's creation bytecode, from the committed artifact."""
    artifact = json.loads((PROJECT / "provenance/chains/artifacts/CheckpointAnchor.json").read_text("utf-8"))
    return bytes.fromhex(artifact["bytecode"].removeprefix("0x"))
