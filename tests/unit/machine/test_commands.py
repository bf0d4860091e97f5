"""What a command inherits, and what becomes of the processes that it leaves."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest

from provenance.cli import passphrase
from provenance.errors import SourceError
from provenance.machine import commands
from provenance.machine.commands import PASSPHRASE_VARIABLE, execute

WRITE = "import os, pathlib; pathlib.Path('seen').write_text(repr(sorted(os.environ)))"


def test_a_passphrase_is_not_inherited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert passphrase.VARIABLE == PASSPHRASE_VARIABLE
    monkeypatch.setenv(PASSPHRASE_VARIABLE, "hunter2")
    monkeypatch.setenv("OTHER", "kept")
    for env in (None, {**os.environ}):
        assert execute([sys.executable, "-c", WRITE], tmp_path, 60, env).is_alone
        seen = (tmp_path / "seen").read_text()
        assert PASSPHRASE_VARIABLE not in seen
        assert "'OTHER'" in seen
    assert os.environ[PASSPHRASE_VARIABLE] == "hunter2"
    execute([sys.executable, "-c", WRITE], tmp_path, 60, {})
    assert "OTHER" not in (tmp_path / "seen").read_text()


def _is_subreaper() -> int:
    found = ctypes.c_int(-1)
    ctypes.CDLL(None).prctl(37, ctypes.byref(found), 0, 0, 0)
    return found.value


def test_this_process_is_what_it_was_afterwards(tmp_path: Path) -> None:
    before = _is_subreaper()
    for command, wrong in ((["true"], None), (["false"], "exit status 1"), (["/none"], "No such file")):
        if wrong is None:
            assert execute(command, tmp_path, 60).is_alone
        else:
            with pytest.raises(SourceError, match=wrong):
                execute(command, tmp_path, 60).check()
        assert _is_subreaper() == before


def test_children_that_were_there_before_are_not_the_commands(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "60"]) as other:
        assert execute(["true"], tmp_path, 60).is_alone
        assert other.poll() is None
        other.kill()


def test_orphans_are_reaped(tmp_path: Path) -> None:
    # In a process of its own: where other threads run, whose children are theirs, they are left to those.
    code = "import sys; from pathlib import Path; from provenance.machine.commands import _children, execute; "
    code += (
        "assert execute(['sh', '-c', '(true &) ; (sleep 0.2 &)'], Path(sys.argv[1]), 60).is_alone; print(_children())"
    )
    told = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["{}"]


def test_who_comes_while_others_end_is_not_overlooked(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = iter([{}, {7: "S"}, {7: "Z"}, {8: "Z"}, {9: "S"}, {9: "Z"}, {}])
    monkeypatch.setattr(commands, "_children", lambda: next(looks))
    monkeypatch.setattr(commands, "_reap", lambda ended: None)
    assert not commands._Survivors(adopts=True).wait()
    assert list(looks) == []
