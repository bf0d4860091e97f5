"""The example of the format page is what the code writes."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from provenance.merkle import leaf_hash
from tests.paths import PROJECT
from tests.unit.stores.trees.making import store_sorted

PAGE = PROJECT / "docs" / "formats" / "tree.md"


def shown(data: bytes) -> str:
    """Bytes in hex, 32 a line after their offset, lines of zeros left out."""
    lines = [(start, data[start : start + 32]) for start in range(0, len(data), 32)]
    return "".join(f"{start:04d}  {line.hex()}\n" for start, line in lines if any(line))


def test_the_example_is_the_index_of_a_table_of_three_rows(tmp_path: Path) -> None:
    leaves = np.frombuffer(b"".join(map(leaf_hash, (b"\x81\x01", b"\x81\x02", b"\x81\x01"))), np.uint8)
    with store_sorted(tmp_path, leaves.reshape(3, 32)) as tree:
        data = tree.path.read_bytes()
        (example,) = re.findall(r"```text\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
        assert example == shown(data)
        assert f"`{tree.path.name}`" in PAGE.read_text("utf-8")
        assert f"{len(data):,} bytes" in PAGE.read_text("utf-8")
