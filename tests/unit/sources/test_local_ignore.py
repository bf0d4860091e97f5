"""Ignore rules: git's, on names in ASCII, decided by git itself; and what the rules change."""

from __future__ import annotations

import random
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from provenance.errors import SourceError
from provenance.sources import Reading, open_source
from provenance.sources.local.ignore import IgnoreRules, parse_lines
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
