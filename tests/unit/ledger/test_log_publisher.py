"""Publishing while the log grows: the log never waits, and what was down is caught up with."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from provenance.errors import LogError, ProvenanceError
from provenance.ledger import Ledger
from provenance.ledger.log_publisher import LogPublisher
from provenance.ledger.log_publishing import Published
from provenance.log import parse_checkpoint, parse_note
from provenance.publishers import Publisher
from tests.e2e.server.statements import envelope_of, source_key
from tests.simulators.s3_server import BUCKET, SECRET, forget, free_port, name_endpoint, objects, s3_server

KEY = source_key(9)
PLACE = f"s3://{BUCKET}/log"


@pytest.fixture
def growing(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.init(tmp_path / "ledger", origin="test.example/log") as made:
        made.keyring.trust_key("someone", KEY.public)
        yield made


def grow(ledger: Ledger, count: int) -> float:
    """Log so many statements more; the seconds it took."""
    size, started = ledger.log.size(), time.monotonic()
    for number in range(size, size + count):
        ledger.submit(envelope_of(KEY, f"some/thing@{number}", b"%d" % number))
    return time.monotonic() - started


class Heard:
    """What a publisher told."""

    def __init__(self) -> None:
        self._told: queue.Queue[Published | ProvenanceError] = queue.Queue()

    def __call__(self, outcome: Published | ProvenanceError) -> None:
        self._told.put(outcome)

    def wait(self, is_it: Callable[[Published | ProvenanceError], bool]) -> list[Published | ProvenanceError]:
        """Everything up to the first outcome for which `is_it` holds."""
        found: list[Published | ProvenanceError] = []
        while not found or not is_it(found[-1]):
            found.append(self._told.get(timeout=30))
        return found


def size_is(size: int) -> Callable[[Published | ProvenanceError], bool]:
    return lambda outcome: isinstance(outcome, Published) and outcome.size == size


def is_error(outcome: Published | ProvenanceError) -> bool:
    return isinstance(outcome, ProvenanceError)


def test_a_bucket_that_is_down_for_a_while_catches_up(
    growing: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("provenance.publishers.s3._FIRST_WAIT_S", 0.01)
    port, heard = free_port(), Heard()
    name_endpoint(monkeypatch, tmp_path, port)
    grow(growing, 2)
    with closing(LogPublisher(growing, PLACE, tell=heard, first_wait_s=0.05)):
        told = heard.wait(is_error)  # nobody is there yet
        assert isinstance(told[-1], LogError) and SECRET not in told[-1].message.lower()
        grow(growing, 1)
        with s3_server(port) as client:
            heard.wait(size_is(3))
            assert set(objects(client, "log/")) == {"checkpoint", "tile/0/000.p/3", "tile/entries/000.p/3"}
            grow(growing, 1)
            heard.wait(size_is(4))
        grow(growing, 2)  # it is gone
        heard.wait(is_error)
        grow(growing, 3)
        with s3_server(port) as client:
            heard.wait(size_is(9))
            note = objects(client, "log/")["checkpoint"]["Body"]
            assert parse_checkpoint(parse_note(note).text).size == 9
    forget()


class Stuck:
    """A place that takes one file and then no more until it is let go."""

    label = "stuck"

    def __init__(self) -> None:
        self.entered, self.let_go = threading.Event(), threading.Event()

    def published(self) -> None:
        """Nothing is there."""

    def put(self, *_: object) -> bool:
        self.entered.set()
        self.let_go.wait(30)
        return True

    def read(self, *_: object) -> None:
        """Nothing is there."""

    def checkpoint(self, note: bytes) -> None:
        """It is taken."""

    def head(self) -> None:
        """Nothing is there."""

    def put_head(self, note: bytes) -> None:
        """It is taken."""

    def close(self) -> None:
        """Nothing is held."""


def test_a_place_that_hangs_holds_nobody_up(growing: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    stuck, heard = Stuck(), Heard()
    taken: Publisher = stuck
    monkeypatch.setattr("provenance.ledger.log_publisher.open_publisher", lambda _: taken)
    monkeypatch.setattr("provenance.ledger.log_publisher._STOP_S", 0.2)
    grow(growing, 1)
    publisher = LogPublisher(growing, "anywhere", tell=heard)
    assert stuck.entered.wait(10)
    assert grow(growing, 5) < 10
    started = time.monotonic()
    publisher.close()
    assert time.monotonic() - started < 5
    stuck.let_go.set()


def test_an_error_nobody_foresaw_ends_nothing(growing: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from provenance.publishers import open_publisher

    failures, heard = [ZeroDivisionError("secret")], Heard()

    def opening(address: str) -> Publisher:
        if failures:
            raise failures.pop()
        return open_publisher(address)

    monkeypatch.setattr("provenance.ledger.log_publisher.open_publisher", opening)
    grow(growing, 1)
    with closing(LogPublisher(growing, str(tmp_path / "public"), tell=heard, first_wait_s=0.01)):
        first, last = heard.wait(size_is(1))
    assert isinstance(first, ProvenanceError) and first.got == "ZeroDivisionError" and "secret" not in first.message
    assert isinstance(last, Published) and (tmp_path / "public/checkpoint").exists()


def test_a_log_that_is_empty_is_published_once_it_is_not(growing: Ledger, tmp_path: Path) -> None:
    heard = Heard()
    with closing(LogPublisher(growing, str(tmp_path / "public"), tell=heard)):
        time.sleep(0.1)
        grow(growing, 1)
        assert heard.wait(size_is(1))[0] == heard_of(1, tmp_path / "public", growing)


def heard_of(size: int, folder: Path, ledger: Ledger) -> Published:
    written = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return Published(str(folder), 0, size, ledger.log.checkpoint().root, 3, written)
