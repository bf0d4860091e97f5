"""`kill -9` at any moment of `register`, `anchor` and `init`.

Afterwards the ledger opens, fsck is clean for both implementations, every acknowledged receipt verifies against the
log, nothing is anchored twice and nothing is lost, and the next register and anchor work.
"""

from __future__ import annotations

import random
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from provenance.errors import ConflictError
from provenance.ledger import Ledger
from tests.e2e.aftermath import acknowledged, check_ledger, check_nothing_is_anchored_twice
from tests.e2e.conftest import CrashWorkers

KILLS = 50
ANCHORING = (
    "ledger/anchoring.py",
    "ledger/publication.py",
    "ledger/registration.py",
    "ledger/sequencer.py",
    "ledger/growth.py",
)
BELOW = ("chains/embedded.py", "chains/database.py", "sqlite/connections.py", "sqlite/store.py", "stores/blobs.py")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger with one entry that is not anchored, no contract and no chain yet, and files to register."""
    folder = tmp_path_factory.mktemp("template")
    for name in ["d_last", *(f"d{number}" for number in range(5 + 4 * KILLS))]:
        (folder / "data" / name).mkdir(parents=True)
        (folder / "data" / name / "rows.csv").write_text(f"row,{name}\n")
    with Ledger.init(folder, origin="crash.example/log") as ledger:
        ledger.keyring.new("someone")
        ledger.register(folder / "data" / "d0", "crash/d0", "1", anchor=False)
    return folder


@pytest.fixture
def place(template: Path, tmp_path: Path) -> Path:
    """A copy of the template's ledger."""
    shutil.copytree(template / ".provenance", tmp_path / ".provenance")
    return tmp_path


def _go_on(place: Path, data: Path, name: str) -> None:
    """The next registration and anchor work, and everything before them still holds."""
    with Ledger.open(place) as ledger:
        receipt = ledger.register(data / name, f"crash/{name}", "1", parents=["crash/d0"], key="someone")
        assert receipt.anchor_problem is None
        assert receipt.anchor is not None
        assert receipt.anchor.size == ledger.log.size()
        assert ledger.anchor().status == "already anchored"
        report = ledger.verify(f"crash/{name}")
        assert report.level is not None
        assert report.level.name == "D2"
        assert {c.status.value for c in report.checks if c.id.startswith("anchor.")} == {"passed"}
        assert check_nothing_is_anchored_twice(ledger)[-1].size == ledger.log.size()
        report_of_all = ledger.fsck(independent=True)
        assert report_of_all.clean, report_of_all.findings


def test_kill_at_random_moments(template: Path, place: Path, crash_workers: CrashWorkers) -> None:
    seed = time.time_ns()
    print(f"seed {seed}")
    chance, told = random.Random(seed), place / "told"
    order: dict[str, Any] = {"ledger": place, "data": template / "data", "acknowledged": told}
    whole = crash_workers.run("register_and_anchor", names=["d1", "d2"], **order)
    assert whole["code"] == 0
    killed = attempts = seen = size = 0
    longest = whole["seconds"]
    while killed < KILLS and attempts < 2 * KILLS:
        names = [f"d{3 + 2 * attempts}", f"d{4 + 2 * attempts}"]
        moment = chance.uniform(0, longest)
        ended = crash_workers.run("register_and_anchor", names=names, kill_after_s=moment, **order)
        assert ended["signal"] == signal.SIGKILL or ended["code"] == 0
        if ended["code"] == 0:  # the machine is less loaded than when it was timed
            longest = min(longest, ended["seconds"])
        killed, attempts = killed + (ended["signal"] == signal.SIGKILL), attempts + 1
        words = acknowledged(told)
        # Old receipts are all verified once more at the end.
        found = check_ledger(place, words[seen:], independent=attempts % 10 == 0)
        assert found >= size
        seen, size = len(words), found
    receipts = [word["receipt"] for word in acknowledged(told) if "receipt" in word]
    print(f"{killed} of {attempts} workers were killed within {longest:.3f} s; {len(receipts)} receipts")
    assert killed == KILLS
    assert len({receipt["index"] for receipt in receipts}) == len(receipts)
    check_ledger(place, acknowledged(told))
    _go_on(place, template / "data", "d_last")


