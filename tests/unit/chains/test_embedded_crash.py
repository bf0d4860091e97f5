"""kill -9, full disks and damage: what was acknowledged is there, and nothing is there in part."""

from __future__ import annotations

import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from provenance.anchor.header import parse_header
from provenance.chains.embedded import EmbeddedChain
from provenance.chains.engine import Engine
from provenance.errors import ChainError
from tests.conformance.chains.beds import ADDRESS, KEY
from tests.conformance.chains.contract import sign, word
from tests.paths import PROJECT

KILLS = 10


def acknowledged_until_killed(folder: Path, after_s: float) -> list[tuple[int, bytes]]:
    """What a writer acknowledged before it was killed, `after_s` after its first acknowledgement or its start."""
    command = [sys.executable, "-m", "tests.unit.chains.writer", str(folder)]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        first = process.stdout.readline() if after_s >= 0 else ""
        time.sleep(abs(after_s))
        process.send_signal(signal.SIGKILL)
        lines = (first + process.stdout.read()).splitlines()
    if lines and len(lines[-1].split()[-1]) != 64:
        lines.pop()  # the kill cut the line short
    return [(int(line.split()[0]), bytes.fromhex(line.split()[1])) for line in lines]


def check_whole(chain: EmbeddedChain) -> int:
    """The head's number; every block up to it is linked, hashed and has its receipts and its one transaction."""
    head = chain.info().head
    parent = chain.block_hash(0)
    for number in range(1, head.number + 1):
        block_hash = chain.block_hash(number)
        assert block_hash is not None
        header = parse_header(chain.header(block_hash))
        assert (header.parent_hash, header.number) == (parent, number)
        assert len(chain.block_receipts(block_hash)) == 1
        parent = block_hash
    assert chain.nonce(ADDRESS) == head.number
    assert chain.block_hash(head.number + 1) is None
    return head.number


def test_kill_9_keeps_every_acknowledged_transaction(tmp_path: Path) -> None:
    folder = tmp_path / "chain"
    rng = random.Random(20)
    kept: dict[int, bytes] = {}
    for kill in range(KILLS):
        # The first two die while the chain is being created, at unlike moments.
        after_s = (-0.75, -0.95)[kill] if kill < 2 else rng.uniform(0, 0.25)
        for nonce, transaction in acknowledged_until_killed(folder, after_s):
            assert nonce not in kept
            kept[nonce] = transaction
        chain = EmbeddedChain.open(folder, funded=[ADDRESS])
        try:
            head = check_whole(chain)
            for nonce, transaction in kept.items():
                receipt = chain.receipt(transaction, timeout_s=0)
                assert receipt is not None
                assert (receipt.status, receipt.block_number) == (1, nonce + 1)
            assert len(kept) <= head <= len(kept) + kill + 1
        finally:
            chain.close()
    assert len(kept) > KILLS


def test_a_failure_during_creation_leaves_no_chain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "chain"

    def fail(*_: object) -> None:
        raise ChainError("no")

    with monkeypatch.context() as patch:
        patch.setattr(Engine, "create", fail)
        with pytest.raises(ChainError, match="no"):
            EmbeddedChain.open(folder, funded=[ADDRESS])
    assert not (folder / "chain.db").exists()
    (folder / "chain.db.new").write_bytes(b"left over")
    (folder / "chain.db.new-wal").write_bytes(b"left over")
    chain = EmbeddedChain.open(folder, funded=[ADDRESS])
    assert chain.balance(ADDRESS) == 10**24
    chain.close()
    assert sorted(path.name for path in folder.iterdir()) == ["chain.db", "chain.lock"]


def test_a_failure_while_mining_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chain = EmbeddedChain.open(tmp_path / "chain", funded=[ADDRESS])
    raw = sign(KEY, chain, nonce=0, to=ADDRESS)
    before = chain.info(), chain.balance(ADDRESS)
    for position in range(60):

        def fail(*_: object, left: list[int] = [position]) -> None:  # noqa: B006 a counter of its own
            left[0] -= 1
            if left[0] < 0:
                raise sqlite3.OperationalError("database or disk is full")

        database = chain._database
        assert database is not None
        with monkeypatch.context() as patch:
            write = type(database).write_state
            patch.setattr(type(database), "write_state", lambda self, *a, w=write, f=fail: (f(), w(self, *a)))
            try:
                chain.send_raw(raw)
                break
            except ChainError as error:
                assert "disk is full" in str(error)
        assert (chain.info(), chain.balance(ADDRESS), chain.nonce(ADDRESS)) == (*before, 0)
    assert position > 5
    assert check_whole(chain) == 1
    chain.close()


