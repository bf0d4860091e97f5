"""Files that verbs read and write."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from provenance.cli.files import check_output, read_file, write_file
from provenance.errors import LimitError, MalformedError, ProvenanceError, SourceError


@pytest.fixture
def odd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one of each odd thing, as the working directory."""
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    os.mkfifo("pipe")
    Path("loop").symlink_to("loop")
    Path("dangling").symlink_to("nowhere")
    Path("file").write_bytes(b"content")
    Path("link").symlink_to("file")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
    return tmp_path


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("folder", "thing is not a file; expected a regular file; got a folder; at folder"),
        ("pipe", "thing is not a file; expected a regular file; got a pipe; at pipe"),
        ("/dev/zero", "thing is not a file; expected a regular file; got a device or socket; at /dev/zero"),
        ("socket", "cannot read the thing; got No such device or address; at socket"),
        ("loop", "cannot read the thing; got Too many levels of symbolic links; at loop"),
        ("dangling", "cannot read the thing; got No such file or directory; at dangling"),
        ("", "cannot read the thing; got No such file or directory; at "),
        ("file/x", "cannot read the thing; got Not a directory; at file/x"),
    ],
)
@pytest.mark.usefixtures("odd")
def test_what_is_not_read(path: str, message: str) -> None:
    with pytest.raises(SourceError) as caught:
        read_file(path, "thing", max_bytes=100)
    assert caught.value.message == message


@pytest.mark.usefixtures("odd")
def test_a_zero_byte_in_a_path() -> None:
    with pytest.raises(MalformedError, match="zero byte"):
        read_file("a\0b", "thing", max_bytes=100)
    with pytest.raises(MalformedError, match="cannot write there"):
        check_output("a\0b")


@pytest.mark.usefixtures("odd")
def test_size_is_bounded_before_reading() -> None:
    assert read_file("link", "thing", max_bytes=7) == b"content"
    with pytest.raises(LimitError, match="expected at most 6 bytes; got 7 bytes"):
        read_file("file", "thing", max_bytes=6)
    with Path("sparse").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(LimitError, match="1099511627776 bytes"):
        read_file("sparse", "thing", max_bytes=100)


def test_a_file_whose_size_is_a_lie_is_bounded_too() -> None:
    with pytest.raises(LimitError, match="at most 10 bytes"):
        read_file("/proc/self/status", "thing", max_bytes=10)


@pytest.mark.parametrize("path", ["folder", "pipe", "loop", "socket", "/dev/null", "", "nowhere/x", "file/x", ".", "/"])
def test_what_is_not_written(odd: Path, path: str) -> None:
    before = sorted(entry.name for entry in odd.iterdir())
    with pytest.raises(MalformedError, match="cannot write there"):
        check_output(path)
    with pytest.raises(MalformedError, match="cannot write there"):
        write_file(path, b"x")
    assert sorted(entry.name for entry in odd.iterdir()) == before


def test_a_ledger_is_not_written_into(tmp_path: Path) -> None:
    (tmp_path / ".provenance" / "blobs").mkdir(parents=True)
    for name in (".provenance/ledger.db", ".provenance/blobs/x", ".provenance/../.provenance/x"):
        with pytest.raises(MalformedError, match="among the ledger's own files"):
            write_file(str(tmp_path / name), b"x")


def test_writing_replaces_a_file_or_what_a_link_leads_to(odd: Path) -> None:
    write_file("link", b"new")
    assert (Path("link").is_symlink(), Path("file").read_bytes()) == (True, b"new")
    write_file("fresh", b"made")
    assert Path("fresh").read_bytes() == b"made"
    write_file("x" * 255, b"long")
    assert not [entry for entry in odd.iterdir() if entry.name.endswith(".new")]


def test_a_failed_write_leaves_the_old_file(odd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_file("file", b"new")
    assert Path("file").read_bytes() == b"content"
    assert not [entry for entry in odd.iterdir() if entry.name.endswith(".new")]


def test_stdout_and_json_exclude_each_other() -> None:
    check_output("-")
    with pytest.raises(ProvenanceError, match="both want stdout"):
        check_output("-", as_json=True)
