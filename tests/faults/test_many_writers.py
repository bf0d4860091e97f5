"""Several processes register in one ledger's folder at once: nothing is lost, nothing is there twice, and none is told
that a database is locked."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from provenance.encoding import Digest
from provenance.ledger import Ledger
from tests.faults.runs import copied
from tests.paths import PROJECT

DATASETS = 6


@pytest.mark.parametrize("processes", [2, 8])
def test_processes_that_register_at_once(processes: int, template: Path, tmp_path: Path) -> None:
    place, data = copied(template, tmp_path / "place"), tmp_path / "data"
    names = ["d0", *(f"p{process}-{number}" for process in range(processes) for number in range(DATASETS))]
    for name in names:
        (data / name).mkdir(parents=True)
        (data / name / "rows.csv").write_text(f"row,{name}\n")
    command = [sys.executable, "-m", "tests.faults.registrar", str(place), str(data), str(processes), str(DATASETS)]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert not [line for line in told if "error" in line]
    assert sorted(line["name"] for line in told) == sorted([*names, *["d0"] * (processes - 1)])
    shared = [line for line in told if line["name"] == "d0"]
    assert sum(line["created"] for line in shared) == 1
    assert len({(line["index"], line["envelope"]) for line in shared}) == 1
    with Ledger.open(place) as ledger:
        assert ledger.log.size() == 1 + len(names)
        for line in told:
            assert Digest.of(ledger.log.entry(line["index"]).envelope).hex == line["envelope"]
        assert sorted({line["index"] for line in told}) == list(range(1, 1 + len(names)))
        assert sorted(row.name for row in ledger.datasets(limit=1_000)) == sorted([*names, "base"])
        report = ledger.fsck(independent=True)
        assert report.clean, report.findings
