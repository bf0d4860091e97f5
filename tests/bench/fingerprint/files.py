"""Files: ours beside `b3sum`, `sha256sum`, hashlib and model_signing, in turns, with a warm page cache."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from provenance.sources.local.settling import RECENT_NS
from tests.bench.fingerprint.report import Row, interleaved

_SMALL_BYTES = 8 * 1024
_CHUNK_BYTES = 1 << 20

# A fresh process for ours, so that it has one thread, as the command line has; it says how long the reading took.
_OURS = """
import sys, time
from pathlib import Path
from provenance.fingerprint import Algorithm
from provenance.sources import Reading, open_source
place, algorithm, cache = sys.argv[1:]
reading = Reading(algorithm=Algorithm(algorithm), cache=Path(cache) if cache else None)
started = time.perf_counter()
open_source(place, reading).fingerprint()
print(time.perf_counter() - started)
"""


def _ours(place: Path, algorithm: str, cache: str = "") -> Callable[[], float]:
    def run() -> float:
        done = subprocess.run(
            [sys.executable, "-c", _OURS, str(place), algorithm, cache], check=True, capture_output=True, text=True
        )
        return float(done.stdout)

    return run


def _theirs(command: str, place: Path) -> Callable[[], None]:
    def run() -> None:
        subprocess.run(["/bin/sh", "-c", command], cwd=place, check=True, stdout=subprocess.DEVNULL)

    return run


def _hashlib(place: Path) -> Callable[[], None]:
    def one(path: Path) -> bytes:
        hasher = hashlib.sha256()
        with path.open("rb", buffering=0) as file:
            while chunk := file.read(_CHUNK_BYTES):
                hasher.update(chunk)
        return hasher.digest()

    def run() -> None:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(one, sorted(place.rglob("*.bin"))))

    return run


def _model_signing(place: Path) -> Callable[[], None]:
    from model_signing.hashing import Config

    def run() -> None:
        Config().set_ignored_paths(paths=[]).hash(place)  # type: ignore[no-untyped-call]

    return run


def _turns(ours: Callable[[], float], theirs: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Median seconds of the reading alone, and of the reference, in turns."""
    inner: list[float] = []
    _, reference = interleaved([lambda: inner.append(ours()), theirs], rounds)
    return sorted(inner)[len(inner) // 2], reference


def _row(
    path: str, reference: str, goal: float, amount: float, unit: str, times: tuple[float, float], note: str
) -> Row:
    ours, theirs = times
    ratio = theirs / ours
    return Row(
        path, reference, f"at least {goal:g}x{note}", ratio,
        f"{amount / ours:,.0f} {unit}", f"{amount / theirs:,.0f} {unit}", ratio >= goal,
    )  # fmt: skip


def instructions() -> set[str]:
    """What the processor says that it can do, as Linux names it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((set(line.split()) for line in lines if line.startswith("flags")), set())


def _large(folder: Path, count: int, total_bytes: int) -> Path:
    place = folder / f"large{count}"
    place.mkdir()
    block = os.urandom(1 << 22)
    for number in range(count):
        with (place / f"{number:02}.bin").open("wb") as file:
            for part in range(total_bytes // count // len(block)):
                file.write(block[part:] + block[:part])
    return place


def _small(folder: Path, count: int) -> Path:
    place = folder / "small"
    data = os.urandom(_SMALL_BYTES + count)
    for number in range(count):
        if number % 500 == 0:
            (place / f"d{number // 500:03}").mkdir(parents=True)
        (place / f"d{number // 500:03}" / f"{number:05}.bin").write_bytes(data[number : number + _SMALL_BYTES])
    return place


def run(*, quick: bool, folder: Path) -> list[Row]:
    """A row for each way to read files, and two for what is unchanged."""
    rounds = 3 if quick else 7
    total = (256 if quick else 4096) * 2**20
    count = 5_000 if quick else 50_000
    rows = []
    sixteen = _large(folder, 16, total)
    if shutil.which("b3sum"):
        times = _turns(_ours(sixteen, "blake3"), _theirs("b3sum *.bin", sixteen), rounds)
        name = f"BLAKE3, {total >> 20:,} MiB in 16 files"
        rows.append(_row(name, "b3sum", 0.9, total / 1e6, "MB/s", times, ""))
    shutil.rmtree(sixteen)
    many = _large(folder, 32, total)
    times = _turns(_ours(many, "sha256"), _hashlib(many), rounds)
    have = instructions()
    goal, why = (
        (1.0, " (SHA-NI)") if "sha_ni" in have else (3.0, " (AVX-512)") if "avx512f" in have else (2.0, " (AVX2)")
    )
    name = f"SHA-256, {total >> 20:,} MiB in 32 files"
    rows.append(_row(name, "hashlib, 2 threads", goal, total / 1e6, "MB/s", times, why))
    shutil.rmtree(many)
    small = _small(folder, count)
    rows += _small_rows(small, count, rounds, folder)
    return rows


def _small_rows(small: Path, count: int, rounds: int, folder: Path) -> list[Row]:
    rows = []
    name = f"{count:,} files of 8 KiB"
    find = "find . -type f -print0 | xargs -0 -P2"
    # Files that were changed within the last minute are asked whether somebody writes to them.
    fresh = _turns(_ours(small, "sha256"), _theirs(f"{find} sha256sum", small), 3)
    _wait_until(RECENT_NS / 1e9 + 1)
    if shutil.which("b3sum"):
        times = _turns(_ours(small, "blake3"), _theirs(f"{find} b3sum", small), rounds)
        rows.append(_row(f"BLAKE3, {name}", "xargs -P2 b3sum", 0.85, count, "files/s", times, ""))
    times = _turns(_ours(small, "sha256"), _theirs(f"{find} sha256sum", small), rounds)
    rows.append(_row(f"SHA-256, {name}", "xargs -P2 sha256sum", 2.3, count, "files/s", times, ""))
    ratio = fresh[1] / fresh[0]
    rates = f"{count / fresh[0]:,.0f} files/s", f"{count / fresh[1]:,.0f} files/s"
    title = f"SHA-256, {name}, changed within the last minute"
    rows.append(Row(title, "xargs -P2 sha256sum", "(no goal)", ratio, *rates, reached=None))
    times = _turns(_ours(small, "sha256"), _model_signing(small), 3)
    rows.append(_row(f"SHA-256, {name}", "model_signing", 15, count, "files/s", times, ""))
    cache = str(folder / "cache")
    for path in small.rglob("*.bin"):
        os.utime(path, ns=(10**18, 10**18))
    _wait_until(2.5)  # past the margin within which a cache does not trust a file's times
    _ours(small, "sha256", cache)()
    full, unchanged, changed = [], [], []
    last = max(small.rglob("*.bin"))
    for _ in range(rounds):
        full.append(_ours(small, "sha256")())
        unchanged.append(_ours(small, "sha256", cache)())
        os.utime(last)
        changed.append(_ours(small, "sha256", cache)())
    middle = [sorted(figures)[rounds // 2] for figures in (full, unchanged, changed)]
    for title, reference, goal, ours, theirs in (
        ("unchanged", "own full run", 0.5, middle[1], middle[0]),
        ("one changed", "own unchanged run", 1.1, middle[2], middle[1]),
    ):
        ratio = ours / theirs
        text = f"at most {goal:g}x its time"
        rows.append(
            Row(
                f"{title}, {name}",
                reference,
                text,
                ratio,
                f"{ours * 1e3:.0f} ms",
                f"{theirs * 1e3:.0f} ms",
                ratio <= goal,
            )
        )
    return rows


def _wait_until(seconds: float) -> None:
    """Until files that were made before are so old."""
    import time

    time.sleep(seconds)
