"""One row of the benchmark: a figure of ours beside a reference measured in the same run, and the goal."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """`ratio` is how many times faster than the reference we are (for costs: how many times the reference we need);
    `goal` says what it should be, in words; `reached` is None where the goal depends on the machine."""

    path: str
    reference: str
    goal: str
    ratio: float | None
    ours: str
    theirs: str
    reached: bool | None


def interleaved(actions: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    """Median wall seconds of each action; they take turns, so that a noisy minute touches all of them."""
    figures: list[list[float]] = [[] for _ in actions]
    for number in range(rounds):
        # Every other round backwards: what runs first in a round is not always the same.
        order = range(len(actions)) if number % 2 == 0 else reversed(range(len(actions)))
        for index in order:
            started = time.perf_counter()
            actions[index]()
            figures[index].append(time.perf_counter() - started)
    return [statistics.median(values) for values in figures]


def table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table."""
    lines = ["| path | reference | goal | measured | ours | reference's |", "| --- | --- | --- | --- | --- | --- |"]
    marks = {True: "", False: " (not reached)", None: ""}
    for row in rows:
        ratio = f"{row.ratio:.2f}x" if row.ratio is not None else row.ours
        lines.append(
            f"| {row.path} | {row.reference} | {row.goal} | {ratio}{marks[row.reached]} | {row.ours} | {row.theirs} |"
        )
    return "\n".join(lines)


def document(rows: Sequence[Row], machine: dict[str, object]) -> str:
    """The rows as JSON."""
    return json.dumps({"machine": machine, "rows": [asdict(row) for row in rows]}, indent=2)
