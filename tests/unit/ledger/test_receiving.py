"""Receiving lineage events: durable, once, in the log, proven one by one, and found again without the index."""

from __future__ import annotations

import gzip
import json
import queue
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from starlette.testclient import TestClient

from provenance.errors import MalformedError, StoreError
from provenance.ledger import Ledger
from provenance.ledger.importing import open_index
from provenance.ledger.receiving import LARGE_EVENT_BYTES, MAX_WAITING, MAX_WAITING_BYTES, Receiver, read_event
from provenance.lineage.event_time import parse_time_us
from provenance.lineage.signed_event import sign_event
from provenance.merkle import leaf_hash, prove_inclusion, verify_inclusion
from provenance.server.app import create_app
from provenance.server.routes.openlineage import MAX_LARGE_BYTES
from provenance.signature import encode_envelope, parse_envelope, sign_envelope
from provenance.statement import PAYLOAD_TYPE
from provenance.statement.frame import open_frame
from provenance.statement.received import (
    MAX_BATCH_BYTES,
    RECEIVED_TYPE,
    Received,
    encode_batch,
    encode_received,
    events_root,
    parse_batch,
    read_received,
)
from tests.unit.lineage.test_openlineage import EVENTS, GOOD, INVALID, _event

KEY = "a-key-that-is-long-enough"


@pytest.fixture
def receiver(ledger: Ledger) -> Iterator[Receiver]:
    made = Receiver(ledger, "someone")
    yield made
    made.close()


@pytest.fixture
def client(ledger: Ledger, receiver: Receiver) -> Iterator[TestClient]:
    with TestClient(create_app(ledger, receiver=receiver)) as made:
        yield made


def _take(receiver: Receiver, *raws: bytes) -> list[BaseException | None]:
    came: list[BaseException | None] = []
    ready = threading.Semaphore(0)

    def done(failure: BaseException | None) -> None:
        came.append(failure)
        ready.release()

    for raw in raws:
        assert receiver.submit(raw, read_event(raw), done)
    for _ in raws:
        assert ready.acquire(timeout=30)
    return came


def _batches(ledger: Ledger) -> list[list[bytes]]:
    found = []
    for row in ledger.log.entries(0, ledger.log.size()):
        frame = open_frame(parse_envelope(row.envelope).payload)
        if frame.predicate_type == RECEIVED_TYPE:
            received = read_received(frame)
            events = parse_batch(ledger.blobs.get(received.batch, max_bytes=MAX_BATCH_BYTES))
            assert (len(events), events_root(events)) == (received.events, received.root)
            found.append(events)
    return found


def test_every_real_event_is_taken_and_the_invalid_one_is_told(client: TestClient, ledger: Ledger) -> None:
    for path in EVENTS:
        answer = client.post("/api/v1/lineage", content=path.read_bytes())
        if path.name == INVALID:
            assert answer.status_code == 400
            assert (answer.json()["detail"], answer.json()["where"]) == ("producer is no URI", "event.producer")
        else:
            assert (answer.status_code, answer.content) == (201, b""), path
    assert sorted(event for batch in _batches(ledger) for event in batch) == sorted(path.read_bytes() for path in GOOD)
    assert ledger.fsck(independent=True).clean
    kinds = {listed.type for listed in ledger.log.listed(0, 100)}
    assert kinds == {RECEIVED_TYPE}


def test_one_event_can_be_proven_without_the_others(receiver: Receiver, ledger: Ledger) -> None:
    raws = [json.dumps(_event(producer=f"https://p.example/{n}")).encode() for n in range(5)]
    assert _take(receiver, *raws) == [None] * 5
    for events in _batches(ledger):
        leaves = [leaf_hash(event) for event in events]
        for index in range(len(events)):

            def read(level: int, number: int, leaves: list[bytes] = leaves) -> bytes:
                from provenance.merkle import node_hash

                if level == 0:
                    return leaves[number]
                return node_hash(read(level - 1, 2 * number), read(level - 1, 2 * number + 1))

            proof = tuple(prove_inclusion(index, len(events), read))
            verify_inclusion(leaves[index], index, len(events), proof, events_root(events).raw)


