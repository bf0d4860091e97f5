"""What the embedded chain promises beyond every chain's promises."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account

from provenance.anchor.header import parse_header
from provenance.anchor.keccak import keccak256
from provenance.chains import DEVELOPMENT_CHAIN_ID, DEVELOPMENT_LABEL, RejectedError, open_chain
from provenance.chains.embedded import FINALITY, EmbeddedChain
from provenance.chains.engine import EXTRA_DATA
from provenance.errors import ChainError
from tests.conformance.chains.beds import ADDRESS, KEY
from tests.conformance.chains.contract import CREATION, sign, word
from tests.paths import PROJECT

OTHER_KEY = bytes(range(2, 34))
OTHER = Account.from_key(OTHER_KEY).address


class Clock:
    """A clock that shows what it is set to."""

    def __init__(self, now_s: float) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "chain"


@pytest.fixture
def chain(folder: Path) -> Iterator[EmbeddedChain]:
    opened = EmbeddedChain.open(folder, funded=[ADDRESS])
    yield opened
    opened.close()


def run(code: str, *arguments: str) -> str:
    """What Python prints for `code` in another process, warnings being errors."""
    command = [sys.executable, "-W", "error", "-c", code, *arguments]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_it_says_what_it_is(chain: EmbeddedChain) -> None:
    info = chain.info()
    assert (info.chain_id, info.label, info.finality) == (DEVELOPMENT_CHAIN_ID, DEVELOPMENT_LABEL, FINALITY)
    assert DEVELOPMENT_LABEL == "single-operator development chain"
    assert info.development
    assert info.client.startswith("py-evm/")
    assert DEVELOPMENT_LABEL in FINALITY
    chain.send_raw(sign(KEY, chain, nonce=0, to=OTHER))
    for number in (0, 1):
        block_hash = chain.block_hash(number)
        assert block_hash is not None
        assert EXTRA_DATA in chain.header(block_hash)


def test_reopened_it_is_the_same_chain(folder: Path) -> None:
    first = EmbeddedChain.open(folder, funded=[ADDRESS])
    raws = [sign(KEY, first, nonce=0, to=None, data=CREATION), sign(KEY, first, nonce=1, to=OTHER, value=5)]
    sent = [first.send_raw(raw) for raw in raws]
    receipts = [first.receipt(name, timeout_s=0) for name in sent]
    info, balance = first.info(), first.balance(ADDRESS)
    first.close()
    second = EmbeddedChain.open(folder, funded=[OTHER])
    assert second.genesis.funded == (ADDRESS,)
    assert [second.receipt(name, timeout_s=0) for name in sent] == receipts
    assert (second.info(), second.balance(ADDRESS), second.balance(OTHER)) == (info, balance, 5)
    assert [second.send_raw(raw) for raw in raws] == sent
    assert second.finalized() == 2
    second.send_raw(sign(KEY, second, nonce=2, to=OTHER))
    assert second.finalized() == 3
    second.close()


def test_it_reopens_in_under_two_seconds_with_everything_loaded(folder: Path) -> None:
    chain = EmbeddedChain.open(folder, funded=[ADDRESS])
    for nonce in range(50):
        chain.send_raw(sign(KEY, chain, nonce=nonce, to=OTHER, data=word(nonce)))
    chain.close()
    code = (
        "import sys, time; start = time.perf_counter(); from pathlib import Path; "
        "from provenance.chains import open_chain; "
        "chain = open_chain('embedded:', ledger_dir=Path(sys.argv[1])); chain.info(); read = time.perf_counter(); "
        "assert chain.nonce(sys.argv[2]) == 50; print(read - start, time.perf_counter() - start); chain.close()"
    )
    read_s, executed_s = map(float, run(code, str(folder.parent), ADDRESS).split())
    assert read_s < 1
    assert executed_s < 2


def test_reading_loads_no_evm(folder: Path) -> None:
    chain = EmbeddedChain.open(folder, funded=[ADDRESS])
    transaction = chain.send_raw(sign(KEY, chain, nonce=0, to=OTHER))
    chain.close()
    code = (
        "import sys; from pathlib import Path; from provenance.chains import open_chain; "
        "chain = open_chain('embedded:', ledger_dir=Path(sys.argv[1])); "
        "receipt = chain.receipt(bytes.fromhex(sys.argv[2]), timeout_s=0); head = chain.info().head; "
        "chain.header(receipt.block_hash); chain.block_receipts(head.hash); chain.block_hash(1); chain.finalized(); "
        "chain.close(); print([name for name in ('eth', 'rlp', 'web3', 'eth_utils') if name in sys.modules])"
    )
    assert run(code, str(folder.parent), transaction.hex()) == "[]"


def test_loading_the_evm_leaves_the_recursion_limit_alone(folder: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from provenance.chains import open_chain; "
        "before = sys.getrecursionlimit(); "
        "chain = open_chain('embedded:', ledger_dir=Path(sys.argv[1])); chain.fees(); chain.close(); "
        "print('eth' in sys.modules, sys.getrecursionlimit() == before)"
    )
    assert run(code, str(folder.parent)) == "True True"


def test_signatures_are_checked_by_coincurve() -> None:
    from eth_keys.backends import get_backend

    assert type(get_backend()).__name__ == "CoinCurveECCBackend"


def test_files_are_private(chain: EmbeddedChain, folder: Path) -> None:
    chain.send_raw(sign(KEY, chain, nonce=0, to=OTHER))
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert set(modes) >= {"chain.db", "chain.db-wal", "chain.lock"}
    assert set(modes.values()) == {0o600}


def test_files_are_private_under_any_umask(folder: Path) -> None:
    before = os.umask(0)
    try:
        EmbeddedChain.open(folder, funded=[ADDRESS]).close()
    finally:
        os.umask(before)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def test_every_commit_is_synced(chain: EmbeddedChain) -> None:
    database = chain._database
    assert database is not None
    assert database._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert database._connection.execute("PRAGMA synchronous").fetchone() == (2,)


def test_time_moves_on_even_if_the_clock_does_not(folder: Path) -> None:
    clock = Clock(1_750_000_000.9)
    chain = EmbeddedChain.open(folder, funded=[ADDRESS], clock=clock)
    times = [chain.info().head.time_s]
    for nonce, now_s in enumerate((1_750_000_000, 1_750_000_000, 1_000_000_000, 1_750_000_100.5, 0, 1_750_000_101)):
        clock.now_s = now_s
        chain.send_raw(sign(KEY, chain, nonce=nonce, to=OTHER))
        times.append(chain.info().head.time_s)
    chain.close()
    assert [time_s - 1_750_000_000 for time_s in times] == [0, 1, 2, 3, 100, 101, 102]


@pytest.mark.parametrize(
    "funded", [["x"], [ADDRESS, "0x12"], [ADDRESS.replace("a", "A", 1).replace("b", "B", 1)], [""]]
)
def test_a_funded_address_that_is_none(folder: Path, funded: list[str]) -> None:
    with pytest.raises(ChainError, match="funded address"):
        EmbeddedChain.open(folder, funded=funded)
    assert not folder.exists()


def test_each_address_is_funded_once(folder: Path) -> None:
    chain = EmbeddedChain.open(folder, funded=[OTHER, ADDRESS, ADDRESS.lower(), OTHER])
    assert sorted(chain.genesis.funded) == sorted([ADDRESS, OTHER])
    assert chain.balance(ADDRESS) == chain.balance(OTHER) == chain.genesis.balance_wei == 10**24
    chain.close()


def test_who_was_not_funded_is_told_who_was(chain: EmbeddedChain) -> None:
    with pytest.raises(RejectedError, match="cannot pay") as caught:
        chain.send_raw(sign(OTHER_KEY, chain, nonce=0, to=ADDRESS))
    assert ADDRESS in (caught.value.hint or "")
    assert OTHER in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"nonce": 1}, "leaves a gap; expected 0; got 1"),
        ({"gas": 30_000_001}, "too much gas; expected at most 30000000; got 30000001"),
        ({"maxFeePerGas": 1, "maxPriorityFeePerGas": 1}, "maximum fee is too low"),
        ({"maxFeePerGas": 10**9, "maxPriorityFeePerGas": 10**9 + 1}, "maximum fee is too low"),
        ({"data": b"\xff" * 1000, "gas": 60_999}, "too little gas; expected at least 61000; got 60999"),
        ({"gas": 20_999}, "too little gas"),
        ({"data": bytes(32), "to": None, "gas": 30_000}, "refuses"),
        ({"value": 10**24}, "cannot pay"),
        ({"data": bytes(49_153), "to": None, "gas": 5_000_000}, "refuses"),
        ({"chainId": 1}, "another chain"),
    ],
)
def test_refusals_say_why(chain: EmbeddedChain, changes: dict[str, Any], match: str) -> None:
    fields: dict[str, Any] = {"nonce": 0, "to": OTHER} | changes
    with pytest.raises(RejectedError, match=match):
        chain.send_raw(sign(KEY, chain, **fields))
    assert chain.info().head.number == 0


def test_a_blob_transaction_is_refused(chain: EmbeddedChain) -> None:
    with pytest.raises(RejectedError, match="blob"):
        chain.send_raw(b"\x03\xc0")


def test_every_bit_of_every_type_counts(chain: EmbeddedChain) -> None:
    price = chain.fees().max_fee_per_gas
    legacy: dict[str, Any] = {"type": None, "maxFeePerGas": None, "maxPriorityFeePerGas": None, "gasPrice": price}
    accesses = [{"address": OTHER, "storageKeys": [f"0x{word(0).hex()}"]}]
    authorization = Account.from_key(OTHER_KEY).sign_authorization(
        {"chainId": DEVELOPMENT_CHAIN_ID, "address": ADDRESS, "nonce": 0}
    )
    kinds: list[dict[str, Any]] = [
        legacy,
        legacy | {"type": 1, "accessList": accesses},
        {"accessList": accesses},
        {"type": 4, "accessList": [], "authorizationList": [authorization]},
    ]
    for number, changes in enumerate(kinds):
        raw = sign(KEY, chain, nonce=number, to=OTHER, **changes)
        for position in range(len(raw)):
            for bit in (6, position % 6, 7) if number else range(8):
                mutated = bytearray(raw)
                mutated[position] ^= 1 << bit
                with pytest.raises(RejectedError):
                    chain.send_raw(bytes(mutated))
        assert chain.nonce(ADDRESS) == number
        chain.send_raw(raw)
    assert chain.info().head.number == 4


def test_a_transaction_without_a_chain_id_is_refused(chain: EmbeddedChain) -> None:
    fields = {"nonce": 0, "gas": 21000, "gasPrice": 10**10, "value": 0, "to": OTHER}
    raw = bytes(Account.from_key(KEY).sign_transaction(fields).raw_transaction)
    with pytest.raises(RejectedError, match="another chain"):
        chain.send_raw(raw)


def test_endless_recursion_of_contracts_is_an_error_and_not_a_crash(chain: EmbeddedChain) -> None:
    runtime = bytes.fromhex("5f5f5f5f5f305af1")  # call(gas, address(this), 0, 0, 0, 0, 0)
    creation = bytes.fromhex(f"60{len(runtime):02x}8060095f395ff3") + runtime
    receipt = chain.receipt(chain.send_raw(sign(KEY, chain, nonce=0, to=None, data=creation)), timeout_s=0)
    assert receipt is not None and receipt.contract_address is not None
    raw = sign(KEY, chain, nonce=1, to=receipt.contract_address, gas=20_000_000)
    try:
        chain.send_raw(raw)
    except ChainError as error:
        assert "RecursionError" in str(error)
        assert chain.nonce(ADDRESS) == 1
    chain.send_raw(sign(KEY, chain, nonce=chain.nonce(ADDRESS), to=OTHER))


def test_closed_it_refuses_everything(chain: EmbeddedChain) -> None:
    raw = sign(KEY, chain, nonce=0, to=OTHER)
    chain.close()
    chain.close()
    for use in (chain.info, chain.fees, chain.finalized, lambda: chain.send_raw(raw), lambda: chain.balance(ADDRESS)):
        with pytest.raises(ChainError, match="closed"):
            use()


def test_two_openers_take_turns_and_see_each_other(folder: Path) -> None:
    one = EmbeddedChain.open(folder, funded=[ADDRESS, OTHER])
    two = EmbeddedChain.open(folder)

    def write(chain: EmbeddedChain, key: bytes) -> None:
        for nonce in range(25):
            chain.send_raw(sign(key, chain, nonce=nonce, to=OTHER))

    with ThreadPoolExecutor(2) as threads:
        for job in [threads.submit(write, one, KEY), threads.submit(write, two, OTHER_KEY)]:
            job.result()
    assert one.info() == two.info()
    assert one.info().head.number == 50
    parent = one.block_hash(0)
    for number in range(1, 51):
        block_hash = one.block_hash(number)
        assert block_hash is not None
        assert parse_header(two.header(block_hash)).parent_hash == parent
        parent = block_hash
    one.close()
    two.close()


def test_one_transaction_sent_by_two_openers_is_mined_once(folder: Path) -> None:
    one, two = EmbeddedChain.open(folder, funded=[ADDRESS]), EmbeddedChain.open(folder)
    raw = sign(KEY, one, nonce=0, to=OTHER)
    with ThreadPoolExecutor(6) as threads:
        sent = [threads.submit(chain.send_raw, raw) for chain in (one, two) for _ in range(3)]
        assert {job.result() for job in sent} == {keccak256(raw)}
    assert one.finalized() == two.finalized() == 1
    assert two.receipt(keccak256(raw), timeout_s=0) == one.receipt(keccak256(raw), timeout_s=0)
    one.close()
    two.close()


def test_a_writer_that_hangs_is_named_after_a_bounded_wait(folder: Path) -> None:
    chain = EmbeddedChain.open(folder, funded=[ADDRESS], timeout_s=0.3)
    raw = sign(KEY, chain, nonce=0, to=OTHER)
    code = (
        "import sys; from pathlib import Path; from provenance.chains.lock import process_lock\n"
        "with process_lock(Path(sys.argv[1]), what='it', timeout_s=1): print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(folder / "chain.lock")]
    with subprocess.Popen(command, cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None and holder.stdin is not None
        assert holder.stdout.readline() == "held\n"
        started = time.monotonic()
        with pytest.raises(ChainError, match=f"in use; .* held by process {holder.pid}") as caught:
            chain.send_raw(raw)
        assert 0.2 < time.monotonic() - started < 5
        assert caught.value.hint
        assert chain.nonce(ADDRESS) == 0  # reading goes on
        holder.kill()
    chain.send_raw(raw)
    assert chain.nonce(ADDRESS) == 1
    chain.close()


def test_many_processes_create_one_chain(folder: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from provenance.chains.embedded import EmbeddedChain; "
        "chain = EmbeddedChain.open(Path(sys.argv[1]), funded=sys.argv[2:]); print(chain.info().head.hash.hex()); "
        "chain.close()"
    )
    command = [sys.executable, "-W", "error", "-c", code, str(folder), ADDRESS]
    processes = [subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    found = {process.communicate(timeout=60)[0] for process in processes}
    assert len(found) == 1
    assert len(found.pop()) == 65


def test_a_folder_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(ChainError, match="No such file"):
        open_chain("embedded:", ledger_dir=tmp_path / "missing", funded=[ADDRESS])
    (tmp_path / "chain").write_text("a file")
    with pytest.raises(ChainError):
        open_chain("embedded:", ledger_dir=tmp_path, funded=[ADDRESS])
