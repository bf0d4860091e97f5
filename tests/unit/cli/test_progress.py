"""Progress: only in a terminal, only for what lasts."""

from __future__ import annotations

import time
from contextlib import redirect_stderr

import pytest

from provenance.cli import progress
from provenance.cli.progress import Meter
from provenance.sources import Progress
from tests.unit.cli.conftest import Terminal


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "DELAY_S", 0.05)
    monkeypatch.setenv("TERM", "xterm")


def shown(terminal: Terminal, *, lasts_s: float, work: str = "none") -> str:
    with redirect_stderr(terminal), Meter("reading\x1b[31m" if work == "hostile" else "reading") as meter:
        deadline = time.monotonic() + lasts_s
        while time.monotonic() < deadline:
            if work == "bytes":
                meter.read(Progress(500_000, 1_000_000, 1, 2))
            elif work == "items":
                meter.count(3, 10)
            time.sleep(0.01)
    return terminal.text()


def test_what_is_done_soon_shows_nothing() -> None:
    assert shown(Terminal(tty=True), lasts_s=0) == ""
    time.sleep(0.1)


def test_what_is_no_terminal_shows_nothing() -> None:
    assert shown(Terminal(tty=False), lasts_s=0.3) == ""


def test_a_dumb_terminal_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    assert shown(Terminal(tty=True), lasts_s=0.3) == ""


@pytest.mark.parametrize(("work", "amount"), [("bytes", "0.5/1.0 MB"), ("items", "3/10"), ("none", "reading")])
def test_a_bar_says_how_far(work: str, amount: str) -> None:
    assert amount in shown(Terminal(tty=True), lasts_s=0.6, work=work)


def test_a_bar_in_a_terminal_without_utf8() -> None:
    assert "reading" in shown(Terminal("ascii", tty=True), lasts_s=0.6, work="bytes")


def test_an_error_passes_through_and_ends_the_bar() -> None:
    terminal = Terminal(tty=True)
    with pytest.raises(KeyError), redirect_stderr(terminal), Meter("reading"):
        time.sleep(0.2)
        raise KeyError
    length = len(terminal.text())
    time.sleep(0.2)
    assert len(terminal.text()) == length
