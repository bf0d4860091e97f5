"""Text on a screen: escaped, aligned, no wider than the terminal."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout

import pytest

from provenance.cli.screen import Screen, complain, count_text, has_colour, size_text
from tests.unit.cli.conftest import Terminal

HOSTILE = "[red]x[/red]\x1b[2J\n\r\x00\u202e\udcff:smile:"


def shown(draw: Callable[[Screen], None], *, encoding: str = "utf-8", tty: bool = False) -> str:
    """What `draw` puts on a screen."""
    stream = Terminal(encoding, tty=tty)
    stream.reconfigure(errors="backslashreplace")
    with redirect_stdout(stream):
        draw(Screen())
    return stream.text()


@pytest.fixture(autouse=True)
def eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def test_hostile_text_is_escaped_in_every_form() -> None:
    def draw(screen: Screen) -> None:
        screen.line(HOSTILE)
        screen.spans((HOSTILE, "bad"), (HOSTILE, None))
        screen.prose(HOSTILE)
        screen.pairs([("label", HOSTILE)])
        screen.table(("one", "two"), [(HOSTILE, "x")])

    text = shown(draw)
    assert not any(ord(c) < 32 and c != "\n" for c in text)
    assert "\u202e" not in text
    unfolded = "".join(text.split())
    assert unfolded.count("[red]x[/red]\\x1b[2J\\n\\r\\x00\\u202e\\udcff:smile:") == 6


def test_a_muted_screen_prints_nothing() -> None:
    def draw(_: Screen) -> None:
        screen = Screen(muted=True)
        screen.line("x")
        screen.spans(("x", None))
        screen.prose("x")
        screen.pairs([("x", "y")])
        screen.table(("x",), [("y",)])

    assert shown(draw) == ""


def test_long_sentences_break_and_long_values_do_not() -> None:
    def draw(screen: Screen) -> None:
        screen.prose("word " * 40, indent=2)
        screen.pairs([("label", "word " * 40), ("path", "/" + "x" * 200), ("gone", None)])

    lines = shown(draw).splitlines()
    assert lines[0].startswith("  word")
    assert "path         /" + "x" * 200 in lines
    assert all(len(line) <= 80 for line in lines if "xxx" not in line)
    assert not any("gone" in line for line in lines)


def test_a_table_folds_and_leaves_nothing_out() -> None:
    text = shown(lambda screen: screen.table(("check", "note"), [("content", "y" * 300), ("x" * 90, "z")]))
    lines = text.splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert (text.count("y"), text.count("x")) == (300, 90)
    assert not any(line.endswith(" ") for line in lines)


def test_a_table_of_nothing_has_no_header() -> None:
    assert shown(lambda screen: screen.table(("one", "two"), [])) == ""


def test_wide_characters_are_measured_by_columns() -> None:
    assert "表表表表表  x" in shown(lambda screen: screen.table(("a", "b"), [("表" * 5, "x"), ("y", "z")]))


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_without_utf8_gets_escapes(encoding: str) -> None:
    def draw(screen: Screen) -> None:
        screen.line("表")
        screen.table(("x",), [("表",)])

    assert shown(draw, encoding=encoding).splitlines() == ["\\u8868", "x", "\\u8868"]


@pytest.mark.parametrize(
    ("settings", "tty", "coloured"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"NO_COLOR": "1"}, True, False),
        ({"FORCE_COLOR": "1"}, False, True),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, True, False),
        ({"TERM": "dumb"}, True, False),
    ],
)
def test_colour(monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], tty: bool, coloured: bool) -> None:
    monkeypatch.setenv("TERM", "xterm")
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert has_colour(Terminal(tty=tty)) is coloured
    for draw in (lambda s: s.line("x", "bad"), lambda s: s.table(("a",), [("failed",)])):
        assert ("\x1b[" in shown(draw, tty=tty)) is coloured


def test_complaints_go_to_stderr_escaped() -> None:
    stream = Terminal()
    with redirect_stderr(stream):
        complain("what\x1b[31m", [("got", "x\u202e"), ("where", None), ("hint", "way\nout")])
    assert stream.text() == "error: what\\x1b[31m\n  got        x\\u202e\n  hint       way\\nout\n"


def test_complaints_break_between_words_only() -> None:
    stream, path = Terminal(), "/" + "x" * 100
    with redirect_stderr(stream):
        complain("word " * 40, [("where", path), ("hint", "word " * 40)])
    lines = stream.text().splitlines()
    assert f"  where      {path}" in lines
    assert all(len(line) <= 80 for line in lines if path not in line)
    assert lines[1].startswith("       word")
    assert lines[-1].startswith("             word")


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (9_999, "9999 bytes"),
        (10_000, "10.0 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (123_456_789, "123.5 MB"),
        (10**21, "1000000.0 PB"),
    ],
)
def test_sizes(count: int, text: str) -> None:
    assert size_text(count) == text


def test_counts() -> None:
    assert [count_text(n, "file") for n in (0, 1, 2, 12_345)] == ["0 files", "1 file", "2 files", "12,345 files"]
