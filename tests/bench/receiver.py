"""How many lineage events a second a real server takes, durably, over 32 connections.

python -m tests.bench.receiver
"""

from __future__ import annotations

import asyncio
import json
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

from provenance import Ledger
from tests.paths import PROJECT

CONNECTIONS = 32
EVENTS = 20_000


def _requests(host: str) -> list[bytes]:
    requests = []
    for number in range(EVENTS):
        event = {
            "eventTime": "2026-01-01T00:00:00Z",
            "eventType": "COMPLETE",
            "producer": "https://bench.example/",
            "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
            "run": {"runId": f"0176a8c2-fe01-7439-87e6-{number:012x}"},
            "job": {"namespace": "bench", "name": f"job-{number % 200}"},
            "inputs": [{"namespace": "bench", "name": f"in-{number % 500}"}],
            "outputs": [{"namespace": "bench", "name": f"out-{number % 500}"}],
        }
        body = json.dumps(event).encode()
        head = f"POST /api/v1/lineage HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        requests.append(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    return requests


async def _send(host: str, port: int, requests: list[bytes], times: list[float]) -> None:
    reader, writer = await asyncio.open_connection(host, port)
    for request in requests:
        started = time.perf_counter()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 201"), head
        times.append(time.perf_counter() - started)
    writer.close()


async def _measure(url: str) -> tuple[float, list[float]]:
    parts = urlsplit(url)
    host, port = str(parts.hostname), int(parts.port or 80)
    requests, times = _requests(host), list[float]()
    started = time.perf_counter()
    await asyncio.gather(*(_send(host, port, requests[n::CONNECTIONS], times) for n in range(CONNECTIONS)))
    return time.perf_counter() - started, times


def main() -> None:
    """Prints events a second and how long one took."""
    with tempfile.TemporaryDirectory() as name:
        with Ledger.init(Path(name)) as ledger:
            ledger.keyring.new("receiver", algorithm="ed25519")
        command = [
            sys.executable,
            "-m",
            "provenance.cli",
            "--ledger",
            name,
            "serve",
            "--port",
            "0",
            "--openlineage",
            "--json",
        ]
        with subprocess.Popen(
            command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as server:
            assert server.stdout is not None
            text = ""
            while (match := re.search(r'"url": "([^"]+)"', text)) is None:
                line = server.stdout.readline()
                assert line, "the server ended"
                text += line
            seconds, times = asyncio.run(_measure(match[1]))
            server.send_signal(signal.SIGTERM)
        with Ledger.open(name) as ledger:
            entries = ledger.log.size()
    quantiles = statistics.quantiles(times, n=100)
    print(f"{EVENTS:,} events over {CONNECTIONS} connections in {entries:,} entries: {EVENTS / seconds:,.0f} a second")
    middle, high, most = (seconds * 1e3 for seconds in (quantiles[49], quantiles[98], max(times)))
    print(f"median {middle:.1f} ms, 99th percentile {high:.1f} ms, at most {most:.0f} ms")


if __name__ == "__main__":
    main()
