"""The example shows what it says: MLflow's digest does not change, the record root does, and the row is named."""

from __future__ import annotations

import pytest

from examples import blind_spot
from provenance.ledger.record_differences import compare_tables
from provenance.tables import open_table


def test_mlflow_does_not_see_what_the_record_root_does(capsys: pytest.CaptureFixture[str]) -> None:
    clean = blind_spot.make_table()
    poisoned = blind_spot.poison(clean)
    assert blind_spot.mlflow_digest(clean) == blind_spot.mlflow_digest(poisoned)
    assert blind_spot.record_root(clean) != blind_spot.record_root(poisoned)
    early = clean.copy()
    early.loc[9_999, "label"] = 1
    assert blind_spot.mlflow_digest(early) != blind_spot.mlflow_digest(clean)  # it does look at the rows before
    difference = compare_tables(open_table(clean), open_table(poisoned))
    assert [(change.row, change.columns) for change in difference.rows] == [(11_234, (("label", 0, 1),))]
    assert (difference.changed, difference.before, difference.after) == (1, 12_000, 12_000)
    assert blind_spot.main() == 0
    assert "row 11,234, column label: 0 is now 1" in capsys.readouterr().out
