"""The signing transport in the real OpenLineage client: into a ledger, to a real server, beside another backend."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from openlineage.client import OpenLineageClient
from openlineage.client.transport import get_default_factory

from provenance.encoding import Digest, canonical_json
from provenance.errors import MalformedError, ProvenanceError, SignerError, SourceError
from provenance.ledger import Ledger
from provenance.ledger.importing import declared_graph
from provenance.ledger.receiving import Receiver, read_event
from provenance.lineage.signed_event import open_signed, sign_event
from provenance.openlineage import SignedConfig, SignedTransport
from provenance.signature import parse_envelope, verify_envelope
from provenance.statement.frame import open_frame
from provenance.statement.received import MAX_BATCH_BYTES, parse_batch, read_received
from tests.e2e.server.test_openlineage import KEY, _events, _Server

TYPE = "provenance.openlineage.SignedTransport"
_EVENT = {
    "eventTime": "2026-01-01T00:00:00Z", "producer": "https://p.example/", "schemaURL": "https://s.example/",
    "run": {"runId": "0176a8c2-fe01-7439-87e6-56a1a1b4029f"}, "job": {"namespace": "n", "name": "j"},
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with Ledger.init(tmp_path / "ledger", origin="receiver.example/log") as ledger:
        ledger.keyring.new("receiver", algorithm="ed25519")
    with Ledger.init(tmp_path / "sender") as sender:
        sender.keyring.new("airflow")
    (tmp_path / "keys.txt").write_text(f"{KEY}\n")
    return tmp_path


@pytest.fixture
def server(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[_Server]:
    monkeypatch.setenv("LINEAGE_KEY", KEY)
    started = _Server(folder)
    yield started
    if started.process.poll() is None:
        started.stop()


def _client(config: dict[str, Any]) -> OpenLineageClient:
    return OpenLineageClient(transport=get_default_factory().create(config))


def _trust(folder: Path) -> None:
    with Ledger.open(folder / "sender") as sender, Ledger.open(folder / "ledger") as ledger:
        ledger.keyring.trust_key("airflow", sender.keyring.show("airflow").public)


def _batches(ledger: Ledger) -> list[bytes]:
    """The events of every batch in the log, as they came."""
    found = []
    for row in ledger.log.entries(0, ledger.log.size()):
        received = read_received(open_frame(parse_envelope(row.envelope).payload))
        found += parse_batch(ledger.blobs.get(received.batch, max_bytes=MAX_BATCH_BYTES))
    return found


def test_events_are_signed_and_logged_without_a_server(folder: Path) -> None:
    client = _client({"type": TYPE, "ledger": str(folder / "sender"), "key": "airflow"})
    for event in _events(3):
        client.emit(event)
    client.close()
    with Ledger.open(folder / "sender") as ledger:
        raws = _batches(ledger)
        assert len(raws) == 3
        for raw in raws:
            verify_envelope(open_signed(raw), ledger.keyring.show("airflow").public)
            assert f"signed by {ledger.keyring.show('airflow').public.keyid}" in read_event(raw).flags
        assert declared_graph(ledger, "job:jobs:job-0")
        assert ledger.fsck().clean


def test_a_server_takes_what_a_trusted_key_signed(server: _Server, folder: Path) -> None:
    config = {
        "type": TYPE, "ledger": str(folder / "sender"), "key": "airflow", "url": server.url,
        "bearerEnv": "LINEAGE_KEY", "timeout": 20,
    }  # fmt: skip
    client = _client(dict(config))
    with pytest.raises(SourceError, match="403") as refused:
        client.emit(_events(1)[0])
    assert KEY not in str(refused.value)
    _trust(folder)
    with Ledger.open(folder / "sender") as sender:
        signer = sender.keyring.signer("airflow")
        pair = (json.dumps(_EVENT).encode(), json.dumps({**_EVENT, "inputs": []}).encode())
        one, other = (json.loads(sign_event(raw, signer)) for raw in pair)
    forged = canonical_json({**one, "signatures": other["signatures"]})
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    answer = httpx.post(f"{server.url}/api/v1/lineage", content=forged, headers=headers, timeout=20)
    assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (422, "verification")
    events = _events(4)
    for event in events:
        client.emit(event)
    client.emit(events[0])  # the same again: signed anew, if the signature is random, and taken
    client.close()
    with Ledger.open(folder / "ledger") as ledger:
        ledger.keyring.revoke("airflow")
    with pytest.raises(SourceError, match="revoked"):
        _client(dict(config)).emit(_events(1)[0])
    server.stop()
    with Ledger.open(folder / "ledger") as ledger, Ledger.open(folder / "sender") as sender:
        raws = _batches(ledger)
        assert len(raws) in (4, 5)
        for raw in raws:
            verify_envelope(open_signed(raw), sender.keyring.show("airflow").public)
        assert ledger.fsck().clean


def test_a_signature_that_is_not_its_keys_is_refused(folder: Path) -> None:
    _trust(folder)
    raw = json.dumps(_EVENT).encode()
    with Ledger.open(folder / "sender") as sender, Ledger.open(folder / "ledger") as ledger:
        signed = sign_event(raw, sender.keyring.signer("airflow"))
        receiver = Receiver(ledger, "receiver")
        try:
            assert receiver.read(signed).job == ("n", "j")
            for place in range(len(signed)):
                changed = bytearray(signed)
                changed[place] ^= 1
                with pytest.raises(ProvenanceError):
                    receiver.read(bytes(changed))
            for other in (b'{"payload":"', b'{"payload":""}', signed + b" ", signed[:-1]):
                with pytest.raises(ProvenanceError):
                    receiver.read(other)
        finally:
            receiver.close()


def test_another_backend_is_kept(folder: Path, tmp_path: Path) -> None:
    """By the client's own composite: what fails on one side is not lost on the other."""
    ours = {"type": TYPE, "ledger": str(folder / "sender"), "key": "airflow"}
    dead = {"type": "http", "url": "http://127.0.0.1:9", "timeout": 1, "retry": {"total": 0}}
    kept = {"type": "file", "log_file_path": str(tmp_path / "events.jsonl"), "append": True}
    client = _client(
        {"type": "composite", "continue_on_failure": True, "transports": {"a": dead, "b": kept, "ledger": ours}}
    )
    for event in _events(2):
        client.emit(event)
    client.close()
    assert len((tmp_path / "events.jsonl").read_text().splitlines()) == 2
    with Ledger.open(folder / "sender") as ledger:
        assert len(_batches(ledger)) == 2
        assert len({Digest.of(raw) for raw in _batches(ledger)}) == 2


def test_settings_that_cannot_be(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = {"type": TYPE, "ledger": str(folder / "sender"), "key": "airflow"}
    monkeypatch.delenv("NOT_SET", raising=False)
    for wrong in (
        {"more": 1}, {"timeout": "x"}, {"timeout": 0}, {"url": 3}, {"url": "ftp://x"}, {"url": "https://user:pass@x/"},
        {"url": "http://x:99999"}, {"bearerEnv": "NOT_SET"}, {"passphraseEnv": "NOT_SET"},
    ):  # fmt: skip
        with pytest.raises(MalformedError) as caught:
            SignedTransport(SignedConfig.from_dict({**good, **wrong}))
        assert "pass@" not in str(caught.value)
    with pytest.raises(SignerError):
        SignedTransport(SignedConfig.from_dict({**good, "key": "nobody"}))
    transport = SignedTransport(SignedConfig.from_dict(good))
    assert transport.close()
    with pytest.raises(SourceError, match="closed"):
        transport.emit(_events(1)[0])
    unreachable = SignedTransport(SignedConfig.from_dict({**good, "url": "http://127.0.0.1:9", "timeout": 1}))
    with pytest.raises(SourceError, match="not taken"):
        unreachable.emit(_events(1)[0])
    unreachable.close()
