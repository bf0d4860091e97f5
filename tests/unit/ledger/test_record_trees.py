"""Trees of several tables in one folder do not take each other's place."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from provenance.ledger.proofs import RecordTrees
from provenance.ledger.records import fingerprint_records
from provenance.tables import open_table


def test_the_same_rows_in_another_order_keep_their_own_row_numbers(tmp_path: Path) -> None:
    made = [fingerprint_records(open_table(pa.table({"a": rows})), folder=tmp_path) for rows in ([1, 2, 3], [3, 2, 1])]
    assert made[0].fingerprint.index_root == made[1].fingerprint.index_root
    assert made[0].fingerprint.root != made[1].fingerprint.root
    for result in made:
        result.close()
        with RecordTrees(result.fingerprint, tmp_path) as trees:
            for row in range(3):
                position = trees.index.find(trees.tree.read(0, row))
                assert position is not None
                assert trees.index.companion(position) == row
