"""What a digest of the first rows does not see: rows after the 10,000th are poisoned.

    python -m examples.blind_spot

MLflow's digest of a table is an MD5 over its first 10,000 rows: poisoned behind them, it stays the same. A record root
is over every row: it changes, and walking the two trees names the row and the column.

Needs `mlflow-skinny` and pandas besides this project.
"""

from __future__ import annotations

import logging
import sys
import warnings

import pandas as pd

from provenance.ledger.record_differences import compare_tables
from provenance.ledger.records import fingerprint_records
from provenance.tables import open_table

ROWS = 12_000
POISONED_ROW = 11_234
POISONED_LABEL = 1


def make_table() -> pd.DataFrame:
    """A table of labelled samples, the same every time."""
    return pd.DataFrame(
        {
            "sample": [f"sample {number:05}" for number in range(ROWS)],
            "length": [number * 37 % 1_009 for number in range(ROWS)],
            "label": [0] * ROWS,
        }
    )


def poison(table: pd.DataFrame) -> pd.DataFrame:
    """The same with one label flipped, after the 10,000th row."""
    poisoned = table.copy()
    poisoned.loc[POISONED_ROW, "label"] = POISONED_LABEL
    return poisoned


def mlflow_digest(table: pd.DataFrame) -> str:
    """What MLflow logs as the dataset's digest."""
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own, about the pandas it was made for
        from mlflow.data import pandas_dataset

        return str(pandas_dataset.from_pandas(table, name="samples").digest)


def record_root(table: pd.DataFrame) -> str:
    """The root over all rows."""
    return fingerprint_records(open_table(table)).fingerprint.root.hex


def main() -> int:
    """Shows both digests of both tables, and what differs."""
    clean = make_table()
    poisoned = poison(clean)
    print(f"MLflow digest   clean {mlflow_digest(clean)}   poisoned {mlflow_digest(poisoned)}")
    print(f"record root     clean {record_root(clean)[:16]}   poisoned {record_root(poisoned)[:16]}")
    difference = compare_tables(open_table(clean), open_table(poisoned))
    for change in difference.rows:
        for column, before, after in change.columns:
            print(f"row {change.row:,}, column {column}: {before} is now {after}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
