"""A session: verbs run one after another in one folder, each in a process of its own."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.paths import PROJECT

COMMAND = (sys.executable, "-W", "error::ResourceWarning", "-m", "provenance.cli")
TIMEOUT_S = 120


@dataclass(frozen=True, slots=True)
class Result:
    """What a process left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one document on stdout."""
        return json.loads(self.out)

    def check_clean(self) -> None:
        """Whatever happened, nothing of the program's inside is shown, and no control character."""
        for text in (self.out, self.err):
            assert "Traceback" not in text, text
            assert "internal error" not in text, text
            assert "Warning" not in text, text
            assert all(c.isprintable() or c == "\n" for c in text), ascii(text)


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """The tester's environment without settings of this program."""
    kept = {
        k: v
        for k, v in os.environ.items()
        if (not k.startswith("PROVENANCE_") or k == "PROVENANCE_CACHE") and k not in ("FORCE_COLOR", "NO_COLOR")
    }
    return {**kept, "PYTHONPATH": str(PROJECT), "COLUMNS": "80", "PYTHONIOENCODING": "utf-8", **(more or {})}


class Session:
    """Runs verbs in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(
        self,
        *arguments: str | bytes | Path,
        code: int = 0,
        folder: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> Result:
        """One verb; its exit code must be `code`."""
        done = subprocess.run(
            [*COMMAND, *arguments], cwd=folder or self.folder, env=environment(env), stdin=subprocess.DEVNULL,
            capture_output=True, timeout=TIMEOUT_S, check=False,
        )  # fmt: skip
        result = Result(done.returncode, done.stdout.decode("utf-8"), done.stderr.decode("utf-8"))
        result.check_clean()
        assert result.code == code, f"{arguments}: {result}"
        return result

    def json(self, *arguments: str | bytes | Path, code: int = 0) -> Any:
        """The document of one verb, which says nothing else."""
        result = self.run(*arguments, "--json", code=code)
        assert result.err == ""
        return result.json


class Forks:
    """Runs of the program as forks of one warm process (`tests.sessions.forking`): 20 times cheaper."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.sessions.forking"], env=environment(), stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True, encoding="utf-8",
        )  # fmt: skip

    def run(self, folder: Path, *arguments: str | bytes | Path) -> Result:
        """One run; nothing about its outcome is taken for granted."""
        assert self._process.stdin is not None and self._process.stdout is not None
        words = [base64.b64encode(os.fsencode(word)).decode() for word in arguments]
        self._process.stdin.write(json.dumps({"folder": str(folder), "arguments": words}) + "\n")
        self._process.stdin.flush()
        return Result(**json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        """End the process."""
        self._process.communicate(timeout=10)


def state(folder: Path) -> dict[str, str]:
    """Every file below `folder` and the SHA-256 of its content; SQLite's scratch files and locks are left out."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink() and not path.name.endswith(("-wal", "-shm", ".lock")):
            found[str(path.relative_to(folder))] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found
