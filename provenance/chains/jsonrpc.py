"""Any Ethereum JSON-RPC endpoint over HTTP, spoken to with web3.py.

Invariants: the chain id is read when the endpoint is opened and again before every broadcast, and a transaction for
another chain is never sent; a header is rebuilt and hashed, receipts are encoded and their root computed, before
either is returned; what is said of finality is the endpoint's word. No key is ever sent: transactions arrive signed.

Importing this module costs most of a second, so `open_chain` loads it for a URI that needs it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from eth_typing import ChecksumAddress, HexStr
from eth_utils.address import to_checksum_address
from web3 import Web3
from web3.exceptions import BlockNotFound, TransactionNotFound
from web3.middleware import ExtraDataToPOAMiddleware
from web3.types import BlockData, RPCEndpoint, TxParams, Wei

from provenance.anchor.header import BlockHeader
from provenance.anchor.hexdata import parse_address as parse_account
from provenance.anchor.keccak import keccak256
from provenance.anchor.trie import MAX_TRIE_ITEMS
from provenance.chains.base import (
    DEVELOPMENT_CHAIN_ID,
    MAX_TRANSACTION_BYTES,
    BlockRef,
    ChainInfo,
    Fees,
    RejectedError,
    RevertedError,
    TransactionReceipt,
)
from provenance.chains.blocks import check_hash, check_header, check_receipts
from provenance.chains.provider import METHOD_NOT_FOUND, AnswerError, BoundedProvider, Endpoint
from provenance.chains.rpc_blocks import header_rlp, present, receipt_bytes, transaction_chain_id, transaction_receipt
from provenance.chains.transport import Transport, parse_address
from provenance.errors import ChainError, MalformedError
from provenance.limits import MAX_UINT64

_T = TypeVar("_T")

FINALITY: Final = "the block the endpoint calls finalized"
DEFAULT_PRIORITY_FEE_WEI: Final = 1_000_000_000
_DEVELOPMENT_CHAIN_IDS: Final = frozenset({1337, 31337, DEVELOPMENT_CHAIN_ID})
_DEVELOPMENT_CLIENTS: Final = ("anvil", "hardhat", "ganache", "ethereumjs", "eth-tester", "eth_tester", "py-evm")
_REVERTED_CODE: Final = 3
_BUSY_CODES: Final = frozenset({METHOD_NOT_FOUND, -32005, 429})
_BUSY: Final = re.compile(
    "rate limit|request limit|too many requests|time[d ]*out|internal error|unavailable|syncing|try again",
    re.IGNORECASE,
)
"""What an endpoint says when it did not look at the transaction: clients agree on no code for it."""
_MAX_CLIENT_CHARS: Final = 100
_POLL_S: Final = (0.1, 2.0)
"""First and longest pause between two looks for a receipt, in seconds."""


class JsonRpcChain:
    """See the module. Open one with `open`; safe for threads."""

    def __init__(self, provider: BoundedProvider) -> None:
        """A chain whose endpoint is asked for its identity; `ChainError` if it does not answer."""
        self._provider, self._label = provider, provider.label
        self._web3 = Web3(provider, middleware=[ExtraDataToPOAMiddleware], modules={})
        self._eth = Endpoint(self._web3)
        with provider.reading():
            self._chain_id = self._eth.chain_id
        self._client = self._client_version()

    @classmethod
    def open(cls, uri: str, *, timeout_s: float = 30) -> JsonRpcChain:
        """The chain behind `uri`; `ChainError` if it does not answer. `timeout_s` bounds every request."""
        provider = BoundedProvider(Transport(parse_address(uri), timeout_s=timeout_s))
        try:
            return cls(provider)
        except ChainError:
            provider.close()
            raise

    def __repr__(self) -> str:
        return f"JsonRpcChain({self._label}, chain id {self._chain_id})"

    def info(self) -> ChainInfo:
        """Identity and head. `development` is known by chain id or by the client's own name, so it may be missed."""
        head = self._head()
        name = self._client.lower()
        development = self._chain_id in _DEVELOPMENT_CHAIN_IDS or name.startswith(_DEVELOPMENT_CLIENTS)
        label = f"{'development chain' if development else 'chain'} {self._chain_id} through {self._label}"
        return ChainInfo(self._chain_id, self._client, development, label, FINALITY, self._reference(head))

    def balance(self, address: str) -> int:
        """Wei at the head."""
        account = _account(address)
        with self._provider.reading():
            return int(self._eth.get_balance(account, "latest"))

    def nonce(self, address: str) -> int:
        """The next nonce, the endpoint's pending transactions counted."""
        account = _account(address)
        with self._provider.reading():
            return int(self._eth.get_transaction_count(account, "pending"))

    def fees(self) -> Fees:
        """Twice the head's base fee and the priority fee the endpoint suggests."""
        base_fee = self._head().get("baseFeePerGas")
        with self._provider.reading():
            if base_fee is None:
                price = int(self._eth.gas_price)
                return Fees(price, price)
            try:
                priority = int(self._eth.max_priority_fee)
            except AnswerError:
                priority = DEFAULT_PRIORITY_FEE_WEI
            return Fees(2 * base_fee + priority, priority)

    def estimate_gas(self, *, sender: str, to: str | None, data: bytes, value_wei: int = 0) -> int:
        """What the endpoint estimates."""
        call: TxParams = {"from": _account(sender), "data": data, "value": Wei(value_wei)}
        if to is not None:
            call["to"] = _account(to)
        return self._execute(lambda: self._eth.estimate_gas(call, "latest"))

    def send_raw(self, raw: bytes) -> bytes:
        """The hash of the transaction once the endpoint has it in its pool or in a block.

        A pool may still lose it: only a receipt shows that it was mined, and sending the same bytes again is safe.
        """
        if len(raw) > MAX_TRANSACTION_BYTES:
            got = f"{len(raw)} bytes"
            raise RejectedError("transaction is too large", expected=f"at most {MAX_TRANSACTION_BYTES} bytes", got=got)
        self._check_chain(raw)
        transaction = keccak256(raw)
        try:
            with self._provider.reading():
                answer = bytes(self._eth.send_raw_transaction(raw))
        except AnswerError as error:
            if self._is_known(transaction):
                return transaction
            if error.code in _BUSY_CODES or _BUSY.search(error.text):
                raise
            what, hint = "the chain refuses the transaction", "check the sender's balance and nonce, then sign again"
            raise RejectedError(what, got=error.text, where=self._label, hint=hint) from error
        if answer != transaction:
            raise self._wrong("took another transaction", expected=transaction.hex(), got=answer.hex())
        return transaction

    def receipt(self, transaction: bytes, *, timeout_s: float) -> TransactionReceipt | None:
        """The receipt once the transaction is mined, None if it is not within `timeout_s`."""
        name = _hex(check_hash(transaction, "transaction hash"))
        deadline = time.monotonic() + timeout_s
        pause_s, longest_s = _POLL_S
        while True:
            found = None
            with self._provider.reading():
                answer = self._receipt(name)
                if answer is not None:
                    found = transaction_receipt(answer)
            if found is not None and found.transaction != transaction:
                raise self._wrong("sent another receipt", expected=transaction.hex(), got=found.transaction.hex())
            remaining_s = deadline - time.monotonic()
            if found is not None or remaining_s <= 0:
                return found
            time.sleep(min(pause_s, remaining_s))
            pause_s = min(pause_s * 2, longest_s)

    def call(self, to: str, data: bytes) -> bytes:
        """What the contract returns at the head."""
        call: TxParams = {"to": _account(to), "data": data}
        return bytes(self._execute(lambda: self._eth.call(call, "latest")))

    def code(self, address: str) -> bytes:
        """Code at the head."""
        account = _account(address)
        with self._provider.reading():
            return bytes(self._eth.get_code(account, "latest"))

    def header(self, block_hash: bytes) -> bytes:
        """The RLP header, rebuilt from the block's fields or, of a fork unknown here, as the endpoint has it."""
        return self._header(block_hash)[0]

    def block_receipts(self, block_hash: bytes) -> tuple[bytes, ...]:
        """Every receipt of the block, checked against its receipts root."""
        _, header, block = self._header(block_hash)
        with self._provider.reading():
            receipts = [receipt_bytes(receipt) for receipt in self._receipts(_hex(block_hash), block)]
        try:
            return check_receipts(receipts, header, where=self._label)
        except ChainError:
            raw = self._raw(self._eth.raw_receipts, block_hash)
            if raw is None:
                raise
            return check_receipts([bytes.fromhex(item[2:]) for item in raw], header, where=self._label)

    def block_hash(self, number: int) -> bytes | None:
        """The hash of the canonical block at this height, None above the head."""
        if not 0 <= number <= MAX_UINT64:
            return None
        with self._provider.reading():
            try:
                block = self._reference(self._eth.block_by_number(number, False))
            except BlockNotFound:
                return None
        if block.number != number:
            raise self._wrong("sent another block", expected=str(number), got=str(block.number))
        return block.hash

    def finalized(self) -> int:
        """The number of the endpoint's `finalized` block, 0 while there is none: genesis is never replaced."""
        with self._provider.reading():
            try:
                return self._reference(self._eth.block_by_number("finalized", False)).number
            except BlockNotFound:
                return 0
            except AnswerError as error:
                if "not found" in error.text.lower():
                    return 0
                raise

    def close(self) -> None:
        """Close the connection."""
        self._provider.close()

    def _client_version(self) -> str:
        with self._provider.reading():
            try:
                answer: Any = self._web3.client_version
            except AnswerError:
                return "unknown"
        return answer[:_MAX_CLIENT_CHARS] if isinstance(answer, str) and answer.isprintable() and answer else "unknown"

    def _check_chain(self, raw: bytes) -> None:
        signed_for = transaction_chain_id(raw)
        if signed_for is not None and signed_for != self._chain_id:
            raise RejectedError(
                "transaction is for another chain", expected=self._chain_id, got=signed_for, where=self._label
            )
        with self._provider.reading():
            found = self._eth.chain_id
        if found != self._chain_id:
            raise self._wrong("became another chain", expected=f"chain id {self._chain_id}", got=str(found))

    def _is_known(self, transaction: bytes) -> bool:
        """Whether the endpoint has this transaction after all, so that its refusal was of a repetition.

        Asked without web3's reading of a transaction, of which only the hash matters here.
        """
        with self._provider.reading():
            answer: Any = self._provider.make_request(RPCEndpoint("eth_getTransactionByHash"), [_hex(transaction)])
        found = answer["result"]
        return isinstance(found, dict) and str(found.get("hash")).lower() == _hex(transaction)

    def _execute(self, ask: Callable[[], _T]) -> _T:
        try:
            with self._provider.reading():
                return ask()
        except AnswerError as error:
            if error.code == _REVERTED_CODE or "revert" in error.text.lower():
                raise RevertedError("the contract reverted", data=error.data) from error
            raise

    def _head(self) -> BlockData:
        with self._provider.reading():
            return self._eth.block_by_number("latest", False)

    def _header(self, block_hash: bytes) -> tuple[bytes, BlockHeader, BlockData]:
        name = _hex(check_hash(block_hash, "block hash"))
        with self._provider.reading():
            try:
                block = self._eth.block_by_hash(name, False)
            except BlockNotFound:
                hint = "the block was replaced, or this endpoint does not keep it"
                raise ChainError("no such block", got=block_hash.hex(), where=self._label, hint=hint) from None
            header = header_rlp(block)
        if keccak256(header) != block_hash:
            raw = self._raw(self._eth.raw_header, block_hash)
            header = header if raw is None else bytes.fromhex(raw[2:])
        return header, check_header(header, block_hash, where=self._label), block

    def _receipt(self, name: HexStr) -> Mapping[str, Any] | None:
        try:
            return self._eth.get_transaction_receipt(name)
        except TransactionNotFound:
            return None

    def _receipts(self, name: HexStr, block: BlockData) -> list[Mapping[str, Any]]:
        """The receipts of a block, in one answer or, from an endpoint that cannot, one by one."""
        try:
            return list(self._eth.get_block_receipts(name))
        except (AnswerError, BlockNotFound):
            hashes = present(block, "transactions", "block")
        if len(hashes) > MAX_TRIE_ITEMS:
            raise ChainError("block has too many transactions", expected=f"at most {MAX_TRIE_ITEMS}")
        return [
            self._eth.get_transaction_receipt(_hex(check_hash(bytes(found), "transaction hash"))) for found in hashes
        ]

    def _raw(self, method: Callable[[HexStr], _T], block_hash: bytes) -> _T | None:
        """What a debug method answers, None where it is not offered."""
        with self._provider.reading():
            try:
                return method(_hex(block_hash))
            except AnswerError:
                return None

    def _reference(self, block: BlockData) -> BlockRef:
        with self._provider.reading():
            return BlockRef(
                number=present(block, "number", "block"),
                hash=bytes(present(block, "hash", "block")),
                time_s=present(block, "timestamp", "block"),
            )

    def _wrong(self, what: str, *, expected: str, got: str) -> ChainError:
        return ChainError(f"chain endpoint {what}", expected=expected, got=got, where=self._label)


def _hex(data: bytes) -> HexStr:
    return HexStr(f"0x{data.hex()}")


def _account(text: str) -> ChecksumAddress:
    try:
        return to_checksum_address(parse_account(text))
    except MalformedError as error:
        raise ChainError(error.what, expected=error.expected, got=error.got) from error
