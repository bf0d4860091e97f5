"""Contents in hand: what differs is said with its path, and what is not in hand is not passed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest

from provenance.encoding import Digest
from provenance.errors import StoreError
from provenance.fingerprint import FileEntry, Fingerprint, RecordFingerprint, encode_manifest, fingerprint_files
from provenance.policy import Level, Status
from provenance.verify import Check, ContentFinding, Report, verify_evidence
from tests.unit.verify.forge import Lineage, statement


def _entry(path: str, content: str) -> FileEntry:
    return FileEntry(path, len(content), Digest.of(content.encode()))


BEFORE = fingerprint_files([_entry("a", "1"), _entry("b", "2"), _entry("dir/c", "3")])


def _lineage(fingerprint: Fingerprint = BEFORE) -> Lineage:
    lineage = Lineage()
    manifest = Digest.of(encode_manifest(fingerprint))
    lineage.add_made("x", replace(statement("x"), fingerprint=fingerprint.document, manifest=manifest))
    return lineage


def _report(
    found: Fingerprint | Digest | None, blobs: Mapping[Digest, bytes] | None = None, before: Fingerprint = BEFORE
) -> Report:
    lineage = _lineage(before)
    manifest = encode_manifest(before)
    evidence = replace(lineage.evidence("x"), blobs={Digest.of(manifest): manifest} if blobs is None else blobs)
    contents = {}
    if isinstance(found, Digest):
        contents = {"forge/x@1": ContentFinding(found, "/x")}
    elif found is not None:
        contents = {"forge/x@1": ContentFinding(found.digest, "/x", found)}
    return verify_evidence(evidence, lineage.trust(), contents=contents)


def _content(report: Report) -> list[Check]:
    return [check for check in report.checks if check.id in ("content", "content.file")]


def test_the_same_bytes_pass_and_say_where_they_are() -> None:
    for found in (BEFORE, BEFORE.digest):
        report = _report(found)
        (check,) = _content(report)
        assert (check.status, check.where, report.level) == (Status.PASSED, "/x", Level.D2)


def test_no_bytes_in_hand_are_no_pass() -> None:
    report = _report(None)
    (check,) = _content(report)
    assert (check.status, report.sound, report.level) == (Status.NOT_PERFORMED, True, Level.D0)
    assert report.missing == ("content",)


@pytest.mark.parametrize(
    ("after", "said"),
    [
        ({"a": "1", "b": "2", "dir/c": "x"}, [("dir/c", "changed: dir/c")]),
        ({"a": "2", "b": "1", "dir/c": "3"}, [("a", "swapped: a holds what b held, and the other way round")]),
        ({"a": "1", "b": "2", "dir/d": "3"}, [("dir/c", "renamed: dir/c is now dir/d")]),
        ({"a": "1", "dir/c": "3"}, [("b", "removed: b")]),
        ({"a": "1", "b": "2", "dir/c": "3", "dir/e": "4"}, [("dir/e", "added: dir/e")]),
        ({"z": "9"}, [("a", "removed: a"), ("b", "removed: b"), ("dir/c", "removed: dir/c"), ("z", "added: z")]),
        ({"a": "2", "b": "3", "dir/c": "1"}, [("a", "changed: a (it holds what b held)"), ("b", ""), ("dir/c", "")]),
    ],
)
def test_each_change_is_said_as_what_it_is_with_its_path(after: dict[str, str], said: list[tuple[str, str]]) -> None:
    report = _report(fingerprint_files(_entry(path, content) for path, content in after.items()))
    whole, *files = _content(report)
    assert (whole.id, whole.status, whole.expected) == ("content", Status.FAILED, BEFORE.digest.hex)
    assert [check.where for check in files] == [path for path, _ in said]
    assert all(check.note.startswith(words) for check, (_, words) in zip(files, said, strict=True))
    assert {check.status for check in files} == {Status.FAILED}
    assert (report.sound, report.level) == (False, Level.D0)


def test_more_changes_than_are_listed_are_counted() -> None:
    before = fingerprint_files(_entry(f"f{n:05}", "x") for n in range(1_500))
    after = fingerprint_files(_entry(f"f{n:05}", "y") for n in range(1_500))
    files = _content(_report(after, before=before))[1:]
    assert len(files) == 1_001
    assert files[-1].note == "500 more files differ and are not listed"
    assert files[-1].status is Status.FAILED


def test_without_a_manifest_the_file_is_not_named_and_that_is_no_pass() -> None:
    other = fingerprint_files([_entry("a", "x")])
    for found, blobs in ((other, {}), (other.digest, None)):
        whole, file = _content(_report(found, blobs))
        assert (whole.status, file.status) == (Status.FAILED, Status.NOT_PERFORMED)


def test_a_manifest_of_another_dataset_is_not_believed() -> None:
    other = fingerprint_files([_entry("a", "x")])
    manifest = Digest.of(encode_manifest(BEFORE))
    for lie in (encode_manifest(other), b"", b"\n", encode_manifest(BEFORE)[:-1]):
        whole, file = _content(_report(other, {manifest: lie}))
        assert (whole.status, file.status, file.where) == (Status.FAILED, Status.FAILED, None)


class _Damaged(Mapping[Digest, bytes]):
    """Blobs on a failing disk."""

    def __getitem__(self, digest: Digest) -> bytes:
        raise StoreError("a blob is damaged", where="/blobs")

    def __iter__(self) -> Iterator[Digest]:
        return iter(())

    def __len__(self) -> int:
        return 0


def test_a_manifest_that_cannot_be_read_is_said_and_stops_nothing() -> None:
    whole, file = _content(_report(fingerprint_files([_entry("a", "x")]), _Damaged()))
    assert (whole.status, file.status, file.note) == (Status.FAILED, Status.FAILED, "a blob is damaged")
    assert _report(BEFORE, _Damaged()).sound


def test_contents_of_something_else_fail() -> None:
    lineage = _lineage()
    finding = ContentFinding(Digest.of(b""), "/elsewhere")
    for name in ("forge/y@1", "forge/x@2", "forge/x", ""):
        report = verify_evidence(lineage.evidence("x"), lineage.trust(), contents={name: finding})
        (check,) = report.failures[:-1]
        assert (check.id, check.subject, check.where) == ("content", name, "/elsewhere")
        assert not report.sound


def test_hostile_paths_are_printable_in_a_report() -> None:
    before = fingerprint_files([_entry("a\x1b[2J\nverified: true", "1")])
    report = _report(fingerprint_files([_entry("b", "2")]), before=before)
    assert all(check.note.isprintable() for check in report.checks)


RECORDS = RecordFingerprint(3, Digest.of(b"rows"), Digest.of(b"schema"), 3, Digest.of(b"index"))


def _with_records(report: Report) -> dict[str, Status]:
    return {check.id: check.status for check in report.checks if check.id.startswith("content")}


@pytest.mark.parametrize("stated", [BEFORE, BEFORE.with_records(RECORDS)])
def test_the_same_files_pass_and_records_hashed_on_one_side_only_are_said_to_be(stated: Fingerprint) -> None:
    found = BEFORE if stated.document.records else BEFORE.with_records(RECORDS)
    report = _report(found, before=stated)
    assert _with_records(report) == {"content": Status.PASSED, "content.records": Status.NOT_PERFORMED}
    assert report.level is Level.D2


def test_the_same_files_and_records_pass() -> None:
    stated = BEFORE.with_records(RECORDS)
    assert _with_records(_report(stated, before=stated)) == {"content": Status.PASSED}


@pytest.mark.parametrize(
    ("changed", "expected", "found"),
    [
        (replace(RECORDS, root=Digest.of(b"other")), RECORDS.root, Digest.of(b"other")),
        (replace(RECORDS, schema=Digest.of(b"other")), RECORDS.schema, Digest.of(b"other")),
    ],
)
def test_other_records_of_the_same_files_fail(changed: RecordFingerprint, expected: Digest, found: Digest) -> None:
    report = _report(BEFORE.with_records(changed), before=BEFORE.with_records(RECORDS))
    assert _with_records(report) == {"content": Status.FAILED, "content.records": Status.FAILED}
    (check,) = [check for check in report.checks if check.id == "content.records"]
    assert (check.expected, check.found) == (expected.hex, found.hex)


def test_changed_files_are_named_whatever_is_said_of_records() -> None:
    found = fingerprint_files([_entry("a", "x"), _entry("b", "2"), _entry("dir/c", "3")])
    report = _report(found, before=BEFORE.with_records(RECORDS))
    assert [check.where for check in _content(report)] == ["/x", "a"]
    assert _with_records(report)["content"] is Status.FAILED
