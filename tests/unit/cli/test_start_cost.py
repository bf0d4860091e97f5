"""Verbs start soon: nothing is loaded that they do not need."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from statistics import median

import pytest

from tests.paths import PROJECT

MAX_FINGERPRINT_CPU_S = 0.250
RUNS = 7
EVM = {"web3", "eth", "eth_account", "eth_tester", "eth_keys", "coincurve", "Crypto"}
HEAVY = EVM | {"fastapi", "starlette", "uvicorn", "pydantic", "rich", "numpy", "pyarrow", "duckdb", "pymerkle", "httpx"}


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(PROJECT)}


def loaded_by(folder: Path, *arguments: str) -> set[str]:
    """The modules a run has loaded when it ends."""
    code = (
        "import sys\nfrom provenance.cli.program import run\ncode = run(sys.argv[1:])\n"
        "print(code, *sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    status, *modules = done.stderr.splitlines()[-1].split()
    assert status == "0", done.stderr
    return {*modules, *(name.partition(".")[0] for name in modules)}


def cpu_s(folder: Path, *command: str) -> float:
    pid = os.posix_spawn(
        sys.executable, [sys.executable, *command], {**environment(), "PWD": str(folder)},
        file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)],
    )  # fmt: skip
    _, status, usage = os.wait4(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    return usage.ru_utime + usage.ru_stime


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    path.write_text("a,b\n1,2\n")
    return path


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("verify", "--help")])
def test_help_loads_no_stage(file: Path, arguments: tuple[str, ...]) -> None:
    modules = loaded_by(file.parent, *arguments)
    assert modules & HEAVY == set()
    assert not modules & {"provenance.ledger", "provenance.sources", "provenance.signature", "cryptography"}


@pytest.mark.parametrize("more", [(), ("--json",)])
def test_fingerprint_loads_sources_only(file: Path, more: tuple[str, ...]) -> None:
    modules = loaded_by(file.parent, "fingerprint", str(file), *more)
    assert modules & HEAVY == set()
    assert not modules & {"provenance.ledger.ledger", "provenance.stores", "provenance.chains", "cryptography"}
    assert not modules & {"blake3", "stringzilla", "fsspec", "provenance.engines", "provenance.tables"}


def test_a_bundle_is_verified_without_chain_or_server(file: Path) -> None:
    """As `verify --all` of an empty ledger: what opening a ledger loads."""
    folder = file.parent
    subprocess.run(
        [sys.executable, "-m", "provenance.cli", "init"], cwd=folder, env=environment(), check=True, capture_output=True
    )
    assert loaded_by(folder, "log", "show") & (HEAVY - {"rich"}) == set()


def test_fingerprint_costs_at_most_250_ms_of_cpu(file: Path) -> None:
    command = ("-m", "provenance.cli", "fingerprint", str(file))
    cpu_s(file.parent, *command)  # once, so that bytecode and page cache are warm
    bare, loaded = zip(
        *((cpu_s(file.parent, "-c", "pass"), cpu_s(file.parent, *command)) for _ in range(RUNS)), strict=True
    )
    assert median(loaded) - median(bare) <= MAX_FINGERPRINT_CPU_S
