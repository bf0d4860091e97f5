"""The tables in PostgreSQL: what they refuse by themselves, which versions are read, and what damage is found."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from provenance.errors import StoreError
from provenance.stores import FileRow, LocationRow, Store, open_store
from provenance.stores.postgresql import schema
from provenance.stores.postgresql.queries import decoded, encoded
from tests.conformance.stores.samples import anchor, append, dataset, envelope, parent
from tests.postgresql import PostgresServer

HASH = "decode(repeat('ab', 32), 'hex')"
SHORT = "decode(repeat('ab', 31), 'hex')"
OUTBOX = (
    "INSERT INTO outbox (chain_id, kind, publisher, contract, origin, size, root, nonce, raw, tx, state, created_s)"
)


@pytest.fixture
def filled(database: str) -> Iterator[Store]:
    with open_store(database, create=True) as store:
        with store.transaction() as tx:
            append(tx, [envelope(0)])
            row = append(tx, [envelope(1)])
            tx.keep_checkpoint(row)
            tx.add_dataset(dataset(0), [], [FileRow(dataset(0).digest, "a.csv")])
            tx.add_dataset(dataset(1), [parent(1, 0, dataset(0))], [])
            tx.outbox_add(anchor(2))
            tx.add_location(LocationRow(0, "/data", 1))
        yield store


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO segments VALUES (2, 1, decode('0000', 'hex'))",
        "INSERT INTO segments VALUES (2, 1, decode(repeat('00', 65538), 'hex'))",
        "INSERT INTO segments VALUES (2, 0, decode('000178', 'hex'))",
        "INSERT INTO segments VALUES (-1, 1, decode('000178', 'hex'))",
        "INSERT INTO segments VALUES (0, 1, decode('000178', 'hex'))",
        "INSERT INTO segments VALUES (255, 2, decode('000178000178', 'hex'))",
        f"INSERT INTO tiles VALUES (64, 0, {HASH})",
        f"INSERT INTO tiles VALUES (1, 0, {SHORT})",
        "INSERT INTO tiles VALUES (1, 0, decode(repeat('00', 8224), 'hex'))",
        f"INSERT INTO checkpoint VALUES (2, 1, {HASH}, 'x')",
        f"INSERT INTO kept_checkpoints VALUES (2, {HASH}, 'x')",
        "INSERT INTO index_state VALUES (2, 0)",
        "UPDATE index_state SET size = -1",
        "INSERT INTO datasets SELECT 9, namespace, name, '2', digest, file_root, kind, sensitivity, license, keyid,"
        " created, manifest, oms, record_root FROM datasets WHERE entry_index = 0",
        f"UPDATE datasets SET digest = {SHORT}",
        "UPDATE datasets SET name = 'same'",
        f"INSERT INTO parents VALUES (7, 0, 'n', 'n', '1', {HASH}, NULL)",
        f"INSERT INTO files VALUES ({HASH}, 7, 'x')",
        "INSERT INTO files SELECT * FROM files",
        f"INSERT INTO events VALUES (7, {HASH}, 't', 'k', 'c')",
        "INSERT INTO locations VALUES (7, '/x', 1)",
        "INSERT INTO locations SELECT * FROM locations",
        f"{OUTBOX} SELECT chain_id, kind, publisher, upper(contract), origin, size, root, 99, raw, tx, 'signed', 1"
        " FROM outbox",
        f"{OUTBOX} SELECT chain_id, kind, upper(publisher), contract, origin, 99, root, nonce, raw, tx, 'signed', 1"
        " FROM outbox",
        f"{OUTBOX} SELECT chain_id, kind, publisher, contract, NULL, 99, root, 99, raw, tx, 'signed', 1 FROM outbox",
        "UPDATE outbox SET state = 'lost'",
        "INSERT INTO ledger VALUES (2, 1)",
    ],
)
def test_the_schema_itself_refuses_what_cannot_be_right(filled: Store, database: str, statement: str) -> None:
    direct = psycopg.connect(database, autocommit=True, options="-csearch_path=provenance")
    with direct as connection, pytest.raises(psycopg.errors.IntegrityError):
        connection.execute(statement.encode())
    assert filled.check() == []


def test_damage_is_found(filled: Store, database: str, postgres: PostgresServer) -> None:
    with postgres.connect(database) as connection:
        connection.execute("SET search_path = provenance")
        connection.execute("DELETE FROM segments WHERE first = 0")
        connection.execute(
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'provenance.datasets_by_root'::regclass"
        )
    assert filled.check() == [
        "index datasets_by_root is not valid",
        "datasets without entries: 1 rows",
        "locations without entries: 1 rows",
    ]
    with pytest.raises(StoreError, match="damaged: entry 0 is missing"):
        list(filled.entries(0, 10))


def test_a_table_that_is_gone_is_damage(filled: Store, database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("DROP TABLE provenance.tiles")
    with pytest.raises(StoreError, match="damaged"):
        filled.tile(0, 0)
    (found,) = filled.check()
    assert found.startswith("tiles: ")


def test_another_programs_schema_is_left_alone(database: str, postgres: PostgresServer) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("CREATE TABLE before (id int)")
    name = database.split("@/")[1].split("?")[0]
    postgres.admin("CREATE SCHEMA provenance AUTHORIZATION ledger CREATE TABLE ledger (id int)", name)
    for create in (True, False):
        with pytest.raises(StoreError, match="another program's"):
            open_store(database, create=create)
    postgres.admin("DROP TABLE provenance.ledger", name)
    with open_store(database, create=True) as store:
        assert store.size() == 0
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("DROP TABLE before")


def test_a_newer_schema_is_refused_and_an_older_one_brought_up(
    filled: Store, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = schema.SCHEMA_VERSION + 1
    with monkeypatch.context() as later:
        later.setattr(schema, "SCHEMA_VERSION", newer)
        later.setattr("provenance.stores.postgresql.store.SCHEMA_VERSION", newer)
        later.setattr(schema, "_STEPS", (*schema._STEPS, ("CREATE TABLE more (id bigint)",)))
        with pytest.raises(StoreError, match="older release"):
            open_store(database, read_only=True)
        with open_store(database) as store:
            assert store.size() == 2
        with open_store(database, read_only=True) as store:
            assert store.size() == 2
    for options in ({"create": True}, {"create": False}, {"read_only": True}):
        with pytest.raises(StoreError, match="newer release") as raised:
            open_store(database, **options)
        assert raised.value.hint and "pip install" in raised.value.hint


def test_a_user_without_rights_is_told_so(database: str, postgres: PostgresServer) -> None:
    postgres.admin("CREATE ROLE stranger LOGIN")
    try:
        url = database.replace("ledger@", "stranger@")
        with pytest.raises(StoreError, match="lacks a right"):
            open_store(url, create=True)
        open_store(database, create=True).close()
        with pytest.raises(StoreError, match="lacks a right"):
            open_store(url)
    finally:
        postgres.admin("DROP ROLE stranger")


@given(st.text(alphabet="\\0\0x'a\u00e9", max_size=12))
def test_text_comes_back_as_it_was(text: str) -> None:
    (stored,) = encoded((text,))
    assert isinstance(stored, str) and "\0" not in stored
    assert decoded((stored, 1, None)) == (text, 1, None)
