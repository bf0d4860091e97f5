"""The story ends as it must: exactly what was made of the revoked source is concerned, and a lie comes out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from examples.story import MADE, MODELS, tell
from tests.paths import PROJECT


def test_the_story(tmp_path: Path) -> None:
    said: list[str] = []
    outcome = tell(tmp_path / "story", said.append)
    assert outcome.levels == dict.fromkeys(MODELS, "D3")
    assert outcome.allowed_before == dict.fromkeys(MODELS, True)
    assert sorted(outcome.affected) == sorted(f"{name}@1" for name in MADE)
    assert outcome.allowed_after == dict.fromkeys(MODELS, False)
    assert outcome.first_failures == dict.fromkeys(MODELS, "revocation of museum/passengers@1")
    assert outcome.replays == {**dict.fromkeys(MADE, "reproduced"), "story/hourly": "differs"}
    assert "harbour/codes@1: untouched" in said


def test_it_says_how_it_is_started(tmp_path: Path) -> None:
    for words in ([], [tmp_path]):
        done = subprocess.run(
            [sys.executable, "-m", "examples.story", *words], cwd=PROJECT, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("usage: ")
