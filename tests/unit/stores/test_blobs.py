"""The folder of blobs."""

from __future__ import annotations

import hashlib
import os
import random
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from provenance.encoding import Digest
from provenance.errors import LimitError, NotFoundError, ProvenanceError, StoreError
from provenance.stores import BlobStore
from tests.paths import PROJECT


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "blobs", create=True)


def path_of(blobs: BlobStore, digest: Digest) -> Path:
    return blobs.root / digest.hex[:2] / digest.hex[2:]


@pytest.mark.parametrize("data", [b"", b"x", bytes(range(256)) * 4_096, b"\r\n" * 10])
def test_what_was_put_comes_back(blobs: BlobStore, data: bytes) -> None:
    digest = blobs.put(data)
    assert digest == Digest(hashlib.sha256(data).digest())
    assert path_of(blobs, digest).read_bytes() == data
    for reader in (blobs, BlobStore(blobs.root)):
        assert reader.has(digest)
        assert reader.get(digest, max_bytes=len(data)) == data
        assert reader.size_bytes(digest) == len(data)
        with reader.open(digest) as file:
            assert file.read() == data
        assert list(reader) == [digest]


def test_putting_again_changes_nothing(blobs: BlobStore) -> None:
    digest = blobs.put(b"data")
    before = path_of(blobs, digest).stat()
    assert blobs.put(b"data") == BlobStore(blobs.root).put(b"data") == digest
    after = path_of(blobs, digest).stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert blobs.put_stream([b"da", b"", b"ta"], max_bytes=4) == digest
    assert list(blobs) == [digest]


def test_modes_are_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        blobs = BlobStore(tmp_path / "blobs", create=True)
        digest = blobs.put(b"data")
    finally:
        os.umask(before)
    path = path_of(blobs, digest)
    assert [stat.S_IMODE(p.stat().st_mode) for p in (blobs.root, path.parent, path)] == [0o700, 0o700, 0o600]


def test_a_stream_need_not_fit_in_memory(blobs: BlobStore) -> None:
    part = bytes(2**20)
    digest = blobs.put_stream((part for _ in range(40)), max_bytes=40 * 2**20)
    assert digest == Digest.of(part * 40)
    assert blobs.size_bytes(digest) == 40 * 2**20


def test_a_stream_that_is_too_long_or_fails_leaves_nothing(blobs: BlobStore) -> None:
    def failing() -> Iterator[bytes]:
        yield b"half"
        raise ProvenanceError("the source changed")

    with pytest.raises(LimitError):
        blobs.put_stream([b"123", b"456"], max_bytes=5)
    with pytest.raises(ProvenanceError, match="the source changed"):
        blobs.put_stream(failing(), max_bytes=5)
    assert list(blobs.root.iterdir()) == []


def test_what_is_not_there(blobs: BlobStore) -> None:
    digest = Digest.of(b"absent")
    assert not blobs.has(digest)
    assert not blobs.remove(digest)
    for call in (lambda: blobs.get(digest, max_bytes=1), lambda: blobs.open(digest), lambda: blobs.size_bytes(digest)):
        with pytest.raises(NotFoundError, match=digest.hex):
            call()


def test_a_limit_is_checked_before_reading(blobs: BlobStore) -> None:
    digest = blobs.put(b"12345")
    assert blobs.get(digest, max_bytes=5) == b"12345"
    with pytest.raises(LimitError):
        blobs.get(digest, max_bytes=4)


def test_every_changed_byte_and_every_truncation_is_found(blobs: BlobStore) -> None:
    data = b"thirty-one bytes of provenance."
    digest = blobs.put(data)
    path = path_of(blobs, digest)
    damaged = [data[:n] for n in range(len(data))] + [data + b"\x00"]
    damaged += [data[:n] + bytes([data[n] ^ 1]) + data[n + 1 :] for n in range(len(data))]
    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(StoreError, match="damaged"):
            blobs.get(digest, max_bytes=1_000)
        with pytest.raises(StoreError, match="damaged"):
            blobs.open(digest)
        report = blobs.fsck()
        assert report.damaged == (f"{digest.hex[:2]}/{digest.hex[2:]}",)
        assert (report.sound, report.clean) == (0, False)
    assert blobs.put(data) == digest, "putting the right bytes mends it"
    assert blobs.get(digest, max_bytes=1_000) == data
    assert blobs.fsck().clean


