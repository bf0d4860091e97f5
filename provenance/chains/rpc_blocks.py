"""Headers, receipts and transactions as JSON-RPC writes them, turned back into what consensus hashes.

Invariants: nothing is believed here; the caller compares a header with its hash and receipts with their root, so that
a field that is missing, changed or of a fork unknown here is found out and not passed on.

Source: Ethereum execution API specification; EIP-2718 and the EIPs of each header field.
"""

from __future__ import annotations

from typing import Any, Final

from provenance.anchor import rlp
from provenance.chains.base import MAX_TRANSACTION_BYTES, Log, RejectedError, TransactionReceipt
from provenance.chains.rpc import RpcClient
from provenance.errors import ChainError, MalformedError
from provenance.limits import MAX_UINT64

_QUANTITY: Final = -1
_ANY_SIZE: Final = -2
_FIXED_FIELDS: Final = (
    ("parentHash", 32),
    ("sha3Uncles", 32),
    ("miner", 20),
    ("stateRoot", 32),
    ("transactionsRoot", 32),
    ("receiptsRoot", 32),
    ("logsBloom", 256),
    ("difficulty", _QUANTITY),
    ("number", _QUANTITY),
    ("gasLimit", _QUANTITY),
    ("gasUsed", _QUANTITY),
    ("timestamp", _QUANTITY),
    ("extraData", _ANY_SIZE),
    ("mixHash", 32),
    ("nonce", 8),
)
_LATER_FIELDS: Final = (
    ("baseFeePerGas", _QUANTITY),  # London
    ("withdrawalsRoot", 32),  # Shanghai
    ("blobGasUsed", _QUANTITY),  # Cancun
    ("excessBlobGas", _QUANTITY),
    ("parentBeaconBlockRoot", 32),
    ("requestsHash", 32),  # Prague
)
_DEPOSIT_TYPE: Final = 0x7E
"""OP Stack deposits: their receipts end in two more fields."""
_FIRST_LIST_BYTE: Final = 0xC0
_BLOB_TYPE: Final = 3
_LEGACY_V: Final = 6
_EIP155_V: Final = 35


def header_rlp(rpc: RpcClient, block: dict[str, Any]) -> bytes:
    """The RLP of the header in a block object, of every fork up to Prague."""
    fields = [_field(rpc, block, name, size) for name, size in _FIXED_FIELDS]
    for name, size in _LATER_FIELDS:
        if block.get(name) is not None:
            fields.append(_field(rpc, block, name, size))
    return rlp.encode(tuple(fields))


def receipt_bytes(rpc: RpcClient, receipt: dict[str, Any]) -> bytes:
    """The consensus encoding of a receipt object: EIP-2718 type byte unless legacy, then RLP."""
    kind = rpc.quantity(receipt.get("type", "0x0"), "receipt type", maximum=0x7F)
    logs = tuple(
        (
            rpc.data(log.get("address"), "log address", size=20),
            tuple(rpc.data(topic, "log topic", size=32) for topic in rpc.array(log.get("topics"), "log topics")),
            rpc.data(log.get("data"), "log data"),
        )
        for log in _logs(rpc, receipt)
    )
    fields: list[rlp.RlpItem] = [
        _outcome(rpc, receipt),
        rlp.encode_uint(rpc.quantity(receipt.get("cumulativeGasUsed"), "cumulative gas", maximum=MAX_UINT64)),
        rpc.data(receipt.get("logsBloom"), "logs bloom", size=256),
        logs,
    ]
    if kind == _DEPOSIT_TYPE:
        extra = (receipt.get("depositNonce"), receipt.get("depositReceiptVersion"))
        fields += [rlp.encode_uint(rpc.quantity(value, "deposit field")) for value in extra if value is not None]
    payload = rlp.encode(tuple(fields))
    return payload if kind == 0 else bytes((kind,)) + payload


def transaction_receipt(rpc: RpcClient, receipt: dict[str, Any], transaction: bytes) -> TransactionReceipt | None:
    """The receipt of a mined transaction, None while its block is not known."""
    if receipt.get("blockHash") is None or receipt.get("blockNumber") is None:
        return None
    found = rpc.data(receipt.get("transactionHash"), "transaction hash", size=32)
    if found != transaction:
        expected, got = transaction.hex(), found.hex()
        raise ChainError("chain endpoint sent another receipt", expected=expected, got=got, where=rpc.label)
    status = rpc.quantity(receipt.get("status"), "receipt status", maximum=1)
    contract = receipt.get("contractAddress")
    return TransactionReceipt(
        transaction=transaction,
        status=status,
        block_number=rpc.quantity(receipt["blockNumber"], "block number", maximum=MAX_UINT64),
        block_hash=rpc.data(receipt["blockHash"], "block hash", size=32),
        transaction_index=rpc.quantity(receipt.get("transactionIndex"), "transaction index", maximum=MAX_UINT64),
        gas_used=rpc.quantity(receipt.get("gasUsed"), "gas used", maximum=MAX_UINT64),
        contract_address=rpc.address(contract, "contract address") if contract is not None and status == 1 else None,
        logs=tuple(_log(rpc, log) for log in _logs(rpc, receipt)),
    )


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


def _field(rpc: RpcClient, block: dict[str, Any], name: str, size: int) -> bytes:
    if size == _QUANTITY:
        return rlp.encode_uint(rpc.quantity(block.get(name), f"header {name}"))
    return rpc.data(block.get(name), f"header {name}", size=None if size == _ANY_SIZE else size)


def _outcome(rpc: RpcClient, receipt: dict[str, Any]) -> bytes:
    """Status since Byzantium (EIP-658), the state root before."""
    if receipt.get("status") is None and receipt.get("root") is not None:
        return rpc.data(receipt["root"], "receipt root", size=32)
    return rlp.encode_uint(rpc.quantity(receipt.get("status"), "receipt status", maximum=1))


def _logs(rpc: RpcClient, receipt: dict[str, Any]) -> list[dict[str, Any]]:
    return [rpc.object(log, "log") for log in rpc.array(receipt.get("logs"), "logs")]


def _log(rpc: RpcClient, log: dict[str, Any]) -> Log:
    return Log(
        address=rpc.address(log.get("address"), "log address"),
        topics=tuple(rpc.data(topic, "log topic", size=32) for topic in rpc.array(log.get("topics"), "log topics")),
        data=rpc.data(log.get("data"), "log data"),
        index=rpc.quantity(log.get("logIndex"), "log index", maximum=MAX_UINT64),
    )
