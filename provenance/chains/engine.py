"""The EVM of the embedded chain: py-evm with Prague rules over the chain's database.

Invariants: one transaction makes one block; a block's time is the clock's, or one second after its parent where the
clock has not moved on; what is refused changes nothing; nothing is written outside the caller's SQL transaction; no
state is kept between calls but the database, so that several processes may take turns. Every header says in its
extra data that it is a development block.

Calls between contracts nest as deeply as Python's recursion limit allows, about a hundred and not 1,024 levels; what
goes deeper is refused as a whole.

Importing this module costs half a second, so the chain loads it when it first executes something.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import rlp as pyrlp
from eth.abc import BlockAPI, BlockHeaderAPI, ComputationAPI, ReceiptAPI, SignedTransactionAPI
from eth.chains.base import Chain as PyEvmChain
from eth.constants import CREATE_CONTRACT_ADDRESS, POST_MERGE_DIFFICULTY, ZERO_HASH32
from eth.estimators.gas import binary_gas_search_1000_tolerance
from eth.exceptions import PyEVMError, Revert, VMError
from eth.vm.chain_context import ChainContext
from eth.vm.forks.prague import PragueVM
from eth.vm.interrupt import EVMMissingData
from eth.vm.spoof import SpoofTransaction
from eth_keys.exceptions import BadSignature
from eth_typing import Address
from eth_utils.exceptions import ValidationError
from rlp.exceptions import RLPException
from trie.exceptions import InvalidNibbles, InvalidNode, MissingTraversalNode, MissingTrieNode, TraversedPartialPath

from provenance.anchor.hexdata import checksum_address
from provenance.anchor.keccak import keccak256
from provenance.chains.base import RejectedError, RevertedError
from provenance.chains.database import BlockRow, ChainDatabase, TransactionRow
from provenance.chains.genesis import Genesis
from provenance.chains.state import StateDatabase
from provenance.errors import ChainError

EXTRA_DATA: Final = b"provenance development chain"
GAS_LIMIT: Final = 30_000_000
_BLOB_TRANSACTION = 3
_FLOOR_BASE, _FLOOR_ZERO_BYTE, _FLOOR_BYTE = 21_000, 10, 40
"""EIP-7623: what a transaction costs at least, in gas, and each byte of its data."""

_ENGINE_ERRORS = (
    PyEVMError,
    ValidationError,
    RLPException,
    BadSignature,
    MissingTrieNode,
    MissingTraversalNode,
    InvalidNode,
    InvalidNibbles,
    TraversedPartialPath,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    RecursionError,
)
"""py-evm has no one base of what it raises."""


class Engine:
    """Executes transactions and calls on the chain in one database."""

    def __init__(self, database: ChainDatabase, genesis: Genesis) -> None:
        self._database, self._genesis = database, genesis
        self._chain = _chain_class(genesis.chain_id)(StateDatabase(database))

    @staticmethod
    def create(database: ChainDatabase, genesis: Genesis) -> None:
        """Write block 0 and the funded accounts; only inside a transaction."""
        params: Any = {
            "difficulty": POST_MERGE_DIFFICULTY,
            "gas_limit": GAS_LIMIT,
            "timestamp": genesis.time_s,
            "extra_data": EXTRA_DATA,
            "parent_beacon_block_root": ZERO_HASH32,
        }
        account = {"balance": genesis.balance_wei, "nonce": 0, "code": b"", "storage": {}}
        funded: Any = {bytes.fromhex(address[2:]): account for address in genesis.funded}
        with _engine_errors("create the embedded chain"):
            chain = _chain_class(genesis.chain_id).from_genesis(StateDatabase(database), params, funded)
            database.append_block(_block_row(chain.get_canonical_head()))

    def mine(self, raw: bytes, now_s: int) -> None:
        """Execute a signed transaction in a new block; only inside a SQL transaction.

        `RejectedError` if it is invalid here; a transaction that reverts is mined with status 0.
        """
        transaction = self._parse_transaction(raw)
        with _engine_errors("execute a transaction"):
            parent = self._chain.get_canonical_head()
            header = self._next_header(parent, max(now_s, parent.timestamp + 1))
            self._check(transaction, header)
            block, receipt, computation = self._build(transaction, header)
            self._chain.chaindb.persist_block(block)
        is_deployment = transaction.to == CREATE_CONTRACT_ADDRESS and computation.is_success
        row = TransactionRow(
            hash=keccak256(raw),
            block_number=block.number,
            position=0,
            raw=raw,
            receipt=receipt.encode(),
            gas_used=receipt.gas_used,
            contract=bytes(computation.msg.storage_address) if is_deployment else None,
        )
        self._database.append_block(_block_row(block.header), (row,))

    def call(self, to: bytes, data: bytes) -> bytes:
        """What a call at the head returns; `RevertedError` if it reverts."""
        with _engine_errors("execute a call"):
            head = self._chain.get_canonical_head()
            call = self._message(bytes(20), to, data, 0)
            return bytes(self._chain.get_transaction_result(call, head))

    def estimate_gas(self, sender: bytes, to: bytes, data: bytes, value_wei: int) -> int:
        """Gas with which the transaction succeeds at the head, to within 1,000; `to` empty deploys."""
        with _engine_errors("estimate gas"):
            head = self._chain.get_canonical_head()
            return max(
                _floor_gas(data), int(self._chain.estimate_gas(self._message(sender, to, data, value_wei), head))
            )

    def balance(self, address: bytes) -> int:
        """Wei at the head."""
        with _engine_errors("read a balance"):
            return int(self._state().get_balance(address))

    def nonce(self, address: bytes) -> int:
        """Transactions sent by `address` up to the head."""
        with _engine_errors("read a nonce"):
            return int(self._state().get_nonce(address))

    def code(self, address: bytes) -> bytes:
        """Code at the head."""
        with _engine_errors("read code"):
            return bytes(self._state().get_code(address))

    def next_base_fee(self) -> int:
        """Wei per gas that the next block burns."""
        with _engine_errors("read the base fee"):
            head = self._chain.get_canonical_head()
            return _base_fee(self._next_header(head, head.timestamp + 1))

    def _state(self) -> Any:
        head = self._chain.get_canonical_head()
        return PragueVM.build_state(self._chain.chaindb.db, head, ChainContext(self._genesis.chain_id))

    def _next_header(self, parent: BlockHeaderAPI, time_s: int) -> BlockHeaderAPI:
        """An empty header after `parent`, as the chain would mine it at `time_s`."""
        return self._chain.create_header_from_parent(
            parent,
            timestamp=time_s,
            gas_limit=parent.gas_limit,
            extra_data=EXTRA_DATA,
            parent_beacon_block_root=ZERO_HASH32,
        )

    def _message(self, sender: bytes, to: bytes, data: bytes, value_wei: int) -> Any:
        """An unsigned transaction that costs nothing, for a call or an estimate."""
        unsigned = PragueVM.create_unsigned_transaction(
            nonce=self._state().get_nonce(sender),
            gas_price=0,
            gas=GAS_LIMIT,
            to=Address(to),
            value=value_wei,
            data=data,
        )
        return SpoofTransaction(unsigned, from_=sender)

    def _parse_transaction(self, raw: bytes) -> SignedTransactionAPI:
        if raw[:1] == bytes((_BLOB_TRANSACTION,)):
            raise RejectedError("the embedded chain takes no blob transactions", expected="type 0, 1, 2 or 4", got=3)
        try:
            transaction: SignedTransactionAPI = PragueVM.get_transaction_builder().decode(raw)
            transaction.validate()
            transaction.check_signature_validity()
            encoded = _encode_anew(transaction)
        except _ENGINE_ERRORS as error:
            raise RejectedError("not a signed transaction", got=error) from error
        if encoded != raw:
            raise RejectedError("transaction is not in its canonical encoding", got=f"0x{raw[:40].hex()}")
        if transaction.chain_id != self._genesis.chain_id:
            raise RejectedError(
                "transaction is for another chain", expected=self._genesis.chain_id, got=transaction.chain_id
            )
        return transaction

    def _check(self, transaction: SignedTransactionAPI, header: BlockHeaderAPI) -> None:
        """The refusals a person can act on, in words; py-evm makes the others."""
        state = self._state()
        sender = checksum_address(transaction.sender)
        nonce, balance = state.get_nonce(transaction.sender), state.get_balance(transaction.sender)
        cost = transaction.gas * transaction.max_fee_per_gas + transaction.value
        if transaction.nonce != nonce:
            what = "transaction's nonce is used" if transaction.nonce < nonce else "transaction's nonce leaves a gap"
            raise RejectedError(what, expected=nonce, got=transaction.nonce, where=sender, hint="sign it again")
        if balance < cost:
            funded = ", ".join(self._genesis.funded[:4]) or "none"
            hint = f"this chain gave money only to the addresses it was created for: {funded}"
            raise RejectedError(
                "sender cannot pay", expected=f"{cost} wei", got=f"{balance} wei", where=sender, hint=hint
            )
        if transaction.gas > header.gas_limit:
            raise RejectedError(
                "transaction wants too much gas", expected=f"at most {header.gas_limit}", got=transaction.gas
            )
        # What follows is in the rules and not in py-evm.
        base_fee, floor_gas = _base_fee(header), _floor_gas(transaction.data)
        if transaction.max_fee_per_gas < max(base_fee, transaction.max_priority_fee_per_gas):
            expected = f"at least {base_fee} wei per gas and its own priority fee"
            got = f"{transaction.max_fee_per_gas} wei per gas"
            raise RejectedError("transaction's maximum fee is too low", expected=expected, got=got)
        if transaction.gas < floor_gas:
            raise RejectedError(
                "transaction wants too little gas", expected=f"at least {floor_gas}", got=transaction.gas
            )

    def _build(
        self, transaction: SignedTransactionAPI, header: BlockHeaderAPI
    ) -> tuple[BlockAPI, ReceiptAPI, ComputationAPI]:
        """A block that holds this transaction alone, executed but not yet part of the chain."""
        vm = self._chain.get_vm(header)
        try:
            filled_header, receipts, computations = vm.apply_all_transactions([transaction], header)
        except (ValidationError, VMError) as error:
            _check_whole(error)
            raise RejectedError("the embedded chain refuses the transaction", got=error) from error
        filled = vm.set_block_transactions_and_withdrawals(vm.get_block(), filled_header, [transaction], receipts)
        return vm.mine_block(filled).block, receipts[0], computations[0]


def _chain_class(chain_id: int) -> type[PyEvmChain]:
    return PyEvmChain.configure(
        "DevelopmentChain",
        chain_id=chain_id,
        vm_configuration=((0, PragueVM),),
        gas_estimator=staticmethod(binary_gas_search_1000_tolerance),
    )


def _encode_anew(transaction: Any) -> bytes:
    """The transaction's encoding from its values: pyrlp reads an empty list as 0 and then repeats what it read."""
    is_legacy = not hasattr(transaction, "_inner")
    inner = transaction if is_legacy else transaction._inner
    payload = bytes(pyrlp.encode(type(inner).serialize(inner)))
    return payload if is_legacy else bytes((transaction.type_id,)) + payload


