"""The chains the conformance suite runs on, each with an account that has money.

To run the suite on another endpoint, for example a local anvil, name it and a funded key:
`PROVENANCE_TEST_RPC=http://127.0.0.1:8545 PROVENANCE_TEST_KEY=0x... pytest tests/conformance/chains`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from eth_account import Account

from provenance.chains import Chain, open_chain
from tests.paths import PROJECT

KEY = bytes(range(1, 33))
ADDRESS = Account.from_key(KEY).address


@dataclass(frozen=True, slots=True)
class Bed:
    """A chain under test and a funded key for it."""

    chain: Chain
    key: bytes

    @property
    def address(self) -> str:
        return str(Account.from_key(self.key).address)


@contextmanager
def embedded(folder: Path) -> Iterator[Bed]:
    chain = open_chain("embedded:", ledger_dir=folder, funded=[ADDRESS])
    try:
        yield Bed(chain, KEY)
    finally:
        chain.close()


@contextmanager
def rpc_server(folder: Path, *, without: str = "") -> Iterator[str]:
    """The URL of a JSON-RPC server in another process, which lacks the methods in `without` (comma-separated)."""
    command = [sys.executable, "-m", "tests.conformance.chains.rpc_server", str(folder / "server"), without, ADDRESS]
    with subprocess.Popen(
        command, cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            port = process.stdout.readline().strip()
            assert port.isdigit(), "the test server did not start"
            yield f"http://127.0.0.1:{port}"
        finally:
            process.stdin.close()


@contextmanager
def jsonrpc(folder: Path) -> Iterator[Bed]:
    with rpc_server(folder) as url:
        chain = open_chain(url, ledger_dir=folder, timeout_s=20)
        try:
            yield Bed(chain, KEY)
        finally:
            chain.close()


@contextmanager
def jsonrpc_minimal(folder: Path) -> Iterator[Bed]:
    """An endpoint without the methods that not every client offers."""
    without = "eth_getBlockReceipts,eth_maxPriorityFeePerGas,web3_clientVersion"
    with rpc_server(folder, without=without) as url:
        chain = open_chain(url, ledger_dir=folder, timeout_s=20)
        try:
            yield Bed(chain, KEY)
        finally:
            chain.close()


@contextmanager
def named_endpoint(folder: Path) -> Iterator[Bed]:
    chain = open_chain(os.environ["PROVENANCE_TEST_RPC"], ledger_dir=folder, timeout_s=20)
    try:
        yield Bed(chain, bytes.fromhex(os.environ["PROVENANCE_TEST_KEY"].removeprefix("0x")))
    finally:
        chain.close()


BEDS: Mapping[str, Callable[[Path], AbstractContextManager[Bed]]] = {
    "embedded": embedded,
    "jsonrpc": jsonrpc,
    "jsonrpc-minimal": jsonrpc_minimal,
} | ({"named-endpoint": named_endpoint} if "PROVENANCE_TEST_RPC" in os.environ else {})
