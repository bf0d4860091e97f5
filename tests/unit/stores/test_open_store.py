"""Locations, kinds of store and what opening costs."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest

from provenance.errors import StoreError
from provenance.stores import Store, open_store
from provenance.stores.sqlite import SqliteStore
from tests.paths import PROJECT


@pytest.mark.parametrize("form", ["{}", "sqlite:{}", "sqlite://{}"])
def test_a_path_or_a_sqlite_location(tmp_path: Path, form: str) -> None:
    path = tmp_path / "ledger.db"
    store: Store = open_store(form.format(path), create=True)
    assert isinstance(store, SqliteStore)
    assert store.location == str(path)
    store.close()
    with open_store(path) as again:
        assert again.size() == 0


def test_an_unknown_kind_names_the_known_ones_and_no_secret() -> None:
    with pytest.raises(StoreError) as raised:
        open_store("mysql://user:secret@host/db")
    assert "sqlite:" in str(raised.value)
    assert "postgresql:" in str(raised.value)
    assert "mysql:" in str(raised.value)
    assert "secret" not in str(raised.value) + str(raised.value.hint)


def test_without_the_driver_the_command_that_installs_it_is_named() -> None:
    script = """import sys; sys.modules["psycopg"] = None
from provenance.errors import StoreError
from provenance.stores import open_store
try: open_store("postgresql://nobody@127.0.0.1:1/x")
except StoreError as error: print(error.what, "|", error.hint)"""
    done = subprocess.run([sys.executable, "-c", script], cwd=PROJECT, capture_output=True, check=True, text=True)
    assert done.stdout == ("the PostgreSQL driver is not installed | pip install 'provenance-ledger[postgresql]'\n")


def opener(location: str, *, create: bool, read_only: bool, timeout_s: float) -> tuple[object, ...]:
    """What a third party's entry point is called with."""
    return location, create, read_only, timeout_s


def test_an_entry_point_serves_its_scheme(monkeypatch: pytest.MonkeyPatch) -> None:
    points = EntryPoints([EntryPoint("other", f"{__name__}:opener", "provenance.stores")])
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: points.select(group=group))
    found: object = open_store("other:place", create=True, timeout_s=3)
    assert found == ("other:place", True, False, 3)
    with pytest.raises(StoreError, match="other:"):
        open_store("another:place")


def test_importing_loads_no_database() -> None:
    script = "import json, sys; import provenance.stores; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], cwd=PROJECT, capture_output=True, check=True)
    loaded = json.loads(done.stdout)
    assert not {"sqlite3", "psycopg", "importlib.metadata", "tempfile", "threading_local"} & set(loaded)
