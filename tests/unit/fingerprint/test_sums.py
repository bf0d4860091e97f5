"""Checksum files: as the tools write them, and nothing else."""

from __future__ import annotations

import hashlib
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from provenance.encoding import Digest
from provenance.errors import MalformedError
from provenance.fingerprint.sums import parse_sums

ONE, TWO = Digest.of(b"one"), Digest.of(b"two")
NAMES = [
    "plain",
    "with space",
    " lead",
    "sub/deep/x.csv",
    "é",
    "a\nb",
    "back\\slash",
    "cr\rcr",
    "(brackets) = x",
    "*star",
]


@pytest.mark.parametrize("options", [(), ("--binary",), ("--text",), ("--tag",)])
def test_what_sha256sum_writes_is_read(tmp_path: Path, options: tuple[str, ...]) -> None:
    tool = shutil.which("sha256sum")
    assert tool is not None
    rng, expected = random.Random(1), {}
    for name in NAMES:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(rng.randbytes(9))
        expected[name] = Digest.of(path.read_bytes())
    for names in (NAMES, [f"./{name}" for name in NAMES]):
        done = subprocess.run([tool, *options, "--", *names], cwd=tmp_path, check=True, capture_output=True)
        assert parse_sums(done.stdout) == expected


def test_forms_that_others_write() -> None:
    lines = [
        f"{ONE.hex.upper()}  a",
        f"{TWO.hex} *b\r",
        "",
        "# a comment",
        f"SHA256 (c) = {ONE.hex}",
        f"{ONE.hex}  a",
    ]
    assert parse_sums("\n".join(lines).encode()) == {"a": ONE, "b": TWO, "c": ONE}


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (f"{ONE.hex[:-1]}  a", "not a line of SHA-256 sums"),
        (f"{ONE.hex}a  a", "not a line of SHA-256 sums"),
        (f"{ONE.hex} a", "not a line of SHA-256 sums"),
        (f"{ONE.hex}  ", "not a line of SHA-256 sums"),
        (f" {ONE.hex}  a", "not a line of SHA-256 sums"),
        (f"SHA512 (a) = {ONE.hex}", "not a line of SHA-256 sums"),
        (f"{hashlib.md5(b'', usedforsecurity=False).hexdigest()}  a", "not a line of SHA-256 sums"),
        (f"{ONE.hex}  /etc/passwd", "not a plain relative path"),
        (f"{ONE.hex}  ../a", "not a plain relative path"),
        (f"{ONE.hex}  a/./b", "not a plain relative path"),
        (f"\\{ONE.hex}  a\\x", "not an escape"),
        (f"\\{ONE.hex}  a\\", "not an escape"),
        (f"{TWO.hex}  first", "file has two digests"),
        ("\x00", "not a line of SHA-256 sums"),
    ],
)
def test_anything_else_is_an_error_that_names_the_line(line: str, what: str) -> None:
    with pytest.raises(MalformedError, match=what) as raised:
        parse_sums(f"{ONE.hex}  first\n\n{line}\n".encode())
    assert raised.value.where == "line 3 of the checksum file"


def test_a_name_that_is_not_utf8() -> None:
    with pytest.raises(MalformedError, match="not UTF-8"):
        parse_sums(ONE.hex.encode() + b"  \xff\n")


@pytest.mark.parametrize("data", [b"", b"\n\n", b"# nothing\n"])
def test_a_file_that_says_nothing(data: bytes) -> None:
    with pytest.raises(MalformedError, match="names no file"):
        parse_sums(data)
