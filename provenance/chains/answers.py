"""What an endpoint may answer to each method, checked before web3 reads it.

Invariants: web3 is handed hex of the right size, or an answer that is an error. Its own reading is lenient where it
must not be here: it takes `1`, `-0x1`, ` 0x1` and JSON numbers for quantities, and a short value for a hash.

A field that is missing or null passes: whoever needs it says so. Fields that are not named here are left alone.

Source: Ethereum execution API specification; quantities are hex without padding, data is hex of whole bytes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from provenance.errors import MalformedError


@dataclass(frozen=True, slots=True)
class Text:
    """Text that matches a pattern, and what that means to people."""

    expected: str
    pattern: re.Pattern[str]


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    item: Shape


Shape: TypeAlias = "Text | Items | Mapping[str, Shape]"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a method answers: its name to people, its shape, and whether null may stand for it."""

    what: str
    shape: Shape
    is_nullable: bool = False


def _quantity(bits: int) -> Text:
    digits = bits // 4
    pattern = f"0x0{{0,{64 - digits}}}[0-9a-fA-F]{{1,{digits}}}"
    return Text(f"a hex quantity of at most {bits} bits", re.compile(pattern))


def _data(size: int) -> Text:
    return Text(f"hex of {size} bytes", re.compile(f"0x[0-9a-fA-F]{{{2 * size}}}"))


# Possessive: without it, matching 64 MiB of hex takes gigabytes.
DATA: Final = Text("hex of whole bytes", re.compile(r"0x(?:[0-9a-fA-F]{2})*+"))
UINT256: Final = _quantity(256)
UINT64: Final = _quantity(64)
HASH: Final = _data(32)
ADDRESS: Final = _data(20)
BLOOM: Final = _data(256)
TYPE: Final = Text("an EIP-2718 type", re.compile("0x0{0,62}[0-7]?[0-9a-fA-F]"))
STATUS: Final = Text("0x0 or 0x1", re.compile("0x0{0,63}[01]"))

_MAX_SHOWN_CHARS: Final = 100

LOG: Final[Mapping[str, Shape]] = {"address": ADDRESS, "topics": Items(HASH), "data": DATA, "logIndex": UINT64}
RECEIPT: Final[Mapping[str, Shape]] = {
    "blockHash": HASH,
    "blockNumber": UINT64,
    "transactionHash": HASH,
    "transactionIndex": UINT64,
    "type": TYPE,
    "status": STATUS,
    "root": HASH,
    "gasUsed": UINT64,
    "cumulativeGasUsed": UINT64,
    "logsBloom": BLOOM,
    "logs": Items(LOG),
    "contractAddress": ADDRESS,
    "depositNonce": UINT256,
    "depositReceiptVersion": UINT256,
}
BLOCK: Final[Mapping[str, Shape]] = {
    "hash": HASH,
    "parentHash": HASH,
    "sha3Uncles": HASH,
    "miner": ADDRESS,
    "stateRoot": HASH,
    "transactionsRoot": HASH,
    "receiptsRoot": HASH,
    "logsBloom": BLOOM,
    "difficulty": UINT256,
    "number": UINT64,
    "gasLimit": UINT256,
    "gasUsed": UINT256,
    "timestamp": UINT64,
    "extraData": DATA,
    "mixHash": HASH,
    "nonce": _data(8),
    "baseFeePerGas": UINT256,
    "withdrawalsRoot": HASH,
    "blobGasUsed": UINT256,
    "excessBlobGas": UINT256,
    "parentBeaconBlockRoot": HASH,
    "requestsHash": HASH,
}
ANSWERS: Final[Mapping[str, Answer]] = {
    "eth_chainId": Answer("chain id", UINT64),
    "eth_getBalance": Answer("balance", UINT256),
    "eth_getTransactionCount": Answer("nonce", UINT64),
    "eth_gasPrice": Answer("gas price", UINT256),
    "eth_maxPriorityFeePerGas": Answer("priority fee", UINT256),
    "eth_estimateGas": Answer("gas estimate", UINT64),
    "eth_call": Answer("call result", DATA),
    "eth_getCode": Answer("code", DATA),
    "eth_sendRawTransaction": Answer("transaction hash", HASH),
    "eth_getTransactionReceipt": Answer("receipt", RECEIPT, is_nullable=True),
    "eth_getBlockReceipts": Answer("receipts", Items(RECEIPT), is_nullable=True),
    "eth_getBlockByHash": Answer("block", BLOCK, is_nullable=True),
    "eth_getBlockByNumber": Answer("block", BLOCK, is_nullable=True),
    "debug_getRawHeader": Answer("raw header", DATA, is_nullable=True),
    "debug_getRawReceipts": Answer("raw receipts", Items(DATA), is_nullable=True),
}
"""Every method whose answer is read as more than text."""


def check_answer(method: str, value: Any) -> None:
    """Raise `MalformedError`, which names the answer and the field, if `value` is no answer to `method`."""
    answer = ANSWERS.get(method)
    if answer is not None and not (answer.is_nullable and value is None):
        _check(value, answer.shape, answer.what)


def _check(value: Any, shape: Shape, what: str) -> None:
    if isinstance(shape, Text):
        if not isinstance(value, str) or not shape.pattern.fullmatch(value):
            raise MalformedError(what, expected=shape.expected, got=_found(value))
    elif isinstance(shape, Items):
        if not isinstance(value, list):
            raise MalformedError(what, expected="a list", got=_found(value))
        for item in value:
            _check(item, shape.item, what)
    else:
        if not isinstance(value, dict):
            raise MalformedError(what, expected="an object", got=_found(value))
        for name, field in shape.items():
            if value.get(name) is not None:
                _check(value[name], field, f"{what} {name}")


def _found(value: Any) -> str:
    """What an error shows: short text whole, so that whoever shows it can blot out a key, of which half would stay."""
    if not isinstance(value, str):
        return type(value).__name__
    return value if len(value) <= _MAX_SHOWN_CHARS else f"text of {len(value)} characters"