def test_the_same_bytes_are_the_same_event(receiver: Receiver, ledger: Ledger) -> None:
    raw = json.dumps(_event()).encode()
    assert _take(receiver, raw, raw, raw) == [None] * 3
    size = ledger.log.size()
    assert _take(receiver, raw) == [None]
    assert ledger.log.size() == size
    assert sum(map(len, _batches(ledger))) == 1


def test_the_graph_is_what_marquez_would_show(client: TestClient) -> None:
    lineage = {"fields": {"c": {"inputFields": [{"namespace": "d", "name": "a", "field": "f"}]}}}
    schema = {"fields": [{"name": "c", "type": "int"}]}
    facets = {"columnLineage": lineage, "schema": schema, "version": {"datasetVersion": "2"}}
    events = [
        _event(outputs=[{"namespace": "d", "name": "x", "facets": facets}]),
        _event(
            eventTime="2025-01-01T00:00:00Z",
            job={"namespace": "n", "name": "k"},
            inputs=[{"namespace": "d", "name": "x", "facets": {"version": {"datasetVersion": "1"}}}],
            outputs=[{"namespace": "d", "name": "z"}],
        ),
    ]
    answers = [client.post("/api/v1/lineage", json=event).status_code for event in events]
    assert answers == [201, 201]
    graph = client.get("/api/v1/lineage", params={"nodeId": "dataset:d:x", "depth": "1"}).json()["graph"]
    nodes = {node["id"]: node for node in graph}
    assert set(nodes) == {"dataset:d:x", "job:n:j", "job:n:k"}
    x = nodes["dataset:d:x"]
    assert x["inEdges"] == [{"origin": "job:n:j", "destination": "dataset:d:x"}]
    assert x["outEdges"] == [{"origin": "dataset:d:x", "destination": "job:n:k"}]
    assert x["data"]["fields"] == [{"name": "c", "type": "int"}]
    # The order in which events come makes no difference: the later version by event time is the current one.
    assert x["data"]["currentVersion"] == "2"
    assert x["data"]["sources"] == [{"origin": "dataset:d:a", "declared": True, "signed": False}]
    assert x["data"]["saidBy"] == {"schema": None, "version": None}
    assert len(client.get("/api/v1/lineage", params={"nodeId": "dataset:d:x"}).json()["graph"]) == 6
    for node in ("dataset:d:x", "datasetField:d:x:c"):
        columns = client.get("/api/v1/column-lineage", params={"nodeId": node}).json()["columns"]
        assert columns == [{"field": "c", "source": "dataset:d:a", "sourceField": "f"}]
    assert client.get("/api/v1/lineage", params={"nodeId": "dataset:d:none"}).status_code == 404
    assert client.get("/api/v1/column-lineage", params={"nodeId": "datasetField:d:x:none"}).status_code == 404
    assert client.get("/api/v1/lineage").status_code == 400


def test_a_batch_takes_what_is_good(client: TestClient, ledger: Ledger) -> None:
    good, bad = _event(), _event(eventType="DONE")
    assert client.post("/api/v1/lineage/batch", json=[good]).status_code == 204
    answer = client.post("/api/v1/lineage/batch", json=[bad, _event(producer="https://p.example/2")])
    assert (answer.status_code, answer.json()["summary"]["successful"]) == (200, 1)
    assert [one["index"] for one in answer.json()["failed_events"]] == [0]
    assert client.post("/api/v1/lineage/batch", json=[bad]).json()["status"] == "failure"
    assert client.post("/api/v1/lineage/batch", json=[]).status_code == 400
    assert sum(map(len, _batches(ledger))) == 2


def test_an_event_in_a_batch_is_kept_as_it_came(client: TestClient, ledger: Ledger) -> None:
    """Numbers, escapes and spaces stay, so that one event sent by both ways is one."""
    raw = json.dumps(_event(), indent=1).replace('"producer"', '"x": 1.10, "y": "\\u00e9", "producer"').encode()
    other = json.dumps(_event(eventTime="2026-01-02T00:00:00Z")).encode()
    assert client.post("/api/v1/lineage", content=raw).status_code == 201
    assert client.post("/api/v1/lineage/batch", content=b"[" + raw + b" , " + other + b"]").status_code == 204
    assert client.post("/api/v1/lineage/batch", content=b'{"events": [' + other + b"]}").status_code == 204
    assert sorted(event for batch in _batches(ledger) for event in batch) == sorted([raw, other])


