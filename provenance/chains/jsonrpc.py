"""Any Ethereum JSON-RPC endpoint over HTTP.

Invariants: the chain id is read when the endpoint is opened and again before every broadcast, and a transaction for
another chain is never sent; a header is rebuilt and hashed, receipts are encoded and their root computed, before
either is returned; what is said of finality is the endpoint's word. No key is ever sent: transactions arrive signed.
"""

from __future__ import annotations

import re
import time
from typing import Any, Final

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
from provenance.chains.rpc import METHOD_NOT_FOUND, AnswerError, RpcClient
from provenance.chains.rpc_blocks import header_rlp, receipt_bytes, transaction_chain_id, transaction_receipt
from provenance.chains.transport import Transport, parse_address
from provenance.errors import ChainError, MalformedError
from provenance.limits import MAX_UINT64

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

    def __init__(self, rpc: RpcClient, chain_id: int, client: str) -> None:
        self._rpc, self._chain_id, self._client = rpc, chain_id, client

    @classmethod
    def open(cls, uri: str, *, timeout_s: float = 30) -> JsonRpcChain:
        """The chain behind `uri`; `ChainError` if it does not answer. `timeout_s` bounds every request."""
        rpc = RpcClient(Transport(parse_address(uri), timeout_s=timeout_s))
        try:
            chain_id = rpc.quantity(rpc.call("eth_chainId"), "chain id", maximum=MAX_UINT64)
            client = _client_version(rpc)
        except ChainError:
            rpc.close()
            raise
        return cls(rpc, chain_id, client)

    def __repr__(self) -> str:
        return f"JsonRpcChain({self._rpc.label}, chain id {self._chain_id})"

    def info(self) -> ChainInfo:
        """Identity and head. `development` is known by chain id or by the client's own name, so it may be missed."""
        head = self._block("latest")
        name = self._client.lower()
        development = self._chain_id in _DEVELOPMENT_CHAIN_IDS or name.startswith(_DEVELOPMENT_CLIENTS)
        label = f"{'development chain' if development else 'chain'} {self._chain_id} through {self._rpc.label}"
        return ChainInfo(self._chain_id, self._client, development, label, FINALITY, self._reference(head))

    def balance(self, address: str) -> int:
        """Wei at the head."""
        return self._rpc.quantity(self._rpc.call("eth_getBalance", _account(address), "latest"), "balance")

    def nonce(self, address: str) -> int:
        """The next nonce, the endpoint's pending transactions counted."""
        answer = self._rpc.call("eth_getTransactionCount", _account(address), "pending")
        return self._rpc.quantity(answer, "nonce", maximum=MAX_UINT64)

    def fees(self) -> Fees:
        """Twice the head's base fee and the priority fee the endpoint suggests."""
        base_fee = self._block("latest").get("baseFeePerGas")
        if base_fee is None:
            price = self._rpc.quantity(self._rpc.call("eth_gasPrice"), "gas price")
            return Fees(price, price)
        try:
            priority = self._rpc.quantity(self._rpc.call("eth_maxPriorityFeePerGas"), "priority fee")
        except AnswerError:
            priority = DEFAULT_PRIORITY_FEE_WEI
        return Fees(2 * self._rpc.quantity(base_fee, "base fee") + priority, priority)

    def estimate_gas(self, *, sender: str, to: str | None, data: bytes, value_wei: int = 0) -> int:
        """What the endpoint estimates."""
        call = {"from": _account(sender), "data": f"0x{data.hex()}", "value": hex(value_wei)}
        if to is not None:
            call["to"] = _account(to)
        return self._rpc.quantity(self._execute("eth_estimateGas", call), "gas estimate", maximum=MAX_UINT64)

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
            answer = self._rpc.call("eth_sendRawTransaction", f"0x{raw.hex()}")
        except AnswerError as error:
            if self._is_known(transaction):
                return transaction
            if error.code in _BUSY_CODES or _BUSY.search(error.text):
                raise
            what, hint = "the chain refuses the transaction", "check the sender's balance and nonce, then sign again"
            raise RejectedError(what, got=error.text, where=self._rpc.label, hint=hint) from error
        if self._rpc.data(answer, "transaction hash", size=32) != transaction:
            expected = transaction.hex()
            raise ChainError(
                "chain endpoint took another transaction", expected=expected, got=answer, where=self._rpc.label
            )
        return transaction

    def receipt(self, transaction: bytes, *, timeout_s: float) -> TransactionReceipt | None:
        """The receipt once the transaction is mined, None if it is not within `timeout_s`."""
        name = f"0x{check_hash(transaction, 'transaction hash').hex()}"
        deadline = time.monotonic() + timeout_s
        pause_s, longest_s = _POLL_S
        while True:
            answer = self._rpc.call("eth_getTransactionReceipt", name)
            found = None
            if answer is not None:
                found = transaction_receipt(self._rpc, self._rpc.object(answer, "receipt"), transaction)
            remaining_s = deadline - time.monotonic()
            if found is not None or remaining_s <= 0:
                return found
            time.sleep(min(pause_s, remaining_s))
            pause_s = min(pause_s * 2, longest_s)

    def call(self, to: str, data: bytes) -> bytes:
        """What the contract returns at the head."""
        call = {"to": _account(to), "data": f"0x{data.hex()}"}
        return self._rpc.data(self._execute("eth_call", call, "latest"), "call result")

    def code(self, address: str) -> bytes:
        """Code at the head."""
        return self._rpc.data(self._rpc.call("eth_getCode", _account(address), "latest"), "code")

    def header(self, block_hash: bytes) -> bytes:
        """The RLP header, rebuilt from the block's fields or, of a fork unknown here, as the endpoint has it."""
        return self._header(block_hash)[0]

    def block_receipts(self, block_hash: bytes) -> tuple[bytes, ...]:
        """Every receipt of the block, checked against its receipts root."""
        _, header, block = self._header(block_hash)
        receipts = [receipt_bytes(self._rpc, receipt) for receipt in self._receipts(block_hash, block)]
        try:
            return check_receipts(receipts, header, where=self._rpc.label)
        except ChainError:
            raw = self._raw("debug_getRawReceipts", block_hash)
            if not isinstance(raw, list):
                raise
            return check_receipts([self._rpc.data(item, "raw receipt") for item in raw], header, where=self._rpc.label)

    def block_hash(self, number: int) -> bytes | None:
        """The hash of the canonical block at this height, None above the head."""
        if not 0 <= number <= MAX_UINT64:
            return None
        answer = self._rpc.call("eth_getBlockByNumber", hex(number), False)
        if answer is None:
            return None
        block = self._reference(self._rpc.object(answer, "block"))
        if block.number != number:
            raise ChainError(
                "chain endpoint sent another block", expected=number, got=block.number, where=self._rpc.label
            )
        return block.hash

    def finalized(self) -> int:
        """The number of the endpoint's `finalized` block, 0 while there is none: genesis is never replaced."""
        try:
            answer = self._rpc.call("eth_getBlockByNumber", "finalized", False)
        except AnswerError as error:
            if "not found" in error.text.lower():
                return 0
            raise
        return 0 if answer is None else self._reference(self._rpc.object(answer, "block")).number

    def close(self) -> None:
        """Close the connection."""
        self._rpc.close()

    def _check_chain(self, raw: bytes) -> None:
        signed_for = transaction_chain_id(raw)
        if signed_for is not None and signed_for != self._chain_id:
            raise RejectedError(
                "transaction is for another chain", expected=self._chain_id, got=signed_for, where=self._rpc.label
            )
        found = self._rpc.quantity(self._rpc.call("eth_chainId"), "chain id", maximum=MAX_UINT64)
        if found != self._chain_id:
            expected = f"chain id {self._chain_id}"
            raise ChainError("chain endpoint became another chain", expected=expected, got=found, where=self._rpc.label)

    def _is_known(self, transaction: bytes) -> bool:
        """Whether the endpoint has this transaction after all, so that its refusal was of a repetition."""
        answer = self._rpc.call("eth_getTransactionByHash", f"0x{transaction.hex()}")
        return isinstance(answer, dict) and self._rpc.data(answer.get("hash"), "transaction hash") == transaction

    def _execute(self, method: str, *params: Any) -> Any:
        try:
            return self._rpc.call(method, *params)
        except AnswerError as error:
            if error.code == _REVERTED_CODE or "revert" in error.text.lower():
                raise RevertedError("the contract reverted", data=error.data) from error
            raise

    def _header(self, block_hash: bytes) -> tuple[bytes, BlockHeader, dict[str, Any]]:
        name = f"0x{check_hash(block_hash, 'block hash').hex()}"
        answer = self._rpc.call("eth_getBlockByHash", name, False)
        if answer is None:
            hint = "the block was replaced, or this endpoint does not keep it"
            raise ChainError("no such block", got=block_hash.hex(), where=self._rpc.label, hint=hint)
        block = self._rpc.object(answer, "block")
        header = header_rlp(self._rpc, block)
        if keccak256(header) != block_hash:
            raw = self._raw("debug_getRawHeader", block_hash)
            header = header if raw is None else self._rpc.data(raw, "raw header")
        return header, check_header(header, block_hash, where=self._rpc.label), block

    def _receipts(self, block_hash: bytes, block: dict[str, Any]) -> list[dict[str, Any]]:
        """Receipt objects of a block, in one answer or, from an endpoint that cannot, one by one."""
        try:
            answer = self._rpc.call("eth_getBlockReceipts", f"0x{block_hash.hex()}")
        except AnswerError:
            answer = None
        if answer is None:
            transactions = self._rpc.array(block.get("transactions"), "block transactions")
            if len(transactions) > MAX_TRIE_ITEMS:
                raise ChainError("block has too many transactions", expected=f"at most {MAX_TRIE_ITEMS}")
            names = [f"0x{self._rpc.data(name, 'transaction hash', size=32).hex()}" for name in transactions]
            answer = [self._rpc.call("eth_getTransactionReceipt", name) for name in names]
        return [self._rpc.object(receipt, "receipt") for receipt in self._rpc.array(answer, "receipts")]

    def _raw(self, method: str, block_hash: bytes) -> Any:
        """What a debug method answers, None where it is not offered."""
        try:
            return self._rpc.call(method, f"0x{block_hash.hex()}")
        except AnswerError:
            return None

    def _block(self, tag: str) -> dict[str, Any]:
        return self._rpc.object(self._rpc.call("eth_getBlockByNumber", tag, False), f"{tag} block")

    def _reference(self, block: dict[str, Any]) -> BlockRef:
        return BlockRef(
            number=self._rpc.quantity(block.get("number"), "block number", maximum=MAX_UINT64),
            hash=self._rpc.data(block.get("hash"), "block hash", size=32),
            time_s=self._rpc.quantity(block.get("timestamp"), "block time", maximum=MAX_UINT64),
        )


def _client_version(rpc: RpcClient) -> str:
    try:
        answer = rpc.call("web3_clientVersion")
    except AnswerError:
        return "unknown"
    return answer[:_MAX_CLIENT_CHARS] if isinstance(answer, str) and answer.isprintable() and answer else "unknown"


def _account(text: str) -> str:
    try:
        return f"0x{parse_account(text).hex()}"
    except MalformedError as error:
        raise ChainError(error.what, expected=error.expected, got=error.got) from error
