"""Memory of a monitor and of a mirror does not grow with the log."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.paths import PROJECT
from tests.simulators.hand_log import HandLog

Record = Callable[[str, object], None]
LOG = HandLog()
SMALL, LARGE = 10_000, 100_000
MAX_GROWTH_BYTES = 4 * 2**20
"""What ten times the entries may cost: noise of the allocator. The entries' leaf hashes alone would be 2.9 MB more, as
objects 5.9 MB, the entries themselves 4 MB."""
MAX_BYTES = 60 * 2**20
MAX_BYTES_OF_LARGEST = 150 * 2**20
"""With bundles of 16.8 MB: two of them, their entries, and a copy while one is read."""

# Not ru_maxrss: a process takes over that of the test that started it.
PEAK = """
def peak_bytes():
    status = open("/proc/self/status").read()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024
"""
MONITOR = """
import sys
from pathlib import Path
from provenance.ledger.log_monitor import Monitor
from provenance.ledger.watching import Watch
from provenance.log import parse_vkey
from provenance.logs import open_log
one = Monitor(open_log(sys.argv[1]), parse_vkey(sys.argv[2]), state=Path(sys.argv[3]), watch=Watch((sys.argv[4],)),
              all_tiles=True)
seen = found = 0
for progress in one.poll():
    seen, found = progress.seen, found + len(progress.found)
    one.remember(progress)
print(seen, found, peak_bytes())
"""
MIRROR = """
import sys
from provenance.ledger.log_mirror import mirror_log
from provenance.log import parse_vkey
from provenance.logs import open_log
from provenance.publishers import open_publisher
done = mirror_log(open_log(sys.argv[1]), open_publisher(sys.argv[3]), parse_vkey(sys.argv[2]))
print(done.head.checkpoint.size, 0, peak_bytes())
"""


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """A small and a large log of tiny entries, as files."""
    found = {}
    for size in (SMALL, LARGE):
        found[size] = tmp_path_factory.mktemp(f"log{size}")
        LOG.write(found[size], [b"%d" % number for number in range(size)])
    return found


def peak(code: str, *arguments: object) -> tuple[int, int, int]:
    """What a fresh process counts, and its peak of resident memory in bytes."""
    done = subprocess.run(
        [sys.executable, "-c", PEAK + code, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    first, second, third = map(int, done.stdout.split())
    return first, second, third


def test_a_monitor_is_bounded(logs: dict[int, Path], tmp_path: Path, record_property: Record) -> None:
    small = peak(MONITOR, logs[SMALL], LOG.vkey, tmp_path / "small", "*")
    large = peak(MONITOR, logs[LARGE], LOG.vkey, tmp_path / "large", "*")
    assert (small[:2], large[:2]) == ((SMALL, SMALL), (LARGE, LARGE))
    record_property("peak_bytes", f"{small[2]} {large[2]}")
    assert large[2] - small[2] < MAX_GROWTH_BYTES and large[2] < MAX_BYTES


def test_a_mirror_is_bounded(logs: dict[int, Path], tmp_path: Path, record_property: Record) -> None:
    small = peak(MIRROR, logs[SMALL], LOG.vkey, tmp_path / "small")
    large = peak(MIRROR, logs[LARGE], LOG.vkey, tmp_path / "large")
    assert (small[0], large[0]) == (SMALL, LARGE)
    record_property("peak_bytes", f"{small[2]} {large[2]}")
    assert large[2] - small[2] < MAX_GROWTH_BYTES and large[2] < MAX_BYTES


def test_bundles_of_the_largest_size_are_bounded(tmp_path: Path, record_property: Record) -> None:
    LOG.write(tmp_path / "log", [number.to_bytes(2, "big") * 32_767 + b"x" for number in range(1_100)])
    seen, _, most = peak(MONITOR, tmp_path / "log", LOG.vkey, tmp_path / "state", "somebody/watched")
    record_property("peak_bytes", str(most))
    assert seen == 1_100 and most < MAX_BYTES_OF_LARGEST


def test_the_bound_would_be_broken_by_what_keeps_the_entries(logs: dict[int, Path], tmp_path: Path) -> None:
    keeping = MONITOR.replace("seen = found = 0", "seen = found = 0\nkept = []").replace(
        "    one.remember", "    kept += progress.found\n    one.remember"
    )
    small = peak(keeping, logs[SMALL], LOG.vkey, tmp_path / "small", "*")
    large = peak(keeping, logs[LARGE], LOG.vkey, tmp_path / "large", "*")
    assert large[2] - small[2] > MAX_GROWTH_BYTES
