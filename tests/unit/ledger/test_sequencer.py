"""Many submitters, few transactions: nothing lost, nothing twice, and who is refused is refused alone."""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from provenance.errors import ConflictError, NotFoundError, StoreError
from provenance.ledger import Ledger
from provenance.ledger.publication import BatchSubmission, EventSubmission
from provenance.ledger.sequencer import MAX_BATCH_ENTRIES, Sequencer
from provenance.log import NoteSigner, open_checkpoint
from provenance.signature import encode_envelope, sign_envelope
from provenance.statement import PAYLOAD_TYPE
from provenance.statement.events import Event, encode_event
from provenance.statement.usage import Usage
from provenance.stores import BlobStore, Store, StoreTransaction, open_store

SIGNER = NoteSigner("sequencer.example/log", b"\x03" * 32)


@dataclass(frozen=True, slots=True)
class Opaque:
    """Any bytes as an entry; `trouble` is raised where it is told to."""

    envelope: bytes
    on_find: Exception | None = None
    on_index: Exception | None = None

    def find(self, _: StoreTransaction) -> int | None:
        if self.on_find is not None:
            raise self.on_find
        return None

    def index(self, tx: StoreTransaction, blobs: BlobStore, index: int) -> int:
        if self.on_index is not None:
            raise self.on_index
        assert tx.entry(index) is not None
        return index


class Counted:
    """A store whose transactions are counted, and held up until `gate` is open."""

    def __init__(self, store: Store) -> None:
        self._store, self.count, self.gate = store, 0, threading.Event()
        self.gate.set()
        self.begun = threading.Event()

    @contextmanager
    def transaction(self) -> Iterator[StoreTransaction]:
        self.count += 1
        self.begun.set()
        assert self.gate.wait(30)
        with self._store.transaction() as tx:
            yield tx

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Counted]:
    with open_store(tmp_path / "ledger.db", create=True) as store:
        yield Counted(store)


@pytest.fixture
def sequencer(store: Counted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sequencer:
    # What indexes an entry reads statements; these are none.
    monkeypatch.setattr("provenance.ledger.sequencer.catch_up_index", lambda tx, blobs: None)
    return Sequencer(store, BlobStore(tmp_path / "blobs", create=True), lambda: SIGNER)


def _behind_one(store: Counted, sequencer: Sequencer, jobs: Sequence[Callable[[], Any]]) -> list[Any]:
    """What the jobs came to, all of which began while a first submission was being written."""
    store.gate.clear()
    store.begun.clear()

    def run(job: Callable[[], Any]) -> Any:
        try:
            return job()
        except Exception as error:  # noqa: BLE001  # whatever it is, it is compared
            return error

    with ThreadPoolExecutor(len(jobs) + 1) as pool:
        first = pool.submit(sequencer.submit, Opaque(b"first"))
        assert store.begun.wait(30)
        waiting = []
        for number, job in enumerate(jobs, 1):
            waiting.append(pool.submit(run, job))
            while len(sequencer._queue) < number:
                time.sleep(0.001)
        store.gate.set()
        first.result(30)
        return [one.result(30) for one in waiting]


def test_who_waits_together_is_written_together(store: Counted, sequencer: Sequencer) -> None:
    jobs = [lambda number=number: sequencer.submit(Opaque(b"%d" % number)) for number in range(50)]
    indexes = _behind_one(store, sequencer, jobs)
    assert indexes == list(range(1, 51))  # in the order in which they came
    assert store.count == 2
    assert [row.envelope for row in store.entries(1, 50)] == [b"%d" % number for number in range(50)]
    row = store.checkpoint()
    assert row.size == 51
    assert open_checkpoint(row.note, SIGNER.verifier).root == row.root


def test_one_that_is_refused_is_refused_alone(store: Counted, sequencer: Sequencer) -> None:
    found = _behind_one(
        store,
        sequencer,
        [
            lambda: sequencer.submit(Opaque(b"a")),
            lambda: sequencer.submit(Opaque(b"b", on_find=NotFoundError("no parent"))),
            lambda: sequencer.submit(Opaque(b"c")),
        ],
    )
    assert (found[0], found[2]) == (1, 2)
    assert isinstance(found[1], NotFoundError)
    assert store.count == 2
    assert [row.envelope for row in store.entries(0, 9)] == [b"first", b"a", b"c"]


def test_one_that_cannot_be_indexed_takes_nobody_with_it(store: Counted, sequencer: Sequencer) -> None:
    found = _behind_one(
        store,
        sequencer,
        [
            lambda: sequencer.submit(Opaque(b"a")),
            lambda: sequencer.submit(Opaque(b"b", on_index=ConflictError("twice"))),
            lambda: sequencer.submit(Opaque(b"c")),
        ],
    )
    assert (found[0], found[2]) == (1, 2)
    assert isinstance(found[1], ConflictError)
    assert [row.envelope for row in store.entries(0, 9)] == [b"first", b"a", b"c"]
    assert store.checkpoint().size == 3


def test_a_store_that_fails_fails_all_of_the_batch_and_none_after_it(store: Counted, sequencer: Sequencer) -> None:
    found = _behind_one(
        store,
        sequencer,
        [
            lambda: sequencer.submit(Opaque(b"a")),
            lambda: sequencer.submit(Opaque(b"b", on_find=StoreError("disk is full"))),
        ],
    )
    assert [type(one) for one in found] == [StoreError, StoreError]
    assert found[0] is not found[1]
    assert [one.what for one in found] == ["disk is full"] * 2
    assert sequencer.submit(Opaque(b"c")) == 1
    assert [row.envelope for row in store.entries(0, 9)] == [b"first", b"c"]


def test_an_interrupt_of_who_leads_leaves_nobody_waiting(store: Counted, sequencer: Sequencer) -> None:
    class StopError(BaseException):
        pass

    class Interrupting:
        envelope = b"b"

        def find(self, _: StoreTransaction) -> int | None:
            raise StopError

        def index(self, tx: StoreTransaction, blobs: BlobStore, index: int) -> int:
            raise AssertionError

    led: list[BaseException] = []

    def lead() -> None:
        try:
            sequencer.submit(Interrupting())
        except BaseException as error:  # noqa: BLE001
            led.append(error)

    found = _behind_one(store, sequencer, [lead, lambda: sequencer.submit(Opaque(b"a"))])
    assert [type(one) for one in led] == [StopError]
    assert isinstance(found[1], StoreError)
    assert "submit it again" in str(found[1].hint)
    assert sequencer.submit(Opaque(b"a")) == 1


def test_who_is_interrupted_while_waiting_leaves_nobody_waiting(store: Counted, sequencer: Sequencer) -> None:
    """An exception that reaches a thread in the middle of its wait: it goes, and those behind it are led by another."""

    class StopError(BaseException):
        pass

    store.gate.clear()
    store.begun.clear()
    ended: list[str] = []

    def wait() -> None:
        try:
            sequencer.submit(Opaque(b"gone"))
        except StopError:
            ended.append("stopped")

    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(sequencer.submit, Opaque(b"first"))
        assert store.begun.wait(30)
        thread = threading.Thread(target=wait)
        thread.start()
        while len(sequencer._queue) < 1:
            time.sleep(0.001)
        behind = []
        for number in range(3):
            behind.append(pool.submit(sequencer.submit, Opaque(b"%d" % number)))
            while len(sequencer._queue) < 2 + number:
                time.sleep(0.001)
        assert thread.ident is not None
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(StopError))
        sequencer._queue[0].turn.set()  # so that it comes out of its wait, as a signal would have it
        thread.join(30)
        assert ended == ["stopped"]
        store.gate.set()
        assert first.result(30) == 0
        assert sorted(one.result(30) for one in behind) == [1, 2, 3]
    assert sequencer.submit(Opaque(b"later")) == 4


