"""Entries, tiles and checkpoints."""

from __future__ import annotations

import hashlib
import random

import pytest

from provenance.errors import ConflictError, LimitError, MalformedError
from provenance.limits import MAX_ENTRY_BYTES, MAX_UINT64
from provenance.stores import CheckpointRow, EntryRow, Store, StoreReader, open_store
from tests.conformance.stores.samples import append, assert_whole, envelope

ROOT = hashlib.sha256(b"root").digest()


def test_an_empty_store_has_nothing(store: Store) -> None:
    assert store.size() == 0
    assert store.entry(0) is None
    assert list(store.entries(0, 10)) == []
    assert store.tile(0, 0) is None
    assert store.checkpoint() is None
    assert store.checkpoint_at(0) is None
    assert store.checkpoint_covering(0) is None
    assert store.checkpoints() == []


def test_what_was_appended_comes_back_after_reopening(store: Store, location: str) -> None:
    sizes = [1, 255, 1, 300, 17]
    for count in sizes:
        with store.transaction() as tx:
            start = tx.size()
            row = append(tx, [envelope(i) for i in range(start, start + count)])
        assert store.checkpoint() == row
    total = sum(sizes)
    store.close()
    with open_store(location) as reader:
        assert assert_whole(reader) == total
        for index in range(0, total, 13):
            data = envelope(index)
            assert reader.entry(index) == EntryRow(index, data)


@pytest.mark.parametrize(
    ("start", "count"), [(0, 0), (0, 1), (5, 3), (255, 2), (299, 1), (299, 5), (300, 5), (0, 10**30)]
)
def test_ranges_are_cut_at_the_end(store: Store, start: int, count: int) -> None:
    with store.transaction() as tx:
        append(tx, [envelope(i) for i in range(300)])
    expected = [envelope(i) for i in range(start, min(300, start + count))]
    assert [row.envelope for row in store.entries(start, count)] == expected


def test_an_entry_of_the_largest_size_is_kept_and_one_byte_more_is_refused(store: Store) -> None:
    largest = bytes(MAX_ENTRY_BYTES)
    with store.transaction() as tx:
        append(tx, [largest])
    row = store.entry(0)
    assert row is not None and row.envelope == largest
    with pytest.raises(LimitError), store.transaction() as tx:
        tx.append_entries(1, [largest + b"x"])
    assert store.size() == 1


SIZES = [1, 2, 20, 250, 250, 1_024, 1_024, 3_000, 40_000, MAX_ENTRY_BYTES]
COUNTS = [1, 1, 1, 2, 3, 7, 31, 100, 155, 256, 257, 300]


@pytest.mark.parametrize("seed", range(12))
def test_batches_of_any_size_against_a_list(store: Store, seed: int) -> None:
    """However entries come, a batch, several, or one after another in one transaction, they are read like a list."""
    chance = random.Random(seed)
    expected: list[bytes] = []
    sizes = chance.sample(SIZES, 3)

    def new() -> list[bytes]:
        count = chance.choice(COUNTS)
        return [chance.randbytes(chance.choice(sizes)) for _ in range(count if max(sizes) < 40_000 else count % 60)]

    def compare(reader: StoreReader) -> None:
        size = len(expected)
        assert reader.size() == size
        for index in chance.sample(range(size + 2), min(size + 2, 12)):
            row = reader.entry(index)
            assert row == (EntryRow(index, expected[index]) if index < size else None)
        for _ in range(3):
            start, count = chance.randrange(size + 2), chance.choice([0, 1, 2, 255, 256, 257, 2_000])
            rows = list(reader.entries(start, count))
            assert [row.envelope for row in rows] == expected[start : start + count]
            assert [row.index for row in rows] == list(range(start, start + len(rows)))

    for _ in range(10):
        batches = [new() for _ in range(chance.choice([1, 1, 3]))]
        if chance.random() < 0.3:
            batches = [[one] for batch in batches for one in batch]
        if chance.random() < 0.2:
            with pytest.raises(KeyError), store.transaction() as tx:
                for batch in batches:
                    tx.append_entries(tx.size(), batch)
                raise KeyError
        else:
            with store.transaction() as tx:
                for batch in batches:
                    expected += batch
                    assert tx.append_entries(len(expected) - len(batch), batch) == len(expected)
                    with pytest.raises(ConflictError):
                        tx.append_entries(len(expected) + 1, [b"x"])
                compare(tx)
        compare(store)
    with store.snapshot() as snapshot, store.transaction() as tx:
        before = list(expected)
        tx.append_entries(len(expected), [b"later"])
        expected = [*before, b"later"]
        compare(tx)
        expected = before
        compare(snapshot)
    expected.append(b"later")
    assert [row.envelope for row in store.entries(0, 10**6)] == expected
    assert store.check() == []


