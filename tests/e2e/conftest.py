"""The forking worker process, started once for all tests that kill."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.paths import PROJECT


class CrashWorkers:
    """Sends orders to `tests.e2e.crash_worker` and returns its answers."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._read()

    def run(self, job: str, **order: Any) -> dict[str, Any]:
        """Fork a worker for this order and wait for its end."""
        assert self._process.stdin is not None
        arguments = {name: str(value) if hasattr(value, "__fspath__") else value for name, value in order.items()}
        self._process.stdin.write(json.dumps({"job": job, **arguments}) + "\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"the worker process ended with {self._process.wait(10)}"
        answer: dict[str, Any] = json.loads(line)
        return answer


@pytest.fixture(scope="session")
def crash_workers() -> Iterator[CrashWorkers]:
    command = [sys.executable, "-W", "error::ResourceWarning", "-m", "tests.e2e.crash_worker"]
    with subprocess.Popen(command, cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield CrashWorkers(process)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(10) == 0