def test_batches_and_the_queue_are_bounded(
    store: Counted, sequencer: Sequencer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("provenance.ledger.sequencer.MAX_BATCH_ENTRIES", 10)
    monkeypatch.setattr("provenance.ledger.sequencer.MAX_WAITING", 25)
    jobs = [lambda: sequencer.submit(Opaque(b"x")) for _ in range(25)]
    assert sorted(_behind_one(store, sequencer, jobs)) == list(range(1, 26))
    assert store.count == 1 + 3
    store.gate.clear()
    store.begun.clear()
    with ThreadPoolExecutor(26) as pool:
        running = [pool.submit(sequencer.submit, Opaque(b"y"))]
        assert store.begun.wait(30)
        running += [pool.submit(sequencer.submit, Opaque(b"y")) for _ in range(25)]
        while len(sequencer._queue) < 25:
            time.sleep(0.001)
        with pytest.raises(StoreError, match="too many submissions"):
            sequencer.submit(Opaque(b"z"))
        store.gate.set()
        assert len({one.result(30) for one in running}) == 26
    monkeypatch.setattr("provenance.ledger.sequencer.MAX_BATCH_ENTRIES", MAX_BATCH_ENTRIES)
    monkeypatch.setattr("provenance.ledger.sequencer.MAX_BATCH_BYTES", 100)
    count = store.count
    _behind_one(store, sequencer, [lambda: sequencer.submit(Opaque(b"x" * 60)) for _ in range(4)])
    assert store.count == count + 1 + 4


def test_threads_of_a_ledger_lose_nothing(copy: Path) -> None:
    with Ledger.open(copy) as ledger:
        size, about = ledger.log.size(), ledger.pin("h/raw")

        def say(number: int) -> tuple[int, bool]:
            event = Event(about, Usage(f"x{number % 40}"), "2026-01-01T00:00:00Z")
            envelope = encode_envelope(sign_envelope(encode_event(event), PAYLOAD_TYPE, ledger.keyring.signer("lab")))
            said = ledger.sequencer.submit(EventSubmission(envelope))
            return said.row.entry_index, said.created

        with ThreadPoolExecutor(16) as pool:
            said = list(pool.map(say, range(80)))  # everything twice
        assert {index for index, _ in said} == set(range(size, size + 40))
        assert sum(created for _, created in said) == 40
        with pytest.raises(NotFoundError):
            ledger.sequencer.submit(EventSubmission(_about_nothing(ledger)))
        assert ledger.fsck().clean


def _about_nothing(ledger: Ledger) -> bytes:
    from provenance.statement import Pin, PinnedName

    raw = ledger.pin("h/raw")
    event = Event(Pin(PinnedName.parse("h/none@1"), raw.digest, raw.envelope), Usage("x"), "2026-01-01T00:00:00Z")
    return encode_envelope(sign_envelope(encode_event(event), PAYLOAD_TYPE, ledger.keyring.signer("lab")))


def test_a_batch_is_a_new_entry_each_time() -> None:
    assert BatchSubmission(b"x").find(None) is None  # type: ignore[arg-type]
