"""Ignore rules: git's, on names in ASCII, decided by git itself; and what the rules change."""

from __future__ import annotations

import random
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from provenance.errors import SourceError
from provenance.sources import Reading, local, open_source
from provenance.sources.local import listing
from provenance.sources.local.ignore import IgnoreRules, join_rules, parse_lines
from provenance.sources.local.listing import list_names

NAMES = ("a", "b", "ab", "a.txt", "b.tmp", ".x", "a b", "[x]", "a*", "abc")
TOKENS = (
    "a",
    "b",
    "*",
    "?",
    "**",
    "/",
    "[ab]",
    "[!a]",
    ".txt",
    "\\*",
    "x",
    ".",
    " ",
    "[a-c]",
    "!",
    "#",
    ".tmp",
    "**/",
    "/**",
    "[]a]",
    "[",
    "[[:alpha:]]",
    "[![:space:]]",
    "[[:digit:]a-c]",
    "[[:none:]a]",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "dataset"
    made.mkdir()
    return made


def test_rules_are_gits(folder: Path) -> None:
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    for number in range(120):
        rng = random.Random(f"ignore {number}")
        for path in folder.iterdir():
            if path.name != ".git":
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        for _ in range(15):
            path = folder.joinpath(*(rng.choice(NAMES) for _ in range(rng.randrange(1, 4))))
            if not any(parent.is_file() for parent in path.parents) and not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(b"x")
        lines = ["".join(rng.choice(TOKENS) for _ in range(rng.randrange(1, 5))) for _ in range(rng.randrange(1, 5))]
        lines = [f"!{line}" if rng.random() < 0.25 else line for line in lines]
        (folder / ".gitignore").write_text("\n".join(lines) + "\n")
        rules = IgnoreRules([*parse_lines((folder / ".gitignore").read_bytes()), "/.git/"])
        listed = subprocess.run(
            ["git", "-C", str(folder), "ls-files", "-z", "--others", "--exclude-standard"],
            capture_output=True,
            check=True,
        )
        expected = sorted(name for name in listed.stdout.decode().split("\0") if name)
        assert list_names(folder, rules, None) == expected, lines


def _names(folder: Path, *more: str) -> list[str]:
    return [entry.path for entry in open_source(folder, Reading(ignore=more)).fingerprint().files]


def test_the_rules_are_told_and_the_file_is_of_the_dataset(folder: Path) -> None:
    (folder / "keep").write_bytes(b"x")
    (folder / "drop.tmp").write_bytes(b"x")
    (folder / "cache").mkdir()
    (folder / "cache" / "y").write_bytes(b"y")
    (folder / ".provenanceignore").write_text("# what is made again\n*.tmp\n\n/cache/\n")
    found = open_source(folder, Reading(ignore=("*.log",))).fingerprint()
    assert [entry.path for entry in found.files] == [".provenanceignore", "keep"]
    assert found.parameters.ignore == ("*.tmp", "/cache/", "*.log")
    (folder / ".provenanceignore").unlink()
    assert _names(folder) == ["cache/y", "drop.tmp", "keep"]


def test_only_the_file_at_the_top_counts(folder: Path) -> None:
    (folder / "d").mkdir()
    (folder / "d" / ".provenanceignore").write_text("x\n")
    (folder / "d" / "x").write_bytes(b"x")
    assert _names(folder) == ["d/.provenanceignore", "d/x"]


def test_what_is_left_out_may_be_anything(folder: Path) -> None:
    (folder / "a").write_bytes(b"a")
    (folder / "link").symlink_to("nowhere")
    with pytest.raises(SourceError, match="symbolic link"):
        _names(folder)
    assert _names(folder, "link") == ["a"]


def test_a_folder_with_everything_left_out_is_empty(folder: Path) -> None:
    (folder / "a").write_bytes(b"a")
    with pytest.raises(SourceError, match="holds no files"):
        _names(folder, "*")


def test_characters_beyond_ascii_are_one_character(folder: Path) -> None:
    (folder / "é").write_bytes(b"a")
    (folder / "b").write_bytes(b"a")
    assert _names(folder, "[é]") == ["b"]
    assert _names(folder, "??") == ["b", "é"]


def test_an_ignore_file_that_is_too_large_is_refused(folder: Path) -> None:
    (folder / ".provenanceignore").write_bytes(b"x\n" * 200_000)
    with pytest.raises(SourceError, match="ignore file is too large"):
        _names(folder)


def test_hostile_rules_take_no_time() -> None:
    rules = IgnoreRules(["*a" * 120 + "b", "**/" * 80 + "x", "[a-z]*" * 40 + "!"])
    started = time.process_time()
    assert not rules.leaves_out("/".join(["a" * 255] * 12), is_folder=False)
    assert time.process_time() - started < 5


def test_a_line_ends_in_a_newline_alone(folder: Path) -> None:
    odd = ("a\u2028b", "a\x0bb", "a\x85b", "a\x1cb")
    for name in (*odd, "b", "crlf", "keep"):
        (folder / name).touch()
    (folder / ".provenanceignore").write_bytes("\n".join([*odd, "crlf\r", ""]).encode())
    assert _names(folder) == [".provenanceignore", "b", "keep"]


def test_an_ignore_file_that_is_not_utf8_is_refused(folder: Path) -> None:
    (folder / "a").touch()
    (folder / ".provenanceignore").write_bytes(b"ok\n\xff\n")
    with pytest.raises(SourceError, match="ignore file is not UTF-8") as raised:
        _names(folder)
    assert raised.value.where == str(folder / ".provenanceignore")


@pytest.mark.parametrize("rules", [["x"] * 257, ["x" * 257], ["a\0b"]])
def test_rules_that_a_statement_cannot_hold_are_refused_at_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch, rules: list[str]
) -> None:
    (folder / "a").touch()
    monkeypatch.setattr(local, "list_names", lambda *_: pytest.fail("something was read"))
    with pytest.raises(SourceError):
        _names(folder, *rules)


