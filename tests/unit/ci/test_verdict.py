"""A test run that passed for the wrong reason fails in `.ci/run`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.paths import PROJECT

VERDICT = PROJECT / ".ci" / "verdict.py"
CLOSING = "===== 2 passed, 1 skipped in 0.01s ====="


def run_pytest(folder: Path, source: str) -> tuple[Path, str]:
    """The JUnit file and closing line of a real run of `source`."""
    (folder / "test_it.py").write_text(source)
    report = folder / "junit.xml"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        f"--junitxml={report}",
        f"--rootdir={folder}",
        ".",
    ]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""}
    output = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False).stdout
    return report, output.splitlines()[-1]


def judge(report: Path, closing: str) -> tuple[int, str]:
    result = subprocess.run([sys.executable, VERDICT, report, closing], capture_output=True, text=True, check=False)
    return result.returncode, result.stderr


@pytest.mark.parametrize(
    ("source", "objection"),
    [
        ("def test_a(): pass", None),
        ("import pytest\n@pytest.mark.skip(reason='needs anvil')\ndef test_a(): pass\ndef test_b(): pass", None),
        ("import pytest\n@pytest.mark.skip\ndef test_a(): pass\ndef test_b(): pass", "test_a"),
        ("import pytest\ndef test_a(): pytest.skip()\ndef test_b(): pass", "test_a"),
        ("import pytest\n@pytest.mark.xfail\ndef test_a(): assert 0\ndef test_b(): pass", "test_a"),
        ("import warnings\ndef test_a(): warnings.warn('old')", "warnings: "),
        ("def helper(): pass", "no test ran"),
    ],
)
def test_verdict_on_real_runs(tmp_path: Path, source: str, objection: str | None) -> None:
    code, message = judge(*run_pytest(tmp_path, source))
    assert code == (0 if objection is None else 1), message
    assert message == "" if objection is None else objection in message


def test_an_interrupted_run_is_not_a_pass(tmp_path: Path) -> None:
    report, _ = run_pytest(tmp_path, "def test_a(): pass")
    assert judge(report, "!!!!! KeyboardInterrupt !!!!!")[0] == 1
