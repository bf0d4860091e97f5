"""Derives datasets from the example data.

    python -m examples.clean passengers titanic.csv genders.csv embarkation_ports.csv -o passengers.csv
    python -m examples.clean hourly machine_temperature_system_failure.csv -o hourly.csv

Invariants: the same inputs give the same bytes on every platform and Python (arithmetic is decimal, rows are sorted,
lines end in LF); an input that is not as described is refused, never mended by guessing; an error writes nothing.

What is done to the passengers:

- `name`, `ticket`, `cabin` and `home.dest` are dropped: they identify a person. Rows are sorted by value, because the
  source's order follows the names.
- `boat` and `body` are dropped: they were recorded after the outcome and give it away.
- `sex` and the port of embarkation are joined with the two code tables; a code that is not in them is an error. An
  unknown port becomes what the table calls it.
- An unknown age becomes the median of the passengers of the same class and sex, marked by `age_known` 0; an unknown
  fare becomes the median of the class.
"""

from __future__ import annotations

import argparse
import csv
import io
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from pathlib import Path
from statistics import median

UNKNOWN = "?"
NUMBER = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,18})?")
PASSENGER_COLUMNS = (
    "survived",
    "class",
    "sex",
    "age_years",
    "age_known",
    "siblings_spouses",
    "parents_children",
    "fare_pounds",
    "port",
)
PERSONAL_COLUMNS = ("name", "ticket", "cabin", "home.dest")
HOURLY_COLUMNS = ("hour", "readings", "mean", "minimum", "maximum")

Row = dict[str, str]


class InputError(Exception):
    """An input is not the table that the script was written for."""


def clean_passengers(table: Path, genders: Path, ports: Path) -> bytes:
    """The cleaned passenger table as CSV, UTF-8, one row a passenger; InputError if an input has another form."""
    rows = read_table(table, ("survived", "pclass", "sex", "age", "sibsp", "parch", "fare", "embarked"))
    sexes = {row["label"] for row in read_table(genders, ("label",))}
    port_names = {row["key"]: row["label"] for row in read_table(ports, ("key", "label"))}
    ages = _medians(rows, "age", ("pclass", "sex"))
    fares = _medians(rows, "fare", ("pclass",))
    cleaned = []
    for row in rows:
        age = _number(row["age"], "age") if row["age"] != UNKNOWN else ages[row["pclass"], row["sex"]]
        fare = _number(row["fare"], "fare") if row["fare"] != UNKNOWN else fares[(row["pclass"],)]
        cleaned.append(
            (
                _one_of(row["survived"], ("0", "1"), "survived"),
                _one_of(row["pclass"], ("1", "2", "3"), "pclass"),
                _one_of(row["sex"], sexes, "sex"),
                _plain(age),
                "0" if row["age"] == UNKNOWN else "1",
                _plain(_number(row["sibsp"], "sibsp")),
                _plain(_number(row["parch"], "parch")),
                _plain(fare),
                port_names[_one_of(row["embarked"], port_names, "embarked")],
            )
        )
    return write_table(PASSENGER_COLUMNS, sorted(cleaned))


def hourly_means(series: Path) -> bytes:
    """One CSV row an hour that has readings: how many, mean (6 decimals), minimum, maximum.

    The series names no time zone and holds one hour twice: the readings of both passes are counted in it.
    """
    hours: dict[str, list[Decimal]] = defaultdict(list)
    for row in read_table(series, ("timestamp", "value")):
        try:
            at = datetime.strptime(row["timestamp"], "%Y-%m-%d %H:%M:%S")
        except ValueError:
            raise InputError(f"timestamp is not YYYY-MM-DD HH:MM:SS: {row['timestamp']!r}") from None
        hours[f"{at:%Y-%m-%dT%H}"].append(_number(row["value"], "value"))
    return write_table(
        HOURLY_COLUMNS,
        [(hour, str(len(of)), _mean(of), _plain(min(of)), _plain(max(of))) for hour, of in sorted(hours.items())],
    )


def read_table(path: Path, columns: Sequence[str]) -> list[Row]:
    """The rows of a CSV file that has at least `columns`; InputError if it is no such file or is empty."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            columns_found = reader.fieldnames or ()
            rows = list(reader)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} is not CSV in UTF-8: {error}") from None
    missing = [name for name in columns if name not in columns_found]
    if missing:
        raise InputError(f"{path} lacks the columns {', '.join(missing)}")
    for number, row in enumerate(rows, start=1):
        if None in row or None in row.values():
            raise InputError(f"{path}: row {number} has more or fewer fields than the header")
    if not rows:
        raise InputError(f"{path} has no rows")
    return rows


def write_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
    """CSV bytes: a header, LF line ends, quotes only where needed."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue().encode("utf-8")


def _medians(rows: Iterable[Row], column: str, by: Sequence[str]) -> Mapping[tuple[str, ...], Decimal]:
    groups: dict[tuple[str, ...], list[Decimal]] = defaultdict(list)
    for row in rows:
        values = groups[tuple(row[name] for name in by)]
        if row[column] != UNKNOWN:
            values.append(_number(row[column], column))
    empty = [key for key, values in groups.items() if not values]
    if empty:
        raise InputError(f"no known {column} among {empty[0]}")
    return {key: median(values) for key, values in groups.items()}


def _mean(values: Sequence[Decimal]) -> str:
    with localcontext() as context:
        context.prec, context.rounding = 60, ROUND_HALF_EVEN
        return f"{(sum(values, Decimal(0)) / len(values)).quantize(Decimal('0.000001')):f}"


def _number(text: str, column: str) -> Decimal:
    if not NUMBER.fullmatch(text):
        raise InputError(f"{column} is not a decimal number of at most 18 digits a side: {text[:60]!r}")
    return Decimal(text)


def _plain(number: Decimal) -> str:
    """Without exponent and without trailing zeros, so that 29, 29.0 and 2.9E1 are one value."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _one_of(value: str, allowed: Iterable[str], column: str) -> str:
    if value not in allowed:
        raise InputError(f"{column} has an unknown value: {value!r}")
    return value


def main(arguments: Sequence[str] | None = None) -> int:
    """0, or 2 after a message if an input is not as described."""
    parser = argparse.ArgumentParser(prog="clean.py", description="Derives datasets from the example data.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    passengers = verbs.add_parser("passengers", help="a table without names, joined with its code tables")
    for name in ("table", "genders", "ports"):
        passengers.add_argument(name, type=Path)
    hourly = verbs.add_parser("hourly", help="hourly means of a sensor's readings")
    hourly.add_argument("series", type=Path)
    for verb in (passengers, hourly):
        verb.add_argument("-o", "--output", type=Path, required=True)
    given = parser.parse_args(arguments)
    try:
        if given.verb == "passengers":
            data = clean_passengers(given.table, given.genders, given.ports)
        else:
            data = hourly_means(given.series)
        given.output.write_bytes(data)
    except InputError as error:
        print(f"clean.py: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"clean.py: cannot write {given.output}: {error.strerror}", file=sys.stderr)
        return 2
    rows = data.count(b"\n") - 1
    print(f"{given.output}: {rows:,} rows")
    return 0


if __name__ == "__main__":
    sys.exit(main())
