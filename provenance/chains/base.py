"""What every chain guarantees: the values it returns and the interface it implements.

Invariants: hashes and raw transactions are bytes, addresses are EIP-55 text, amounts are wei, gas is gas units, times
are Unix seconds; every failure is a `ChainError` that says what to do next; `send_raw` may be repeated with the same
bytes any number of times and takes effect once.

A chain is not trusted: `header` is checked against its hash before it is returned, and what `block_receipts` returns
proves nothing until its trie root equals the receipts root of such a header (provenance.anchor).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

from provenance.anchor import DEVELOPMENT_CHAIN_ID as DEVELOPMENT_CHAIN_ID
from provenance.errors import ChainError

DEVELOPMENT_LABEL: Final = "single-operator development chain"
"""Shown wherever a person sees an anchor on the embedded chain: whoever runs it can rewrite it."""

MAX_TRANSACTION_BYTES: Final = 128 * 2**10
"""A signed transaction; what Ethereum nodes accept into their pool."""


class RejectedError(ChainError):
    """The chain answered and refuses this transaction; sending the same bytes again cannot succeed as things are."""


class RevertedError(ChainError):
    """A contract call ran and reverted. `data` is the ABI-encoded revert reason, empty if the contract gave none."""

    def __init__(self, what: str, *, data: bytes = b"", hint: str | None = None) -> None:
        super().__init__(what, got=f"0x{data.hex()}" if data else "no reason", hint=hint)
        self.data = data


@dataclass(frozen=True, slots=True)
class BlockRef:
    """One block: its height, its 32-byte hash and its timestamp in Unix seconds."""

    number: int
    hash: bytes
    time_s: int


@dataclass(frozen=True, slots=True)
class ChainInfo:
    """What a receipt and a person must know of a chain.

    `client` is the node's own claim; `development` is True where one operator can rewrite history at will; `label`
    names the chain to people; `finality` says what `finalized()` means here.
    """

    chain_id: int
    client: str
    development: bool
    label: str
    finality: str
    head: BlockRef


@dataclass(frozen=True, slots=True)
class Fees:
    """Fees to put into an EIP-1559 transaction, in wei per gas. The maximum leaves room for the base fee to double."""

    max_fee_per_gas: int
    max_priority_fee_per_gas: int


@dataclass(frozen=True, slots=True)
class Log:
    """One event: emitting contract (EIP-55), topics of 32 bytes, data, and its index among the block's logs."""

    address: str
    topics: tuple[bytes, ...]
    data: bytes
    index: int


@dataclass(frozen=True, slots=True)
class TransactionReceipt:
    """What became of a mined transaction. `status` is 1 for success, 0 for reverted; `gas_used` in gas units."""

    transaction: bytes
    status: int
    block_number: int
    block_hash: bytes
    transaction_index: int
    gas_used: int
    contract_address: str | None
    logs: tuple[Log, ...]


@runtime_checkable
class Chain(Protocol):
    """One EVM chain. Methods may be called from several threads; each is bounded in time."""

    def info(self) -> ChainInfo:
        """The chain's identity and its head."""

    def balance(self, address: str) -> int:
        """Wei held by `address` at the head."""

    def nonce(self, address: str) -> int:
        """The nonce the next transaction of `address` must carry, pending ones counted."""

    def fees(self) -> Fees:
        """Fees with which a transaction is included soon."""

    def estimate_gas(self, *, sender: str, to: str | None, data: bytes, value_wei: int = 0) -> int:
        """Gas that suffices for this transaction at the head (`to` None deploys); `RevertedError` if it reverts."""

    def send_raw(self, raw: bytes) -> bytes:
        """The 32-byte hash of a signed transaction that the chain has accepted.

        A transaction that is already known is success. `RejectedError` if the chain refuses it; any other
        `ChainError` leaves the outcome open, and sending the same bytes again is safe.
        """

    def receipt(self, transaction: bytes, *, timeout_s: float) -> TransactionReceipt | None:
        """The receipt of a transaction hash once it is mined; None if it is not within `timeout_s` (0: look once)."""

    def call(self, to: str, data: bytes) -> bytes:
        """What the contract returns at the head; empty where there is no code; `RevertedError` if it reverts."""

    def code(self, address: str) -> bytes:
        """The code at `address` at the head; empty where there is none."""

    def header(self, block_hash: bytes) -> bytes:
        """The RLP header whose Keccak-256 is `block_hash` (checked)."""

    def block_receipts(self, block_hash: bytes) -> tuple[bytes, ...]:
        """Every receipt of a block in order, consensus-encoded: EIP-2718 type byte, then RLP; a list if legacy."""

    def block_hash(self, number: int) -> bytes | None:
        """The hash of the canonical block at this height, None above the head. Another hash means reorganisation."""

    def finalized(self) -> int:
        """The highest block number that this chain promises never to replace."""

    def close(self) -> None:
        """Release what the chain holds. Calling it again does nothing."""
