from __future__ import annotations

import errno
import os
import stat
import threading
from pathlib import Path

import pytest

from provenance.errors import ConflictError, SignerError
from provenance.limits import MAX_KEY_BYTES
from provenance.signers import secret_file
from provenance.signers.secret_file import open_folder, read_secret, write_secret

CONTENT = b"top secret content"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o377, 0o777])
def test_the_mode_is_0600_under_every_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        write_secret(tmp_path / "key", CONTENT)
    finally:
        os.umask(before)
    assert mode(tmp_path / "key") == 0o600
    assert read_secret(tmp_path / "key") == CONTENT


def test_the_file_is_never_seen_with_another_mode_or_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "key"
    seen: list[int] = []
    real = os.fchmod

    def fchmod(descriptor: int, bits: int) -> None:
        seen.append(stat.S_IMODE(os.fstat(descriptor).st_mode) & 0o077)
        assert not path.exists()
        real(descriptor, bits)

    monkeypatch.setattr(os, "fchmod", fchmod)
    before = os.umask(0)
    try:
        write_secret(path, CONTENT)
    finally:
        os.umask(before)
    assert seen == [0]


def test_a_new_folder_is_private(tmp_path: Path) -> None:
    write_secret(tmp_path / "a" / "keys" / "key", CONTENT)
    assert mode(tmp_path / "a" / "keys") == 0o700


def test_nothing_is_ever_replaced(tmp_path: Path) -> None:
    path = tmp_path / "key"
    write_secret(path, CONTENT)
    with pytest.raises(ConflictError, match="already there"):
        write_secret(path, b"other")
    assert read_secret(path) == CONTENT
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    (tmp_path / "folder").mkdir()
    for name in ("dangling", "folder"):
        with pytest.raises(ConflictError):
            write_secret(tmp_path / name, CONTENT)
    assert not (tmp_path / "nowhere").exists()
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["dangling", "folder", "key"]


def test_of_many_writers_one_wins(tmp_path: Path) -> None:
    results: list[object] = []

    def write(number: int) -> None:
        try:
            write_secret(tmp_path / "key", b"%d" % number)
            results.append(b"%d" % number)
        except ConflictError as error:
            results.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winners = [result for result in results if isinstance(result, bytes)]
    assert len(results) == 16
    assert winners == [read_secret(tmp_path / "key")]
    assert [entry.name for entry in tmp_path.iterdir()] == ["key"]


@pytest.mark.parametrize("step", ["write", "fsync", "link", "fchmod"])
def test_a_failure_at_any_step_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, step, fail)
        with pytest.raises(SignerError, match="No space left") as caught:
            write_secret(tmp_path / "key", CONTENT)
    assert CONTENT.decode() not in repr(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_short_writes_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda descriptor, view: real(descriptor, view[:3]))
        write_secret(tmp_path / "key", CONTENT)
    assert read_secret(tmp_path / "key") == CONTENT


def test_a_file_system_without_modes_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.fchmod
    with monkeypatch.context() as patch:
        patch.setattr(os, "fchmod", lambda descriptor, _: real(descriptor, 0o644))
        with pytest.raises(SignerError, match="does not keep a key private"):
            write_secret(tmp_path / "key", CONTENT)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("bits", [0o604, 0o640, 0o660, 0o644, 0o777, 0o610, 0o601, 0o620])
def test_a_file_that_is_open_to_others_is_refused(tmp_path: Path, bits: int) -> None:
    write_secret(tmp_path / "key", CONTENT)
    (tmp_path / "key").chmod(bits)
    with pytest.raises(SignerError, match=f"got mode {bits:04o}") as caught:
        read_secret(tmp_path / "key")
    assert caught.value.hint is not None
    assert "chmod 600" in caught.value.hint


@pytest.mark.parametrize("bits", [0o600, 0o400])
def test_a_private_file_is_read(tmp_path: Path, bits: int) -> None:
    write_secret(tmp_path / "key", CONTENT)
    (tmp_path / "key").chmod(bits)
    assert read_secret(tmp_path / "key") == CONTENT


def test_links_and_special_files_are_refused(tmp_path: Path) -> None:
    write_secret(tmp_path / "key", CONTENT)
    (tmp_path / "link").symlink_to(tmp_path / "key")
    with pytest.raises(SignerError, match="symbolic link"):
        read_secret(tmp_path / "link")
    os.mkfifo(tmp_path / "fifo", 0o600)
    (tmp_path / "folder").mkdir(0o700)
    for name in ("fifo", "folder"):
        with pytest.raises(SignerError, match=r"not a file|cannot be opened"):
            read_secret(tmp_path / name)
    with pytest.raises(SignerError, match="missing"):
        read_secret(tmp_path / "absent")
    with pytest.raises(SignerError, match="cannot be opened"):
        read_secret(tmp_path / "key" / "below")


def test_a_foreign_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_secret(tmp_path / "key", CONTENT)
    me = os.geteuid()
    status = list((tmp_path / "key").stat())
    monkeypatch.setattr(os, "geteuid", lambda: me or 1000)
    for owner, allowed in ((me or 1000, True), (0, True), (4242, False)):
        status[4] = owner
        if allowed:
            secret_file._check_status(os.stat_result(status), tmp_path / "key")
        else:
            with pytest.raises(SignerError, match="someone else"):
                secret_file._check_status(os.stat_result(status), tmp_path / "key")


def test_the_size_limit(tmp_path: Path) -> None:
    write_secret(tmp_path / "fits", b"x" * MAX_KEY_BYTES)
    assert len(read_secret(tmp_path / "fits")) == MAX_KEY_BYTES
    write_secret(tmp_path / "big", b"x" * (MAX_KEY_BYTES + 1))
    with pytest.raises(SignerError, match="too large"):
        read_secret(tmp_path / "big")


def test_a_folder_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    for bits, allowed in ((0o700, True), (0o755, True), (0o770, False), (0o702, False), (0o1777, True)):
        tmp_path.chmod(bits)
        if allowed:
            open_folder(tmp_path)
        else:
            with pytest.raises(SignerError, match="open to others"):
                open_folder(tmp_path)
            with pytest.raises(SignerError, match="open to others"):
                write_secret(tmp_path / "key", CONTENT)
    tmp_path.chmod(0o700)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(SignerError, match="key folder cannot be used"):
        open_folder(tmp_path / "file")


@pytest.mark.parametrize("failing", [1, 2])
def test_a_file_that_cannot_be_made_to_last_is_not_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    """The file is synced first, its folder second, when it has its name already."""
    genuine, calls = os.fsync, []

    def fsync(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == failing:
            raise OSError(errno.EIO, "Input/output error")
        genuine(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(SignerError, match="cannot be written"):
        write_secret(tmp_path / "keys" / "key", CONTENT)
    assert list((tmp_path / "keys").iterdir()) == []
    write_secret(tmp_path / "keys" / "key", CONTENT)
    assert read_secret(tmp_path / "keys" / "key") == CONTENT
