"""Headers, receipts and transactions as web3 reads them, turned back into what consensus hashes.

Invariants: nothing is believed here; the caller compares a header with its hash and receipts with their root, so that
a field that is missing, changed or of a fork unknown here is found out and not passed on. A field that is missing is
a `MalformedError` that names it; those that are there have their type and size (provenance.chains.answers).

Source: Ethereum execution API specification; EIP-2718 and the EIPs of each header field.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from provenance.anchor import rlp
from provenance.chains.base import MAX_TRANSACTION_BYTES, Log, RejectedError, TransactionReceipt
from provenance.errors import MalformedError

EXTRA_DATA: Final = "proofOfAuthorityData"
"""Where web3 puts a header's extra data, which on some chains is longer than the 32 bytes that it otherwise allows."""
_FIXED_FIELDS: Final = (
    "parentHash",
    "sha3Uncles",
    "miner",
    "stateRoot",
    "transactionsRoot",
    "receiptsRoot",
    "logsBloom",
    "difficulty",
    "number",
    "gasLimit",
    "gasUsed",
    "timestamp",
    "extraData",
    "mixHash",
    "nonce",
)
_LATER_FIELDS: Final = (
    "baseFeePerGas",  # London
    "withdrawalsRoot",  # Shanghai
    "blobGasUsed",  # Cancun
    "excessBlobGas",
    "parentBeaconBlockRoot",
    "requestsHash",  # Prague
)
_DEPOSIT_TYPE: Final = 0x7E
"""OP Stack deposits: their receipts end in two more fields."""
_DEPOSIT_FIELDS: Final = ("depositNonce", "depositReceiptVersion")
_FIRST_LIST_BYTE: Final = 0xC0
_BLOB_TYPE: Final = 3
_LEGACY_V: Final = 6
_EIP155_V: Final = 35


def header_rlp(block: Mapping[str, Any]) -> bytes:
    """The RLP of the header in a block, of every fork up to Prague."""
    fields = dict(block)
    fields["extraData"] = fields.get(EXTRA_DATA)
    names = (*_FIXED_FIELDS, *(name for name in _LATER_FIELDS if fields.get(name) is not None))
    return rlp.encode(tuple(_encoded(present(fields, name, "block")) for name in names))


def receipt_bytes(receipt: Mapping[str, Any]) -> bytes:
    """The consensus encoding of a receipt: EIP-2718 type byte unless legacy, then RLP."""
    kind = present(receipt, "type", "receipt") if "type" in receipt else 0
    logs = tuple(
        (_address(log), _topics(log), bytes(present(log, "data", "log"))) for log in present(receipt, "logs", "receipt")
    )
    fields: list[rlp.RlpItem] = [
        _outcome(receipt),
        rlp.encode_uint(present(receipt, "cumulativeGasUsed", "receipt")),
        bytes(present(receipt, "logsBloom", "receipt")),
        logs,
    ]
    if kind == _DEPOSIT_TYPE:  # web3 leaves these two as they are
        extra = (receipt.get(name) for name in _DEPOSIT_FIELDS)
        fields += [rlp.encode_uint(int(value, 16)) for value in extra if value is not None]
    payload = rlp.encode(tuple(fields))
    return payload if kind == 0 else bytes((kind,)) + payload


def transaction_receipt(receipt: Mapping[str, Any]) -> TransactionReceipt | None:
    """The receipt of a mined transaction, None while its block is not known."""
    if receipt.get("blockHash") is None or receipt.get("blockNumber") is None:
        return None
    status = present(receipt, "status", "receipt")
    contract = receipt.get("contractAddress")
    return TransactionReceipt(
        transaction=bytes(present(receipt, "transactionHash", "receipt")),
        status=status,
        block_number=receipt["blockNumber"],
        block_hash=bytes(receipt["blockHash"]),
        transaction_index=present(receipt, "transactionIndex", "receipt"),
        gas_used=present(receipt, "gasUsed", "receipt"),
        contract_address=contract if status == 1 else None,
        logs=tuple(_log(log) for log in present(receipt, "logs", "receipt")),
    )


def present(fields: Mapping[str, Any], name: str, what: str) -> Any:
    """A field's value; `MalformedError` if it is missing or null."""
    value = fields.get(name)
    if value is None:
        raise MalformedError(f"{what} {name}", expected="a value", got="none")
    return value


def transaction_chain_id(raw: bytes) -> int | None:
    """The chain id a signed transaction is for; None for one from before EIP-155. `RejectedError` if it is none."""
    try:
        if raw[:1] >= bytes((_FIRST_LIST_BYTE,)):
            fields = rlp.parse_list(raw, what="transaction", max_bytes=MAX_TRANSACTION_BYTES)
            v = rlp.as_uint(fields[_LEGACY_V], what="transaction's v")
            return (v - _EIP155_V) // 2 if v >= _EIP155_V else None
        fields = rlp.parse_list(raw[1:], what="transaction", max_bytes=MAX_TRANSACTION_BYTES)
        if raw[0] == _BLOB_TYPE and not isinstance(fields[0], bytes):
            fields = fields[0]  # sent with its blobs beside it
        return rlp.as_uint(fields[0], what="transaction's chain id")
    except (MalformedError, IndexError) as error:
        raise RejectedError("not a signed transaction", got=error) from error


def _encoded(value: Any) -> bytes:
    """A header field: a quantity without leading zeros, an address or bytes as they are."""
    if isinstance(value, int):
        return rlp.encode_uint(value)
    return bytes.fromhex(value[2:]) if isinstance(value, str) else bytes(value)


def _outcome(receipt: Mapping[str, Any]) -> bytes:
    """Status since Byzantium (EIP-658), the state root before, which web3 leaves as it is."""
    if receipt.get("status") is None and receipt.get("root") is not None:
        return bytes.fromhex(receipt["root"][2:])
    return rlp.encode_uint(present(receipt, "status", "receipt"))


def _log(log: Mapping[str, Any]) -> Log:
    return Log(
        address=present(log, "address", "log"),
        topics=_topics(log),
        data=bytes(present(log, "data", "log")),
        index=present(log, "logIndex", "log"),
    )


def _address(log: Mapping[str, Any]) -> bytes:
    return bytes.fromhex(present(log, "address", "log")[2:])


def _topics(log: Mapping[str, Any]) -> tuple[bytes, ...]:
    return tuple(bytes(topic) for topic in present(log, "topics", "log"))
