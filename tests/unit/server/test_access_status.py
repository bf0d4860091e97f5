"""What the access log says of a request is what was sent: of refusals too, whoever refused."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from provenance.ledger import Ledger
from provenance.ledger.access import AccessLog, read_access_log
from provenance.ledger.receiving import Receiver
from provenance.server import create_app
from provenance.server.bounds import ServerLimits
from provenance.statement.access import AccessRecord
from tests.unit.server.client import scope_of


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.init(tmp_path / "ledger") as made:
        made.keyring.new("server", algorithm="ed25519")
        (tmp_path / "a").write_text("a")
        made.register(tmp_path / "a", "t/a", "1", anchor=False)
        yield made


def _records(ledger: Ledger) -> list[AccessRecord]:
    return [record for _, _, records in read_access_log(ledger) for record in records]


ASKED: list[tuple[str, str, int, str]] = [
    ("GET", "/v1/lineage/t/a", 200, "GET /v1/lineage/{ref}"),
    ("HEAD", "/v1/lineage/t/a", 200, "HEAD /v1/lineage/{ref}"),
    ("GET", "/v1/lineage/nobody/nothing", 404, "GET /v1/lineage/{ref}"),
    ("GET", "/v1/lineage/NOT-A-NAME", 400, "GET /v1/lineage/{ref}"),
    ("GET", "/v1/lineage/t/a?other=1", 400, "GET /v1/lineage/{ref}"),
    ("GET", "/v1/lineage/" + "x" * 20_000, 414, "GET other"),
    ("GET", "/v1/entries/99", 404, "GET /v1/entries/{index}"),
    ("DELETE", "/v1/datasets", 405, "DELETE /v1/datasets"),
    ("ALICE", "/v1/datasets", 405, "other /v1/datasets"),
    ("POST", "/v1/statements", 415, "POST /v1/statements"),
    ("POST", "/api/v1/lineage", 401, "POST /api/v1/lineage"),
    ("GET", "/nowhere", 404, "GET other"),
    ("GET", "/healthz", 200, "GET /healthz"),
]


def test_it_is_told_of_what_was_sent(ledger: Ledger) -> None:
    receiver = Receiver(ledger, "server")
    with closing(AccessLog(ledger, "server", batch_seconds=3_600)) as access, closing(receiver):
        app = create_app(ledger, access=access, receiver=receiver, bearer_keys=["k" * 32])
        client = TestClient(app)
        for method, path, status, _ in ASKED:
            assert client.request(method, path, content=b"{}" if method == "POST" else None).status_code == status
    found = [(one.operation, one.status) for one in _records(ledger)]
    assert found == [(operation, status) for _, _, status, operation in ASKED]


def test_it_is_told_of_errors_that_nobody_foresaw_and_of_what_is_refused_as_busy(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("secret")

    with closing(AccessLog(ledger, "server", batch_seconds=3_600)) as access:
        monkeypatch.setattr(ledger, "lineage", broken)
        assert TestClient(create_app(ledger, access=access)).get("/v1/lineage/t/a").status_code == 500
        busy = TestClient(create_app(ledger, access=access, limits=ServerLimits(max_requests=0)))
        assert busy.get("/v1/lineage/t/a").status_code == 503
    assert [one.status for one in _records(ledger)] == [500, 503]


def test_who_went_away_before_the_answer_was_given_nothing(ledger: Ledger) -> None:
    async def send(_: Any) -> None:
        raise AssertionError("nothing is sent")

    with closing(AccessLog(ledger, "server", batch_seconds=3_600)) as access:
        app = create_app(ledger, access=access)
        scope = scope_of("POST", "/v1/statements", {"Content-Type": "application/json", "Content-Length": "9"})
        messages = [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}]

        async def receive() -> Any:
            return messages.pop(0)

        asyncio.run(app(scope, receive, send))
    assert _records(ledger) == []
