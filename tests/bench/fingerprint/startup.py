"""What `provenance fingerprint` on one small file costs more than an empty Python.

Modules are compiled beforehand, as an installer or the first run does, whatever PYTHONDONTWRITEBYTECODE says.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from pathlib import Path

from tests.bench.fingerprint.report import Row

_LIMIT_MS = 250


def _cpu_ms(arguments: list[str], compiled: Path) -> float:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = str(compiled)
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL, env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return (usage.ru_utime + usage.ru_stime) * 1000


def run(*, quick: bool, folder: Path) -> list[Row]:
    """One row: CPU milliseconds, median of turns."""
    file = folder / "small.csv"
    file.write_bytes(b"a,b\n1,2\n")
    ours_is, compiled = ["-m", "provenance.cli", "fingerprint", str(file)], folder / "compiled"
    bare, ours = [], []
    _cpu_ms(ours_is, compiled)  # compiles
    for _ in range(5 if quick else 15):
        bare.append(_cpu_ms(["-c", "pass"], compiled))
        ours.append(_cpu_ms(ours_is, compiled))
    more = statistics.median(ours) - statistics.median(bare)
    return [
        Row(
            path="start-up, one small file",
            reference="python -c pass",
            goal=f"at most {_LIMIT_MS} ms CPU more",
            ratio=None,
            ours=f"{more:.0f} ms CPU more",
            theirs=f"{statistics.median(bare):.0f} ms CPU",
            reached=more <= _LIMIT_MS,
        )
    ]
