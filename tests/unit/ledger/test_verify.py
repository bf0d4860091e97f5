"""`Ledger.verify`: files changed on disk are named; places, references and lineages are told apart."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from provenance.encoding import Digest
from provenance.errors import MalformedError, NotFoundError, PolicyError, ProvenanceError, SourceError, StoreError
from provenance.ledger import Ledger
from provenance.policy import Status
from provenance.verify import Report, parse_bundle, verify_bundle
from tests.unit.fingerprint.test_diff import _expected_counts
from tests.unit.ledger.conftest import Write
from tests.unit.verify import forge


def _changes(report: Report) -> list[tuple[str, str]]:
    files = [check for check in report.failures if check.id == "content.file"]
    return [(check.where or "", check.note.split(":")[0]) for check in files]


def _content(report: Report) -> Status:
    return next(check.status for check in report.checks if check.id == "content" and check.subject == report.target)


# ---- what happened to files ----------------------------------------------------------------------------------------

ACTS: dict[str, tuple[Any, list[tuple[str, str]]]] = {
    "nothing": (lambda d: None, []),
    "swap": (lambda d: _swap(d / "a", d / "b"), [("a", "swapped")]),
    "rename": (lambda d: (d / "a").rename(d / "z"), [("a", "renamed")]),
    "rename into a folder": (lambda d: (d / "a").rename(d / "sub" / "a"), [("a", "renamed")]),
    "one byte": (lambda d: (d / "sub" / "c").write_text("333x"), [("sub/c", "changed")]),
    "one byte less": (lambda d: (d / "sub" / "c").write_text("33"), [("sub/c", "changed")]),
    "emptied": (lambda d: (d / "b").write_text(""), [("b", "changed")]),
    "add": (lambda d: (d / "new").write_text("new"), [("new", "added")]),
    "add an empty one": (lambda d: (d / "new").touch(), [("new", "added")]),
    "remove": (lambda d: (d / "b").unlink(), [("b", "removed")]),
    "copy": (lambda d: shutil.copy(d / "a", d / "z"), [("z", "added")]),
    "overwrite": (lambda d: (d / "a").replace(d / "b"), [("a", "removed"), ("b", "changed")]),
    "case": (lambda d: (d / "a").rename(d / "A"), [("a", "renamed")]),
    "touch": (lambda d: (d / "a").touch(), []),
    "mode": (lambda d: (d / "a").chmod(0o600), []),
    "empty folder": (lambda d: (d / "e").mkdir(), []),
}


def _swap(one: Path, other: Path) -> None:
    kept = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(kept)


@pytest.mark.parametrize("act", ACTS)
def test_each_change_is_reported_as_what_it_is_with_its_path(ledger: Ledger, write: Write, act: str) -> None:
    folder = write("data", **{"a": "1", "b": "22", "sub/c": "333"})
    ledger.register(folder, "t/a", "1", origin="https://x.org", anchor=False)
    change, expected = ACTS[act]
    change(folder)
    for report in (ledger.verify(folder), ledger.verify("t/a"), ledger.verify(folder, expected="t/a@1")):
        assert _changes(report) == expected
        assert report.sound is not bool(expected)
        assert report.target == "t/a@1"
        assert (report.level is not None and report.level.name) == ("D0" if expected else "D2")


def _random_files(chance: random.Random) -> dict[str, str]:
    names = ["a", "b", "c", "d/e", "d/f", "g/h/i"]
    return {name: chance.choice(["", "1", "2", "33"]) for name in chance.sample(names, chance.randint(1, 6))}


def test_random_changes_are_counted_as_a_naive_reader_counts_them(ledger: Ledger, tmp_path: Path) -> None:
    for seed in range(40):
        chance, folder = random.Random(seed), tmp_path / f"data{seed}"
        before, after = _random_files(chance), _random_files(chance)
        _lay_out(folder, before)
        ledger.register(folder, f"t/s{seed}", "1", anchor=False)
        shutil.rmtree(folder)
        _lay_out(folder, after)
        report = ledger.verify(f"t/s{seed}")
        counts = Counter(word for _, word in _changes(report))
        assert {word: counts[word] for word in ("swapped", "changed", "renamed", "removed", "added")} == (
            _expected_counts(before, after)
        )
        assert report.sound is (before == after)
        differing = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
        assert {path for path, _ in _changes(report)} <= differing


def _lay_out(folder: Path, files: dict[str, str]) -> None:
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(content)


def test_two_single_files_that_swapped_names(ledger: Ledger, write: Write) -> None:
    folder = write("data", **{"a.csv": "1", "b.csv": "2"})
    for name in "ab":
        ledger.register(folder / f"{name}.csv", f"t/{name}", "1", anchor=False)
    _swap(folder / "a.csv", folder / "b.csv")
    for name in "ab":
        report = ledger.verify(folder / f"{name}.csv")
        assert (report.target, report.sound) == (f"t/{name}@1", False)
        assert _changes(report) == [(f"{name}.csv", "changed")]


def test_two_folders_that_swapped_names_are_not_what_they_should_be(ledger: Ledger, write: Write) -> None:
    """The name of a folder is in no fingerprint; the place it was registered from is remembered."""
    one, two = write("one", a="1"), write("two", b="2")
    ledger.register(one, "t/one", "1", anchor=False)
    ledger.register(two, "t/two", "1", anchor=False)
    one.rename(one.with_name("x"))
    two.rename(one)
    one.with_name("x").rename(two)
    for folder, name in ((one, "t/one@1"), (two, "t/two@1")):
        report = ledger.verify(folder)
        assert (report.target, report.sound) == (name, False)
        assert ledger.verify(name).sound is False


def test_a_damaged_manifest_does_not_hide_the_change(ledger: Ledger, write: Write) -> None:
    folder = write("data", a="1")
    ledger.register(folder, "t/a", "1", anchor=False)
    manifest = ledger.dataset("t/a").manifest
    assert manifest is not None
    (ledger.layout.blobs / manifest.hex[:2] / manifest.hex[2:]).write_bytes(b"damaged")
    assert ledger.verify(folder).sound
    (folder / "a").write_text("2")
    report = ledger.verify(folder)
    assert {check.id for check in report.failures} == {"content", "content.file", "lineage"}
    with pytest.raises(StoreError):
        ledger.bundle("t/a")
    assert ledger.bundle("t/a", with_manifests=False)


# ---- places --------------------------------------------------------------------------------------------------------


def test_an_earlier_version_is_not_blamed_for_what_a_later_one_put_in_its_place(ledger: Ledger, write: Write) -> None:
    folder = write("data", a="1")
    ledger.register(folder, "t/a", "1", anchor=False)
    write("data", a="2")
    ledger.register(folder, "t/a", "2", anchor=False)
    old, new = ledger.verify("t/a@1"), ledger.verify("t/a")
    assert (_content(old), old.sound) == (Status.NOT_PERFORMED, True)
    assert (_content(new), new.target) == (Status.PASSED, "t/a@2")
    write("data", a="1")  # the old version, put back
    assert ledger.verify(folder).target == "t/a@1"
    assert ledger.verify("t/a@1").sound
    assert not ledger.verify("t/a@2").sound
    write("data", a="3")
    assert ledger.verify(folder).target == "t/a@2"
    assert not ledger.verify(folder).sound


def test_bytes_are_found_where_they_went(ledger: Ledger, write: Write, tmp_path: Path) -> None:
    folder = write("data", a="1")
    ledger.register(folder, "t/a", "1", anchor=False)
    moved = folder.rename(tmp_path / "moved")
    assert ledger.verify(moved).sound
    assert _content(ledger.verify("t/a")) is Status.NOT_PERFORMED
    assert _content(ledger.verify("t/a", data={"t/a": moved})) is Status.PASSED
    write("moved", a="2")
    assert not ledger.verify("t/a", data={"t/a": moved}).sound


def test_changed_bytes_elsewhere_are_matched_by_the_files_they_share(ledger: Ledger, write: Write) -> None:
    ledger.register(write("x", a="1", e=""), "t/x", "1", anchor=False)
    ledger.register(write("y", a="1", b="2", e=""), "t/y", "1", anchor=False)
    report = ledger.verify(write("copy", a="1", b="2", c="3"))
    assert (report.target, _changes(report)) == ("t/y@1", [("c", "added"), ("e", "removed")])
    with pytest.raises(NotFoundError, match="not registered"):
        ledger.verify(write("stranger", e="", z="z"))  # an empty file is no resemblance


def test_a_place_that_cannot_be_read_is_an_error_and_no_pass(ledger: Ledger, write: Write) -> None:
    folder = write("data", a="1")
    ledger.register(folder, "t/a", "1", anchor=False)
    (folder / "a").unlink()
    for target in (folder, "t/a"):
        with pytest.raises(SourceError, match="no files"):
            ledger.verify(target)


# ---- what a target may be ------------------------------------------------------------------------------------------


def test_a_reference_names_one_dataset_or_says_why_not(ledger: Ledger, write: Write) -> None:
    first = ledger.register(write("one", a="1"), "t/one", "1", anchor=False)
    ledger.register(write("two", a="2"), "t/two", "1", anchor=False)
    for reference in ("t/one", "t/one@1", first.digest, first.digest[:8]):
        assert ledger.verify(reference).target == "t/one@1"
    for missing in ("t/none", "t/one@2", "0" * 64, "deadbeef"):
        with pytest.raises(NotFoundError):
            ledger.verify(missing)
    with pytest.raises(NotFoundError) as raised:
        ledger.verify("t/one@2")
    assert raised.value.hint == "t/one has the versions 1"


def test_an_ambiguous_prefix_is_said_to_be_ambiguous(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger.keyring.trust_key("forger", forge.key(1).public)
    for text in "ab":
        ledger.submit(forge.sign(forge.statement(text), forge.key(1)))
    # Eight digits that two digests share would take days to find.
    monkeypatch.setattr(type(ledger._store), "datasets_by_prefix", lambda self, _, **__: self.datasets_page())
    with pytest.raises(MalformedError, match="ambiguous") as raised:
        ledger.verify("12345678")
    assert "forge/a@1" in str(raised.value.got)


@pytest.mark.parametrize(
    "target",
    ["", ".", "..", "/", "x", "x" * 5_000, "a/" * 2_000, "nul\0", "\ud800", "T/A", "../../etc/shadow-not", "s3://b/k"],
)
def test_whatever_else_a_target_is_it_is_one_clear_error(
    ledger: Ledger, target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    if target == "/":
        return
    with pytest.raises(ProvenanceError) as raised:
        ledger.verify(target)
    assert raised.value.message.isprintable()


def test_a_path_that_is_there_goes_before_a_reference(
    ledger: Ledger, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.register(write("other", a="1"), "data/x", "1", anchor=False)
    ledger.register(write("data/x", b="2"), "t/b", "1", anchor=False)
    monkeypatch.chdir(tmp_path)
    assert ledger.verify("data/x").target == "t/b@1"
    monkeypatch.chdir(tmp_path / "other")
    assert ledger.verify("data/x").target == "data/x@1"


def test_a_digest_or_a_file_is_found(ledger: Ledger, write: Write) -> None:
    receipt = ledger.register(write("data", a="1", b="2"), "t/a", "1", anchor=False)
    report = ledger.verify_digest(Digest.from_hex(receipt.digest))
    assert _content(report) is Status.PASSED
    file = ledger.verify_digest(Digest.of(b"2"))
    (check,) = [check for check in file.checks if check.id == "content.file"]
    assert (check.status, check.where) == (Status.PASSED, "b")
    assert _content(file) is Status.NOT_PERFORMED
    with pytest.raises(NotFoundError):
        ledger.verify_digest(Digest.of(b"3"))


# ---- lineages ------------------------------------------------------------------------------------------------------


def _family(ledger: Ledger, write: Write) -> dict[str, Path]:
    """raw -> clean -> (model, report); other -> report."""
    places = {}
    for name, parents in {
        "raw": [],
        "other": [],
        "clean": ["f/raw"],
        "model": ["f/clean"],
        "report": ["f/clean", "f/other"],
    }.items():
        places[name] = write(name, **{name: name})
        ledger.register(places[name], f"f/{name}", "1", parents=parents, origin="https://x.org", anchor=False)
    return places


def test_a_changed_source_names_everything_made_from_it(ledger: Ledger, write: Write) -> None:
    places = _family(ledger, write)
    (places["raw"] / "raw").write_text("tampered")
    report = ledger.verify(places["raw"])
    assert report.affected == ("f/clean@1", "f/model@1", "f/report@1")
    assert ledger.verify(places["other"]).affected == ()
    assert ledger.verify(places["report"]).sound  # its own bytes are as they were
    deep = ledger.verify(places["report"], deep=True)
    assert not deep.sound
    assert {check.subject for check in deep.failures if check.id == "content"} == {"f/raw@1"}
    assert deep.affected == ("f/clean@1", "f/model@1", "f/report@1")
    assert ledger.verify(places["report"], data={"f/raw": places["raw"]}).failures[0].subject == "f/raw@1"
    lineage = ledger.lineage("f/raw")
    assert lineage.descendants == ("f/clean@1", "f/model@1", "f/report@1")


def test_a_revoked_key_breaks_what_was_made_from_what_it_signed(ledger: Ledger, write: Write) -> None:
    ledger.keyring.new("bad", algorithm="ed25519")
    ledger.register(write("raw", a="1"), "f/raw", "1", key="bad", origin="https://x.org", anchor=False)
    ledger.register(write("clean", a="2"), "f/clean", "1", key="someone", parents=["f/raw"], anchor=False)
    assert ledger.verify("f/clean").sound
    ledger.keyring.revoke("bad")
    report = ledger.verify("f/clean")
    assert not report.sound
    assert report.failures[0].note == "signed by a revoked key"
    assert report.affected == ("f/clean@1",)
    assert ledger.lineage("f/raw").report.affected == ("f/clean@1",)


def test_what_a_bundle_says_is_what_the_ledger_says(ledger: Ledger, write: Write) -> None:
    places = _family(ledger, write)
    ledger.anchor()
    own = ledger.verify(places["report"])
    offline = ledger.verify_bundle(ledger.bundle("f/report"))
    said = {(c.id, c.subject, c.status) for c in own.checks if c.id != "content"}
    assert said == {(c.id, c.subject, c.status) for c in offline.checks if c.id != "content"}
    assert [a.name for a in own.artefacts] == [a.name for a in offline.artefacts]


def test_verification_needs_no_account_and_no_chain(copy: Path) -> None:
    """An auditor's copy without the account's key, or whose chain is gone, still verifies; the block is left open."""
    (copy / ".provenance" / "keys" / "chain.key").unlink()
    with Ledger.open(copy) as ledger:
        report = ledger.verify("h/model")
        assert report.sound
        assert {str(c.status) for c in report.checks if c.id == "anchor.block"} == {"not performed"}


def test_a_damaged_entry_is_a_failing_store_and_no_traceback(copy: Path) -> None:
    with closing(sqlite3.connect(copy / ".provenance" / "ledger.db")) as database:
        ((data,),) = database.execute("SELECT data FROM segments WHERE first = 0")
        after = 2 + int.from_bytes(data[:2], "big")  # each entry with its length in front of it
        database.execute("UPDATE segments SET data = ? WHERE first = 0", (b"\0\1{" + data[after:],))
        database.commit()
    with Ledger.open(copy) as ledger:
        for act in (ledger.verify, ledger.bundle, ledger.lineage):
            with pytest.raises(StoreError, match="log entry is damaged"):
                act("h/model")


def test_what_a_key_signed_before_it_was_revoked_still_counts(copy: Path) -> None:
    def trusted(ledger: Ledger, name: str) -> list[tuple[str, Status]]:
        report = ledger.verify(name)
        return [(check.subject, check.status) for check in report.checks if check.id == "trust"]

    later, before = "2199-01-01T00:00:00Z", "2001-01-01T00:00:00Z"
    good, bad = Status.PASSED, Status.FAILED
    with Ledger.open(copy) as ledger:
        ledger.keyring.revoke("museum", later)
        assert trusted(ledger, "h/model@1") == [("h/model@1", good), ("h/clean@1", good), ("h/raw@1", good)]
        assert ledger.verify("h/model@1").sound
        bundle, roots = ledger.bundle("h/model"), ledger.trust_roots(with_blocks=True)
        assert verify_bundle(bundle, roots).sound
        # Two anchors take part: the museum's statements are proven in the first that covers them.
        assert len(parse_bundle(bundle).anchors) == 2
        # No block, no proof of when.
        assert not verify_bundle(bundle, replace(roots, blocks=())).sound
        with pytest.raises(PolicyError, match="key is revoked here"):
            ledger.register(copy / "raw", "h/more", "1", key="museum", anchor=False)
        ledger.keyring.revoke("museum", before)
        assert trusted(ledger, "h/model@1") == [("h/model@1", good), ("h/clean@1", bad), ("h/raw@1", bad)]
        notes = {check.note for check in ledger.verify("h/model@1").failures if check.id == "trust"}
        assert notes == {f"signed by a revoked key: since {before}, and nothing proves that it signed before"}
