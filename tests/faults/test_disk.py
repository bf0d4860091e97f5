"""A disk that is full, and one that is mounted read-only: memory file systems of a few megabytes, mounted by root."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from provenance.errors import ProvenanceError, SignerError, StoreError
from provenance.ledger import Ledger
from provenance.statement.usage import Usage
from tests.e2e.aftermath import check_receipt
from tests.faults.steps import KEY, Told, make_ledger

SIZE_BYTES = 4 * 2**20
SPARE_BYTES = 512 * 2**10
ENOUGH = 500
"""Registrations that surely fill the disk; about 50 do."""
_FULL = ("No space left on device", "disk is full")
_PERMITTED = "these tests mount memory file systems: run them as root, in a container with --cap-add=SYS_ADMIN"


def _mount(*arguments: str) -> None:
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, f"{done.stderr.strip()}: {_PERMITTED}"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB, gone after the test."""
    folder = tmp_path / "disk"
    folder.mkdir()
    _mount("-t", "tmpfs", "-o", f"size={SIZE_BYTES},mode=0700", "tmpfs", str(folder))
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], timeout=30, check=True)


@pytest.fixture
def dataset(tmp_path: Path) -> Callable[[int], Path]:
    """Makes small datasets on another disk."""

    def make(number: int) -> Path:
        folder = tmp_path / "data" / str(number)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "rows.csv").write_text(f"row,{number}\n")
        return folder

    return make


def _register(ledger: Ledger, folder: Path) -> Told:
    return ledger.register(folder, f"disk/n{folder.name}", "1", anchor=False).to_json()


def _fill(ledger: Ledger, dataset: Callable[[int], Path]) -> list[Told]:
    """Register until nothing fits any more; what was acknowledged."""
    told: list[Told] = []
    with pytest.raises(StoreError) as raised:
        while len(told) < ENOUGH:
            told.append(_register(ledger, dataset(len(told))))
    assert any(word in str(raised.value) for word in _FULL)
    assert raised.value.hint is not None and "space" in raised.value.hint
    return told


def _check(ledger: Ledger, told: list[Told]) -> None:
    assert ledger.log.size() == len(told)
    for receipt in told:
        check_receipt(ledger, receipt)
    report = ledger.fsck(independent=True)
    assert report.clean, report.findings


def test_a_full_disk_says_so_loses_nothing_and_goes_on(disk: Path, dataset: Callable[[int], Path]) -> None:
    spare = disk / "spare"
    with make_ledger(disk) as ledger:
        ledger.keyring.new(KEY)
        spare.write_bytes(bytes(SPARE_BYTES))
        told = _fill(ledger, dataset)
        assert len(told) > 10
        _check(ledger, told)
        with pytest.raises(ProvenanceError) as raised:  # an event, which has no blob: SQLite's own files are full
            while True:
                ledger.state("disk/n0", Usage("training"))
                told.append({**told[0], "index": ledger.log.size() - 1, "skip": True})
        assert any(word in str(raised.value) for word in _FULL)
        assert ledger.log.size() == len(told)
        told = [one for one in told if "skip" not in one]
        size = ledger.log.size()
    # A process that finds it full can read all of it.
    with Ledger.open(disk) as ledger:
        assert ledger.log.size() == size
        assert ledger.fsck().clean
        assert ledger.verify("disk/n0", ask_chain=False).verified
        with pytest.raises(StoreError):
            _register(ledger, dataset(len(told)))
        spare.unlink()
        receipt = _register(ledger, dataset(len(told)))  # the same that had failed, in the same process
        assert (receipt["created"], receipt["index"]) == (True, size)
        for one in [*told, receipt]:
            check_receipt(ledger, one)
        assert ledger.fsck(independent=True).clean
    with Ledger.open(disk) as ledger:
        assert ledger.log.size() == size + 1


