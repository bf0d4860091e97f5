"""Differences between two sets of files, held against what a naive reader of both listings would say."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provenance.encoding import Digest
from provenance.fingerprint import Change, ChangeKind, FileEntry, diff_files

ADDED, REMOVED, CHANGED, RENAMED, SWAPPED = ChangeKind
Files = dict[str, str]

FILES = st.dictionaries(st.sampled_from("abcdefgh"), st.sampled_from(["", "1", "2", "33"]), max_size=8)


def _entries(files: Files) -> list[FileEntry]:
    return [FileEntry(path, len(content), Digest.of(content.encode())) for path, content in files.items()]


def _diff(before: Files, after: Files) -> tuple[Change, ...]:
    return diff_files(_entries(before), _entries(after))


def _said(before: Files, after: Files) -> list[tuple[str, str, str | None]]:
    return [(str(change.kind), change.path, change.other) for change in _diff(before, after)]


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ({"a": "1"}, {"a": "1"}, []),
        ({}, {}, []),
        ({"a": "1", "b": "2"}, {"a": "2", "b": "1"}, [("swapped", "a", "b")]),
        ({"a": "1"}, {"b": "1"}, [("renamed", "a", "b")]),
        ({"a": "1"}, {"a": "2"}, [("changed", "a", None)]),
        ({"a": "1"}, {"a": "1", "b": "2"}, [("added", "b", None)]),
        ({"a": "1", "b": "2"}, {"a": "1"}, [("removed", "b", None)]),
        ({"a": "1"}, {"A": "1"}, [("renamed", "a", "A")]),
        ({"a": "1", "b": ""}, {"a": "", "b": "1"}, [("swapped", "a", "b")]),
        # Renamed and edited at once: nothing joins the two.
        ({"a": "1"}, {"b": "2"}, [("removed", "a", None), ("added", "b", None)]),
        # b overwrote a.
        ({"a": "1", "b": "2"}, {"a": "2"}, [("changed", "a", "b"), ("removed", "b", None)]),
        # A copy is no rename.
        ({"a": "1"}, {"a": "1", "b": "1"}, [("added", "b", None)]),
        # Three in a ring are no swap.
        (
            {"a": "1", "b": "2", "c": "3"},
            {"a": "2", "b": "3", "c": "1"},
            [("changed", "a", "b"), ("changed", "b", "c"), ("changed", "c", "a")],
        ),
        # Which of the equal ones was swapped is told by what the others hold now.
        (
            {"a": "x", "b": "y", "c": "y"},
            {"a": "y", "b": "z", "c": "x"},
            [("swapped", "a", "c"), ("changed", "b", None)],
        ),
        # Two swaps of the same two contents.
        (
            {"a": "1", "b": "2", "c": "1", "d": "2"},
            {"a": "2", "b": "1", "c": "2", "d": "1"},
            [("swapped", "a", "b"), ("swapped", "c", "d")],
        ),
        # Two renamed files of one content.
        ({"a": "1", "b": "1"}, {"c": "1", "d": "1"}, [("renamed", "a", "c"), ("renamed", "b", "d")]),
        # A file that became empty holds nobody's content.
        (
            {"a": "1", "b": ""},
            {"a": "", "c": "2"},
            [("changed", "a", None), ("removed", "b", None), ("added", "c", None)],
        ),
    ],
)
def test_what_is_said(before: Files, after: Files, said: list[tuple[str, str, str | None]]) -> None:
    assert _said(before, after) == said


def _replay(before: Files, after: Files, changes: tuple[Change, ...]) -> Files:
    """What `before` becomes when the changes are done to it, one by one, as their words say."""
    files = dict(before)
    for change in changes:
        match change.kind:
            case ChangeKind.ADDED:
                assert change.path not in before
                files[change.path] = after[change.path]
            case ChangeKind.REMOVED:
                del files[change.path]
            case ChangeKind.CHANGED:
                files[change.path] = after[change.path]
            case ChangeKind.RENAMED:
                assert change.other is not None
                files[change.other] = files.pop(change.path)
            case ChangeKind.SWAPPED:
                assert change.other is not None
                files[change.path], files[change.other] = files[change.other], files[change.path]
    return files


def _expected_counts(before: Files, after: Files) -> dict[str, int]:
    """How often each word must be said: pair off equal contents, count the rest."""
    both = before.keys() & after.keys()
    moves = Counter((before[path], after[path]) for path in both if before[path] != after[path])
    swaps = sum(min(moves[x, y], moves[y, x]) for x, y in combinations(sorted({c for m in moves for c in m}), 2))
    gone = Counter(before[path] for path in before.keys() - both)
    new = Counter(after[path] for path in after.keys() - both)
    renames = (gone & new).total()
    return {
        "swapped": swaps,
        "changed": moves.total() - 2 * swaps,
        "renamed": renames,
        "removed": gone.total() - renames,
        "added": new.total() - renames,
    }


@settings(max_examples=1_500, deadline=None)
@given(FILES, FILES)
def test_changes_lead_from_one_to_the_other_and_say_no_more_than_they_must(before: Files, after: Files) -> None:
    changes = _diff(before, after)
    assert _replay(before, after, changes) == after
    counts = Counter(str(change.kind) for change in changes)
    assert {word: counts[word] for word in _expected_counts(before, after)} == _expected_counts(before, after)
    assert (not changes) is (before == after)
    told = [change.path for change in changes]
    told += [change.other for change in changes if change.other and change.kind in (RENAMED, SWAPPED)]
    differing = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    assert sorted(told) == sorted(differing)
    assert [change.path for change in changes] == sorted(change.path for change in changes)


@settings(max_examples=500, deadline=None)
@given(FILES, FILES)
def test_entries_come_with_the_change(before: Files, after: Files) -> None:
    for change in _diff(before, after):
        found_at = change.other if change.kind is RENAMED else change.path
        expected = change.expected.digest if change.expected else None
        found = change.found.digest if change.found else None
        assert expected == (Digest.of(before[change.path].encode()) if change.path in before else None)
        assert found == (Digest.of(after[found_at].encode()) if found_at in after else None)
        if change.kind is CHANGED and change.other:
            assert before[change.other] == after[change.path] != ""


@settings(max_examples=300, deadline=None)
@given(FILES, FILES)
def test_the_way_back_says_the_same_backwards(before: Files, after: Files) -> None:
    back = {"added": "removed", "removed": "added"}
    there = Counter(back.get(str(change.kind), str(change.kind)) for change in _diff(before, after))
    assert there == Counter(str(change.kind) for change in _diff(after, before))


def test_the_order_of_the_listings_means_nothing() -> None:
    before, after = {"b": "1", "a": "2", "c": "3"}, {"c": "1", "d": "2", "a": "3"}
    expected = _diff(before, after)
    assert diff_files(reversed(_entries(before)), reversed(_entries(after))) == expected


def test_many_files_of_one_content_cost_no_more_than_different_ones() -> None:
    """Quadratic pairing would take minutes."""
    before = {f"{n:06}": "1" if n % 2 else "2" for n in range(40_000)}
    after = {path: "2" if content == "1" else "1" for path, content in before.items()}
    assert len(_diff(before, after)) == 20_000
    assert len(_diff(before, {f"x{path}": content for path, content in before.items()})) == 40_000


@pytest.mark.parametrize("kind", list(ChangeKind))
def test_a_description_is_one_printable_line_that_names_the_path(kind: ChangeKind) -> None:
    entry = FileEntry("a\x1b[2J\n", 3, Digest.of(b"abc"))
    change = Change(kind, entry.path, "b\u202e\r", entry, entry)
    assert change.describe().isprintable()
    assert "a\\x1b[2J\\n" in change.describe()
    assert change.describe().startswith(str(kind))
