"""What the shell is offered."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.paths import PROJECT
from tests.unit.cli.conftest import Place


def offers(line: str, folder: Path) -> set[str]:
    """What bash would offer at the end of `line`."""
    words = line.split(" ")
    environment = {
        **os.environ,
        "PYTHONPATH": str(PROJECT),
        "_PROVENANCE_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
    }
    done = subprocess.run(
        [sys.executable, "-m", "provenance.cli"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("provenance lin", {"lineage"}),
        ("provenance keys re", {"revoke"}),
        ("provenance lineage tit", {"titanic/raw", "titanic/clean"}),
        ("provenance lineage titanic/raw@", {"titanic/raw@1"}),
        ("provenance register x --parent titanic/c", {"titanic/clean"}),
        ("provenance register x --key mu", {"museum"}),
        ("provenance keys show l", {"lab"}),
        ("provenance lineage no/", set()),
        ("provenance lineage \x1b", set()),
    ],
)
def test_offers(made: Place, line: str, expected: set[str]) -> None:
    assert offers(line, made.folder) == expected


def test_the_named_ledger_is_asked(made: Place, tmp_path: Path) -> None:
    assert offers("provenance lineage tit", tmp_path) == set()
    assert offers(f"provenance --ledger {made.folder} lineage titanic/r", tmp_path) == {"titanic/raw"}
