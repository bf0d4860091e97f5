"""All or nothing, one at a time, and readers that do not wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from provenance.errors import ConflictError, LimitError, StoreError
from provenance.stores import LocationRow, Store, StoreTransaction, open_store
from tests.conformance.stores.samples import anchor, append, assert_whole, dataset, envelope


def everything(tx: StoreTransaction) -> None:
    """Write to every table."""
    start = tx.size()
    row = append(tx, [envelope(i) for i in range(start, start + 3)])
    tx.keep_checkpoint(row)
    tx.outbox_add(anchor(row.size))
    tx.add_dataset(dataset(start), [], [])
    tx.set_index_size(start + 3, expected_size=tx.index_size())
    tx.add_location(LocationRow(start, f"/data/{start}", 7))


def contents(store: Store) -> list[object]:
    """What is in every table."""
    return [
        list(store.entries(0, 1_000)),
        store.tile(0, 0),
        store.checkpoint(),
        store.checkpoints(),
        store.outbox_pending(),
        store.datasets_page(),
        store.index_size(),
        store.locations_at("/data/0") + store.locations_at("/data/3"),
    ]


class Interrupt(BaseException):
    """Something that is no `Exception`, like a keyboard interrupt."""


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt, Interrupt, ConflictError])
def test_any_exception_undoes_everything(store: Store, failure: Callable[[str], BaseException]) -> None:
    with store.transaction() as tx:
        everything(tx)
    before = contents(store)
    error = failure("stop")
    with pytest.raises(type(error)) as raised, store.transaction() as tx:
        everything(tx)
        raise error
    assert raised.value is error
    assert contents(store) == before
    with store.transaction() as tx:
        everything(tx)
    assert assert_whole(store) == 6


def test_a_transaction_sees_its_own_writes_and_others_do_not(store: Store) -> None:
    with store.transaction() as tx:
        everything(tx)
        assert tx.size() == 3
        assert tx.dataset_at(0) is not None
        assert [row.id for row in tx.outbox_pending()] == [1]
        assert store.size() == 0
        assert store.dataset_at(0) is None
        assert store.outbox_pending() == []
    assert store.size() == 3


def test_transactions_do_not_nest(store: Store) -> None:
    with store.transaction() as tx:
        append(tx, [b"x"])
        with pytest.raises(StoreError, match="open in this thread"), store.transaction():
            pytest.fail("nested")
    assert store.size() == 1


def test_a_transaction_that_is_over_is_of_no_use(store: Store) -> None:
    with store.transaction() as tx:
        pass
    with pytest.raises(StoreError, match="over"):
        tx.size()
    with pytest.raises(StoreError, match="over"):
        tx.append_entries(0, [])
    with pytest.raises(RuntimeError), store.transaction() as tx:
        raise RuntimeError
    with pytest.raises(StoreError, match="over"):
        tx.checkpoint()


def test_a_method_that_raises_changed_nothing_and_the_transaction_goes_on(store: Store) -> None:
    with store.transaction() as tx:
        append(tx, [envelope(0), envelope(1)])
        tx.add_dataset(dataset(0, "same"), [], [])
        with pytest.raises(ConflictError):
            tx.add_dataset(dataset(1, "same"), [], [])
        tx.add_dataset(dataset(1, "other"), [], [])
    assert [row.name for row in store.datasets_page()] == ["same", "other"]


def test_a_snapshot_stays_as_it_was(store: Store) -> None:
    with store.transaction() as tx:
        everything(tx)
    with store.snapshot() as before:
        with store.transaction() as tx:
            everything(tx)
        assert before.size() == 3
        assert before.dataset_at(3) is None
        assert assert_whole(before) == 3
        assert store.size() == 6
    with pytest.raises(StoreError, match="over"):
        before.size()
    with store.snapshot() as after:
        assert after.size() == 6


def test_readers_do_not_wait_for_the_writer(store: Store) -> None:
    with store.transaction() as tx:
        everything(tx)
    begun, done = threading.Event(), threading.Event()

    def write() -> None:
        with store.transaction() as tx:
            everything(tx)
            begun.set()
            done.wait(20)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert begun.wait(20)
        started = time.monotonic()
        for _ in range(100):
            assert store.size() == 3
        with store.snapshot() as snapshot:
            assert assert_whole(snapshot) == 3
        assert time.monotonic() - started < 5
    finally:
        done.set()
        writer.join()
    assert store.size() == 6


def test_a_writer_waits_for_another_and_then_gives_up_with_a_hint(store: Store, location: str) -> None:
    with open_store(location, timeout_s=0.2) as other, store.transaction():
        started = time.monotonic()
        with pytest.raises(StoreError) as raised, other.transaction():
            pytest.fail("two writers")
        assert 0.1 < time.monotonic() - started < 10
        assert raised.value.hint
    with open_store(location, timeout_s=0.2) as other, other.transaction() as tx:
        append(tx, [b"x"])


def test_a_thread_gives_up_on_another_thread(location: str) -> None:
    begun, done = threading.Event(), threading.Event()
    with open_store(location, create=True, timeout_s=0.2) as store:

        def hold() -> None:
            with store.transaction():
                begun.set()
                done.wait(20)

        holder = threading.Thread(target=hold)
        holder.start()
        try:
            assert begun.wait(20)
            with pytest.raises(StoreError), store.transaction():
                pytest.fail("two writers")
        finally:
            done.set()
            holder.join()
        with store.transaction() as tx:
            append(tx, [b"x"])


def test_two_stores_on_one_location_see_each_other(store: Store, location: str) -> None:
    with open_store(location) as other:
        for round_ in range(4):
            with (store, other)[round_ % 2].transaction() as tx:
                everything(tx)
            assert contents(store) == contents(other)
        assert assert_whole(other) == 12


def test_a_closed_store_says_so(location: str) -> None:
    store = open_store(location, create=True)
    store.close()
    store.close()
    with pytest.raises(StoreError, match="closed"):
        store.size()
    with pytest.raises(StoreError, match="closed"), store.transaction():
        pytest.fail("closed")
    with pytest.raises(StoreError, match="closed"), store.snapshot():
        pytest.fail("closed")


def test_closing_waits_for_the_reader_in_progress(location: str) -> None:
    store = open_store(location, create=True)
    with store.snapshot() as snapshot:
        store.close()
        assert snapshot.size() == 0
    with pytest.raises(StoreError, match="closed"):
        store.size()


def test_reading_only(store: Store, location: str) -> None:
    with store.transaction() as tx:
        everything(tx)
    with open_store(location, read_only=True) as reader:
        assert contents(reader) == contents(store)
        with pytest.raises(StoreError, match="reading only"), reader.transaction():
            pytest.fail("read only")
        with store.transaction() as tx:
            everything(tx)
        assert reader.size() == 6


def test_a_missing_store_is_not_made_by_looking(location: str) -> None:
    for _ in range(2):
        with pytest.raises(StoreError) as raised:
            open_store(location)
        assert raised.value.hint and "init" in raised.value.hint
        with pytest.raises(StoreError):
            open_store(location, create=True, read_only=True)


def test_creating_over_a_store_keeps_it(store: Store, location: str) -> None:
    with store.transaction() as tx:
        everything(tx)
    with open_store(location, create=True) as again:
        assert contents(again) == contents(store)


@pytest.mark.parametrize("limit", [0, -1, 1_001, True, "5"])
def test_pages_have_a_bound(store: Store, limit: int) -> None:
    for call in (
        lambda: store.checkpoints(limit=limit),
        lambda: store.outbox_pending(limit=limit),
        lambda: store.anchors(limit=limit),
        lambda: store.datasets_page(limit=limit),
        lambda: store.versions("a", "b", limit=limit),
        lambda: store.datasets_by_prefix("ab", limit=limit),
        lambda: store.children(0, limit=limit),
        lambda: store.locations_at("/a", limit=limit),
    ):
        with pytest.raises(LimitError):
            call()
