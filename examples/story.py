"""Two suppliers, two models, one withdrawal: what a revocation does to everything that was made of a source.

    python -m examples.story FOLDER

A museum and a harbour office supply data. A lab cleans and joins them, builds features, trains a model, and distils a
second one from it; each step is run, recorded and signed. A tester signs results, a reviewer makes the steps again.
Then the museum revokes its data. Every number that is printed comes from the run.

Invariants: the folder must not exist; nothing but the example data and the scripts beside this one is used.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from provenance import Ledger
from provenance.ledger.running import RunRecorder
from provenance.policy.policy import Policy, parse_policy
from provenance.statement.quality import Quality, QualityResult
from provenance.statement.revocation import Revocation, RevocationReason
from provenance.statement.standards import Basis, Method, Standards

HERE = Path(__file__).parent
CODE = tuple(f"examples/{name}.py" for name in ("__init__", "clean", "train", "features", "distil"))
CROISSANT = "https://github.com/mlcommons/croissant/tree/401f6ff/datasets/1.0/titanic"
POLICY = b"""format: urn:provenance-ledger:policy:1
name: production
minimumLevel: D3
allowedLicenses: [Apache-2.0]
"""
Say = Callable[[str], None]


@dataclass
class Outcome:
    """What came of the story, for whoever wants to check it."""

    allowed_before: dict[str, bool] = field(default_factory=dict)
    allowed_after: dict[str, bool] = field(default_factory=dict)
    levels: dict[str, str] = field(default_factory=dict)
    affected: list[str] = field(default_factory=list)
    replays: dict[str, str] = field(default_factory=dict)
    first_failures: dict[str, str] = field(default_factory=dict)


def tell(folder: Path, say: Say = print) -> Outcome:
    """Play the story in a folder that is not there yet."""
    outcome, policy = Outcome(), parse_policy(POLICY)
    (folder / "examples").mkdir(parents=True)
    for name in CODE:
        shutil.copy(HERE / Path(name).name, folder / name)
    with Ledger.init(folder) as ledger:
        for name in ("museum", "harbour-office", "lab", "tester", "reviewer"):
            ledger.keyring.new(name)
        _supply(ledger, folder, say)
        _make(ledger, folder, say)
        _judge(ledger, outcome, policy, say)
        _withdraw(ledger, outcome, policy, say)
        _lie(ledger, folder, outcome, say)
    return outcome


MODELS = ("story/model", "story/student")
MADE = ("story/cleaned", "story/features", *MODELS)


def _supply(ledger: Ledger, folder: Path, say: Say) -> None:
    data = HERE / "data" / "titanic"
    for name, files in (("museum", ["titanic.csv"]), ("harbour", ["genders.csv", "embarkation_ports.csv"])):
        (folder / name).mkdir()
        for file in files:
            shutil.copy(data / file, folder / name / file)
    said = Standards(
        issuer="the museum",
        origin_geography=("GB",),
        method=Method.PRIMARY,
        personal_data=True,
        basis=Basis.PUBLIC_TASK,
    )
    source = {"license": "Apache-2.0", "origin": CROISSANT, "anchor": False, "sensitivity": "public"}
    ledger.register(folder / "museum", "museum/passengers", "1", key="museum", standards=said, **source)  # type: ignore[arg-type]
    ledger.register(folder / "harbour", "harbour/codes", "1", key="harbour-office", **source)  # type: ignore[arg-type]
    say("two suppliers registered: museum/passengers@1, harbour/codes@1")


def _step(
    ledger: Ledger, folder: Path, step: str, inputs: Sequence[str], output: tuple[str, str], words: str
) -> RunRecorder:
    recorder = RunRecorder(ledger, step, folder=folder, code=CODE, key="lab")
    kind = "model" if output[0].endswith(".json") else "dataset"
    recorder.output(output[0], output[1], "1", license="Apache-2.0", sensitivity="public", kind=kind)
    for one in inputs:
        recorder.input(one)
    recorder.execute(["python", "-m", *words.split(), "-o", output[0]])
    return recorder


def _make(ledger: Ledger, folder: Path, say: Say) -> None:
    ports = "harbour/genders.csv harbour/embarkation_ports.csv"
    steps = (
        (
            "clean",
            ["museum", "harbour"],
            ("clean.csv", MADE[0]),
            f"examples.clean passengers museum/titanic.csv {ports}",
        ),
        ("features", ["clean.csv"], ("features.csv", MADE[1]), "examples.features clean.csv"),
        ("train", ["features.csv"], ("model.json", MADE[2]), "examples.train features.csv"),
        (
            "distil",
            ["features.csv", "model.json"],
            ("student.json", MADE[3]),
            "examples.distil features.csv model.json",
        ),
    )
    for step in steps:
        for made in _step(ledger, folder, *step).finish():
            say(
                f"{step[0]}: {made.receipt.name}, log entry {made.receipt.index}; how it was made is entry {made.index}"
            )


def _judge(ledger: Ledger, outcome: Outcome, policy: Policy, say: Say) -> None:
    for name in MADE:
        ledger.state(name, Quality(QualityResult.PASSED, passed=("it is what its step describes",)), key="tester")
        outcome.replays[name] = str(ledger.replay(name, key="reviewer").result)
    ledger.anchor()
    say(f"tested by the tester, made again by the reviewer: {', '.join(outcome.replays.values())}; anchored")
    for name in MODELS:
        audit, _ = ledger.audit(name)
        decision = ledger.gate(name, policy)
        outcome.allowed_before[name] = decision.allowed
        outcome.levels[name] = audit.report.level.name if audit.report.level is not None else "none"
        say(
            f"{name}: level {outcome.levels[name]}, {len(audit.items)} artefacts, "
            f"{_word(decision.allowed)} by {policy.name}"
        )


def _withdraw(ledger: Ledger, outcome: Outcome, policy: Policy, say: Say) -> None:
    ledger.state("museum/passengers", Revocation(RevocationReason.CONSENT_WITHDRAWN), key="museum")
    impact = ledger.impact("museum/passengers")
    outcome.affected = list(impact.names)
    say(f"the museum revokes museum/passengers@1; concerned are {', '.join(outcome.affected)}")
    for name in MODELS:
        audit, _ = ledger.audit(name)
        decision = ledger.gate(name, policy)
        outcome.allowed_after[name] = decision.allowed
        outcome.first_failures[name] = f"{audit.report.failures[0].id} of {audit.report.failures[0].subject}"
        say(
            f"{name}: {audit.report.verdict}, {outcome.first_failures[name]}; "
            f"{_word(decision.allowed)} by {policy.name}"
        )
    codes = ledger.verify_reference("harbour/codes")
    say(f"harbour/codes@1: {'untouched' if codes.sound else 'failed'}")


def _lie(ledger: Ledger, folder: Path, outcome: Outcome, say: Say) -> None:
    """A step whose output is not what its command makes: it says `python -m examples.clean hourly`, and adds a row."""
    (folder / "plant").mkdir()
    shutil.copy(HERE / "data" / "nab" / "machine_temperature_system_failure.csv", folder / "plant" / "sensor.csv")
    ledger.register(
        folder / "plant", "plant/sensor", "1", key="harbour-office", license="MIT", anchor=False, sensitivity="public"
    )
    words = "examples.clean hourly plant/sensor.csv"
    recorder = _step(ledger, folder, "hourly", ["plant"], ("hourly.csv", "story/hourly"), words)
    with (folder / "hourly.csv").open("a") as file:
        file.write("2014-02-19T15:00:00,12,96.9,95.0,98.7\n")
    recorder.finish()
    replayed = ledger.replay("story/hourly", key="reviewer")
    outcome.replays["story/hourly"] = str(replayed.result)
    say(f"story/hourly@1 made again: {replayed.result}, {', '.join(change.path for change in replayed.changes)}")


def _word(allowed: bool) -> str:
    return "allowed" if allowed else "denied"


def main() -> int:
    """0, or 2 if no folder was named or it is there already."""
    if len(sys.argv) != 2 or Path(sys.argv[1]).exists():
        print("usage: python -m examples.story FOLDER    (one that is not there yet)", file=sys.stderr)
        return 2
    tell(Path(sys.argv[1]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
