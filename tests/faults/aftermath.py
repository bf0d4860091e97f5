"""What must hold of a ledger after a worker whose system calls failed, or that was killed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from provenance.errors import ConflictError
from provenance.ledger import Ledger
from tests.e2e.aftermath import check_receipt
from tests.faults.runs import Ended
from tests.faults.steps import KEY, ORIGIN, SIZE, STEPS, STEPS_SAID, Told, make_ledger, stated

CODES = {1, 2, 3}


def check_told(ended: Ended) -> None:
    """What a worker said of itself: errors of the tree, with a text and an exit code, each gone at the next attempt."""
    last: dict[str, Told] = {}
    for told in ended.told:
        assert "defect" not in told, told["defect"]
        if "failed" in told:
            assert told["failed"] != "internal" and told["code"] in CODES and len(told["message"]) > 20, told
            assert "database is locked" not in told["message"]
        last[told["step"]] = told
    if ended.signal is None:
        assert ended.code == 0
        assert "close" in last
        assert all("done" in told for told in last.values()), [told for told in last.values() if "failed" in told]


def check_registered(ended: Ended, place: Path, data: Path) -> None:
    """Of `register`: the ledger is sound, has all that was acknowledged, and every step is done once when repeated."""
    done = {told["step"]: told["done"] for told in ended.told if told["step"] in STEPS and "done" in told}
    with Ledger.open(place) as ledger:
        report = ledger.fsck()
        assert report.clean, report.findings
        size = ledger.log.size()
        for told in done.values():
            if "proof" in told and told["totalBytes"]:
                check_receipt(ledger, told)
            assert told["index"] < size
        again = {name: step(ledger, str(data)) for name, step in STEPS.items()}
        _check_once(ledger, done, again)
        report = ledger.fsck(independent=True)
        assert report.clean, report.findings


def _check_once(ledger: Ledger, done: dict[str, Told], again: dict[str, Told]) -> None:
    """What was acknowledged has kept its place, and no step has two."""
    assert {name: again[name]["index"] for name in done} == {name: told["index"] for name, told in done.items()}
    assert not [name for name in done if again[name].get("created")], "acknowledged, and made again"
    assert sorted(told["index"] for told in again.values()) == list(range(1, SIZE))
    assert ledger.log.size() == SIZE
    for purpose in STEPS_SAID:
        assert len(stated(ledger, purpose)) == 1


def check_made(ended: Ended, place: Path) -> None:
    """Of `init`: it can be run again and finishes, with the keys that were acknowledged; then the ledger works."""
    done = {told["step"]: told["done"] for told in ended.told if "done" in told}
    try:
        make_ledger(place).close()
        assert "init" not in done, "made twice"
    except ConflictError:  # it was finished, whether or not anybody heard of it
        assert (place / ".provenance" / "config.toml").exists()
    with Ledger.open(place) as ledger:
        assert ledger.config.origin == ledger.keyring.note_signer().name == ORIGIN
        if done.get("vkey"):
            assert done["vkey"] == {"vkey": ledger.keyring.vkey, "account": ledger.account().address}
        _check_key(ledger, done.get("key"))
        (place / "data").mkdir()
        (place / "data" / "rows.csv").write_text("row\n")
        receipt = ledger.register(place / "data", "faults/first", "1", anchor=False)
        assert receipt.index == 0
        assert ledger.verify("faults/first", ask_chain=False).level is not None
        report = ledger.fsck(independent=True)
        assert report.clean, report.findings


def _check_key(ledger: Ledger, told: Told | None) -> None:
    keys = [stored.public for stored in ledger.keyring.list()]
    if told is not None:
        assert [key.keyid for key in keys] == [told["keyid"]]
        assert ledger.keyring.trust().source(told["keyid"]) is not None
    elif not keys:
        ledger.keyring.new(KEY)
    else:  # killed between the key's file and the trust roots: what its owner was told to do
        ledger.keyring.trust_key(KEY, keys[0])


def leftovers(place: Path) -> Iterable[str]:
    """Drafts that lie about, which only a killed process may leave behind."""
    folder = place / ".provenance"
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if ".new" in path.name)
