"""Figures of the main job on this machine: `python -m tests.bench.main_job` prints a table, `--json` a document.

Not a test: nothing here passes or fails. Each figure is the median of several runs; the bare operation it is compared
with (python -c pass, a synced SQLite insert of the same bytes) is measured in the same run.
"""

from __future__ import annotations

import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from provenance.ledger import Ledger

_RUNS = 5
_DATASETS = 1_000


def cpu_ms(*arguments: str) -> float:
    """Median CPU time (user and system) of a Python process, in milliseconds."""
    figures = []
    for _ in range(_RUNS):
        process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL)
        _, _, usage = os.wait4(process.pid, 0)
        figures.append((usage.ru_utime + usage.ru_stime) * 1000)
    return statistics.median(figures)


def wall_ms(action: Callable[[], object], runs: int = _RUNS) -> float:
    """Median wall time of an action, in milliseconds."""
    figures = []
    for _ in range(runs):
        started = time.perf_counter()
        action()
        figures.append((time.perf_counter() - started) * 1000)
    return statistics.median(figures)


def synced_insert_ms(folder: Path, size_bytes: int) -> float:
    """Median time of one INSERT of `size_bytes` in its own transaction, WAL and synchronous=FULL."""
    database = sqlite3.connect(folder / "bare.db", isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=FULL")
    database.execute("CREATE TABLE entry (data BLOB)")
    data = os.urandom(size_bytes)
    figure = wall_ms(lambda: database.execute("INSERT INTO entry VALUES (?)", (data,)), 200)
    database.close()
    return figure


def measure(folder: Path) -> dict[str, float]:
    """Every figure, by name with its unit."""
    figures: dict[str, float] = {}
    bare = cpu_ms("-c", "pass")
    figures["cpu_ms: python -c pass"] = bare
    figures["cpu_ms: import provenance, more than that"] = cpu_ms("-c", "import provenance") - bare
    figures["cpu_ms: from provenance import Ledger, more than that"] = (
        cpu_ms("-c", "from provenance import Ledger") - bare
    )
    small = folder / "small.txt"
    small.write_text("one small file\n")
    command = ("-m", "provenance.cli", "fingerprint", str(small))
    figures["cpu_ms: provenance fingerprint FILE, more than that"] = cpu_ms(*command) - bare
    with Ledger.init(folder / "ledger") as ledger:
        ledger.keyring.new("source")
        times = []
        files = [folder / f"{number}.txt" for number in range(2 * _DATASETS)]
        for number, file in enumerate(files):
            file.write_text(f"dataset {number}\n")
        for number in range(_DATASETS):
            started = time.perf_counter()
            ledger.register(files[number], f"bench/d{number}", "1", anchor=False)
            times.append((time.perf_counter() - started) * 1000)
        figures["ms: register one small dataset, durable (median of 1,000)"] = statistics.median(times)
        figures["ms: the same, last hundred"] = statistics.median(times[-100:])
        figures["ms: one bare synced SQLite insert of 1,200 bytes"] = synced_insert_ms(folder, 1_200)
        started = time.perf_counter()
        ledger.deploy()
        figures["ms: deploy the contract (first use of the chain in the process)"] = (
            time.perf_counter() - started
        ) * 1000
        started = time.perf_counter()
        outcome = ledger.anchor()
        figures["ms: anchor 1,000 datasets"] = (time.perf_counter() - started) * 1000
        figures["gas: that transaction (the first anchor of a ledger)"] = outcome.gas_used
        figures["gas: a dataset of it"] = outcome.gas_used / outcome.covered
        for number in range(_DATASETS):
            ledger.register(files[_DATASETS + number], f"again/d{number}", "1", anchor=False)
        outcome = ledger.anchor()
        figures["gas: the next 1,000 in one transaction"] = outcome.gas_used
        figures["gas: a dataset of them"] = outcome.gas_used / outcome.covered
        figures["ms: verify one of 2,000 by reference, chain known"] = wall_ms(lambda: ledger.verify("bench/d500"), 20)
        figures["ms: make its bundle"] = wall_ms(lambda: ledger.bundle("bench/d500"), 20)
    script = (
        "from provenance import Ledger; import sys\nwith Ledger.open(sys.argv[1]).chain() as c: print(c.info().head)"
    )
    figures["ms: reopen the chain in a fresh process, interpreter included"] = wall_ms(
        lambda: subprocess.run([sys.executable, "-c", script, str(folder / "ledger")], check=True, capture_output=True)
    )
    return figures


def main() -> None:
    """Measure in a temporary folder and print."""
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder))
    if "--json" in sys.argv[1:]:
        print(json.dumps(figures, indent=1))
        return
    for name, figure in figures.items():
        print(f"{figure:12,.1f}  {name}")


if __name__ == "__main__":
    main()