def test_compressed_bodies_are_inflated_under_the_limit(client: TestClient) -> None:
    raw = json.dumps(_event()).encode()
    headers = {"Content-Encoding": "gzip"}
    assert client.post("/api/v1/lineage", content=gzip.compress(raw), headers=headers).status_code == 201
    bomb = gzip.compress(b" " * (6 * 2**20))
    assert client.post("/api/v1/lineage", content=bomb, headers=headers).status_code == 413
    for broken in (b"not gzip", gzip.compress(raw)[:-3], gzip.compress(raw) + b"x"):
        assert client.post("/api/v1/lineage", content=broken, headers=headers).status_code == 400
    assert client.post("/api/v1/lineage", content=raw, headers={"Content-Encoding": "br"}).status_code == 400
    assert client.post("/api/v1/lineage", content=b"[" * 100_000).status_code in (400, 413)


def test_keys_are_asked_for(ledger: Ledger, receiver: Receiver) -> None:
    with TestClient(create_app(ledger, receiver=receiver, bearer_keys=["other-" + KEY, KEY])) as client:
        wrong: list[dict[str, str]] = [{}, {"Authorization": "Bearer x"}, {"Authorization": KEY}]
        for headers in wrong:
            answer = client.post("/api/v1/lineage", json=_event(), headers=headers)
            assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
            assert KEY not in answer.text
        good = {"Authorization": f"Bearer {KEY}"}
        assert client.post("/api/v1/lineage", json=_event(), headers=good).status_code == 201


