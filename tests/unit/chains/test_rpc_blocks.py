"""Headers and receipts as other clients write them, put together again."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from eth_typing import HexStr

from provenance.anchor import rlp, trie
from provenance.anchor.header import parse_header
from provenance.anchor.keccak import keccak256
from provenance.chains import RejectedError
from provenance.chains.jsonrpc import JsonRpcChain
from provenance.chains.provider import BoundedProvider, Endpoint
from provenance.chains.rpc_blocks import header_rlp as rlp_of_block
from provenance.chains.rpc_blocks import receipt_bytes as bytes_of_receipt
from provenance.chains.rpc_blocks import transaction_chain_id
from provenance.chains.transport import Transport, parse_address
from provenance.errors import ChainError

RECORDED = Path(__file__).parent / "recorded" / "anvil_prague_block.json"
MAINNET_GENESIS: dict[str, Any] = {
    "parentHash": f"0x{'00' * 32}",
    "sha3Uncles": "0x1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347",
    "miner": f"0x{'00' * 20}",
    "stateRoot": "0xd7f8974fb5ac78d9ac099b9ad5018bedc2ce0a72dad1827a1709da30580f0544",
    "transactionsRoot": "0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421",
    "receiptsRoot": "0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421",
    "logsBloom": f"0x{'00' * 256}",
    "difficulty": "0x400000000",
    "number": "0x0",
    "gasLimit": "0x1388",
    "gasUsed": "0x0",
    "timestamp": "0x0",
    "extraData": "0x11bbe8db4e347b4e8c937c1c8370e4b5ed33adb3db69cbdb7a38e1e50b1b82fa",
    "mixHash": f"0x{'00' * 32}",
    "nonce": "0x0000000000000042",
}
QUANTITIES = {"difficulty", "number", "gasLimit", "gasUsed", "timestamp"}
QUANTITIES |= {"baseFeePerGas", "blobGasUsed", "excessBlobGas"}
WRONG: list[Any] = [1, [], {}, "0x", "12", "0xg", f"0x{'f' * 1000}"]
MAINNET_GENESIS_HASH = "d4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3"


class Recorded(Transport):
    """An endpoint that answers every method but `eth_chainId` with one value."""

    def __init__(self) -> None:
        super().__init__(parse_address("http://127.0.0.1:1"), timeout_s=1)
        self.answer: Any = None

    def post(self, body: bytes) -> tuple[int, bytes]:
        request = json.loads(body)
        result = "0x1" if request["method"] in ("eth_chainId", "web3_clientVersion") else self.answer
        return 200, json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": result}).encode()


class Rpc:
    """What web3 makes of a block or a receipt as an endpoint sends it."""

    def __init__(self) -> None:
        self.transport = Recorded()
        self.provider = BoundedProvider(self.transport)
        self.eth: Endpoint = JsonRpcChain(self.provider)._eth


@pytest.fixture(scope="module")
def rpc() -> Rpc:
    return Rpc()


def header_rlp(rpc: Rpc, block: dict[str, Any]) -> bytes:
    rpc.transport.answer = block
    with rpc.provider.reading():
        return rlp_of_block(rpc.eth.block_by_number(1, False))


def receipt_bytes(rpc: Rpc, receipt: dict[str, Any]) -> bytes:
    rpc.transport.answer = receipt
    with rpc.provider.reading():
        return bytes_of_receipt(rpc.eth.get_transaction_receipt(HexStr(f"0x{0:064x}")))


@pytest.fixture
def block() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(RECORDED.read_text())["block"]
    return found


@pytest.fixture
def receipts() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(RECORDED.read_text())["receipts"]
    return found


def test_a_frontier_header(rpc: Rpc) -> None:
    assert keccak256(header_rlp(rpc, MAINNET_GENESIS)).hex() == MAINNET_GENESIS_HASH


def test_a_prague_header(rpc: Rpc, block: dict[str, Any]) -> None:
    header = header_rlp(rpc, block)
    assert f"0x{keccak256(header).hex()}" == block["hash"]
    assert parse_header(header).time_s == int(block["timestamp"], 16)


def test_receipts_of_every_type(rpc: Rpc, block: dict[str, Any], receipts: list[dict[str, Any]]) -> None:
    encoded = [receipt_bytes(rpc, receipt) for receipt in receipts]
    assert [receipt["type"] for receipt in receipts] == ["0x0", "0x1", "0x2", "0x4", "0x3"]
    assert f"0x{trie.root_of(encoded).hex()}" == block["receiptsRoot"]


def test_a_receipt_from_before_byzantium(rpc: Rpc, receipts: list[dict[str, Any]]) -> None:
    old = {name: value for name, value in receipts[0].items() if name not in ("status", "type")}
    encoded = receipt_bytes(rpc, old | {"root": f"0x{'ab' * 32}"})
    assert encoded[0] >= 0xC0
    assert b"\xa0" + b"\xab" * 32 in encoded


def test_a_deposit_receipt_ends_in_two_more_fields(rpc: Rpc, receipts: list[dict[str, Any]]) -> None:
    deposit = receipts[0] | {"type": "0x7e", "depositNonce": "0x2a", "depositReceiptVersion": "0x1"}
    encoded = receipt_bytes(rpc, deposit)
    assert encoded[0] == 0x7E
    assert encoded.endswith(b"\x2a\x01")


def test_every_header_field_counts(rpc: Rpc, block: dict[str, Any]) -> None:
    good = header_rlp(rpc, block)
    fields = [*MAINNET_GENESIS, "baseFeePerGas", "withdrawalsRoot", "blobGasUsed", "excessBlobGas"]
    fields += ["parentBeaconBlockRoot", "requestsHash"]
    for name in fields:
        text = block[name]
        changed = hex(int(text, 16) + 1) if name in QUANTITIES else text[:-1] + ("0" if text[-1] != "0" else "1")
        if name == "extraData":
            changed = "0x00"
        assert header_rlp(rpc, block | {name: changed}) != good
        for wrong in WRONG:
            if name == "extraData" and wrong in ("0x", f"0x{'f' * 1000}"):
                continue
            with pytest.raises(ChainError, match=name):
                header_rlp(rpc, block | {name: wrong})
        if name in MAINNET_GENESIS:
            with pytest.raises(ChainError, match=name):
                header_rlp(rpc, {n: v for n, v in block.items() if n != name})
        else:
            assert header_rlp(rpc, block | {name: None}) != good


def test_every_receipt_field_counts(rpc: Rpc, receipts: list[dict[str, Any]]) -> None:
    good = receipt_bytes(rpc, receipts[1])
    for name in ("type", "status", "cumulativeGasUsed", "logsBloom", "logs"):
        for wrong in (*WRONG, None, [1], [[]]):
            if (name, wrong) == ("logs", []):
                continue
            with pytest.raises(ChainError):
                receipt_bytes(rpc, receipts[1] | {name: wrong})
    for name in ("address", "topics", "data"):
        for wrong in (None, 1, {}, [1], "zz", "0x123"):  # type: Any
            changed = copy.deepcopy(receipts[1])
            changed["logs"][0][name] = wrong
            with pytest.raises(ChainError):
                receipt_bytes(rpc, changed)
    for name, value in (("type", "0x2"), ("status", "0x0"), ("cumulativeGasUsed", "0x1"), ("logs", [])):
        assert receipt_bytes(rpc, receipts[1] | {name: value}) != good


KEY = bytes(range(1, 33))
COMMON = {"nonce": 0, "gas": 21000, "value": 0, "to": f"0x{'11' * 20}"}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"gasPrice": 1, "chainId": 1}, 1),
        ({"gasPrice": 1, "chainId": 2**40}, 2**40),
        ({"gasPrice": 1}, None),
        ({"type": 1, "gasPrice": 1, "chainId": 5, "accessList": []}, 5),
        ({"maxFeePerGas": 1, "maxPriorityFeePerGas": 1, "chainId": 10}, 10),
    ],
)
def test_the_chain_a_transaction_is_for(fields: dict[str, Any], expected: int | None) -> None:
    raw = bytes(Account.from_key(KEY).sign_transaction(COMMON | fields).raw_transaction)
    assert transaction_chain_id(raw) == expected
    for cut in range(len(raw)):
        with pytest.raises(RejectedError):
            transaction_chain_id(raw[:cut])


def test_the_chain_a_blob_transaction_is_for() -> None:
    fields: rlp.RlpItem = (b"\x07", b"", b"", b"")
    assert transaction_chain_id(b"\x03" + rlp.encode(fields)) == 7
    assert transaction_chain_id(b"\x03" + rlp.encode((fields, (b"blob",), (b"commitment",), (b"proof",)))) == 7
