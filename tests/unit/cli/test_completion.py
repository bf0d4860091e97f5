"""What the shell is offered."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from provenance import Ledger
from provenance.signature import ED25519, derive_private_key
from tests.paths import PROJECT
from tests.unit.cli.conftest import Place

HARBOUR = derive_private_key(ED25519, bytes(32))


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


@pytest.fixture(scope="module")
def folder(made: Place, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The test ledger, which trusts one more key, whose private half is elsewhere."""
    folder = tmp_path_factory.mktemp("trusting")
    shutil.copytree(made.folder / ".provenance", folder / ".provenance")
    with Ledger.open(folder) as ledger:
        ledger.keyring.trust_key("Harbour", HARBOUR.public)
    return folder


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("provenance lin", {"lineage"}),
        ("provenance keys re", {"revoke"}),
        ("provenance lineage tit", {"titanic/raw", "titanic/clean"}),
        ("provenance lineage titanic/raw@", {"titanic/raw@1"}),
        ("provenance register x --parent titanic/c", {"titanic/clean"}),
        ("provenance register x --key mu", {"museum"}),
        ("provenance register x --key H", set()),
        ("provenance keys show l", {"lab"}),
        ("provenance keys show H", {"Harbour"}),
        ("provenance keys revoke ", {"museum", "lab", "Harbour"}),
        ("provenance keys new x --algorithm e", {"ecdsa-p256", "ed25519"}),
        ("provenance register x --sensitivity ", {"public", "internal", "confidential", "restricted"}),
        ("provenance register x --kind m", {"model"}),
        ("provenance verify x --require ", {"D0", "D1", "D2", "D3", "D4"}),
        ("provenance verify x --require x", set()),
        ("provenance lineage no/", set()),
        ("provenance lineage \x1b", set()),
    ],
)
def test_offers(folder: Path, line: str, expected: set[str]) -> None:
    assert offers(line, folder) == expected


def test_the_named_ledger_is_asked(made: Place, tmp_path: Path) -> None:
    assert offers("provenance lineage tit", tmp_path) == set()
    assert offers(f"provenance --ledger {made.folder} lineage titanic/r", tmp_path) == {"titanic/raw"}
