"""Memory does not grow with the table: processes of their own build trees of many leaves under small limits."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.paths import PROJECT

LONG = os.environ.get("PROVENANCE_LONG") == "1"
LEAVES = 20_000_000 if LONG else 2_000_000
MAX_BYTES = {"tree": 20 * 2**20, "index": 48 * 2**20, "repeated": 20 * 2**20}
"""What a build may take beyond the imports: for a tree, less than its upper levels and a block; for an index, less than
the leaf hashes of the short form alone."""

BUILD = """
import re, sys
from pathlib import Path
import numpy as np
from provenance.merkle.bulk import HashTier
from provenance.stores.trees.sorting import SortedTreeWriter
from provenance.stores.trees.writing import TreeWriter

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024

def leaves(seed, count=20_000):
    if kind == "repeated":
        return np.full((count, 32), 7, np.uint8)
    return np.random.default_rng(seed).integers(0, 256, (count, 32), dtype=np.uint8)

folder, kind, total = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
if kind == "tree":
    writer = TreeWriter(folder, tier=HashTier.LANES, memory_bytes=1 << 20)
else:
    writer = SortedTreeWriter(folder, tier=HashTier.LANES, memory_rows=1 << 16)
writer.append(leaves(0))
before = peak()
for seed in range(1, total // 20_000):
    writer.append(leaves(seed))
with writer.finish() as tree:
    asked = np.concatenate([tree.leaves(0, 1), leaves(-1 % 2**32)])
    if kind != "tree":
        tree.companions(tree.find_many(asked))
    tree.check(HashTier.LANES)
    print(peak() - before, tree.size)
writer.close()
"""


@pytest.mark.parametrize(("kind", "size"), [("tree", LEAVES), ("index", LEAVES), ("repeated", 1)])
def test_memory_is_bounded(kind: str, size: int, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    command = [sys.executable, "-c", BUILD, str(tmp_path), kind, str(LEAVES)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    grown, found = map(int, done.stdout.split())
    assert found == size
    assert grown <= MAX_BYTES[kind] < 32 * LEAVES
