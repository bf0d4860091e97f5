"""Builds the feature table: the cleaned passengers with fares capped.

    python -m examples.features passengers.csv -o features.csv

Invariants: the same table gives the same bytes; a fare above the 99th percentile becomes that percentile, nothing else
changes; an error writes nothing.
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

from examples.clean import PASSENGER_COLUMNS, InputError, read_table

CAP_AT = Decimal("0.99")


def build(table: Path) -> bytes:
    """The feature table as CSV, UTF-8; InputError if `table` is not what clean.py writes."""
    rows = read_table(table, PASSENGER_COLUMNS)
    fares = sorted(Decimal(row["fare_pounds"]) for row in rows)
    cap = fares[int(CAP_AT * (len(fares) - 1))]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, PASSENGER_COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows({**row, "fare_pounds": str(min(Decimal(row["fare_pounds"]), cap))} for row in rows)
    return text.getvalue().encode()


def main(arguments: Sequence[str] | None = None) -> int:
    """0, or 2 after a message if the table is not as described."""
    parser = argparse.ArgumentParser(prog="features.py", description="Builds the feature table.")
    parser.add_argument("table", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    given = parser.parse_args(arguments)
    try:
        given.output.write_bytes(build(given.table))
    except (InputError, OSError) as error:
        print(f"features.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
