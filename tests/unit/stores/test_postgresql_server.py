"""What the PostgreSQL store asks of a server, and what it says of one that is not as it should be."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Iterator

import pytest

from provenance.errors import StoreError
from provenance.stores import Store, open_store
from provenance.stores.postgresql import PostgresqlStore, connections, sessions
from tests.conformance.stores.samples import append, envelope
from tests.postgresql import OWNER, PASSWORD, PostgresServer, free_port


@pytest.fixture
def store(database: str) -> Iterator[Store]:
    with open_store(database, create=True, timeout_s=20) as opened:
        yield opened


def write(store: Store) -> None:
    with store.transaction() as tx:
        append(tx, [envelope(tx.size())])


def name_of(url: str) -> str:
    return url.split("@/")[1].split("?")[0]


def test_a_server_that_skips_syncs_is_refused_also_later(database: str, postgres: PostgresServer) -> None:
    with open_store(database, create=True) as store:
        write(store)
        postgres.reload("fsync", "off")
        try:
            for call in (lambda: write(store), lambda: open_store(database)):
                with pytest.raises(StoreError, match="got fsync = off") as raised:
                    call()
                assert raised.value.hint and "fsync" in raised.value.hint
            assert store.size() == 1
        finally:
            postgres.reload("fsync", None)
        write(store)


def test_a_database_that_acknowledges_too_early_is_refused(database: str, postgres: PostgresServer) -> None:
    postgres.admin(f"ALTER DATABASE {name_of(database)} SET synchronous_commit = off")
    with pytest.raises(StoreError, match="got synchronous_commit = off"):
        open_store(database, create=True)
    postgres.admin(f"ALTER DATABASE {name_of(database)} SET synchronous_commit = local")
    with open_store(database, create=True) as store, store.transaction() as tx:
        assert tx._fetch("SHOW synchronous_commit", ()) == [("on",)]  # type: ignore[attr-defined]


def test_sessions_over_tcp_give_dead_ones_up(
    database: str, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    monkeypatch.setenv("PGOPTIONS", "-c synchronous_commit=off -c statement_timeout=0")
    expected = {
        "client_connection_check_interval": "1s",
        "tcp_keepalives_idle": "2",
        "tcp_keepalives_interval": "1",
        "tcp_keepalives_count": "2",
        "tcp_user_timeout": "3500",
        "idle_in_transaction_session_timeout": "30s",
        "lock_timeout": "7s",
        "statement_timeout": "10min",
        "synchronous_commit": "on",
    }
    with open_store(postgres.tcp_url(name_of(database)), create=True, timeout_s=7) as store, store.transaction() as tx:
        for setting, value in expected.items():
            assert tx._fetch(f"SHOW {setting}", ()) == [(value,)], setting  # type: ignore[attr-defined]


def test_the_password_comes_from_the_environment_and_is_never_shown(
    database: str, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    url = postgres.tcp_url(name_of(database))
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    with open_store(url, create=True) as store:
        write(store)
        assert store.location == url
    for wrong in ("wrong secret", None):
        monkeypatch.setenv("PGPASSWORD", wrong) if wrong else monkeypatch.delenv("PGPASSWORD")
        monkeypatch.setenv("PGPASSFILE", "/dev/null")
        with pytest.raises(StoreError, match="refuses this user") as raised:
            open_store(url)
        assert raised.value.hint and "PGPASSWORD" in raised.value.hint
        error: BaseException | None = raised.value
        while error is not None:
            assert "secret" not in f"{error!r} {error}"
            error = error.__cause__ or error.__context__
    assert "secret" not in caplog.text and PASSWORD not in caplog.text


def test_what_is_not_there_is_said_in_bounded_time(postgres: PostgresServer) -> None:
    with pytest.raises(StoreError, match="no such database") as raised:
        open_store(postgres.url("nowhere"), create=True)
    assert raised.value.hint and "createdb" in raised.value.hint
    with pytest.raises(StoreError, match="refuses this user"):
        open_store(postgres.url("postgres", "nobody_here"))
    started = time.monotonic()
    for url in (f"postgresql://{OWNER}@127.0.0.1:{free_port()}/x", f"postgresql://{OWNER}@/x?host=/nowhere"):
        with pytest.raises(StoreError, match="cannot be reached"):
            open_store(url)
    assert time.monotonic() - started < 20


def test_a_database_of_another_encoding_is_refused(postgres: PostgresServer) -> None:
    postgres.admin(f"CREATE DATABASE ascii OWNER {OWNER} TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'")
    try:
        with pytest.raises(StoreError, match="another encoding; expected UTF8; got SQL_ASCII"):
            open_store(postgres.url("ascii"), create=True)
    finally:
        postgres.admin("DROP DATABASE ascii WITH (FORCE)")


def test_idle_sessions_that_were_ended_are_replaced(store: Store, database: str, postgres: PostgresServer) -> None:
    for _ in range(3):
        write(store)
        assert store.size() > 0
        end_sessions(postgres, database)
    assert store.size() == 3
    end_sessions(postgres, database)
    with store.snapshot() as snapshot:
        assert snapshot.size() == 3


def test_a_session_that_ends_in_the_middle_stores_nothing(
    store: Store, database: str, postgres: PostgresServer
) -> None:
    with pytest.raises(StoreError, match="ended the connection"), store.transaction() as tx:
        append(tx, [envelope(0)])
        end_sessions(postgres, database)
        tx.size()
    with pytest.raises(StoreError), store.transaction() as tx:
        append(tx, [envelope(0)])
        end_sessions(postgres, database)
    with pytest.raises(StoreError, match="ended the connection"), store.snapshot() as snapshot:
        end_sessions(postgres, database)
        snapshot.size()
    assert store.size() == 0
    write(store)
    assert store.size() == 1


def end_sessions(postgres: PostgresServer, database: str) -> None:
    query = "SELECT pid, pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = %s AND usename = %s"
    with postgres.connect(postgres.url("postgres")) as connection:
        assert connection.execute(query, (name_of(database), OWNER)).fetchall()


@pytest.mark.parametrize(
    ("happens", "match"),
    [
        ("PERFORM pg_terminate_backend(pg_backend_pid())", "not known whether it was stored"),
        ("RAISE EXCEPTION 'no'", "nothing was stored: the database server refused to commit"),
    ],
)
def test_a_commit_that_fails_is_no_acknowledgement(
    store: Store, database: str, postgres: PostgresServer, happens: str, match: str
) -> None:
    name = name_of(database)
    postgres.admin(
        "CREATE FUNCTION provenance.fail() RETURNS trigger SECURITY DEFINER LANGUAGE plpgsql AS"
        f" $$ BEGIN {happens}; RETURN NULL; END $$",
        name,
    )
    postgres.admin(
        "CREATE CONSTRAINT TRIGGER fail AFTER INSERT ON provenance.segments DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION provenance.fail()",
        name,
    )
    with pytest.raises(StoreError, match=match):
        write(store)
    assert store.size() == 0
    postgres.admin("DROP TRIGGER fail ON provenance.segments", name)
    write(store)
    assert store.size() == 1


def test_who_does_nothing_inside_of_a_transaction_is_ended(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "IDLE_WRITER_S", 1)
    with open_store(database, create=True) as store, open_store(database) as other:
        with pytest.raises(StoreError), store.transaction() as tx:
            append(tx, [envelope(0)])
            write(other)
        assert store.size() == 1
        write(store)


def test_a_server_that_goes_silent_is_not_waited_for_without_a_bound(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions.Session, "answer_s", 1.0)
    with store.snapshot() as snapshot:
        ((pid,),) = snapshot._fetch("SELECT pg_backend_pid()", ())  # type: ignore[attr-defined]
        os.kill(pid, signal.SIGSTOP)
        try:
            started = time.monotonic()
            with pytest.raises(StoreError, match="did not answer in time"):
                snapshot.size()
            assert time.monotonic() - started < 10
        finally:
            os.kill(pid, signal.SIGCONT)
    assert store.size() == 0


def test_sessions_have_a_bound_and_a_reader_is_not_locked_out_by_snapshots(
    database: str, postgres: PostgresServer
) -> None:
    with open_store(database, create=True, timeout_s=0.2) as store:
        held = [store.snapshot() for _ in range(connections.MAX_SNAPSHOTS)]
        for snapshot in held:
            snapshot.__enter__()
        with pytest.raises(StoreError, match="sessions for reading have been in use"), store.snapshot():
            pytest.fail("one too many")
        assert store.size() == 0
        write(store)
        with postgres.connect(postgres.url("postgres")) as connection:
            query = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s"
            (count,) = connection.execute(query, (name_of(database),)).fetchone() or (0,)
        assert count <= connections.MAX_SNAPSHOTS + connections.MAX_READS + 1
        for snapshot in held:
            snapshot.__exit__(None, None, None)
        with store.snapshot() as later:
            assert later.size() == 1


def test_it_is_what_open_store_opens(store: Store) -> None:
    assert isinstance(store, PostgresqlStore)
