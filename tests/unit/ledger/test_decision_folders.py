"""Whose decisions a folder holds: no model's are ever signed as another's, nor left behind by a new release."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from provenance.ledger import Ledger
from provenance.ledger.decision_folders import earlier_folder_of, folder_of
from provenance.ledger.decision_journal import RECORD, RECORD_BYTES, Journal
from provenance.ledger.decisions import salt_of
from provenance.statement import PinnedName
from tests.paths import PROJECT
from tests.unit.ledger.decision_rows import all_rows, rows_of

# Where '/' and '_' stand, and what may follow the name of a folder, is all that tells these apart.
NAMES = [
    "a/b@1",
    "a/b_c@1",
    "a_b/c@1",
    "a_b/c_d@1",
    "a/b_c_d@1",
    "a_b_c/d@1",
    "a/b@1_2",
    "a/b@1+2",
    "a/b@1-2",
    "a.b/c@1",
]

KILLED = """
import os, signal, sys
from provenance import Ledger
decisions = Ledger.open(sys.argv[1]).decisions(sys.argv[2], key="someone")
for number in range(5):
    decisions.record(b"in%d" % number, b"out")
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def twins(ledger: Ledger, tmp_path: Path) -> Ledger:
    """A ledger with two models whose names were one folder's in earlier releases."""
    for name in ("acme/x_y", "acme_x/y"):
        _register(ledger, tmp_path, name)
    return ledger


def _register(ledger: Ledger, folder: Path, name: str) -> None:
    place = folder / f"{name.replace('/', '-')}.bin"
    place.write_bytes(name.encode())
    ledger.register(place, name, "1", key="someone", kind="model", origin="https://acme.example/", anchor=False)


def _kill_a_recorder(ledger: Ledger, model: str) -> Path:
    """The journal that a recorder left which was killed after five decisions."""
    command = [sys.executable, "-c", KILLED, str(ledger.layout.directory), model]
    assert subprocess.run(command, cwd=PROJECT, check=False, timeout=60).returncode == -signal.SIGKILL
    (path,) = ledger.layout.directory.rglob("*.journal")
    return path


def _logged(ledger: Ledger) -> dict[str, int]:
    """Decisions in the log, by model."""
    rows = [row for row in ledger.datasets(limit=1_000) if row.name.endswith(".decisions")]
    found: dict[str, int] = {}
    for row in rows:
        model = f"{row.namespace}/{row.name.removesuffix('.decisions')}"
        count = len(rows_of(ledger, f"{row.namespace}/{row.name}@{row.version}"))
        found[model] = found.get(model, 0) + count
    return found


def test_no_two_models_share_a_folder(tmp_path: Path) -> None:
    names = [PinnedName.parse(name) for name in NAMES]
    assert len({folder_of(tmp_path, name) for name in names}) == len(names)
    assert len({earlier_folder_of(tmp_path, name) for name in names}) < len(names)
    assert not {folder_of(tmp_path, name) for name in names} & {earlier_folder_of(tmp_path, name) for name in names}
    longest = PinnedName.parse(f"{'n' * 64}/{'m' * 128}@{'v' * 64}")
    folder_of(tmp_path, longest).mkdir(parents=True)


def test_decisions_of_a_killed_recorder_are_not_another_models(twins: Ledger) -> None:
    _kill_a_recorder(twins, "acme/x_y")
    twins.decisions("acme_x/y", key="someone").close()
    assert _logged(twins) == {}
    twins.decisions("acme/x_y", key="someone").close()
    assert _logged(twins) == {"acme/x_y": 5}


