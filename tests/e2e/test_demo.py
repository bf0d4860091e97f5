"""The real demo, twice in one folder: every command it shows is run in a process of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.paths import PROJECT


def _demo(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "provenance.cli", "demo", str(folder)]
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=300, check=False)


def _readme_example() -> str:
    (found,) = re.findall(
        r"^```python\n(.*?)^```$", (PROJECT / "README.md").read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    return str(found)


def test_the_demo_works_twice_and_readme_goes_on_from_it(tmp_path: Path) -> None:
    titanic = (PROJECT / "examples" / "data" / "titanic" / "titanic.csv").read_bytes()
    for _ in range(2):
        done = _demo(tmp_path / ".demo")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Traceback" not in done.stdout + done.stderr
        shown = re.findall(r"^\$ (.*)$", done.stdout, re.MULTILINE)
        assert sum(line.startswith("provenance register") for line in shown) == 6
        assert {"provenance anchor", "provenance verify --all", "provenance verify museum"} <= set(shown)
        assert "changed: titanic.csv" in done.stdout
        affected = done.stdout.rsplit("affected", 1)[1]
        assert affected.split()[:2] == ["titanic/cleaned@1", "titanic/survival-model@1"]
        assert done.stdout.index("Somebody changes one byte") < done.stdout.index("The byte is put back")
        assert (tmp_path / ".demo" / "museum" / "titanic.csv").read_bytes() == titanic
    example = _readme_example()
    promised = re.findall(r"^ *print\(.*\)  # (.*)$", example, re.MULTILINE)
    command = [sys.executable, "-W", "error", "-W", "ignore::ResourceWarning", "-c", example]
    done = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == promised
    assert len(promised) == example.count("print(") == 3


def test_a_folder_of_somebody_elses_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    done = _demo(tmp_path)
    assert done.returncode == 2
    assert "not an earlier demo's" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