def test_too_much_at_a_time_is_to_be_sent_again(
    ledger: Ledger, receiver: Receiver, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, began = threading.Event(), threading.Event()
    genuine = receiver._log

    def slow(batch: Any) -> None:
        began.set()
        assert gate.wait(30)
        genuine(batch)

    monkeypatch.setattr(receiver, "_log", slow)
    raw = json.dumps(_event()).encode()
    event = read_event(raw)
    assert receiver.submit(raw, event, lambda _: None)
    assert began.wait(10)
    taken = sum(receiver.submit(raw, event, lambda _: None) for _ in range(MAX_WAITING + 10))
    assert taken == MAX_WAITING
    answer = client.post("/api/v1/lineage", json=_event())
    assert answer.status_code == 503 and int(answer.headers["Retry-After"]) >= 1
    gate.set()


def _large(number: int, size: int = 5 * 2**20) -> bytes:
    facets = {"x": {"text": "y" * (size - 600)}}
    return json.dumps(_event(run={"runId": f"0176a8c2-fe01-7439-87e6-{number:012x}", "facets": facets})).encode()


def test_large_events_are_bounded_by_bytes_and_hold_no_small_one_up(
    receiver: Receiver, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()
    genuine = receiver._log

    def slow(batch: Any) -> None:
        if len(batch[0].raw) > LARGE_EVENT_BYTES:
            assert gate.wait(60)
        genuine(batch)

    monkeypatch.setattr(receiver, "_log", slow)
    statuses: list[tuple[int, str | None]] = []

    def send(number: int) -> None:
        answer = client.post("/api/v1/lineage", content=_large(number))
        statuses.append((answer.status_code, answer.headers.get("Retry-After")))

    senders = [threading.Thread(target=send, args=(number,)) for number in range(8)]
    for sender in senders:
        sender.start()
    deadline = time.monotonic() + 30
    while len(statuses) < len(senders) - MAX_LARGE_BYTES // (5 * 2**20) and time.monotonic() < deadline:
        time.sleep(0.01)
    # Three fit into the room for large events; the others were told to come back, while those three still wait.
    assert statuses == [(503, "1")] * 5
    for number in range(20):
        event = _event(producer=f"https://p.example/{number}")
        assert client.post("/api/v1/lineage", json=event).status_code == 201
    packed = gzip.compress(_large(100))
    assert len(packed) < LARGE_EVENT_BYTES
    answer = client.post("/api/v1/lineage", content=packed, headers={"Content-Encoding": "gzip"})
    assert answer.status_code == 503
    gate.set()
    for sender in senders:
        sender.join(60)
    assert statuses[5:] == [(201, None)] * 3
    # All the room was given back.
    assert client.post("/api/v1/lineage", content=_large(200)).status_code == 201


def test_the_queue_is_bounded_by_bytes(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()
    genuine = receiver._log

    def slow(batch: Any) -> None:
        assert gate.wait(60)
        genuine(batch)

    monkeypatch.setattr(receiver, "_log", slow)
    raws = [_large(number) for number in range(16)]
    event = read_event(raws[0])
    done: queue.Queue[BaseException | None] = queue.Queue()
    taken = [receiver.submit(raw, event, done.put) for raw in raws]
    assert taken == [True] * (MAX_WAITING_BYTES // len(raws[0])) + [False] * 4
    small = json.dumps(_event()).encode()
    assert receiver.submit(small, read_event(small), done.put)
    gate.set()
    assert [done.get(timeout=60) for _ in range(13)] == [None] * 13
    assert receiver.submit(raws[15], event, done.put)
    assert done.get(timeout=60) is None


def test_an_event_of_too_many_values_is_refused(client: TestClient) -> None:
    facets: dict[str, Any] = {"x": {"list": [{}] * 600_000}}
    event = _event(run={"runId": "0176a8c2-fe01-7439-87e6-56a1a1b4029f", "facets": facets})
    raw = json.dumps(event, separators=(",", ":")).encode()
    answer = client.post("/api/v1/lineage", content=raw)
    assert (answer.status_code, answer.json()["detail"]) == (413, "event holds too many values")


def test_what_dies_while_a_large_event_is_indexed_leaves_it_out_of_no_index(
    receiver: Receiver, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, began = threading.Event(), threading.Event()
    genuine = receiver.index.add

    def slow(entry: int, events: Any, *more: Any) -> None:
        if len(events[0][1].outputs) > 1:
            began.set()
            assert gate.wait(60)
        genuine(entry, events, *more)

    monkeypatch.setattr(receiver.index, "add", slow)
    outputs = [{"namespace": "d", "name": f"n{number}" * 10} for number in range(2_000)]
    large, small = (json.dumps(_event(outputs=some)).encode() for some in (outputs, outputs[:1]))
    assert len(large) > LARGE_EVENT_BYTES
    done: queue.Queue[BaseException | None] = queue.Queue()
    before = ledger.log.size()
    assert receiver.submit(large, read_event(large), done.put)
    assert began.wait(30)
    assert _take(receiver, small) == [None]
    # The small one's entry is the later one and indexed; a start from this position would index both.
    assert (ledger.log.size(), receiver.index.position()) == (before + 2, before)
    gate.set()
    assert done.get(timeout=60) is None
    assert receiver.index.position() == before + 2
    assert receiver.index.counts()["nodes"] >= 2_001


def test_what_cannot_be_logged_is_not_acknowledged(
    ledger: Ledger, receiver: Receiver, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: bytes) -> int:
        raise StoreError("disk is full")

    monkeypatch.setattr(ledger, "append_batch", full)
    assert client.post("/api/v1/lineage", json=_event()).status_code == 503
    monkeypatch.undo()
    assert client.post("/api/v1/lineage", json=_event()).status_code == 201


def test_the_index_can_be_thrown_away(ledger: Ledger) -> None:
    receiver = Receiver(ledger, "someone")
    raws = [path.read_bytes() for path in GOOD]
    assert _take(receiver, *raws) == [None] * len(raws)
    counts = receiver.index.counts()
    receiver.close()
    for path in ledger.layout.directory.glob("openlineage.db*"):
        path.unlink()
    again = Receiver(ledger, "someone")
    assert again.index.counts() == counts
    assert counts["events"] == len(GOOD)
    again.close()


def test_who_said_it_and_when_is_known_again_without_the_index(ledger: Ledger, receiver: Receiver) -> None:
    signer = ledger.keyring.signer("someone")
    versions = {"signed": "2026-01-01T00:00:00Z", "anybody": "2026-01-02T00:00:00Z", "future": "9999-01-01T00:00:00Z"}
    raws = []
    for version, at in versions.items():
        outputs = [{"namespace": "d", "name": "x", "facets": {"version": {"datasetVersion": version}}}]
        raws.append(json.dumps(_event(eventTime=at, outputs=outputs, run={"runId": str(uuid4())})).encode())
    raws[0] = sign_event(raws[0], signer)
    assert _take(receiver, *raws) == [None] * 3
    receiver.close()
    found = []
    for is_new in (False, True):
        if is_new:
            for path in ledger.layout.directory.glob("openlineage.db*"):
                path.unlink()
        with closing(open_index(ledger)) as index:
            found.append(next(one for one in index.graph("dataset:d:x", 0)))
    assert found[0] == found[1]
    assert (found[0].version, found[0].said_by) == ("signed", {"version": signer.public.keyid})
    assert [one["version"] for one in found[0].versions] == ["signed", "future", "anybody"]
    ahead = parse_time_us(found[0].versions[1]["time"]) / 1e6 - time.time()
    assert 200 < ahead <= 300


def test_what_an_earlier_release_took_keeps_no_server_from_starting(ledger: Ledger) -> None:
    raws = [json.dumps(_event(eventTime="20260101")).encode(), json.dumps(_event()).encode()]
    blob = ledger.blobs.put(encode_batch(raws))
    statement = encode_received(Received(blob, len(raws), events_root(raws), "2026-01-01T00:00:00Z"))
    ledger.append_batch(encode_envelope(sign_envelope(statement, PAYLOAD_TYPE, ledger.keyring.signer("someone"))))
    receiver = Receiver(ledger, "someone")
    assert receiver.index.counts()["events"] == 1
    assert receiver.index.position() == ledger.log.size()
    receiver.close()


def test_an_id_that_two_datasets_have_is_asked_for_with_its_namespace(client: TestClient) -> None:
    for namespace, name in (("a:b", "c"), ("a", "b:c")):
        outputs = [{"namespace": namespace, "name": name}]
        event = _event(job={"namespace": "n", "name": name}, inputs=[], outputs=outputs)
        assert client.post("/api/v1/lineage", json=event).status_code == 201
    asked = {"nodeId": "dataset:a:b:c"}
    answer = client.get("/api/v1/lineage", params=asked)
    assert (answer.status_code, answer.json()["got"]) == (400, "namespace a, name b:c; namespace a:b, name c")
    graph = client.get("/api/v1/lineage", params={**asked, "namespace": "a"}).json()["graph"]
    assert {node["data"]["name"] for node in graph} == {"b:c"}


def test_batches_are_read_back_and_cut_ones_refused() -> None:
    events = [b"a", b"", b"ccc" * 1000]
    data = encode_batch(events)
    assert parse_batch(data) == events
    for cut in (1, 3, len(data) - 1):
        with pytest.raises(MalformedError):
            parse_batch(data[:cut])


def test_damage_of_a_batch_is_found(receiver: Receiver, ledger: Ledger) -> None:
    _take(receiver, json.dumps(_event()).encode())
    (blob,) = [path for path in Path(ledger.layout.blobs).rglob("*") if path.is_file() and path.stat().st_size > 300]
    blob.chmod(0o600)
    blob.write_bytes(blob.read_bytes()[:-1] + b"!")
    assert not ledger.fsck().clean


def test_what_other_programs_write_is_taken(client: TestClient) -> None:
    """Query plans are deep, and statistics hold the largest long there is."""
    plan: Any = 9_223_372_036_854_775_807
    for _ in range(100):
        plan = {"children": [plan]}
    event = _event(run={"runId": "0176a8c2-fe01-7439-87e6-56a1a1b4029f", "facets": {"spark.logicalPlan": plan}})
    assert client.post("/api/v1/lineage", json=event).status_code == 201
    assert client.post("/api/v1/lineage/batch", json=[event]).status_code == 204
    for odd in (b"[" * 300 + b"]" * 300, b'{"eventTime": NaN}', b'{"a": ' + b"9" * 5_000 + b"}", b'"\\ud800"', b"\xff"):
        for path in ("/api/v1/lineage", "/api/v1/lineage/batch"):
            assert client.post(path, content=odd).status_code in (400, 413), odd[:20]
