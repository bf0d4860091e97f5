"""Datasets, parents, files and locations."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

import pytest

from provenance.encoding import Digest
from provenance.errors import ConflictError, MalformedError, ProvenanceError
from provenance.stores import DatasetRow, EventRow, FileMatch, FileRow, LocationRow, Store
from tests.conformance.stores.samples import append, dataset, envelope, parent


def fill(store: Store, rows: list[DatasetRow], entries: int | None = None) -> None:
    """Entries enough for `rows`, and `rows` without parents and files."""
    with store.transaction() as tx:
        append(tx, [envelope(i) for i in range(entries or max(row.entry_index for row in rows) + 1)])
        for row in rows:
            tx.add_dataset(row, [], [])


def test_an_empty_index_has_nothing(store: Store) -> None:
    digest = Digest.of(b"x")
    assert store.index_size() == 0
    assert store.dataset("a", "b", "c") is None
    assert store.dataset_at(0) is None
    assert store.dataset_latest("a", "b") is None
    for found in (
        store.datasets_by_digest(digest),
        store.datasets_by_root(digest.raw),
        store.datasets_by_prefix("a"),
        store.datasets_by_file(digest),
        store.datasets_page(),
        store.versions("a", "b"),
        store.parents(0),
        store.children(0),
        store.ancestors(0),
        store.descendants(0),
        store.ancestor_edges(0),
        store.locations(0),
        store.locations_at("/a"),
    ):
        assert found == []


def test_rows_come_back_as_they_were_added(store: Store) -> None:
    rows = [dataset(index) for index in (0, 1, 2, 3, 5, 6, 10, 15)]
    fill(store, rows)
    assert store.datasets_page() == rows
    for row in rows:
        assert store.dataset(row.namespace, row.name, row.version) == row
        assert store.dataset_at(row.entry_index) == row
        assert store.datasets_by_digest(row.digest) == [row]
        assert store.datasets_by_root(row.file_root) == [row]
        assert row.record_root is None or store.datasets_by_root(row.record_root) == [row]
    assert store.dataset_at(4) is None


def test_text_of_any_script_and_quoting_is_kept(store: Store) -> None:
    names = ["Größe", "данные", "資料", "x'; DROP TABLE datasets; --", 'a"b', "a\x00b", "%", "_", "é", "e\u0301", "🦀"]
    fill(store, [dataset(index, name) for index, name in enumerate(names)])
    for index, name in enumerate(names):
        found = store.dataset("weather", name, "1")
        assert found is not None and found.entry_index == index
    assert store.dataset("weather", "größe", "1") is None, "names are compared byte for byte"


def test_a_lone_surrogate_is_refused(store: Store) -> None:
    with pytest.raises(MalformedError):
        store.dataset("a", "\ud800", "1")
    with pytest.raises(MalformedError), store.transaction() as tx:
        append(tx, [b"x"])
        tx.add_dataset(dataset(0, "\udcff"), [], [])


def test_versions_and_the_latest(store: Store) -> None:
    order = [(0, "iris", "1"), (1, "iris", "3"), (2, "titanic", "1"), (3, "iris", "2"), (4, "iri", "9")]
    fill(store, [dataset(index, name, version) for index, name, version in order])
    assert [row.version for row in store.versions("weather", "iris")] == ["1", "3", "2"]
    assert [row.version for row in store.versions("weather", "iris", after=0, limit=1)] == ["3"]
    latest = store.dataset_latest("weather", "iris")
    assert latest is not None and latest.version == "2"
    assert store.dataset_latest("Weather", "iris") is None
    assert store.versions("weather", "ir%") == []


def test_a_name_and_version_is_indexed_once_and_an_entry_too(store: Store) -> None:
    fill(store, [dataset(0, "a")], entries=4)
    for row in (dataset(1, "a"), replace(dataset(1, "b"), entry_index=0)):
        with store.transaction() as tx, pytest.raises(ConflictError):
            tx.add_dataset(row, [parent(row.entry_index, 0, dataset(0, "a"))], [FileRow(Digest.of(b"f"), "f")])
    assert store.datasets_page() == [dataset(0, "a")]
    assert store.parents(1) == store.parents(0) == []
    assert store.datasets_by_file(Digest.of(b"f")) == []
    fill_again = [dataset(1, "a", "2"), dataset(2, "a", namespace="other")]
    with store.transaction() as tx:
        for row in fill_again:
            tx.add_dataset(row, [], [])


def test_the_index_holds_only_what_is_in_the_log(store: Store) -> None:
    fill(store, [dataset(0)])
    with store.transaction() as tx:
        with pytest.raises(ConflictError):
            tx.add_dataset(dataset(1), [], [])
        with pytest.raises(ConflictError):
            tx.add_location(LocationRow(1, "/data", 0))
        with pytest.raises(ConflictError):
            tx.set_index_size(2, expected_size=0)


def test_the_index_size_moves_by_compare_and_swap(store: Store) -> None:
    fill(store, [dataset(4)])
    with store.transaction() as tx:
        tx.set_index_size(3, expected_size=0)
        for expected_size in (0, 2, 4):
            with pytest.raises(ConflictError):
                tx.set_index_size(5, expected_size=expected_size)
        with pytest.raises(MalformedError):
            tx.set_index_size(-1, expected_size=3)
        tx.set_index_size(5, expected_size=3)
    assert store.index_size() == 5


def test_pages_by_cursor_visit_everything_once(store: Store) -> None:
    rows = [dataset(index, namespace="even" if index % 2 == 0 else "odd") for index in range(0, 60, 3)]
    fill(store, rows)
    for namespace in (None, "even", "odd", "none"):
        found: list[DatasetRow] = []
        while page := store.datasets_page(after=found[-1].entry_index if found else None, limit=3, namespace=namespace):
            found += page
        assert found == [row for row in rows if namespace in (None, row.namespace)]


def test_prefixes_against_a_naive_search(store: Store) -> None:
    rng = random.Random(1)
    rows = [dataset(index) for index in range(300)]
    digests = [Digest(rng.randbytes(32)) for _ in range(298)] + [Digest(bytes(32)), Digest(b"\xff" * 32)]
    rows = [replace(row, digest=digest) for row, digest in zip(rows, digests, strict=True)]
    fill(store, rows)
    prefixes = [digest.hex[: rng.randint(1, 64)] for digest in digests] + ["0", "f", "0" * 64, "f" * 64, "abc", "12345"]
    for prefix in prefixes:
        expected = [row for row in rows if row.digest.hex.startswith(prefix)]
        assert store.datasets_by_prefix(prefix) == expected
        assert store.datasets_by_prefix(prefix, limit=1) == expected[:1]


@pytest.mark.parametrize("prefix", ["", "g", "AB", "0x1", "a" * 65, "a%", " a", "a\n", "é", b"ab", None])
def test_prefixes_of_another_form_are_refused(store: Store, prefix: str) -> None:
    with pytest.raises(MalformedError):
        store.datasets_by_prefix(prefix)


def test_the_same_content_under_several_names(store: Store) -> None:
    rows = [replace(dataset(index), digest=Digest.of(b"same"), file_root=bytes(32)) for index in range(3)]
    fill(store, [*rows, dataset(3)])
    assert store.datasets_by_digest(Digest.of(b"same")) == rows
    assert store.datasets_by_digest(Digest.of(b"same"), limit=2) == rows[:2]
    assert store.datasets_by_root(bytes(32)) == rows


def test_a_dataset_is_found_by_any_one_file(store: Store) -> None:
    a, b = dataset(0), dataset(1)
    with store.transaction() as tx:
        append(tx, [envelope(0), envelope(1)])
        tx.add_dataset(a, [], [FileRow(Digest.of(b"1"), "one.csv"), FileRow(Digest.of(b"2"), "two.csv")])
        tx.add_dataset(b, [], [FileRow(Digest.of(b"1"), "b/x.csv"), FileRow(Digest.of(b"1"), "a/x.csv")])
    assert store.datasets_by_file(Digest.of(b"1")) == [
        FileMatch(a, "one.csv"),
        FileMatch(b, "a/x.csv"),
        FileMatch(b, "b/x.csv"),
    ]
    assert store.datasets_by_file(Digest.of(b"1"), limit=1) == [FileMatch(a, "one.csv")]
    assert store.datasets_by_file(Digest.of(b"2")) == [FileMatch(a, "two.csv")]
    assert store.datasets_by_file(Digest.of(b"3")) == []


def test_paths_of_any_length_are_kept(store: Store) -> None:
    paths = [random.Random(seed).randbytes(2_040).hex() + name for seed, name in ((1, "/a"), (1, "/b"), (2, "/a"))]
    with store.transaction() as tx:
        append(tx, [envelope(0)])
        tx.add_dataset(dataset(0), [], [FileRow(Digest.of(b"f"), path) for path in paths])
        for path in paths:
            tx.add_location(LocationRow(0, f"/{path}", 1))
    assert [match.path for match in store.datasets_by_file(Digest.of(b"f"))] == sorted(paths)
    for path in paths:
        assert store.locations_at(f"/{path}") == [LocationRow(0, f"/{path}", 1)]


def test_a_file_is_named_once(store: Store) -> None:
    files = [FileRow(Digest.of(b"f"), name) for name in ("a", "b", "a")]
    with store.transaction() as tx:
        append(tx, [envelope(0)])
        with pytest.raises(ConflictError):
            tx.add_dataset(dataset(0), [], files)
        tx.add_dataset(dataset(0), [], files[:2])
    assert [match.path for match in store.datasets_by_file(Digest.of(b"f"))] == ["a", "b"]


def test_files_that_fail_half_way_leave_nothing(store: Store) -> None:
    def files() -> Iterator[FileRow]:
        for number in range(1_000):
            yield FileRow(Digest.of(b"%d" % number), f"{number}.csv")
        raise ProvenanceError("the manifest ends early")

    with store.transaction() as tx:
        append(tx, [envelope(0)])
        with pytest.raises(ProvenanceError, match="ends early"):
            tx.add_dataset(dataset(0), [], files())
        assert tx.datasets_page() == []
        assert tx.datasets_by_file(Digest.of(b"1")) == []
        tx.add_dataset(dataset(0), [], [FileRow(Digest.of(b"1"), "1.csv")])
    assert store.datasets_page() == [dataset(0)]


def test_parents_keep_their_order_and_children_are_found(store: Store) -> None:
    a, b, c = dataset(0), dataset(1), dataset(2)
    rows = [parent(2, 0, b), parent(2, 1, a), parent(2, 2, dataset(9), resolved=False)]
    with store.transaction() as tx:
        append(tx, [envelope(i) for i in range(4)])
        tx.add_dataset(a, [], [])
        tx.add_dataset(b, [parent(1, 0, a)], [])
        tx.add_dataset(c, rows, [])
        with pytest.raises(MalformedError):
            tx.add_dataset(dataset(3), [parent(2, 7, a)], [])
        with pytest.raises(ConflictError):
            tx.add_dataset(dataset(3), [parent(3, 0, a), parent(3, 0, b)], [])
    assert store.parents(2) == rows
    assert store.children(0) == [b, c]
    assert store.children(0, after=1) == [c]
    assert store.children(0, limit=1) == [b]
    assert store.children(2) == []


def test_a_parent_that_comes_later_is_linked(store: Store) -> None:
    late = dataset(2)
    with store.transaction() as tx:
        append(tx, [envelope(i) for i in range(3)])
        tx.add_dataset(dataset(0), [parent(0, 0, late, resolved=False)], [])
        near = replace(parent(1, 0, late, resolved=False), version="2")
        tx.add_dataset(dataset(1), [near, parent(1, 1, late, resolved=False)], [])
        tx.add_dataset(late, [], [])
        assert tx.children(2) == []
        assert tx.link_parents(late) == 2
        assert tx.link_parents(late) == 0
    assert store.children(2) == [dataset(0), dataset(1)]
    assert store.parents(1) == [near, parent(1, 1, late)]


def test_clearing_loses_only_what_can_be_derived(store: Store) -> None:
    with store.transaction() as tx:
        append(tx, [envelope(i) for i in range(3)])
        for index in range(3):
            parents = [parent(index, 0, dataset(index - 1))] if index else []
            tx.add_dataset(dataset(index), parents, [FileRow(Digest.of(b"f"), "f")])
        tx.set_index_size(3, expected_size=0)
        tx.add_location(LocationRow(1, "/data/one", 5))
    with store.transaction() as tx:
        tx.clear_index()
    assert store.index_size() == 0
    assert store.datasets_page() == []
    assert store.parents(1) == []
    assert store.datasets_by_file(Digest.of(b"f")) == []
    assert store.size() == 3
    assert store.locations(1) == [LocationRow(1, "/data/one", 5)]
    with store.transaction() as tx:
        tx.add_dataset(dataset(0), [], [])


def test_events_are_found_by_what_they_are_about(store: Store) -> None:
    one, other = Digest.of(b"one"), Digest.of(b"other")
    rows = [EventRow(n, one if n != 1 else other, f"urn:x:{n}", "k", "2026-01-01T00:00:00Z") for n in range(3)]
    with store.transaction() as tx:
        append(tx, [envelope(n) for n in range(3)])
        for row in rows:
            tx.add_event(row)
        assert tx.events_about(one) == [rows[0], rows[2]]
    assert store.events_about(one) == [rows[0], rows[2]]
    assert store.events_about(one, after=0) == [rows[2]]
    assert store.events_about(one, limit=1) == [rows[0]]
    assert store.events_about(Digest.of(b"third")) == []
    with pytest.raises(ConflictError), store.transaction() as tx:
        tx.add_event(rows[0])
    with store.transaction() as tx:
        tx.clear_index()
    assert store.events_about(one) == []


def test_events_are_found_by_who_said_them_and_when(store: Store) -> None:
    about, times = Digest.of(b"one"), [f"2026-01-0{day}T00:00:00Z" for day in (3, 1, 2, 1, 2)]
    rows = [EventRow(n, about, "urn:x", "k", time) for n, time in enumerate(times)]
    rows += [EventRow(5, about, "urn:y", "k", times[0]), EventRow(6, about, "urn:x", "other", times[0])]
    rows.append(EventRow(7, Digest.of(b"other"), "urn:x", "k", times[0]))
    with store.transaction() as tx:
        append(tx, [envelope(n) for n in range(8)])
        for row in rows:
            tx.add_event(row)
        assert tx.events_by(about, "k", "urn:x", since=times[2]) == [rows[2], rows[4], rows[0]]
    assert store.events_by(about, "k", "urn:x", since="") == [rows[1], rows[3], rows[2], rows[4], rows[0]]
    assert store.events_by(about, "k", "urn:x", since="", limit=2) == [rows[1], rows[3]]
    assert store.events_by(about, "k", "urn:z", since="") == store.events_by(about, "k", "urn:x", since="3") == []


def test_locations_are_remembered_by_entry_and_by_path(store: Store) -> None:
    strange = "/data/\udcff\udcfe (bytes that are no UTF-8)"
    rows = [LocationRow(0, "/a", 1), LocationRow(0, "/b", 3), LocationRow(1, "/a", 2), LocationRow(1, strange, 4)]
    rows.append(LocationRow(1, "s3://bucket/set", 0))
    with store.transaction() as tx:
        append(tx, [envelope(0), envelope(1)])
        for row in rows:
            tx.add_location(row)
    assert store.locations(0) == [rows[1], rows[0]]
    assert store.locations_at("/a") == [rows[2], rows[0]]
    assert store.locations_at("/a", limit=1) == [rows[2]]
    assert store.locations_at(strange) == [rows[3]]
    assert store.locations_at("s3://bucket/set") == [rows[4]]
    assert store.locations_at("/a/") == []
    with store.transaction() as tx:
        tx.add_location(LocationRow(0, "/a", 9))
        for bad in ("", "relative", "../up", "://", "s3://", "3s://b", "/\ud800"):
            with pytest.raises(MalformedError):
                tx.add_location(LocationRow(0, bad, 1))
    assert store.locations(0) == [LocationRow(0, "/a", 9), rows[1]]