@pytest.mark.parametrize("kind", ["link", "folder", "pipe"])
def test_a_name_that_is_no_file_is_damage(blobs: BlobStore, tmp_path: Path, kind: str) -> None:
    digest = Digest.of(b"data")
    path = path_of(blobs, digest)
    path.parent.mkdir()
    if kind == "link":
        (tmp_path / "elsewhere").write_bytes(b"data")
        path.symlink_to(tmp_path / "elsewhere")
    elif kind == "folder":
        path.mkdir()
    else:
        os.mkfifo(path)
    assert not blobs.has(digest)
    for call in (lambda: blobs.get(digest, max_bytes=10), lambda: blobs.open(digest), lambda: blobs.size_bytes(digest)):
        with pytest.raises(StoreError):
            call()
    assert blobs.fsck().damaged == (f"{digest.hex[:2]}/{digest.hex[2:]}",)


def test_fsck_says_what_is_there(blobs: BlobStore) -> None:
    digests = sorted(blobs.put(b"%d" % number) for number in range(50))
    (blobs.root / ".new-0123").write_bytes(b"half")
    (blobs.root / "README").write_bytes(b"")
    (blobs.root / "zz").mkdir()
    (blobs.root / "00").mkdir(exist_ok=True)
    (blobs.root / "00" / "short").write_bytes(b"")
    path_of(blobs, digests[7]).write_bytes(b"other")
    assert list(blobs) == digests
    report = blobs.fsck()
    assert (report.sound, report.sound_bytes) == (
        49,
        sum(len(b"%d" % n) for n in range(50) if Digest.of(b"%d" % n) != digests[7]),
    )
    assert report.damaged == (f"{digests[7].hex[:2]}/{digests[7].hex[2:]}",)
    assert report.unfinished == (".new-0123",)
    assert report.foreign == ("00/short", "README", "zz")
    assert blobs.fsck(remove_unfinished=True).unfinished == (".new-0123",)
    assert blobs.fsck().unfinished == ()
    assert blobs.fsck().foreign == report.foreign


def test_erasing(blobs: BlobStore) -> None:
    digest, other = blobs.put(b"personal"), blobs.put(b"other")
    assert blobs.remove(digest)
    assert not blobs.has(digest)
    assert list(blobs) == [other]
    assert blobs.put(b"personal") == digest


def test_a_folder_that_is_not_there_or_no_folder(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no blob folder"):
        BlobStore(tmp_path / "blobs")
    with pytest.raises(StoreError):
        BlobStore(tmp_path / "nowhere" / "blobs", create=True)
    (tmp_path / "file").write_bytes(b"")
    for create in (False, True):
        with pytest.raises(StoreError) as raised:
            BlobStore(tmp_path / "file", create=create)
        assert raised.value.hint
    blobs = BlobStore(tmp_path / "blobs", create=True)
    digest = Digest.of(b"x")
    (blobs.root / digest.hex[:2]).write_bytes(b"a file where a folder belongs")
    with pytest.raises(StoreError):
        blobs.put(b"x")
    with pytest.raises(NotFoundError):
        blobs.get(digest, max_bytes=1)
    assert not blobs.has(digest)
    assert blobs.fsck().foreign == (digest.hex[:2],)


def test_many_threads_put_the_same_and_different_blobs(blobs: BlobStore) -> None:
    failures: list[BaseException] = []

    def run(number: int) -> None:
        try:
            rng = random.Random(number)
            for _ in range(40):
                data = b"%d" % rng.randrange(60)
                assert BlobStore(blobs.root).get(blobs.put(data), max_bytes=10) == data
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    report = blobs.fsck()
    assert report.clean and not report.unfinished and report.sound <= 60


PUTTER = """
import sys
from provenance.stores import BlobStore
blobs = BlobStore(sys.argv[1], create=True)
number = int(sys.argv[2])
while True:
    print(blobs.put(b"%d " % number * 20_000).hex, flush=True)
    number += 1
"""


def test_kill_9_leaves_whole_blobs_only(tmp_path: Path) -> None:
    rng = random.Random(3)
    acknowledged: set[str] = set()
    for round_ in range(12):
        command = [sys.executable, "-c", PUTTER, str(tmp_path / "blobs"), str(round_ * 1_000_000)]
        process = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE)
        assert process.stdout is not None
        acknowledged.add(process.stdout.readline().decode().strip())
        time.sleep(rng.uniform(0, 0.05))
        process.kill()
        lines = process.communicate(timeout=60)[0].decode()
        acknowledged |= set(lines[: lines.rfind("\n") + 1].split())
    blobs = BlobStore(tmp_path / "blobs")
    report = blobs.fsck(remove_unfinished=True)
    assert report.clean
    assert acknowledged <= {digest.hex for digest in blobs}
    assert not blobs.fsck().unfinished
