"""docs/cli.md is what the command line says of itself."""

from __future__ import annotations

import importlib.util
import inspect
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from provenance.cli.application import VERBS
from provenance.cli.exits import MEANINGS, TABLE
from provenance.cli.summaries import SUMMARIES
from tests.paths import PROJECT

SCRIPT = PROJECT / "scripts" / "docs_cli.py"


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_cli", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_has_not_drifted() -> None:
    done = subprocess.run([sys.executable, SCRIPT, "--check"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_drift_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    module = script()
    page, table = tmp_path / "cli.md", tmp_path / "summaries.py"
    monkeypatch.setattr(module, "PAGE", page)
    monkeypatch.setattr(module, "TABLE_OF_SUMMARIES", table)
    monkeypatch.setattr(sys, "argv", ["docs_cli", "--check"])
    assert module.main() == 1
    page.write_text(module.page() + "x")
    assert module.main() == 1
    assert "has drifted" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["docs_cli"])
    assert module.main() == 0
    assert page.read_text() == module.page()
    assert module.main() == 0
    table.write_text(module.summaries().replace("Make a ledger.", "Make a mess."))
    monkeypatch.setattr(sys, "argv", ["docs_cli", "--check"])
    assert module.main() == 1
    assert "summaries.py has drifted" in capsys.readouterr().err


def test_the_summaries_are_the_first_sentences_of_the_verbs() -> None:
    def sentence(home: str) -> str:
        module, _, function = home.partition(":")
        verb = getattr(importlib.import_module(f"provenance.cli.verbs.{module}"), function)
        return re.split(r"(?<=\.)\s|\n\n", inspect.getdoc(verb) or "")[0].replace("\n", " ")

    assert dict(SUMMARIES) == {path: sentence(home) for path, home in VERBS.items()}


def test_the_page_names_every_verb_code_and_error() -> None:
    text = (PROJECT / "docs" / "cli.md").read_text()
    for code, meaning in MEANINGS:
        assert f"| {code} | {meaning} |" in text
    for error, kind, code in TABLE:
        assert f"| `{error.__name__}` | `{kind}` | {code} |" in text
    assert text.count("\n### `") == 74
    assert all(len(line) < 200 for line in text.splitlines())
