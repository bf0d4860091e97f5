"""The application: readiness, heavy work in bounds, and what loads it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest

from provenance import Ledger
from provenance.server import ServerLimits, create_app
from provenance.server.problems import RequestRefusedError
from provenance.server.service import Service
from tests.unit.server.client import call, scope_of


def test_readiness_is_503_when_the_store_does_not_answer(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with Ledger.init(tmp_path) as ledger:
        app = create_app(ledger)
        assert call(app, scope_of(path="/readyz")).status == 200
    answer = call(app, scope_of(path="/readyz"))
    document = json.loads(answer.body)
    assert (answer.status, document["type"]) == (503, "urn:provenance-ledger:problem:store")
    assert str(tmp_path).encode() not in answer.body and str(tmp_path) in caplog.text
    assert call(app, scope_of(path="/healthz")).status == 200


@pytest.mark.parametrize("damage", ["missing", "damaged", "readable by others"])
def test_readiness_is_503_when_the_log_key_does_not_load(tmp_path: Path, damage: str) -> None:
    with Ledger.init(tmp_path) as ledger:
        key = ledger.keyring.log_key_path
    if damage == "missing":
        key.unlink()
    elif damage == "damaged":
        key.write_text("no key")
    else:
        key.chmod(0o644)
    with Ledger.open(tmp_path) as ledger:
        answer = call(create_app(ledger), scope_of(path="/readyz"))
    document = json.loads(answer.body)
    assert (answer.status, document["type"]) == (503, "urn:provenance-ledger:problem:signer")
    assert str(tmp_path).encode() not in answer.body


def test_an_empty_log_has_no_checkpoint_and_empty_lists(tmp_path: Path) -> None:
    with Ledger.init(tmp_path) as ledger:
        app = create_app(ledger)
        assert call(app, scope_of(path="/checkpoint")).status == 404
        assert call(app, scope_of(path="/tile/0/000.p/1")).status == 404
        for path in ("/v1/datasets", "/v1/anchors"):
            assert json.loads(call(app, scope_of(path=path)).body) == {"items": [], "nextCursor": None}


def test_heavy_work_has_threads_of_its_own_and_is_refused_above_its_count(tmp_path: Path) -> None:
    async def scenario(service: Service) -> tuple[int, int, list[str]]:
        release, running, most, lock = threading.Event(), 0, 0, threading.Lock()

        def work() -> str:
            nonlocal running, most
            with lock:
                running += 1
                most = max(most, running)
            release.wait(10)
            with lock:
                running -= 1
            return "done"

        heavy = [asyncio.create_task(service.heavy(work)) for _ in range(5)]
        await asyncio.sleep(0.05)
        reads = await asyncio.gather(*(service.read(lambda: "read") for _ in range(20)))
        release.set()
        outcomes = await asyncio.gather(*heavy, return_exceptions=True)
        refused = sum(isinstance(outcome, RequestRefusedError) for outcome in outcomes)
        return refused, most, reads

    with Ledger.init(tmp_path) as ledger:
        service = Service(ledger, ServerLimits(max_heavy_requests=3, heavy_threads=2))
        assert asyncio.run(scenario(service)) == (2, 2, ["read"] * 20)


def test_uploads_over_their_count_are_busy(tmp_path: Path) -> None:
    async def scenario(ledger: Ledger) -> int:
        transport = httpx.ASGITransport(create_app(ledger, limits=ServerLimits(max_uploads=0)))
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            response = await client.post("/v1/verify", files={"file": ("a", b"b")})
        assert response.headers["retry-after"] == "1"
        return response.status_code

    with Ledger.init(tmp_path) as ledger:
        assert asyncio.run(scenario(ledger)) == 503


def test_the_command_line_starts_without_the_http_framework() -> None:
    code = "import sys, provenance, provenance.cli, provenance.ledger; print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in result.stdout.split()}
    assert not loaded & {"fastapi", "starlette", "uvicorn", "pydantic", "python_multipart"}
