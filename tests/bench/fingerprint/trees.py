"""Trees: leaves and inner nodes beside a hashlib loop; a proof from a stored tree, cold; many records looked up."""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import numpy as np

from provenance.machine.calibration import hash_tier
from provenance.merkle.bulk import hash_slices
from provenance.stores.trees.sorting import SortedTreeWriter
from provenance.stores.trees.writing import TreeWriter
from tests.bench.fingerprint.files import instructions
from tests.bench.fingerprint.report import Row, interleaved

_LOOP = 500_000
_APPEND = 32_768

# A fresh process for each proof: nothing of the file is mapped, and no array library is loaded.
_PROOF = """
import sys, time
from provenance.stores.trees import open_tree
started = time.perf_counter()
with open_tree(sys.argv[1]) as tree:
    tree.prove(int(sys.argv[2]))
print(time.perf_counter() - started)
"""


def _leaf_rows(*, quick: bool) -> list[Row]:
    rows = []
    rng = np.random.default_rng(1)
    goal, name = (6, "AVX-512") if "avx512f" in instructions() else (4, "AVX2")
    for width in (65, 120, 250):
        data = rng.integers(0, 256, _LOOP * width, dtype=np.uint8)
        offsets = np.arange(_LOOP + 1, dtype=np.int64) * width
        messages = [data[start : start + width].tobytes() for start in offsets[:-1].tolist()]
        loop, one, two = interleaved(
            [
                lambda messages=messages: [sha256(message).digest() for message in messages],  # type: ignore[misc]
                lambda data=data, offsets=offsets: hash_slices(data, offsets, tier=hash_tier()),  # type: ignore[misc]
                _halves(data, offsets),
            ],
            3 if quick else 7,
        )
        for threads, ours in (("one thread", one), ("two threads", two)):
            ratio = loop / ours
            rows.append(
                Row(f"leaf hashing, {width} bytes, {threads}", "hashlib loop", f"at least {goal}x ({name})",
                    ratio, f"{_LOOP / ours / 1e6:.1f} M/s", f"{_LOOP / loop / 1e6:.1f} M/s", ratio >= goal)
            )  # fmt: skip
    return rows


def _halves(data: np.ndarray, offsets: np.ndarray) -> Callable[[], None]:
    middle = len(offsets) // 2
    parts = [(data, offsets[: middle + 1]), (data, offsets[middle:])]

    def run() -> None:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda part: hash_slices(*part, tier=hash_tier()), parts))

    return run


def _loop(leaves: np.ndarray) -> Callable[[], None]:
    data = leaves.tobytes()
    level = [data[start : start + 32] for start in range(0, len(data), 32)]

    def run() -> None:
        nodes = level
        while len(nodes) > 1:
            nodes = [sha256(b"\x01" + a + b).digest() for a, b in zip(nodes[::2], nodes[1::2], strict=False)] + (
                nodes[-1:] if len(nodes) % 2 else []
            )

    return run


def _root(leaves: np.ndarray) -> Callable[[], None]:
    def run() -> None:
        with ThreadPoolExecutor(2) as pool, TreeWriter(None, tier=hash_tier(), pool=pool) as writer:
            for start in range(0, len(leaves), _APPEND):
                writer.append(leaves[start : start + _APPEND])
            writer.finish_root()

    return run


def run(*, quick: bool, folder: Path) -> list[Row]:
    """Rows for hashing, for proofs at three sizes, and for looking up a million records."""
    rows = _leaf_rows(quick=quick)
    count = 1_000_000 if quick else 10_000_000
    rng = np.random.default_rng(2)
    leaves = rng.integers(0, 256, (count, 32), dtype=np.uint8)
    loop, ours = interleaved([_loop(leaves[:_LOOP]), _root(leaves)], 3)
    ratio = (loop / _LOOP) / (ours / count)
    rows.append(
        Row(f"inner nodes of {count:,} leaves", "hashlib loop", "at least 10x", ratio,
            f"{ours / count * 1e9:.0f} ns a leaf", f"{loop / _LOOP * 1e9:.0f} ns a leaf", ratio >= 10)
    )  # fmt: skip
    for size in (10_000, count // 10, count):
        with TreeWriter(folder, tier=hash_tier()) as writer:
            writer.append(leaves[:size])
            tree = writer.finish()
        tree.close()
        figures = [_cold_ms(tree.path, size * place // 11) for place in range(1, 11)]
        cold = statistics.median(figures)
        rows.append(
            Row(f"inclusion proof from a stored tree of {size:,}, cold", "", "under 1 ms, flat in n", None,
                f"{cold:.2f} ms", "", cold < 1)
        )  # fmt: skip
    with SortedTreeWriter(folder, tier=hash_tier()) as sorting:
        for start in range(0, count, _APPEND):
            sorting.append(leaves[start : start + _APPEND])
        index = sorting.finish()
    asked = min(1_000_000, count)
    (found,) = interleaved([lambda: index.find_many(leaves[:asked])], 3)
    index.close()
    rows.append(Row(f"{asked:,} records looked up among {count:,}", "", "one call", None, f"{found:.2f} s", "", None))
    return rows


def _cold_ms(path: Path, index: int) -> float:
    done = subprocess.run(
        [sys.executable, "-c", _PROOF, str(path), str(index)], check=True, capture_output=True, text=True
    )
    return float(done.stdout) * 1e3
