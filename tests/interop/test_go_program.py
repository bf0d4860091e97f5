"""The Go program itself: what it is built of, and that its code is as gofmt writes it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tests.interop.conftest import GO_SOURCES, HERE


def test_the_go_program_is_of_debian_s_sources(go_command: Path, go_program: Path) -> None:
    command: list[str | Path] = [go_command, "version", "-m", go_program]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    assert re.search(r"\tdep\tgolang\.org/x/mod\t.*\n\t=>\t" + re.escape(str(GO_SOURCES)) + r"\t", shown), shown
    assert shown.count("\tdep\t") == 1, shown


def test_its_code_is_formatted(go_root: Path) -> None:
    command: list[str | Path] = [go_root / "bin/gofmt", "-l", HERE / "go"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == ""