def test_readers_see_entries_while_they_are_packed(store: Store) -> None:
    """A reader that goes through a bundle while it is completed and packed misses nothing and reads nothing twice."""
    seen = []
    for index in range(250):
        with store.transaction() as tx:
            tx.append_entries(index, [envelope(index)])
    for row in store.entries(0, 1_000):
        seen.append(row.envelope)
        if row.index in (10, 63, 64, 100, 200):
            with store.transaction() as tx:
                start = tx.size()
                tx.append_entries(start, [envelope(index) for index in range(start, start + 3)])
    assert seen[:250] == [envelope(index) for index in range(250)]
    assert seen == [envelope(index) for index in range(len(seen))]


@pytest.mark.parametrize("entry", [b"", "text", bytearray(b"x"), None])
def test_entries_of_another_form_are_refused(store: Store, entry: bytes) -> None:
    with store.transaction() as tx:
        with pytest.raises(MalformedError):
            tx.append_entries(0, [b"good", entry])
        assert tx.size() == 0


@pytest.mark.parametrize("first_index", [0, 2, 4, -1, 2**70])
def test_entries_must_continue_the_log(store: Store, first_index: int) -> None:
    with store.transaction() as tx:
        append(tx, [envelope(i) for i in range(3)])
    with pytest.raises(ConflictError), store.transaction() as tx:
        tx.append_entries(first_index, [b"x"])
    assert store.size() == 3


@pytest.mark.parametrize("bad", [-1, True, 1.0, "1", None])
def test_indexes_that_are_no_index_are_refused(store: Store, bad: int) -> None:
    for call in (
        lambda: store.entry(bad),
        lambda: store.entries(bad, 1),
        lambda: store.entries(0, bad),
        lambda: store.tile(bad, 0),
        lambda: store.tile(0, bad),
        lambda: store.checkpoint_at(bad),
        lambda: store.checkpoint_covering(bad),
    ):
        with pytest.raises(MalformedError):
            call()


def test_indexes_beyond_any_row_find_nothing(store: Store) -> None:
    with store.transaction() as tx:
        append(tx, [b"x"])
    for index in (1, 2**63 - 1, 2**63, MAX_UINT64, 2**200):
        assert store.entry(index) is None
        assert store.tile(0, index) is None
        assert store.tile(index, 0) is None
        assert store.checkpoint_at(index) is None
        assert list(store.entries(index, 5)) == []


def test_a_tile_grows_and_never_changes(store: Store) -> None:
    hashes = [bytes([n]) * 32 for n in range(256)]
    with store.transaction() as tx:
        tx.put_tiles({(0, 0): hashes[0], (63, 5): b"".join(hashes)})
    with store.transaction() as tx:
        tx.put_tiles({(0, 0): b"".join(hashes[:3])})
        tx.put_tiles({(0, 0): b"".join(hashes[:3])})
    assert store.tile(0, 0) == b"".join(hashes[:3])
    assert store.tile(63, 5) == b"".join(hashes)
    for data in (b"".join(hashes[:2]), b"".join([hashes[0], hashes[9], hashes[2], hashes[3]]), hashes[1] * 3):
        with store.transaction() as tx:
            with pytest.raises(ConflictError):
                tx.put_tiles({(1, 0): hashes[7], (0, 0): data})
            assert tx.tile(1, 0) is None, "a refused call leaves nothing"
    assert store.tile(0, 0) == b"".join(hashes[:3])