def test_the_rules_of_a_statement_are_not_said_twice(folder: Path) -> None:
    (folder / "a").touch()
    (folder / ".provenanceignore").write_text("\n".join(f"x{number}" for number in range(200)))
    first = open_source(folder, Reading(ignore=("y", "!x1"))).fingerprint()
    again = open_source(folder, Reading(ignore=first.parameters.ignore)).fingerprint()
    assert again == first
    assert len(again.parameters.ignore) == 202
    (folder / ".provenanceignore").write_text("x0\nx2\n")
    assert open_source(folder, Reading(ignore=("x0", "y"))).fingerprint().parameters.ignore == ("x0", "x2", "x0", "y")


def test_joined_rules_decide_as_they_do_one_after_the_other() -> None:
    rng = random.Random(9)
    rules = ["a", "!a", "b/", "*.txt", "!*.txt", "/a", "**/b", "c/*"]
    paths = ["a", "b", "a.txt", "c/a", "c/b", "b/a.txt", "c"]
    for _ in range(500):
        own = rng.choices(rules, k=rng.randrange(4))
        more = [*own, *rng.choices(rules, k=rng.randrange(3))] if rng.random() < 0.5 else rng.choices(rules, k=3)
        joined, plain = join_rules(own, more), IgnoreRules([*own, *more])
        for path in paths:
            for is_folder in (True, False):
                assert joined.leaves_out(path, is_folder=is_folder) == plain.leaves_out(path, is_folder=is_folder)


@pytest.mark.parametrize("own", ["", ".provenanceignore\n"])
def test_an_ignore_file_that_changes_meanwhile_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, own: str
) -> None:
    """Also one that its own rules leave out, and between the reading of the rules and the first listing."""
    (folder / "a").touch()
    (folder / ".provenanceignore").write_text(own)
    genuine = listing.list_names

    def rewriting(*arguments: Any) -> list[str]:
        (folder / ".provenanceignore").write_text(own + "b\n")
        return genuine(*arguments)

    monkeypatch.setattr(local, "list_names", rewriting)
    with pytest.raises(SourceError, match="changed while it was read") as raised:
        _names(folder)
    assert raised.value.where == str(folder / ".provenanceignore")