STEPS = [
    ("provenance.ledger.registration:find_published", "before"),
    ("provenance.stores.blobs:BlobStore.put", "after"),
    ("provenance.ledger.sequencer:Sequencer.submit", "before"),
    ("provenance.ledger.growth:Growth.add", "after"),
    ("provenance.ledger.publication:index_entry", "after"),
    ("provenance.ledger.growth:Growth.finish", "before"),
    ("provenance.ledger.growth:Growth.finish", "after"),
    ("provenance.ledger.sequencer:Sequencer._transact", "after"),
    ("provenance.ledger.sequencer:Sequencer.submit", "after"),
    ("provenance.ledger.ledger:Ledger._receipt", "after"),
    ("provenance.chains.embedded:EmbeddedChain.open", "after"),
    ("provenance.signers.ethereum:EthereumKey.sign_transaction", "after"),
    ("provenance.stores.sql.outbox_table:OutboxStatements.outbox_add", "after"),
    ("provenance.ledger.anchoring:Anchorer._advance", "before"),
    ("provenance.ledger.anchoring:Anchorer._broadcast", "before"),
    ("provenance.chains.embedded:EmbeddedChain.send_raw", "before"),
    ("provenance.chains.engine:Engine.mine", "after"),
    ("provenance.chains.embedded:EmbeddedChain.send_raw", "after"),
    ("provenance.chains.embedded:EmbeddedChain.receipt", "after"),
    ("provenance.ledger.anchoring:Anchorer._mined", "before"),
    ("provenance.ledger.anchoring:Anchorer._mined", "after"),
    ("provenance.ledger.anchoring:Anchorer._finalise", "before"),
    ("provenance.ledger.anchoring:Anchorer._finalise", "after"),
    ("provenance.ledger.anchoring:Anchorer._advance", "after"),
]
STEPS_OF_TWO = ("anchoring:", "send_raw", "mine", "outbox_add", "sign_transaction", "EmbeddedChain.receipt")
"""A first anchor deploys first: what these functions do is done twice, the second time for the anchor."""


@pytest.mark.parametrize(
    ("function", "when", "call"),
    [
        (function, when, call)
        for function, when in STEPS
        for call in ((1, 2) if any(word in function for word in STEPS_OF_TWO) else (1,))
    ],
)
def test_kill_at_a_step(
    template: Path, place: Path, crash_workers: CrashWorkers, function: str, when: str, call: int
) -> None:
    die = {"function": function, "when": when, "call": call}
    told = place / "told"
    order: dict[str, Any] = {"ledger": place, "data": template / "data", "acknowledged": told, "names": ["d1"]}
    ended = crash_workers.run("register_and_anchor", parents=["crash/d0"], die=die, **order)
    assert ended["signal"] == signal.SIGKILL, "the step was never reached"
    check_ledger(place, acknowledged(told))
    if "outbox_add" not in function and "anchoring:" in function:
        with Ledger.open(place) as ledger:
            assert ledger.pending() or when == "after"
    # The same order again finishes what was begun.
    assert crash_workers.run("register_and_anchor", parents=["crash/d0"], **order)["code"] == 0
    assert check_ledger(place, acknowledged(told)) == 2
    _go_on(place, template / "data", "d9")


@pytest.mark.parametrize(("files", "every"), [(ANCHORING, 9), (BELOW, 71)])
def test_kill_at_every_line(
    template: Path, tmp_path: Path, crash_workers: CrashWorkers, files: tuple[str, ...], every: int
) -> None:
    """From opening to the receipt of the first anchor, the worker is killed before one line after another.

    Each run takes every ninth line (fewer further down) and starts at another, so that in time all are taken.
    """
    order: dict[str, Any] = {"data": template / "data", "names": ["d1"], "parents": ["crash/d0"]}

    def run(line: int) -> tuple[dict[str, Any], Path]:
        place = tmp_path / str(line)
        shutil.copytree(template / ".provenance", place / ".provenance")
        die = {"line": line, "files": files}
        told = place / "told"
        return crash_workers.run("register_and_anchor", ledger=place, acknowledged=told, die=die, **order), place

    ended, place = run(0)
    assert ended["code"] == 0
    lines = acknowledged(place / "told")[-1]["lines"]
    start = 1 + time.time_ns() % every
    for line in range(start, lines + 1, every):
        ended, place = run(line)
        assert ended["signal"] == signal.SIGKILL, line
        told = acknowledged(place / "told")
        check_ledger(place, told, independent=False)
        again = crash_workers.run("register_and_anchor", ledger=place, acknowledged=place / "told", **order)
        assert again["code"] == 0, line
        assert check_ledger(place, acknowledged(place / "told")) == 2, line
        shutil.rmtree(place)
    print(f"{len(range(start, lines + 1, every))} of {lines} lines")


def test_kill_during_init(tmp_path: Path, crash_workers: CrashWorkers) -> None:
    """Before every line of making a ledger; the same `init` again finishes it, with the keys that were made."""
    files = ("ledger/ledger.py", "ledger/layout.py", "ledger/keyring.py", "signers/secret_file.py", "signers/note.py")
    for line in range(1 + time.time_ns() % 5, 2_000, 5):
        place = tmp_path / str(line)
        place.mkdir()
        told = place / "told"
        ended = crash_workers.run(
            "init", ledger=place, origin="init.example/log", acknowledged=told, die={"line": line, "files": files}
        )
        if ended["code"] == 0:
            break
        assert ended["signal"] == signal.SIGKILL
        if (place / ".provenance" / "config.toml").exists():
            with pytest.raises(ConflictError):
                Ledger.init(place)
        else:
            Ledger.init(place, origin="init.example/log").close()
        with Ledger.open(place) as ledger:
            words = acknowledged(told)
            assert all(word["vkey"] == ledger.keyring.vkey for word in words if "vkey" in word)
            assert ledger.config.origin == ledger.keyring.note_signer().name == "init.example/log"
            assert ledger.account().address
            ledger.keyring.new("someone")
            (place / "data").write_bytes(b"data")
            ledger.register(place / "data", "a/b", "1", anchor=False)
            assert ledger.fsck().clean
    else:
        pytest.fail("init never came to its end")
    assert line > 100