def _floor_gas(data: bytes) -> int:
    zeros = data.count(0)
    return _FLOOR_BASE + _FLOOR_ZERO_BYTE * zeros + _FLOOR_BYTE * (len(data) - zeros)


def _base_fee(header: BlockHeaderAPI) -> int:
    fee = header.base_fee_per_gas
    if fee is None:
        raise ChainError("block has no base fee", expected="a block since London")
    return fee


def _block_row(header: BlockHeaderAPI) -> BlockRow:
    return BlockRow(header.block_number, bytes(header.hash), pyrlp.encode(header))


def _check_whole(error: BaseException) -> None:
    """Raise what is missing of the chain's state, if that lies behind an error: while it is handled, others follow."""
    behind: BaseException | None = error
    while behind is not None:
        if isinstance(behind, EVMMissingData | MissingTrieNode | MissingTraversalNode):
            raise behind
        behind = behind.__cause__ or behind.__context__


@contextmanager
def _engine_errors(doing: str) -> Iterator[None]:
    try:
        yield
    except Revert as error:
        data = error.args[0] if error.args and isinstance(error.args[0], bytes) else b""
        raise RevertedError("the contract reverted", data=data) from error
    except VMError as error:
        raise RevertedError(f"the contract failed: {type(error).__name__}") from error
    except _ENGINE_ERRORS as error:
        hint = "if this repeats, restore the ledger's chain/ folder from a backup"
        raise ChainError(f"cannot {doing}", got=f"{type(error).__name__}: {error}", hint=hint) from error
