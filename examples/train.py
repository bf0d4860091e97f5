"""Trains a small model on the cleaned passenger table.

    python -m examples.train passengers.csv -o model.json

Logistic regression of `survived`, fitted by Newton's method with an L2 penalty, on four rows of five; the fifth is held
out. Standard library only, about 0.2 s.

Invariants: the same table gives the same bytes. There is no randomness: every fifth row is held out; sums run in a
fixed order through `math.fsum`, which is exact; the optimum is unique, and weights are rounded to 6 decimals, far above
what the last bit of another machine's `exp` can change.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, fsum, sqrt
from pathlib import Path

from examples.clean import PASSENGER_COLUMNS, InputError, Row, read_table

FEATURES = (
    "first_class",
    "second_class",
    "female",
    "age_years",
    "child",
    "siblings_spouses",
    "parents_children",
    "fare_pounds",
    "from_cherbourg",
    "from_queenstown",
)
HOLDOUT_EVERY = 5
MAX_ITERATIONS = 50
PENALTY = 1.0
CHILD_UNDER_YEARS = 13
DECIMALS = 6

Vector = list[float]


@dataclass(frozen=True, slots=True)
class Model:
    """Weights over standardised features: p(survived) = sigmoid(bias + sum(weight * (value - mean) / scale))."""

    means: tuple[float, ...]
    scales: tuple[float, ...]
    weights: tuple[float, ...]
    bias: float

    def predict(self, values: Sequence[float]) -> bool:
        """Whether survival is the likelier outcome."""
        terms = zip(self.weights, values, self.means, self.scales, strict=True)
        return self.bias + fsum(weight * (value - mean) / scale for weight, value, mean, scale in terms) > 0


def train(table: Path) -> bytes:
    """The model as JSON, UTF-8, with sorted keys; InputError if `table` is not what clean.py writes."""
    rows = read_table(table, PASSENGER_COLUMNS)
    try:
        samples = [(features_of(row), int(row["survived"])) for row in rows]
    except ValueError as error:
        raise InputError(f"{table}: {error}") from None
    training = [sample for index, sample in enumerate(samples) if index % HOLDOUT_EVERY != HOLDOUT_EVERY - 1]
    holdout = samples[HOLDOUT_EVERY - 1 :: HOLDOUT_EVERY]
    if len(holdout) < len(FEATURES):
        raise InputError(f"{table} has too few rows: {len(rows)}")
    model = fit(training)
    document = {
        "kind": "logistic regression",
        "target": "survived",
        "bias": model.bias,
        "features": [
            {"name": name, "mean": mean, "scale": scale, "weight": weight}
            for name, mean, scale, weight in zip(FEATURES, model.means, model.scales, model.weights, strict=True)
        ],
        "l2_penalty": PENALTY,
        "training": {"rows": len(training), "accuracy": accuracy(model, training)},
        "holdout": {"rows": len(holdout), "accuracy": accuracy(model, holdout), "every": HOLDOUT_EVERY},
    }
    return (json.dumps(document, indent=2, sort_keys=True) + "\n").encode()


def features_of(row: Row) -> Vector:
    """One number a name of `FEATURES`; ValueError if a field is not a number."""
    age_years = float(row["age_years"])
    return [
        float(row["class"] == "1"),
        float(row["class"] == "2"),
        float(row["sex"] == "female"),
        age_years,
        float(age_years < CHILD_UNDER_YEARS),
        float(row["siblings_spouses"]),
        float(row["parents_children"]),
        float(row["fare_pounds"]),
        float(row["port"] == "Cherbourg"),
        float(row["port"] == "Queenstown"),
    ]


def fit(samples: Sequence[tuple[Vector, int]]) -> Model:
    """The penalised maximum-likelihood model, rounded to `DECIMALS`; the bias is not penalised."""
    columns = list(zip(*(values for values, _ in samples), strict=True))
    means = [fsum(column) / len(column) for column in columns]
    scales = [
        sqrt(fsum((x - m) ** 2 for x in column) / len(column)) or 1.0 for column, m in zip(columns, means, strict=True)
    ]
    means, scales = _rounded(means), _rounded(scales)
    inputs = [[1.0, *((x - m) / s for x, m, s in zip(v, means, scales, strict=True))] for v, _ in samples]
    labels = [label for _, label in samples]
    weights = [0.0] * (1 + len(FEATURES))
    for _ in range(MAX_ITERATIONS):
        step = _newton_step(inputs, labels, weights)
        weights = [w - d for w, d in zip(weights, step, strict=True)]
        if max(abs(d) for d in step) < 1e-10:
            break
    bias, *rest = _rounded(weights)
    return Model(means=tuple(means), scales=tuple(scales), weights=tuple(rest), bias=bias)


def accuracy(model: Model, samples: Sequence[tuple[Vector, int]]) -> float:
    """The share of samples that `model` predicts rightly, to 4 decimals."""
    return round(sum(model.predict(values) == bool(label) for values, label in samples) / len(samples), 4)


def _newton_step(inputs: Sequence[Vector], labels: Sequence[int], weights: Vector) -> Vector:
    """Hessian^-1 * gradient of the penalised negative log-likelihood at `weights`."""
    size = range(len(weights))
    chances = [1 / (1 + exp(-fsum(w * x for w, x in zip(weights, row, strict=True)))) for row in inputs]
    errors = [p - y for p, y in zip(chances, labels, strict=True)]
    spreads = [p * (1 - p) for p in chances]
    penalties = [0.0] + [PENALTY] * (len(weights) - 1)
    gradient = [
        fsum(e * row[j] for e, row in zip(errors, inputs, strict=True)) + penalties[j] * weights[j] for j in size
    ]
    hessian = [[0.0] * len(weights) for _ in size]
    for j in size:
        for k in range(j + 1):
            value = fsum(s * row[j] * row[k] for s, row in zip(spreads, inputs, strict=True))
            hessian[j][k] = hessian[k][j] = value + (penalties[j] if j == k else 0.0)
    return _solve(hessian, gradient)


def _solve(matrix: list[Vector], right: Vector) -> Vector:
    """x with matrix * x = right, by elimination; `matrix` is positive definite, so no pivoting is needed."""
    rows = [[*line, value] for line, value in zip(matrix, right, strict=True)]
    size = len(rows)
    for i in range(size):
        for j in range(i + 1, size):
            factor = rows[j][i] / rows[i][i]
            rows[j] = [a - factor * b for a, b in zip(rows[j], rows[i], strict=True)]
    solution = [0.0] * size
    for i in reversed(range(size)):
        known = fsum(rows[i][k] * solution[k] for k in range(i + 1, size))
        solution[i] = (rows[i][size] - known) / rows[i][i]
    return solution


def _rounded(values: Sequence[float]) -> Vector:
    return [round(value, DECIMALS) + 0.0 for value in values]  # + 0.0: no negative zero


def main(arguments: Sequence[str] | None = None) -> int:
    """0, or 2 after a message if the table is not as described."""
    parser = argparse.ArgumentParser(
        prog="train.py", description="Trains a small model on the cleaned passenger table."
    )
    parser.add_argument("table", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    given = parser.parse_args(arguments)
    try:
        data = train(given.table)
        given.output.write_bytes(data)
    except InputError as error:
        print(f"train.py: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"train.py: cannot write {given.output}: {error.strerror}", file=sys.stderr)
        return 2
    holdout = json.loads(data)["holdout"]
    print(f"{given.output}: holdout accuracy {holdout['accuracy']:.1%} over {holdout['rows']} rows")
    return 0


if __name__ == "__main__":
    sys.exit(main())
