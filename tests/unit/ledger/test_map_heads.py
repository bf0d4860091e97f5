"""The heads of the log's map: one for every checkpoint that is published, none that the log waits for."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from provenance.errors import ConflictError, NotFoundError, ProvenanceError, StoreError
from provenance.ledger import Ledger, mapping
from provenance.ledger.log_publisher import LogPublisher, carry_head, publish_ledger
from provenance.ledger.map_keeper import MapKeeper
from provenance.ledger.mapping import answer_about, check_map, keep_heads, update_map, wanted_checkpoint
from provenance.ledger.witnessing import add_witness, public_head
from provenance.log import Cosigner, encode_vkey, parse_checkpoint, parse_note
from provenance.log.map import KeyKind, MapKey, head_root, open_head
from provenance.publishers import open_publisher
from provenance.stores import log_map
from provenance.stores.log_map import LogMap
from tests.e2e.server.statements import envelope_of, source_key

KEY = source_key(9)


@pytest.fixture
def growing(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.init(tmp_path / "ledger", origin="test.example/log") as made:
        made.keyring.trust_key("someone", KEY.public)
        yield made


def grow(ledger: Ledger, count: int) -> None:
    size = ledger.log.size()
    for number in range(size, size + count):
        ledger.submit(envelope_of(KEY, f"some/thing{number % 3}@{number}", b"%d" % number))


def derived(ledger: Ledger, size: int, folder: Path) -> bytes:
    """What a head of a size has to say: the roots of log and map, derived anew from the entries."""
    with closing(LogMap(folder / f"again-{size}.db")) as again:
        mapping._grow(ledger, again, size, None)
        return head_root(ledger.log.root_at(size), again.state().root)


def check_heads(ledger: Ledger, sizes: list[int], folder: Path) -> None:
    """Heads of these sizes are kept, and no other, each signed and of the map that its entries give."""
    for size in range(ledger.log.size() + 1):
        kept = ledger.map.head(size)
        assert (kept[0] if kept else None) == max((one for one in sizes if one <= size), default=None)
    for size in sizes:
        kept = ledger.map.head(size)
        assert kept is not None
        head = open_head(kept[1], ledger.keyring.log_keys.keys())
        assert (head.size, head.root) == (size, derived(ledger, size, folder))


def test_every_checkpoint_that_is_published_has_one(growing: Ledger, tmp_path: Path) -> None:
    sizes = []
    with closing(open_publisher(str(tmp_path / "public"))) as publisher:
        for count in (1, 4, 1, 11):
            grow(growing, count)
            sizes.append(publish_ledger(growing, publisher).size)
            carry_head(growing, publisher, sizes[-1])
            assert publisher.head() is None  # nobody waits for it
            grow(growing, 2)
        keep_heads(growing)
        check_heads(growing, sizes, tmp_path)
        carry_head(growing, publisher, sizes[-1])
        head = (tmp_path / "public" / "map" / "head").read_bytes()
        assert head == publisher.head() == public_head(growing)
        assert parse_checkpoint(parse_note(head).text).size == sizes[-1] < growing.log.size()
        publisher.put_head(head.replace(b"\n%d\n" % sizes[-1], b"\n99\n"))
        carry_head(growing, publisher, sizes[-1])  # another process is ahead
        assert b"\n99\n" in (tmp_path / "public" / "map" / "head").read_bytes()
    assert check_map(growing) == ()


def test_whoever_asks_for_more_leaves_none_out(growing: Ledger, tmp_path: Path) -> None:
    """An answer is of the log as it is now, and takes the map there: past sizes whose heads were not kept yet."""
    grow(growing, 3)
    assert wanted_checkpoint(growing).size == 3
    grow(growing, 4)
    wanted_checkpoint(growing)
    grow(growing, 1)
    answer = answer_about(growing, MapKey(KeyKind.NAME, "some/thing1"))
    assert answer.entries == (1, 4, 7)
    assert growing.map.wanted(8) is None
    check_heads(growing, [3, 7], tmp_path)
    # Where the map is already, the head of an answer is the one that is kept.
    assert wanted_checkpoint(growing).size == 8
    keep_heads(growing)
    kept = growing.map.head(8)
    assert kept == (8, answer.head)


def test_the_map_does_not_pass_what_is_wanted(growing: Ledger, tmp_path: Path) -> None:
    grow(growing, 4)
    kept = growing.map
    assert kept.want(lambda: 2)
    keys = [[b"k" * 32]] * 3
    with pytest.raises(ConflictError, match="a head is wanted before"):
        kept.add(0, keys, growing.log.root_at(3))
    kept.add(0, keys[:2], growing.log.root_at(2))
    with pytest.raises(ConflictError, match="a head is wanted before"):
        kept.add(2, keys[:1], growing.log.root_at(3))
    kept.keep_head(2, b"head")
    kept.add(2, keys[:1], growing.log.root_at(3))
    assert not kept.want(lambda: 2)  # it is past that
    assert kept.head(9) == (2, b"head")
    kept.clear()
    assert kept.head(9) is None


def test_threads_publish_and_ask_at_once(growing: Ledger, tmp_path: Path) -> None:
    """With appends, answers and publications side by side no head of a publication is missing."""
    grow(growing, 1)
    stop, problems = threading.Event(), list[BaseException]()
    sizes: list[int] = []

    def repeat(work: Callable[[], object]) -> None:
        try:
            while not stop.is_set():
                work()
        except BaseException as error:  # noqa: BLE001 - told below
            problems.append(error)

    def publish() -> None:
        with closing(open_publisher(str(tmp_path / "public"))) as publisher:
            sizes.append(publish_ledger(growing, publisher).size)

    works = (
        lambda: grow(growing, 1),
        publish,
        lambda: answer_about(growing, MapKey(KeyKind.NAME, "some/thing0")),
        lambda: keep_heads(growing),
    )
    threads = [threading.Thread(target=repeat, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    time.sleep(2)
    stop.set()
    for thread in threads:
        thread.join()
    assert not problems
    keep_heads(growing)
    assert len(set(sizes)) > 3
    for size in sorted(set(sizes))[:: max(1, len(set(sizes)) // 10)]:
        kept = growing.map.head(size)
        assert kept is not None and kept[0] == size
        assert open_head(kept[1], growing.keyring.log_keys.keys()).root == derived(growing, size, tmp_path)


class Told:
    def __init__(self) -> None:
        self.errors: list[object] = []

    def __call__(self, outcome: object) -> None:
        if isinstance(outcome, ProvenanceError):
            self.errors.append(outcome)


def shows(path: Path, size: int) -> bool:
    return parse_checkpoint(parse_note(path.read_bytes()).text).size == size


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_server_keeps_them_and_carries_them(growing: Ledger, tmp_path: Path) -> None:
    told, public = Told(), tmp_path / "public"
    grow(growing, 5)
    with (
        closing(MapKeeper(growing, tell=told, poll_s=0.05)),
        closing(LogPublisher(growing, str(public), tell=told)),
    ):
        for size in (5, 6):
            wait_for(lambda: (public / "map" / "head").exists())
            wait_for(partial(shows, public / "map" / "head", size))
            grow(growing, 1)
    assert told.errors == []
    assert check_map(growing) == ()


def test_a_map_that_cannot_be_written_holds_nothing_up(
    growing: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, public = Told(), tmp_path / "public"
    grow(growing, 2)
    (growing.layout.directory / mapping.FILE).write_bytes(b"damaged" * 100)
    with (
        closing(MapKeeper(growing, tell=told, poll_s=0.05)),
        closing(LogPublisher(growing, str(public), tell=lambda _: None)),
    ):
        wait_for((public / "checkpoint").exists)
        wait_for(lambda: bool(told.errors))
        grow(growing, 1)
        wait_for(partial(shows, public / "checkpoint", 3))
        assert isinstance(told.errors[0], StoreError)
        for path in growing.layout.directory.glob("map.db*"):
            path.unlink()
        wait_for(lambda: (public / "map" / "head").exists())
    monkeypatch.setattr("provenance.ledger.mapping.writable", lambda _: False)
    assert wanted_checkpoint(growing).size == 3


def test_an_anchor_has_one_if_the_map_is_near(growing: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grow(growing, 3)
    growing.anchor()
    check_heads(growing, [3], tmp_path)
    monkeypatch.setattr(mapping, "NEAR_ENTRIES", 2)
    grow(growing, 3)
    growing.anchor()
    assert (growing.map.wanted(9), growing.map.head(9) is not None) == (6, True)
    check_heads(growing, [3], tmp_path)
    update_map(growing)
    check_heads(growing, [3, 6], tmp_path)


def test_what_is_not_published_is_not_shown(growing: Ledger, tmp_path: Path) -> None:
    grow(growing, 1)
    with closing(open_publisher(str(tmp_path / "public"))) as publisher:
        publish_ledger(growing, publisher)
    with pytest.raises(NotFoundError, match="no head"):
        public_head(growing)
    keep_heads(growing)
    first = public_head(growing)
    witness = encode_vkey(Cosigner("w.example/w", b"\x01" * 32).verifier)
    add_witness(growing, "http://127.0.0.1:1", witness, quorum=1)
    grow(growing, 1)
    wanted_checkpoint(growing)
    keep_heads(growing)
    assert growing.map.head(2) != (1, first)
    with pytest.raises(ProvenanceError, match="too few witnesses"):
        public_head(growing)


def test_so_many_are_kept(growing: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_map, "MAX_HEADS", 3)
    kept, root = growing.map, bytes(32)
    for size in range(1, 7):
        assert kept.want(partial(int, size))
    assert [kept.wanted(size) for size in range(3, 6)] == [None, 4, 4]
    kept.add(0, [[b"k" * 32]] * 4, root)
    for size in range(4, 9):
        kept.want(partial(int, size))
        kept.keep_head(size, b"%d" % size)
        kept.add(size, [[b"k" * 32]], root)
    assert [kept.head(size) for size in (5, 6, 8)] == [None, (6, b"6"), (8, b"8")]


def test_a_head_that_no_key_of_now_holds_for_is_given_up(growing: Ledger) -> None:
    """Keys that came later sign no head of a smaller size: it would convince nobody."""
    grow(growing, 2)
    wanted_checkpoint(growing)
    old = [own.vkey for own in growing.keyring.log_keys.listed()]
    growing.rotate_log_keys()
    grow(growing, 2)
    for vkey in old:
        growing.retire_log_key(vkey)
    grow(growing, 1)
    wanted_checkpoint(growing)
    keep_heads(growing)
    assert growing.map.head(4) is None
    kept = growing.map.head(5)
    assert kept is not None
    open_head(kept[1], growing.keyring.log_keys.keys())


def test_a_map_from_before_there_were_heads_is_not_made_again(growing: Ledger) -> None:
    grow(growing, 3)
    state = update_map(growing)
    path = growing.layout.directory / mapping.FILE
    growing.close()
    with closing(sqlite3.connect(path)) as database:
        database.executescript("DROP TABLE wanted; DROP TABLE heads; PRAGMA user_version = 1")
    with closing(LogMap(path)) as kept:
        assert kept.state() == state
        assert kept.want(lambda: 3)
        assert kept.wanted(3) == 3
