"""What web3 would do by itself and must not do here: believe, follow, resend, raise its own, change the process."""

from __future__ import annotations

import copy
import random
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from eth_abi.abi import encode
from eth_typing import HexStr
from eth_utils.crypto import keccak
from web3 import HTTPProvider, Web3
from web3.method import Method
from web3.types import RPCEndpoint, RPCResponse

from provenance.anchor.header import parse_header
from provenance.anchor.keccak import keccak256
from provenance.chains import RevertedError
from provenance.chains.answers import ANSWERS, DATA, check_answer
from provenance.chains.jsonrpc import JsonRpcChain
from provenance.chains.provider import BoundedProvider
from provenance.chains.rpc_blocks import header_rlp
from provenance.chains.transport import Transport, parse_address
from provenance.encoding.recursion import unchanged_recursion_limit
from provenance.errors import ChainError, MalformedError
from tests.paths import PROJECT
from tests.unit.chains.hostile import answering, endpoint, read_request, respond
from tests.unit.chains.test_jsonrpc import BLOCK, BLOCK_HASH, CONTRACT, RAW, RECEIPTS, opened

HOSTILE: list[Any] = [
    None,
    True,
    0,
    -1,
    1.5,
    2**52,
    "",
    "0x",
    "0x0",
    "0x1",
    "0x-1",
    "1",
    "\n",
    "0xzz",
    "é",
    [],
    [1],
    {},
]
HOSTILE += [[[]], [None], {"a": {}}, f"0x{'ff' * 33}", f"0x{'0' * 5000}", "0x" + "f" * 65, [{"address": 1}], [["0x"]]]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value within a value."""
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, child in items:
        yield from places(child, (*path, name))


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    changed = node = copy.deepcopy(value)
    for name in path[:-1]:
        node = node[name]
    node[path[-1]] = new
    return changed


def test_every_value_of_an_answer_may_be_anything() -> None:
    block = BLOCK | {"withdrawals": [{"index": "0x1", "validatorIndex": "0x1", "address": CONTRACT, "amount": "0x1"}]}
    answers: dict[str, Any] = {"block": block, "receipts": RECEIPTS}
    with opened(
        eth_getBlockByHash=lambda *params: answers["block"],
        eth_getBlockByNumber=lambda *params: answers["block"],
        eth_getBlockReceipts=lambda *params: answers["receipts"],
        eth_getTransactionReceipt=lambda *params: answers["receipts"][0],
    ) as chain:
        good = [chain.header(BLOCK_HASH), chain.block_receipts(BLOCK_HASH)]
        transaction = bytes.fromhex(RECEIPTS[0]["transactionHash"][2:])
        chance = random.Random(7)
        for name, value in (("block", block), ("receipts", RECEIPTS)):
            for path in places(value):
                for hostile in chance.sample(HOSTILE, 3):
                    answers[name] = replaced(value, path, hostile)
                    for use in (
                        lambda: [chain.header(BLOCK_HASH), chain.block_receipts(BLOCK_HASH)],
                        lambda: chain.block_hash(5) and good,
                        lambda: chain.finalized() and good,
                        lambda: chain.info() and good,
                        lambda: chain.receipt(transaction, timeout_s=0) and good,
                    ):
                        try:
                            found = use()
                        except ChainError as error:
                            assert "http://127.0.0.1" in str(error)
                        else:
                            assert found in (good, None)
            answers[name] = value


class Trusting(BoundedProvider):
    """Hands web3 an answer as it came."""

    def __init__(self, answer: Any) -> None:
        super().__init__(Transport(parse_address("http://127.0.0.1:1"), timeout_s=1))
        self.answer = answer

    def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        return {"jsonrpc": "2.0", "id": 1, "result": self.answer}


@pytest.mark.parametrize("value", ["1", 1, "-0x1", " 0x1", "0x1\n", "0x_1", True])
def test_what_web3_would_believe(value: Any) -> None:
    # Once web3 refuses these, the shapes of provenance.chains.answers may go.
    assert Web3(Trusting(value), middleware=[]).eth.chain_id in (1, -1)
    for method in ("eth_chainId", "eth_getBalance", "eth_estimateGas"):
        with pytest.raises(MalformedError):
            check_answer(method, value)


def test_every_method_that_is_asked_has_a_shape() -> None:
    for method, answer in ANSWERS.items():
        for value in (True, 1, 1.5, "x", "0x0g", [1], {"logs": 1, "hash": 1}):
            with pytest.raises(MalformedError) as caught:
                check_answer(method, value)
            assert caught.value.what.startswith(answer.what)


def test_a_huge_result_costs_no_more_than_itself() -> None:
    code = (
        "import resource; from provenance.chains.answers import check_answer; "
        "text = '0x' + 'ab' * (16 * 2**20); "
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss; check_answer('eth_call', text); "
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    assert int(run(code)) < 64 * 2**10  # KiB
    assert DATA.pattern.fullmatch("0xabc") is None


def test_urls_that_a_contract_names_are_not_opened() -> None:
    asked: list[int] = []
    with endpoint(lambda connection: asked.append(1)) as port:
        urls = [f"http://127.0.0.1:{port}/{{data}}"]
        fields = ["address", "string[]", "bytes", "bytes4", "bytes"]
        lookup = keccak(text="OffchainLookup(address,string[],bytes,bytes4,bytes)")[:4]
        lookup += encode(fields, [CONTRACT, urls, b"x", b"abcd", b"y"])
        error = {"error": {"code": 3, "message": "execution reverted", "data": f"0x{lookup.hex()}"}}
        with opened(eth_call=error) as chain, pytest.raises(RevertedError) as caught:
            chain.call(CONTRACT, b"")
    assert caught.value.data == lookup
    assert asked == []


@pytest.mark.parametrize("data", ["4e487b71" + "ff" * 32, "4e487b71", "08c379a0" + "ff" * 64, "556f1830" + "ff" * 40])
def test_revert_reasons_that_web3_cannot_decode(data: str) -> None:
    for text in (f"0x{data}", f"Reverted 0x{data}"):
        error = {"error": {"code": 3, "message": "execution reverted", "data": text}}
        with opened(eth_call=error) as chain, pytest.raises(RevertedError) as caught:
            chain.call(CONTRACT, b"")
        assert caught.value.data.hex() == data


def test_a_transaction_is_sent_once_whatever_is_answered() -> None:
    sent: list[str] = []

    def busy(connection: Any) -> None:
        while (request := read_request(connection)) is not None:
            result = '"0x7a69"' if request["method"] == "eth_chainId" else '"test/1"'
            body = f'{{"jsonrpc":"2.0","id":{request["id"]},"result":{result}}}'.encode()
            if request["method"] == "eth_sendRawTransaction":
                sent.append(request["params"][0])
                respond(connection, b"try again", status="503 Service Unavailable")
            else:
                respond(connection, body)

    with endpoint(busy) as port:
        url = f"http://127.0.0.1:{port}/"
        chain = JsonRpcChain.open(url, timeout_s=2)
        with pytest.raises(ChainError, match="HTTP 503"):
            chain.send_raw(RAW)
        chain.close()
        assert sent == [f"0x{RAW.hex()}"]
        provider = HTTPProvider(url)
        configuration = provider.exception_retry_configuration
        assert "eth_sendRawTransaction" in configuration.method_allowlist and configuration.retries > 1


def test_nothing_is_cached() -> None:
    asked: list[str] = []

    def answer(method: str, params: list[Any]) -> str:
        asked.append(method)
        return "0x1"

    with endpoint(answering(answer)) as port:
        chain = JsonRpcChain.open(f"http://127.0.0.1:{port}/", timeout_s=2)
        for _ in range(3):
            chain.balance(CONTRACT)
            chain._eth.chain_id  # noqa: B018
        chain.close()
    assert asked.count("eth_getBalance") == 3
    assert asked.count("eth_chainId") == 4


def test_threads_do_not_ask_with_one_anothers_method(monkeypatch: pytest.MonkeyPatch) -> None:
    # web3 may be interrupted between choosing a method and asking for it: here it always is.
    choose = Method.__dict__["method_selector_fn"].fget

    def slow(method: Method[Any]) -> Any:
        time.sleep(0.001)
        return choose(method)

    monkeypatch.setattr(Method, "method_selector_fn", property(slow))
    wrong: list[Any] = []

    def by_number(number: str, full: bool) -> Any:
        wrong.extend([number] if len(number) > 10 else [])
        return BLOCK

    def by_hash(name: str, full: bool) -> Any:
        wrong.extend([name] if len(name) != 66 else [])
        return BLOCK

    with opened(eth_getBlockByNumber=by_number, eth_getBlockByHash=by_hash) as chain, ThreadPoolExecutor(4) as threads:
        for pair in [
            (threads.submit(chain.block_hash, 5), threads.submit(chain.header, BLOCK_HASH)) for _ in range(40)
        ]:
            assert all(job.result() for job in pair)
    assert wrong == []


def test_extra_data_longer_than_ethereum_allows() -> None:
    # As proof-of-authority chains have it; leading zeros, which web3 would cut off.
    long = f"0x{'00' * 40}{'ab' * 77}"
    base = {name: value for name, value in BLOCK.items() if name != "hash"} | {"extraData": long}
    with opened(eth_getBlockByNumber=base | {"hash": f"0x{'11' * 32}"}) as chain:
        header = header_rlp(chain._eth.block_by_number(5, False))
    assert bytes.fromhex(long[2:]) in header
    name = keccak256(header)
    with opened(eth_getBlockByHash=base | {"hash": f"0x{name.hex()}"}) as chain:
        assert chain.header(name) == header
        assert parse_header(header).number == 5


def run(code: str, *arguments: str) -> str:
    """What a fresh interpreter prints in which every warning is an error."""
    command = [sys.executable, "-W", "error", "-c", code, *arguments]
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True).stdout.strip()


def test_opening_an_endpoint_loads_web3_and_leaves_the_recursion_limit_alone() -> None:
    code = (
        "import sys; from pathlib import Path; from provenance.chains import open_chain; "
        "before = sys.getrecursionlimit(); assert 'web3' not in sys.modules; "
        "chain = open_chain(sys.argv[1], ledger_dir=Path('.')); chain.close(); "
        "print('web3' in sys.modules, sys.getrecursionlimit() == before)"
    )
    with endpoint(answering(lambda method, params: "0x1")) as port:
        assert run(code, f"http://127.0.0.1:{port}") == "True True"


def test_a_thread_that_waited_for_the_import_does_not_raise_the_limit_again() -> None:
    before = sys.getrecursionlimit()
    raised, entered = threading.Event(), threading.Event()

    def late() -> None:
        raised.wait(5)
        with unchanged_recursion_limit():
            entered.set()
            done.wait(5)

    done = threading.Event()
    thread = threading.Thread(target=late)
    thread.start()
    try:
        with unchanged_recursion_limit():
            sys.setrecursionlimit(before + 100_000)
            raised.set()
            entered.wait(5)
        assert sys.getrecursionlimit() == before
        done.set()
        thread.join()
        assert sys.getrecursionlimit() == before
    finally:
        sys.setrecursionlimit(before)


def test_what_an_endpoint_says_is_not_in_the_traceback() -> None:
    secret = "PATHKEY0123456789"
    with endpoint(answering(lambda method, params: BLOCK | {"size": secret} if "Block" in method else "0x1")) as port:
        chain = JsonRpcChain.open(f"http://127.0.0.1:{port}/{secret}", timeout_s=2)
        with pytest.raises(ChainError, match="no valid answer") as caught:
            chain.info()
        chain.close()
    assert secret not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("padding", range(0, 260, 4))
def test_a_key_is_not_shown_in_part_where_an_answer_is_cut(padding: int) -> None:
    secret = "PATHKEY0123456789"
    with (
        endpoint(answering(lambda method, params: "x" * padding + secret)) as port,
        pytest.raises(ChainError, match="no valid chain id") as caught,
    ):
        JsonRpcChain.open(f"http://127.0.0.1:{port}/{secret}", timeout_s=2)
    assert "PAT" not in str(caught.value)


def test_names_are_sent_as_the_specification_writes_them() -> None:
    seen: dict[str, list[Any]] = {}

    def answer(method: str, params: list[Any]) -> Any:
        seen[method] = params
        return "0x1" if method in ("eth_chainId", "eth_getTransactionCount", "eth_estimateGas") else "0x"

    with endpoint(answering(answer)) as port:
        chain = JsonRpcChain.open(f"http://127.0.0.1:{port}/", timeout_s=2)
        chain.nonce(CONTRACT)
        chain.call(CONTRACT, b"\x01")
        chain.estimate_gas(sender=CONTRACT, to=None, data=b"", value_wei=16)
        chain.close()
    assert seen["eth_getTransactionCount"] == [HexStr(CONTRACT), "pending"]
    assert seen["eth_call"] == [{"to": CONTRACT, "data": "0x01"}, "latest"]
    assert seen["eth_estimateGas"] == [{"from": CONTRACT, "data": "0x", "value": "0x10"}, "latest"]
