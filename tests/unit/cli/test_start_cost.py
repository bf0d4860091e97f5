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
LIBRARIES = EVM | {
    "fastapi", "starlette", "uvicorn", "pydantic", "rich", "numpy", "pyarrow", "duckdb", "pymerkle", "httpx",
}  # fmt: skip
HEAVY = LIBRARIES | {
    "asyncio", "blake3", "cbor2", "concurrent.futures", "fsspec", "importlib.metadata", "jsonschema", "logging",
    "pickle", "sqlite3", "ssl", "stringzilla", "yaml",
}  # fmt: skip


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(PROJECT), **more}


def verbs_in(modules: set[str]) -> set[str]:
    """The modules of verbs among those loaded."""
    start = "provenance.cli.verbs."
    return {name.removeprefix(start) for name in modules if name.startswith(start)}


def loaded_by(folder: Path, *arguments: str, **more: str) -> set[str]:
    """The modules a run has loaded when it ends."""
    code = (
        "import sys\nfrom provenance.cli.program import run\ncode = run(sys.argv[1:])\n"
        "print(code, *sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        env=environment(**more),
        capture_output=True,
        text=True,
        check=True,
    )
    status, *modules = done.stderr.splitlines()[-1].split()
    assert status == "0", done.stderr
    return {*modules, *(name.partition(".")[0] for name in modules)}


def cpu_s(folder: Path, *command: str) -> float:
    # Compiled once, as an installer or the first run does, whatever the tester's own setting is.
    environs = {**environment(PYTHONPYCACHEPREFIX=str(folder / "compiled")), "PWD": str(folder)}
    environs.pop("PYTHONDONTWRITEBYTECODE", None)
    pid = os.posix_spawn(
        sys.executable, [sys.executable, *command], environs,
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
    assert verbs_in(modules) == ({"verify", "proof"} if "verify" in arguments else set())


@pytest.mark.parametrize("arguments", [("keys", "--help"), ("log", "keys", "--help")])
def test_help_of_a_group_loads_no_verb(file: Path, arguments: tuple[str, ...]) -> None:
    assert verbs_in(loaded_by(file.parent, *arguments)) == set()


@pytest.mark.parametrize(
    ("line", "verbs"),
    [("provenance ", set()), ("provenance log keys re", set()), ("provenance lineage --f", {"lineage"})],
)
@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion_loads_the_verb_that_it_is_about(file: Path, shell: str, line: str, verbs: set[str]) -> None:
    words = line.split(" ")
    modules = loaded_by(
        file.parent,
        _PROVENANCE_COMPLETE=f"complete_{shell}",
        COMP_WORDS=line,
        COMP_CWORD=str(len(words) - 1),
        _TYPER_COMPLETE_ARGS=line,
    )
    assert verbs_in(modules) == verbs
    assert not modules & (HEAVY if shell == "bash" else LIBRARIES - {"rich"})  # typer strips markup by it, for zsh
    assert not modules & {"provenance.ledger", "provenance.sources", "provenance.signature", "cryptography"}


@pytest.mark.parametrize("more", [(), ("--json",)])
def test_fingerprint_loads_sources_only(file: Path, more: tuple[str, ...]) -> None:
    modules = loaded_by(file.parent, "fingerprint", str(file), *more)
    assert modules & HEAVY == set()
    assert not modules & {"provenance.ledger.ledger", "provenance.stores", "provenance.chains", "cryptography"}
    assert not modules & {"provenance.engines", "provenance.tables", "provenance.statement"}
    assert verbs_in(modules) == {"fingerprint"}


def test_a_bundle_is_verified_without_chain_or_server(file: Path) -> None:
    """As `verify --all` of an empty ledger: what opening a ledger loads."""
    folder = file.parent
    subprocess.run(
        [sys.executable, "-m", "provenance.cli", "init"], cwd=folder, env=environment(), check=True, capture_output=True
    )
    assert loaded_by(folder, "log", "show") & (LIBRARIES - {"rich"}) == set()


def test_fingerprint_costs_at_most_250_ms_of_cpu(file: Path) -> None:
    command = ("-m", "provenance.cli", "fingerprint", str(file))
    cpu_s(file.parent, *command)  # once, so that bytecode and page cache are warm
    bare, loaded = zip(
        *((cpu_s(file.parent, "-c", "pass"), cpu_s(file.parent, *command)) for _ in range(RUNS)), strict=True
    )
    assert median(loaded) - median(bare) <= MAX_FINGERPRINT_CPU_S