def test_a_ledger_is_not_made_on_a_full_disk_and_is_once_there_is_space(disk: Path, tmp_path: Path) -> None:
    spare = disk / "spare"
    for kept_bytes in (0, 4_096, 16_384, 65_536, 131_072, 196_608):
        spare.unlink(missing_ok=True)
        free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
        spare.write_bytes(bytes(max(0, free - kept_bytes)))
        try:
            make_ledger(disk).close()
        except ProvenanceError as error:
            assert any(word in str(error) for word in _FULL), error
            assert not (disk / ".provenance" / "config.toml").exists()
        else:
            break
    assert kept_bytes, "a full disk took a ledger"
    spare.unlink()
    if not (disk / ".provenance" / "config.toml").exists():
        make_ledger(disk).close()
    with Ledger.open(disk) as ledger:
        assert ledger.fsck().clean
        ledger.keyring.new(KEY)


def test_a_ledger_on_a_read_only_disk_verifies_and_says_why_it_cannot_be_written(
    disk: Path, dataset: Callable[[int], Path]
) -> None:
    with make_ledger(disk) as ledger:
        ledger.keyring.new(KEY)
        told = [ledger.register(dataset(0), "disk/n0", "1").to_json(), _register(ledger, dataset(1))]
        assert told[0]["anchorProblem"] is None
        said = ledger.state("disk/n0", Usage("training")).entry_index
    _mount("-o", "remount,ro", str(disk))
    with Ledger.open(disk) as ledger:
        assert ledger.verify("disk/n0").verified
        assert ledger.verify(dataset(1)).verified
        assert [one.index for one in ledger.said_about("disk/n0")] == [said]
        assert ledger.bundle("disk/n0")
        for receipt in told:
            check_receipt(ledger, receipt)
        assert ledger.fsck(independent=True).clean
        refusals: tuple[tuple[Callable[[], object], type[ProvenanceError]], ...] = (
            (lambda: _register(ledger, dataset(2)), StoreError),
            (lambda: ledger.state("disk/n0", Usage("training")), StoreError),
            (lambda: ledger.rebuild_index(), StoreError),
            (lambda: ledger.keyring.revoke(KEY), StoreError),
            (lambda: ledger.anchor(), StoreError),
            (lambda: ledger.keyring.new("other"), SignerError),
        )
        for write, kind in refusals:
            with pytest.raises(kind) as raised:
                write()
            assert "Read-only file system" in str(raised.value) or "may be written" in (raised.value.hint or "")
        assert ledger.log.size() == 3
    shown = _command(disk, "verify", "disk/n0")
    assert shown.returncode == 0, shown.stdout + shown.stderr
    refused = _command(disk, "register", str(dataset(2)), "--name", "disk/n2", "--version", "1", "--no-anchor")
    assert refused.returncode == 3
    assert "Read-only file system" in refused.stderr and "Traceback" not in refused.stderr
    _mount("-o", "remount,rw", str(disk))
    with Ledger.open(disk) as ledger:
        assert _register(ledger, dataset(2))["index"] == 3


def test_a_ledger_that_was_cut_off_and_is_read_only_now_says_what_to_do(
    disk: Path, dataset: Callable[[int], Path]
) -> None:
    """SQLite's log holds what was acknowledged and cannot be replayed: that is said, and nothing less is shown."""
    ledger = make_ledger(disk)
    ledger.keyring.new(KEY)
    _register(ledger, dataset(0))
    held = [path.read_bytes() for path in (ledger.layout.database, Path(f"{ledger.layout.database}-wal"))]
    ledger.close()
    ledger.layout.database.write_bytes(held[0])
    Path(f"{ledger.layout.database}-wal").write_bytes(held[1])
    _mount("-o", "remount,ro", str(disk))
    with pytest.raises(StoreError, match="was not closed") as raised:
        Ledger.open(disk)
    assert raised.value.hint is not None and "copy" in raised.value.hint
    _mount("-o", "remount,rw", str(disk))
    with Ledger.open(disk) as ledger:
        assert ledger.log.size() == 1


def _command(place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "provenance.cli", "--ledger", str(place), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
