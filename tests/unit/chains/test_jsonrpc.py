"""A JSON-RPC chain before endpoints that lack methods, refuse, or lie."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account

from provenance.anchor.keccak import keccak256
from provenance.chains import Fees, RejectedError, RevertedError
from provenance.chains.jsonrpc import JsonRpcChain
from provenance.errors import ChainError
from tests.unit.chains.hostile import answering, endpoint

RECORDED = json.loads((Path(__file__).parent / "recorded" / "anvil_prague_block.json").read_text())
BLOCK: dict[str, Any] = RECORDED["block"]
RECEIPTS: list[dict[str, Any]] = RECORDED["receipts"]
BLOCK_HASH = bytes.fromhex(BLOCK["hash"][2:])
NO_METHOD = {"error": {"code": -32601, "message": "no such method"}}
CONTRACT = f"0x{'11' * 20}"

Answers = dict[str, Any]


@contextmanager
def opened(**answers: Any) -> Iterator[JsonRpcChain]:
    """A chain whose endpoint answers each method with a value or with what a function of its parameters returns."""
    known: Answers = {"eth_chainId": "0x7a69", "web3_clientVersion": "test/1"} | answers

    def answer(method: str, params: list[Any]) -> Any:
        found = known.get(method, NO_METHOD)
        return found(*params) if callable(found) else found

    with endpoint(answering(answer)) as port:
        chain = JsonRpcChain.open(f"http://127.0.0.1:{port}/", timeout_s=5)
        try:
            yield chain
        finally:
            chain.close()


def in_turn(*answers: Any) -> Callable[..., Any]:
    """Each answer once, the last for ever."""
    left = list(answers)
    return lambda *params: left.pop(0) if len(left) > 1 else left[0]


def signed(**changes: Any) -> bytes:
    fields = {"chainId": 31337, "nonce": 0, "gas": 21000, "maxFeePerGas": 9, "maxPriorityFeePerGas": 1, "value": 0}
    account = Account.from_key(bytes(range(1, 33)))
    return bytes(account.sign_transaction(fields | {"to": CONTRACT} | changes).raw_transaction)


RAW = signed()
NAME = f"0x{keccak256(RAW).hex()}"


def receipts_by_name(name: str) -> Any:
    return next((receipt for receipt in RECEIPTS if receipt["transactionHash"] == name), None)


@pytest.mark.parametrize(
    "answers",
    [
        {"eth_getBlockReceipts": RECEIPTS},
        {"eth_getTransactionReceipt": receipts_by_name},
        {"eth_getBlockReceipts": None, "eth_getTransactionReceipt": receipts_by_name},
    ],
)
def test_receipts_in_one_answer_or_one_by_one(answers: Answers) -> None:
    with opened(eth_getBlockByHash=BLOCK, **answers) as chain:
        encoded = chain.block_receipts(BLOCK_HASH)
        assert [receipt[0] if receipt[0] < 0xC0 else 0 for receipt in encoded] == [0, 1, 2, 4, 3]


@pytest.mark.parametrize(
    "receipts",
    [
        [],
        RECEIPTS[:-1],
        RECEIPTS[::-1],
        [*RECEIPTS, RECEIPTS[0]],
        [RECEIPTS[0] | {"status": "0x0"}, *RECEIPTS[1:]],
        [RECEIPTS[0] | {"logs": []}, *RECEIPTS[1:]],
    ],
)
def test_receipts_that_are_not_the_blocks(receipts: list[Any]) -> None:
    with (
        opened(eth_getBlockByHash=BLOCK, eth_getBlockReceipts=receipts) as chain,
        pytest.raises(ChainError, match="receipts are not those of their block"),
    ):
        chain.block_receipts(BLOCK_HASH)


@pytest.mark.parametrize("receipts", [1, "0x", {}, [1], [None], [{}], [[]]])
def test_receipts_that_are_none(receipts: Any) -> None:
    with (
        opened(eth_getBlockByHash=BLOCK, eth_getBlockReceipts=receipts) as chain,
        pytest.raises(ChainError, match="chain endpoint sent no valid"),
    ):
        chain.block_receipts(BLOCK_HASH)


def test_a_missing_receipt() -> None:
    with opened(eth_getBlockByHash=BLOCK, eth_getTransactionReceipt=None) as chain, pytest.raises(ChainError):
        chain.block_receipts(BLOCK_HASH)


def test_a_fork_unknown_here_is_read_raw() -> None:
    with opened(eth_getBlockByHash=BLOCK, eth_getBlockReceipts=RECEIPTS) as chain:
        header, receipts = chain.header(BLOCK_HASH), chain.block_receipts(BLOCK_HASH)
    strange = {name: value for name, value in BLOCK.items() if name != "requestsHash"} | {"newField": "0x1"}
    with opened(
        eth_getBlockByHash=strange,
        eth_getBlockReceipts=[receipt | {"type": "0x9"} for receipt in RECEIPTS],
        debug_getRawHeader=f"0x{header.hex()}",
        debug_getRawReceipts=[f"0x{receipt.hex()}" for receipt in receipts],
    ) as chain:
        assert chain.header(BLOCK_HASH) == header
        assert chain.block_receipts(BLOCK_HASH) == receipts


@pytest.mark.parametrize("raw", [NO_METHOD, "0xc0", None, 1, "0x"])
def test_a_header_that_is_not_the_blocks(raw: Any) -> None:
    lie = BLOCK | {"receiptsRoot": f"0x{'11' * 32}"}
    with opened(eth_getBlockByHash=lie, eth_getBlockReceipts=RECEIPTS, debug_getRawHeader=raw) as chain:
        for use in (chain.header, chain.block_receipts):
            with pytest.raises(ChainError):
                use(BLOCK_HASH)


@pytest.mark.parametrize("block", [1, [], "0x", {}, {"hash": BLOCK["hash"]}])
def test_blocks_that_are_none(block: Any) -> None:
    with opened(eth_getBlockByHash=block, eth_getBlockByNumber=block) as chain:
        for use in (
            lambda: chain.header(BLOCK_HASH),
            lambda: chain.info(),
            lambda: chain.finalized(),
            lambda: chain.block_hash(5),
        ):
            with pytest.raises(ChainError, match="chain endpoint sent no valid"):
                use()


def test_another_block_than_was_asked_for() -> None:
    with opened(eth_getBlockByNumber=BLOCK) as chain:
        assert chain.block_hash(5) == BLOCK_HASH
        with pytest.raises(ChainError, match="another block"):
            chain.block_hash(6)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [(BLOCK, 5), (None, 0), ({"error": {"code": -39001, "message": "Finalized block not found"}}, 0)],
)
def test_finalized(answer: Any, expected: int) -> None:
    with opened(eth_getBlockByNumber=answer) as chain:
        assert chain.finalized() == expected


def test_finality_that_the_endpoint_does_not_know() -> None:
    refusal = {"error": {"code": -32602, "message": "invalid block tag"}}
    with opened(eth_getBlockByNumber=refusal) as chain, pytest.raises(ChainError, match="invalid block tag"):
        chain.finalized()


def test_fees() -> None:
    base = int(BLOCK["baseFeePerGas"], 16)
    with opened(eth_getBlockByNumber=BLOCK, eth_maxPriorityFeePerGas="0x5") as chain:
        assert chain.fees() == Fees(2 * base + 5, 5)
    with opened(eth_getBlockByNumber=BLOCK) as chain:
        assert chain.fees() == Fees(2 * base + 10**9, 10**9)
    with opened(eth_getBlockByNumber=BLOCK | {"baseFeePerGas": None}, eth_gasPrice="0x7") as chain:
        assert chain.fees() == Fees(7, 7)


def test_clients_that_name_themselves_badly() -> None:
    for client, expected in (
        (NO_METHOD, "unknown"),
        (None, "unknown"),
        ("a\x1b[31m", "unknown"),
        ("x" * 999, "x" * 100),
    ):
        with opened(web3_clientVersion=client, eth_getBlockByNumber=BLOCK) as chain:
            assert chain.info().client == expected


@pytest.mark.parametrize(
    ("chain_id", "client", "development"),
    [
        ("0x1", "Geth/v1.16", False),
        ("0x1", "anvil/v1.7.1", True),
        ("0x539", "Geth/v1.16", True),
        ("0x7a69", "Geth/v1.16", True),
        ("0x1", "HardhatNetwork/2", True),
    ],
)
def test_development_chains_are_recognised(chain_id: str, client: str, development: bool) -> None:
    with opened(eth_chainId=chain_id, web3_clientVersion=client, eth_getBlockByNumber=BLOCK) as chain:
        info = chain.info()
    assert info.development == development
    assert ("development" in info.label) == development


def test_sending() -> None:
    sent: list[str] = []

    def send(raw: str) -> str:
        sent.append(raw)
        return NAME

    with opened(eth_sendRawTransaction=send) as chain:
        assert chain.send_raw(RAW) == keccak256(RAW)
    assert sent == [f"0x{RAW.hex()}"]


@pytest.mark.parametrize("message", ["already known", "nonce too low", "ALREADY_EXISTS: already known"])
def test_a_transaction_that_is_known_is_success(message: str) -> None:
    refusal = {"error": {"code": -32000, "message": message}}
    with opened(eth_sendRawTransaction=refusal, eth_getTransactionByHash={"hash": NAME}) as chain:
        assert chain.send_raw(RAW) == keccak256(RAW)


@pytest.mark.parametrize("found", [None, {"hash": f"0x{'11' * 32}"}, 1, "0x"])
def test_a_transaction_that_is_refused(found: Any) -> None:
    refusal = {"error": {"code": -32000, "message": "nonce too low"}}
    with (
        opened(eth_sendRawTransaction=refusal, eth_getTransactionByHash=found) as chain,
        pytest.raises(RejectedError, match="nonce too low"),
    ):
        chain.send_raw(RAW)


@pytest.mark.parametrize(
    "refusal",
    [
        NO_METHOD,
        {"error": {"code": -32005, "message": "daily request count exceeded"}},
        {"error": {"code": -32000, "message": "Too Many Requests"}},
        {"error": {"code": -32603, "message": "Internal error"}},
        {"error": {"code": -32000, "message": "request timed out"}},
        {"error": {"code": -32000, "message": "node is syncing"}},
    ],
)
def test_an_endpoint_that_did_not_look_leaves_the_outcome_open(refusal: Any) -> None:
    with (
        opened(eth_sendRawTransaction=refusal, eth_getTransactionByHash=None) as chain,
        pytest.raises(ChainError, match="refuses eth_sendRawTransaction") as caught,
    ):
        chain.send_raw(RAW)
    assert not isinstance(caught.value, RejectedError)


@pytest.mark.parametrize(
    "message",
    [
        "insufficient funds for gas * price + value",
        "intrinsic gas too low",
        "exceeds block gas limit",
        "transaction underpriced",
        "max fee per gas less than block base fee",
        "invalid sender",
    ],
)
def test_refusals_as_clients_write_them(message: str) -> None:
    refusal = {"error": {"code": -32000, "message": message}}
    with (
        opened(eth_sendRawTransaction=refusal, eth_getTransactionByHash=None) as chain,
        pytest.raises(RejectedError, match=re.escape(message)),
    ):
        chain.send_raw(RAW)


def test_another_hash_than_the_transactions() -> None:
    with (
        opened(eth_sendRawTransaction=f"0x{'11' * 32}") as chain,
        pytest.raises(ChainError, match="another transaction") as caught,
    ):
        chain.send_raw(RAW)
    assert not isinstance(caught.value, RejectedError)


def test_nothing_is_sent_to_another_chain() -> None:
    def send(raw: str) -> str:
        raise AssertionError("sent")

    with opened(eth_sendRawTransaction=send) as chain:
        for raw in (signed(chainId=1), signed(chainId=31338), b"", b"\xff"):
            with pytest.raises(RejectedError):
                chain.send_raw(raw)
    with (
        opened(eth_chainId=in_turn("0x7a69", "0x1"), eth_sendRawTransaction=send) as chain,
        pytest.raises(ChainError, match="became another chain"),
    ):
        chain.send_raw(RAW)


def test_a_receipt_is_waited_for() -> None:
    name = RECEIPTS[0]["transactionHash"]
    pending = RECEIPTS[0] | {"blockHash": None, "blockNumber": None}
    with opened(eth_getTransactionReceipt=in_turn(None, pending, RECEIPTS[0])) as chain:
        receipt = chain.receipt(bytes.fromhex(name[2:]), timeout_s=10)
    assert receipt is not None
    assert (receipt.status, receipt.block_hash, receipt.gas_used) == (1, BLOCK_HASH, int(RECEIPTS[0]["gasUsed"], 16))
    with opened(eth_getTransactionReceipt=in_turn(None, RECEIPTS[0])) as chain:
        assert chain.receipt(bytes.fromhex(name[2:]), timeout_s=0) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"transactionHash": f"0x{'11' * 32}"},
        {"transactionHash": None},
        {"status": "0x2"},
        {"status": None},
        {"gasUsed": f"0x1{'0' * 16}"},
        {"blockHash": "0x12"},
        {"blockNumber": 5},
        {"contractAddress": "0x12"},
        {"logs": None},
        {"logs": [{}]},
        {"logs": [RECEIPTS[0]["logs"][0] | {"logIndex": None}]},
    ],
)
def test_receipts_with_nonsense_in_them(changes: dict[str, Any]) -> None:
    with opened(eth_getTransactionReceipt=RECEIPTS[0] | changes) as chain, pytest.raises(ChainError):
        chain.receipt(bytes.fromhex(RECEIPTS[0]["transactionHash"][2:]), timeout_s=0)


@pytest.mark.parametrize(
    ("error", "data"),
    [
        ({"code": 3, "message": "execution reverted", "data": "0xdeadbeef"}, "deadbeef"),
        ({"code": -32015, "message": "VM execution error: revert", "data": "Reverted 0xdeadbeef"}, "deadbeef"),
        ({"code": -32603, "message": "reverted", "data": {"message": "x", "data": "0xdeadbeef"}}, "deadbeef"),
        ({"code": -32000, "message": "execution reverted"}, ""),
        ({"code": 3, "message": "x", "data": "0xdeadbee"}, ""),
        ({"code": 3, "message": "x", "data": ["0xdeadbeef"]}, ""),
    ],
)
def test_reverts_as_clients_write_them(error: dict[str, Any], data: str) -> None:
    with opened(eth_call={"error": error}, eth_estimateGas={"error": error}) as chain:
        for use in (
            lambda: chain.call(CONTRACT, b""),
            lambda: chain.estimate_gas(sender=CONTRACT, to=CONTRACT, data=b""),
        ):
            with pytest.raises(RevertedError) as caught:
                use()
            assert caught.value.data.hex() == data


@pytest.mark.parametrize("answer", [None, 1, True, [], {}, "", "0x1", "0xzz", "1"])
def test_results_of_the_wrong_type(answer: Any) -> None:
    with opened(
        eth_call=answer,
        eth_getCode=answer,
        eth_getBalance=f"{answer}x",
        eth_getTransactionCount=answer if answer != "0x1" else "0x",
        eth_estimateGas=answer if answer != "0x1" else "0x",
    ) as chain:
        for use in (
            lambda: chain.call(CONTRACT, b""),
            lambda: chain.code(CONTRACT),
            lambda: chain.balance(CONTRACT),
            lambda: chain.nonce(CONTRACT),
            lambda: chain.estimate_gas(sender=CONTRACT, to=None, data=b""),
        ):
            with pytest.raises(ChainError, match="chain endpoint sent no valid"):
                use()


def test_an_endpoint_that_goes_away() -> None:
    with opened(eth_getBalance="0x1") as chain:
        assert chain.balance(CONTRACT) == 1
    with pytest.raises(ChainError, match="cannot be reached"):
        chain.balance(CONTRACT)
    chain.close()
    chain.close()
