"""`import provenance` stays cheap: no EVM, HTTP, table or terminal library, and at most 150 ms of CPU."""

from __future__ import annotations

import os
import subprocess
import sys
from statistics import median

import pytest

from tests.paths import PROJECT

MAX_IMPORT_CPU_S = 0.150
RUNS = 7
HEAVY = {
    "click", "duckdb", "eth", "eth_account", "eth_tester", "fastapi", "httpx", "numpy", "pandas", "pyarrow", "pydantic",
    "psycopg", "pymerkle", "requests", "rich", "sqlalchemy", "starlette", "typer", "uvicorn", "web3",
}  # fmt: skip


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(PROJECT)}


def cpu_s(code: str) -> float:
    """User and system seconds of a fresh interpreter that runs `code`."""
    pid = os.posix_spawn(sys.executable, [sys.executable, "-c", code], environment())
    _, status, usage = os.wait4(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    return usage.ru_utime + usage.ru_stime


def loaded_after(code: str) -> set[str]:
    """The top-level modules in a fresh interpreter after `code`."""
    report = "import sys; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    command = [sys.executable, "-c", f"{code}\n{report}"]
    return set(subprocess.run(command, env=environment(), capture_output=True, text=True, check=True).stdout.split())


def test_import_loads_no_heavy_library() -> None:
    assert loaded_after("import provenance") & HEAVY == set()


@pytest.mark.parametrize("name", ["rich", "httpx"])
def test_a_heavy_library_would_be_seen(name: str) -> None:
    assert name in loaded_after(f"import {name}") & HEAVY


def test_import_costs_at_most_150_ms_of_cpu() -> None:
    cpu_s("import provenance")  # once, so that bytecode and page cache are warm
    bare, loaded = zip(*((cpu_s("pass"), cpu_s("import provenance")) for _ in range(RUNS)), strict=True)
    assert median(loaded) - median(bare) <= MAX_IMPORT_CPU_S