def test_a_full_disk(tmp_path: Path) -> None:
    chain = EmbeddedChain.open(tmp_path / "chain", funded=[ADDRESS])
    database = chain._database
    assert database is not None
    (pages,) = database._connection.execute("PRAGMA page_count").fetchone()
    database._connection.execute(f"PRAGMA max_page_count = {pages + 2}")
    nonce = 0
    with pytest.raises(ChainError, match="full") as caught:
        for nonce in range(1000):
            chain.send_raw(sign(KEY, chain, nonce=nonce, to=ADDRESS, data=word(nonce)))
    assert "free space" in (caught.value.hint or "")
    assert check_whole(chain) == nonce
    database._connection.execute("PRAGMA max_page_count = 1000000")
    chain.send_raw(sign(KEY, chain, nonce=nonce, to=ADDRESS, data=word(nonce)))
    assert check_whole(chain) == nonce + 1
    chain.close()


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a chain with a few blocks, closed."""
    folder = tmp_path_factory.mktemp("ledger") / "chain"
    chain = EmbeddedChain.open(folder, funded=[ADDRESS])
    for nonce in range(3):
        chain.send_raw(sign(KEY, chain, nonce=nonce, to=ADDRESS, data=word(nonce)))
    chain.close()
    return folder


def use_everything(folder: Path) -> None:
    chain = EmbeddedChain.open(folder, funded=[ADDRESS])
    try:
        check_whole(chain)
        chain.send_raw(sign(KEY, chain, nonce=3, to=ADDRESS))
        check_whole(chain)
    finally:
        chain.close()


def test_damage_is_a_chain_error_or_does_not_matter(good: Path, tmp_path: Path) -> None:
    content = (good / "chain.db").read_bytes()
    rng = random.Random(7)
    harmless = 0
    for trial in range(60):
        folder = tmp_path / str(trial)
        shutil.copytree(good, folder)
        damaged = bytearray(content)
        if trial < 20:
            del damaged[rng.randrange(len(damaged)) :]
        else:
            start = rng.randrange(len(damaged) - 64)
            damaged[start : start + 64] = rng.randbytes(64)
        (folder / "chain.db").write_bytes(damaged)
        try:
            use_everything(folder)
            harmless += 1
        except ChainError as error:
            assert error.hint or error.where
    assert harmless < 45


@pytest.mark.parametrize("content", [b"", b"not a database" * 500, b"SQLite format 3\x00" + bytes(5000)])
def test_a_file_that_is_no_chain(tmp_path: Path, content: bytes) -> None:
    folder = tmp_path / "chain"
    folder.mkdir()
    (folder / "chain.db").write_bytes(content)
    with pytest.raises(ChainError):
        EmbeddedChain.open(folder)
    assert (folder / "chain.db").read_bytes()[: len(content)] == content


def test_a_database_of_something_else(tmp_path: Path) -> None:
    folder = tmp_path / "chain"
    folder.mkdir()
    with sqlite3.connect(folder / "chain.db") as connection:
        connection.execute("CREATE TABLE t (x)")
        connection.execute("PRAGMA user_version = 2")
    connection.close()
    with pytest.raises(ChainError, match="unknown schema; expected 1; got 2"):
        EmbeddedChain.open(folder)


def test_a_lost_database_is_not_silently_replaced(good: Path, tmp_path: Path) -> None:
    folder = tmp_path / "chain"
    shutil.copytree(good, folder)
    (folder / "chain.db").rename(folder / "chain.db-wal")
    with pytest.raises(ChainError, match="lost its database"):
        EmbeddedChain.open(folder)


@pytest.mark.parametrize(
    "genesis",
    [
        b"",
        b"{}",
        b"[]",
        b'{"version":2}',
        b"\xff",
        b'{"balance_ether":1,"chain_id":1,"funded":[],"time_s":1,"version":1}',
    ],
)
def test_a_damaged_genesis(good: Path, tmp_path: Path, genesis: bytes) -> None:
    folder = tmp_path / "chain"
    shutil.copytree(good, folder)
    with sqlite3.connect(folder / "chain.db") as connection:
        connection.execute("UPDATE meta SET value = ?", (genesis,))
    connection.close()
    with pytest.raises(ChainError, match="genesis"):
        EmbeddedChain.open(folder)
