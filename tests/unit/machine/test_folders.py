"""Where caches lie: the environment's word, the specification's place, or an error with a way out."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from provenance.errors import MalformedError
from provenance.machine.folders import ENVIRONMENT, cache_folder


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in (ENVIRONMENT, "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def test_the_environment_comes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert cache_folder() == tmp_path / ".cache" / "provenance"
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache_folder() == Path("/somewhere/provenance")
    monkeypatch.setenv(ENVIRONMENT, "/here")
    assert cache_folder() == Path("/here")


@pytest.mark.parametrize("ignored", ["", "relative", "./x"])
def test_a_relative_base_is_ignored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ignored: str) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", ignored)
    assert cache_folder() == tmp_path / ".cache" / "provenance"


def test_nothing_is_made(tmp_path: Path) -> None:
    cache_folder()
    assert list(tmp_path.iterdir()) == []


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(_: int) -> None:
        raise KeyError

    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    assert "~" in os.path.expanduser("~")  # noqa: PTH111
    with pytest.raises(MalformedError) as raised:
        cache_folder()
    assert raised.value.hint is not None
    assert ENVIRONMENT in raised.value.hint