@pytest.mark.parametrize(
    ("key", "data"),
    [
        *[((0, 0), b""), ((0, 0), bytes(31)), ((0, 0), bytes(33)), ((0, 0), bytes(257 * 32)), ((0, 0), "x" * 32)],
        *[((64, 0), bytes(32)), ((-1, 0), bytes(32)), ((0, -1), bytes(32)), ((True, 0), bytes(32))],
    ],
)
def test_tiles_of_another_form_are_refused(store: Store, key: tuple[int, int], data: bytes) -> None:
    with store.transaction() as tx, pytest.raises(MalformedError):
        tx.put_tiles({key: data})


def test_the_checkpoint_moves_by_compare_and_swap(store: Store) -> None:
    with store.transaction() as tx:
        tx.set_checkpoint(CheckpointRow(0, ROOT, b"empty"), expected_size=None)
    with store.transaction() as tx:
        tx.append_entries(0, [envelope(i) for i in range(5)])
        tx.set_checkpoint(CheckpointRow(3, ROOT, b"three"), expected_size=0)
    current = store.checkpoint()
    for expected_size in (None, 0, 2, 4, 5):
        with pytest.raises(ConflictError), store.transaction() as tx:
            tx.set_checkpoint(CheckpointRow(5, ROOT, b"five"), expected_size=expected_size)
    assert store.checkpoint() == current == CheckpointRow(3, ROOT, b"three")


@pytest.mark.parametrize(
    "row", [CheckpointRow(2, ROOT, b"back"), CheckpointRow(3, bytes(32), b"fork"), CheckpointRow(6, ROOT, b"beyond")]
)
def test_the_checkpoint_never_goes_back_forks_or_runs_ahead(store: Store, row: CheckpointRow) -> None:
    with store.transaction() as tx:
        tx.append_entries(0, [envelope(i) for i in range(5)])
        tx.set_checkpoint(CheckpointRow(3, ROOT, b"three"), expected_size=None)
    with pytest.raises(ConflictError), store.transaction() as tx:
        tx.set_checkpoint(row, expected_size=3)
    assert store.checkpoint() == CheckpointRow(3, ROOT, b"three")


def test_a_checkpoint_may_gain_signatures(store: Store) -> None:
    with store.transaction() as tx:
        tx.append_entries(0, [b"x"])
        tx.set_checkpoint(CheckpointRow(1, ROOT, b"one"), expected_size=None)
        tx.set_checkpoint(CheckpointRow(1, ROOT, b"one, cosigned"), expected_size=1)
    assert store.checkpoint() == CheckpointRow(1, ROOT, b"one, cosigned")


def test_kept_checkpoints_stay(store: Store) -> None:
    rows = [CheckpointRow(size, hashlib.sha256(b"%d" % size).digest(), b"note %d" % size) for size in (3, 10, 256)]
    with store.transaction() as tx:
        for row in rows:
            tx.keep_checkpoint(row)
    assert store.checkpoints() == rows
    assert store.checkpoints(after_size=3, limit=1) == rows[1:2]
    assert [store.checkpoint_at(size) for size in (3, 4, 256)] == [rows[0], None, rows[2]]
    assert [store.checkpoint_covering(index) for index in (0, 2, 3, 9, 255, 256)] == [
        *rows[:1] * 2,
        *rows[1:2] * 2,
        rows[2],
        None,
    ]
    cosigned = CheckpointRow(10, rows[1].root, b"note 10, cosigned")
    with store.transaction() as tx:
        tx.keep_checkpoint(cosigned)
        with pytest.raises(ConflictError):
            tx.keep_checkpoint(CheckpointRow(10, bytes(32), b"fork"))
    assert store.checkpoint_at(10) == cosigned
    assert store.checkpoint() is None


@pytest.mark.parametrize(
    "row", [CheckpointRow(1, bytes(31), b""), CheckpointRow(-1, ROOT, b""), CheckpointRow(2**63, ROOT, b"")]
)
def test_checkpoints_of_another_form_are_refused(store: Store, row: CheckpointRow) -> None:
    with store.transaction() as tx:
        with pytest.raises(MalformedError):
            tx.set_checkpoint(row, expected_size=None)
        with pytest.raises(MalformedError):
            tx.keep_checkpoint(row)
