"""Database URLs: what is taken, and that no secret in one is ever shown."""

from __future__ import annotations

import pytest

from provenance.errors import LimitError, MalformedError
from provenance.stores import open_store
from provenance.stores.server_url import check_server_url

TAKEN = [
    "postgresql://provenance@db.example/ledger",
    "postgresql://db.example:5433/ledger",
    "postgres://provenance@db.example/ledger?sslmode=verify-full&sslrootcert=/etc/ca.pem",
    "postgresql:///ledger?host=/run/postgresql&user=provenance",
    "postgresql://provenance@%2Frun%2Fpostgresql/ledger",
    "postgresql://provenance@[2001:db8::1]:5432/ledger",
    "postgresql://@db.example/ledger",
    "postgresql://user%40realm@db.example/ledger",
    "postgresql:///?service=ledger&passfile=/etc/ledger/pgpass",
    "postgresql://",
]
PASSWORDS = [
    "postgresql://u:s3cret@h/db",
    "postgresql://u:@h/db",
    "postgresql://:s3cret@h/db",
    "postgresql://u:s3c@ret@h/db",
    "postgresql://u@h/db?password=s3cret",
    "postgresql://u@h/db?sslmode=require&password=s3cret",
    "postgresql://u@h/db?%70assword=s3cret",
    "postgresql://u@h/db?sslpassword=s3cret",
]
OTHER = [
    "",
    "postgresql:u@h/db",
    "postgresql:/s3cret",
    "mysql://u@h/s3cret",
    "postgresql://u@h/db#s3cret",
    "postgresql://u:s3cret/x@h/db",
    "postgresql://u:12/s3cret@h/db",
    "postgresql://u:s3cret?x@h/db",
    "postgresql://u@h:s3cret/db",
    "postgresql://u@h/db?s3cret",
    "postgresql://u@h/db?options=-csynchronous_commit%3Doff",
    "postgresql://u@h/db?x-s3cret=1",
    "postgresql://u@h/db s3cret",
    "postgresql://u@h/db\ns3cret",
    "postgresql://u@[h/s3cret",
    "postgresql://u@h/s3cret%00",
    "postgresql://u@h1,h2:s3cret/db",
]


@pytest.mark.parametrize("url", TAKEN)
def test_a_url_without_a_password_is_taken_as_it_is(url: str) -> None:
    assert check_server_url(url) == url


@pytest.mark.parametrize("url", PASSWORDS)
def test_a_password_is_refused_with_where_to_put_it_and_not_shown(url: str) -> None:
    for call in (check_server_url, open_store):
        with pytest.raises(MalformedError, match="holds a password") as raised:
            call(url)
        assert raised.value.hint and "PGPASSWORD" in raised.value.hint and ".pgpass" in raised.value.hint
        assert "s3c" not in f"{raised.value!r} {raised.value} {raised.value.hint}"
        assert raised.value.__cause__ is None


@pytest.mark.parametrize("url", OTHER)
def test_what_is_no_such_url_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(MalformedError) as raised:
        check_server_url(url)
    assert "s3cret" not in f"{raised.value!r} {raised.value} {raised.value.hint}"
    assert raised.value.__cause__ is None and (raised.value.__suppress_context__ or raised.value.__context__ is None)


def test_a_url_has_a_bound() -> None:
    with pytest.raises(LimitError):
        check_server_url("postgresql://h/" + "x" * 3_000)
