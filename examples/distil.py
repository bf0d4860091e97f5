"""Distils a second model from the first: it learns what the first one predicts, not what happened.

    python -m examples.distil features.csv teacher.json -o student.json

Invariants: the same table and teacher give the same bytes; the student sees no outcome, only the teacher's answers.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from examples.clean import PASSENGER_COLUMNS, InputError, read_table
from examples.train import FEATURES, Model, accuracy, features_of, fit


def distil(table: Path, teacher_file: Path) -> bytes:
    """The student as JSON, UTF-8; InputError if an input is not as described."""
    rows = read_table(table, PASSENGER_COLUMNS)
    try:
        teacher = _model(json.loads(teacher_file.read_text("utf-8")))
        values = [features_of(row) for row in rows]
    except (ValueError, KeyError) as error:
        raise InputError(f"{teacher_file}: {error}") from None
    samples = [(one, int(teacher.predict(one))) for one in values]
    student = fit(samples)
    document = {
        "kind": "logistic regression",
        "target": "what the teacher predicts",
        "bias": student.bias,
        "features": [
            {"name": name, "mean": mean, "scale": scale, "weight": weight}
            for name, mean, scale, weight in zip(FEATURES, student.means, student.scales, student.weights, strict=True)
        ],
        "agreement": accuracy(student, samples),
    }
    return (json.dumps(document, indent=2, sort_keys=True) + "\n").encode()


def _model(document: dict[str, list[dict[str, float]]]) -> Model:
    means, scales, weights = (tuple(one[key] for one in document["features"]) for key in ("mean", "scale", "weight"))
    return Model(means, scales, weights, float(document["bias"]))  # type: ignore[arg-type]  # JSON, checked by its use


def main(arguments: Sequence[str] | None = None) -> int:
    """0, or 2 after a message if an input is not as described."""
    parser = argparse.ArgumentParser(prog="distil.py", description="Distils a second model from the first.")
    parser.add_argument("table", type=Path)
    parser.add_argument("teacher", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    given = parser.parse_args(arguments)
    try:
        given.output.write_bytes(distil(given.table, given.teacher))
    except (InputError, OSError) as error:
        print(f"distil.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
