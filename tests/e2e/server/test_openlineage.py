"""A real server that takes lineage events, the real OpenLineage client, and a kill in the middle."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from openlineage.client import OpenLineageClient
from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState
from openlineage.client.transport.http import ApiKeyTokenProvider, HttpCompression, HttpConfig, HttpTransport
from openlineage.client.uuid import generate_new_uuid

from provenance.ledger import Ledger
from provenance.ledger.receiving import Receiver
from tests.paths import PROJECT

KEY = "a-key-that-is-long-enough"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with Ledger.init(tmp_path / "ledger", origin="receiver.example/log") as ledger:
        ledger.keyring.new("receiver", algorithm="ed25519")
    (tmp_path / "keys.txt").write_text(f"{KEY}\n")
    return tmp_path


class _Server:
    def __init__(self, folder: Path) -> None:
        command = [
            sys.executable, "-m", "provenance.cli", "--ledger", str(folder / "ledger"), "serve", "--port", "0",
            "--openlineage", "--key", "receiver", "--bearer-file", str(folder / "keys.txt"), "--json",
        ]  # fmt: skip
        self.process = subprocess.Popen(
            command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self.process.stdout is not None
        text = ""
        while (match := re.search(r'"url": "([^"]+)"', text)) is None:
            line = self.process.stdout.readline()
            if not line:
                self.stop()
                raise AssertionError("the server ended")
            text += line
        self.url = match[1]

    def stop(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)
        self.process.wait(30)
        if self.process.stdout is not None:
            self.process.stdout.close()


@pytest.fixture
def server(folder: Path) -> Iterator[_Server]:
    made = _Server(folder)
    yield made
    if made.process.poll() is None:
        made.stop()


def _events(count: int) -> list[RunEvent]:
    return [
        RunEvent(
            eventTime="2026-01-01T00:00:00Z",
            producer="https://client.example/",
            eventType=RunState.COMPLETE,
            run=Run(runId=str(generate_new_uuid())),
            job=Job(namespace="jobs", name=f"job-{number}"),
            inputs=[InputDataset(namespace="data", name="raw")],
            outputs=[OutputDataset(namespace="data", name=f"made-{number}")],
        )
        for number in range(count)
    ]


@pytest.mark.parametrize("compression", [None, HttpCompression.GZIP])
def test_the_real_client_is_understood(server: _Server, folder: Path, compression: HttpCompression | None) -> None:
    config = HttpConfig(url=server.url, auth=ApiKeyTokenProvider({"apiKey": KEY}), compression=compression, timeout=10)
    client = OpenLineageClient(transport=HttpTransport(config))
    for event in _events(5):
        client.emit(event)
    client.close()
    server.stop()
    with Ledger.open(folder / "ledger") as ledger:
        receiver = Receiver(ledger, "receiver")
        assert receiver.index.counts()["events"] == 5
        graph = receiver.index.graph("dataset:data:raw", 3)
        assert {node.id for node in graph if node.type == "JOB"} == {f"job:jobs:job-{n}" for n in range(5)}
        receiver.close()
        assert ledger.fsck().clean


def test_the_asynchronous_client_is_understood(server: _Server, folder: Path) -> None:
    from openlineage.client.transport.async_http import AsyncHttpConfig, AsyncHttpTransport

    transport = AsyncHttpTransport(
        AsyncHttpConfig.from_dict({"url": server.url, "auth": {"type": "api_key", "apiKey": KEY}})
    )
    client = OpenLineageClient(transport=transport)
    for event in _events(20):
        client.emit(event)
    client.close(30)
    server.stop()
    with Ledger.open(folder / "ledger") as ledger:
        receiver = Receiver(ledger, "receiver")
        assert receiver.index.counts()["events"] == 20
        receiver.close()


def test_what_was_acknowledged_survives_a_kill(server: _Server, folder: Path) -> None:
    acknowledged = 0
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    for number in range(30):
        event = {
            "eventTime": "2026-01-01T00:00:00Z", "producer": "https://p.example/", "schemaURL": "https://s.example/",
            "run": {"runId": "0176a8c2-fe01-7439-87e6-56a1a1b4029f"}, "job": {"namespace": "n", "name": f"j{number}"},
        }  # fmt: skip
        data = json.dumps(event).encode()
        request = urllib.request.Request(f"{server.url}/api/v1/lineage", data, headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.status == 201
        acknowledged += 1
    server.stop(signal.SIGKILL)
    for path in (folder / "ledger").rglob("openlineage.db*"):
        path.unlink()
    with Ledger.open(folder / "ledger") as ledger:
        receiver = Receiver(ledger, "receiver")
        assert receiver.index.counts()["events"] == acknowledged
        receiver.close()
        (row, *_) = ledger.log.listed(0, 1)
        assert row.problem is None
        assert ledger.fsck(independent=True).clean


def test_the_log_shows_batches(server: _Server, folder: Path) -> None:
    config = HttpConfig(url=server.url, auth=ApiKeyTokenProvider({"apiKey": KEY}), timeout=10)
    client = OpenLineageClient(transport=HttpTransport(config))
    client.emit(_events(1)[0])
    client.close()
    command = [sys.executable, "-m", "provenance.cli", "--ledger", str(folder / "ledger"), "log", "show"]
    shown = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    assert "openlineage-batch" in shown