def test_a_journal_that_says_it_is_another_models_is_kept(twins: Ledger) -> None:
    path = _kill_a_recorder(twins, "acme/x_y")
    astray = folder_of(twins.layout.directory, PinnedName.parse("acme_x/y@1")) / path.name
    astray.parent.mkdir(parents=True)
    path.rename(astray)
    with twins.decisions("acme_x/y", key="someone") as decisions:
        decisions.flush()
        assert decisions.receipts == []
        assert decisions.problem is not None and "not all decisions of a journal" in decisions.problem.what
    kept = astray.with_name(f"{astray.name}.kept")
    assert kept.exists() and not twins.fsck().clean
    kept.rename(path)  # and where it belongs, it is logged
    twins.decisions("acme/x_y", key="someone").close()
    assert _logged(twins) == {"acme/x_y": 5}
    assert twins.fsck().clean


def test_a_damaged_beginning_costs_no_decision_and_the_journal_is_kept(ledger: Ledger, model: Path) -> None:
    path = _kill_a_recorder(ledger, "acme/model")
    data = bytearray(path.read_bytes())
    data[20] ^= 1
    path.write_bytes(data)
    with ledger.decisions("acme/model", model, key="someone") as decisions:
        decisions.flush()
    assert [len(rows) for rows in all_rows(ledger).values()] == [5]
    assert path.with_name(f"{path.name}.kept").exists()


def _as_earlier_releases(ledger: Ledger, path: Path, model: str) -> Path:
    """The journal where an earlier release would have left it, and as it would have been."""
    folder = earlier_folder_of(ledger.layout.directory, PinnedName.parse(model))
    folder.mkdir(parents=True)
    journal = folder / path.name.replace(".v2.journal", ".journal")
    journal.write_bytes(path.read_bytes()[RECORD_BYTES:])
    shutil.rmtree(path.parent)
    return journal


def test_what_an_earlier_release_left_is_logged_and_its_salts_are_found(ledger: Ledger, model: Path) -> None:
    journal = _as_earlier_releases(ledger, _kill_a_recorder(ledger, "acme/model"), "acme/model@1")
    with ledger.decisions("acme/model", model, key="someone") as decisions:
        decisions.flush()
    (receipt,) = decisions.receipts
    assert receipt.name == f"acme/model.decisions@{journal.name.removesuffix('.journal')}"
    assert len(rows_of(ledger, receipt.name)) == 5 and not journal.exists()
    assert len(salt_of(ledger, "acme/model", receipt.name, 4)) == 16
    assert ledger.verify(receipt.name, records=True).verified


def test_what_an_earlier_release_left_of_one_of_two_models_is_signed_as_neithers(twins: Ledger) -> None:
    journal = _as_earlier_releases(twins, _kill_a_recorder(twins, "acme/x_y"), "acme/x_y@1")
    for name in ("acme/x_y", "acme_x/y"):
        twins.decisions(name, key="someone").close()
    assert _logged(twins) == {} and journal.exists()
    (finding,) = twins.fsck().findings
    assert "acme/x_y@1" in finding and "acme_x/y@1" in finding


def test_a_journal_of_the_same_bytes_under_another_name_is_another_models(ledger: Ledger, tmp_path: Path) -> None:
    place = tmp_path / "same.bin"
    place.write_bytes(b"same")
    for name in ("acme/one", "acme/two"):
        ledger.register(place, name, "1", key="someone", kind="model", origin="https://acme.example/", anchor=False)
    assert ledger.pin("acme/one").digest == ledger.pin("acme/two").digest
    folder = folder_of(ledger.layout.directory, PinnedName.parse("acme/two@1"))
    folder.mkdir(parents=True)
    for number, name in enumerate(("acme/one", "acme/two")):
        journal = Journal(folder / f"{number}.v2.journal", ledger.pin(name).envelope)
        journal.add(RECORD.pack(number, bytes(16), bytes(32), bytes(32), bytes(32), False))
        journal.abandon()
    with ledger.decisions("acme/two", place, key="someone") as decisions:
        decisions.flush()
    assert [receipt.name for receipt in decisions.receipts] == ["acme/two.decisions@1"]
    assert [path.name for path in folder.glob("*.journal*")] == ["0.v2.journal.kept"]
