"""The access log: who asked for what, by pseudonyms, signed, logged and examined."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from provenance.errors import MalformedError, SignerError, StoreError
from provenance.ledger import Ledger
from provenance.ledger.access import MAX_WAITING, AccessLog, read_access_log
from provenance.server import create_app
from provenance.statement.access import AccessRecord, encode_record, parse_record


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.init(tmp_path / "ledger") as made:
        made.keyring.new("server")
        (tmp_path / "a").write_text("a")
        made.register(tmp_path / "a", "t/a", "1", anchor=False)
        yield made


async def _ask(ledger: Ledger, access: AccessLog, *paths: str, address: str = "192.0.2.7") -> list[int]:
    app = create_app(ledger, access=access)
    transport = httpx.ASGITransport(app, client=(address, 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        return [(await client.get(path, headers={"Authorization": "Bearer hunter2"})).status_code for path in paths]


def test_requests_are_logged_by_pseudonyms(ledger: Ledger) -> None:
    with closing(AccessLog(ledger, "server", batch_seconds=3_600)) as access:
        paths = ("/v1/lineage/t/a@1", "/v1/datasets/t/a/versions/1", "/v1/lineage/t/none", "/secret-path?token=hunter2")
        assert asyncio.run(_ask(ledger, access, *paths))[0] == 200
        asyncio.run(_ask(ledger, access, "/v1/lineage/t/a", address="192.0.2.8"))
        actor, other = access.actor("192.0.2.7"), access.actor("192.0.2.8")
    ((index, batch, records),) = read_access_log(ledger)
    assert (batch.records, batch.dropped, len(records)) == (5, 0, 5)
    assert [one.actor for one in records] == [actor] * 4 + [other]
    assert (records[0].operation, records[0].about, records[0].status) == ("GET /v1/lineage/{ref}", "t/a@1", 200)
    assert (records[3].operation, records[3].about, records[3].status) == ("GET other", None, 404)
    kept = ledger.blobs.get(batch.batch, max_bytes=1 << 20) + ledger.log.entries(index, 1)[0].envelope
    for secret in (b"192.0.2", b"hunter2", b"secret-path"):
        assert secret not in kept
    assert ledger.log.listed(index, 1)[0].problem is None
    assert ledger.fsck(independent=True).clean
    ledger.rebuild_index()
    assert ledger.fsck().clean


def test_whoever_has_the_salt_can_say_whose_a_record_is(ledger: Ledger) -> None:
    with closing(AccessLog(ledger, "server")) as access:
        access.note("192.0.2.7", "GET /v1/x", 200)
    salt = ledger.layout.directory / "access.salt"
    assert stat.S_IMODE(salt.stat().st_mode) == 0o600
    ((_, _, (record,)),) = read_access_log(ledger)
    assert record.actor == hmac.new(salt.read_bytes(), b"192.0.2.7", hashlib.sha256).hexdigest()[:32]
    with closing(AccessLog(ledger, "server")) as again:
        assert again.actor("192.0.2.7") == record.actor
    salt.unlink()
    with closing(AccessLog(ledger, "server")) as another:
        assert another.actor("192.0.2.7") != record.actor
    salt.write_bytes(b"short")
    with pytest.raises(StoreError, match="damaged"):
        AccessLog(ledger, "server")


def test_what_does_not_fit_is_counted(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("provenance.ledger.access.MAX_WAITING", 3)
    assert MAX_WAITING > 1_000
    with closing(AccessLog(ledger, "server", batch_seconds=3_600)) as access:
        for number in range(5):
            access.note("x", "GET /v1/x", 200, f"t/{number}")
    ((_, batch, records),) = read_access_log(ledger)
    assert (batch.dropped, [one.about for one in records]) == (2, ["t/0", "t/1", "t/2"])


def test_many_threads_lose_nothing(ledger: Ledger) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with closing(AccessLog(ledger, "server", batch_seconds=0.01)) as access, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: access.note("x", "GET /v1/x", 200, f"t/{number}"), range(9_000)))
    found = [one.about for _, _, records in read_access_log(ledger) for one in records]
    assert sorted(found, key=str) == sorted((f"t/{number}" for number in range(9_000)), key=str)


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), ZeroDivisionError("secret")])
def test_the_thread_survives_whatever_stops_a_batch(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object) -> None:
        raise error

    with closing(AccessLog(ledger, "server", batch_seconds=0.05)) as access:
        with monkeypatch.context() as failing:
            failing.setattr(ledger, "append_batch", fail)
            access.note("x", "GET /v1/x", 200)
            _wait(lambda: access.problem is not None)
        assert type(error).__name__ in str(access.problem) and "secret" not in str(access.problem)
        _wait(lambda: len(list(read_access_log(ledger))) == 1 and access.problem is None)


def test_two_that_flush_at_once_log_each_record_once(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    append = ledger.append_batch

    def slow(envelope: bytes) -> int:
        time.sleep(0.2)
        return append(envelope)

    monkeypatch.setattr(ledger, "append_batch", slow)
    with closing(AccessLog(ledger, "server", batch_seconds=3_600)) as access:
        access.note("x", "GET /v1/x", 200, "t/0")
        threads = [threading.Thread(target=access.flush) for _ in range(3)]
        for thread in threads:
            thread.start()
        time.sleep(0.1)
        access.note("x", "GET /v1/x", 200, "t/1")
        for thread in threads:
            thread.join()
    assert [one.about for _, _, records in read_access_log(ledger) for one in records] == ["t/0", "t/1"]


def test_everything_that_is_kept_is_private(ledger: Ledger) -> None:
    with closing(AccessLog(ledger, "server")) as access:
        access.note("192.0.2.7", "GET /v1/x", 200)
        access.flush()
        kept = [ledger.layout.directory, *ledger.layout.directory.rglob("*")]
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in kept}
        assert {"access.salt", "ledger.db", "ledger.db-wal", "blobs"} <= modes.keys()
        assert [name for name, mode in modes.items() if mode & 0o077] == []


def _wait(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline, "nothing happened for 20 s"
        time.sleep(0.02)


def test_what_cannot_be_kept(ledger: Ledger) -> None:
    with pytest.raises(SignerError):
        AccessLog(ledger, "nobody")
    with closing(AccessLog(ledger, "server")) as access:
        access.note("x", "GET /v1/x", 200, "x" * 100_000)
        access.note("x", "GET /v1/x", 200, "\ud800")
    ((_, _, records),) = read_access_log(ledger)
    assert [one.about for one in records] == [None, None]
    record = AccessRecord("2026-01-01T00:00:00Z", "ab" * 16, "GET /", 200)
    assert parse_record(encode_record(record)) == record
    for wrong in (b"{}", b"[]", encode_record(record)[:-1], encode_record(record).replace(b"200", b"20")):
        with pytest.raises(MalformedError):
            parse_record(wrong)
