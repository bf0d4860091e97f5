"""Records of a dataset that lies elsewhere: the same as of a copy, and of what was fingerprinted alone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from provenance.errors import SourceError
from provenance.ledger import Ledger
from provenance.ledger.fingerprinting import Wanted, find_fingerprint
from provenance.sources import Progress
from tests.simulators.web_server import Page, WebServer


@pytest.fixture
def web() -> Iterator[WebServer]:
    with WebServer() as server:
        yield server


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"id": range(10_000), "text": [f"row {n}" for n in range(10_000)]}), path)
    return path


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


def test_records_are_those_of_a_local_copy(web: WebServer, table: Path) -> None:
    web.pages["/rows.parquet"] = Page(table.read_bytes())
    seen: list[Progress] = []
    found = find_fingerprint(f"{web.url}/rows.parquet", Wanted(records=True), seen.append)
    assert found.fingerprint == find_fingerprint(table, Wanted(records=True)).fingerprint
    assert found.location == f"{web.url}/rows.parquet"
    assert seen


def test_a_ledger_registers_and_verifies_them(ledger: Ledger, web: WebServer, table: Path) -> None:
    place = f"{web.url}/rows.parquet"
    web.pages["/rows.parquet"] = Page(table.read_bytes())
    ledger.register(place, "a/b", "1", anchor=False, wanted=Wanted(records=True))
    report = ledger.verify(place, records=True)
    assert report.sound
    assert ledger.proofs("a/b@1").document.records is not None


def test_what_is_copied_must_be_what_was_fingerprinted(web: WebServer, table: Path) -> None:
    page = web.pages["/rows.parquet"] = Page(table.read_bytes(), etag=None, modified=None)
    other = table.read_bytes()[:-9] + b"!" + table.read_bytes()[-8:]
    # The store tells of no change: it is asked once for the fingerprint.
    page.after = [lambda: setattr(page, "content", other)]
    with pytest.raises(SourceError, match="changed while it was read") as raised:
        find_fingerprint(f"{web.url}/rows.parquet", Wanted(records=True))
    assert str(raised.value.where).startswith(f"{web.url}/rows.parquet")


def test_an_error_in_a_row_names_the_address(web: WebServer) -> None:
    web.pages["/rows.jsonl"] = Page(b'{"a":1}\n{"a":\n')
    with pytest.raises(SourceError) as raised:
        find_fingerprint(f"{web.url}/rows.jsonl", Wanted(records=True))
    assert str(raised.value.where).startswith(f"{web.url}/rows.jsonl")
    assert "provenance-tables-" not in str(raised.value)


def test_what_is_no_table_is_not_copied(web: WebServer) -> None:
    web.pages["/notes.txt"] = Page(b"text")
    with pytest.raises(SourceError, match="no file of the dataset is a table"):
        find_fingerprint(f"{web.url}/notes.txt", Wanted(records=True))


def test_room_for_the_copies_is_looked_for_first(
    web: WebServer, table: Path, monkeypatch: pytest.MonkeyPatch, temporary: Path
) -> None:
    web.pages["/rows.parquet"] = Page(table.read_bytes())
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=5))
    with pytest.raises(SourceError, match="no room for a copy") as raised:
        find_fingerprint(f"{web.url}/rows.parquet", Wanted(records=True))
    assert str(temporary) in str(raised.value.where)
    assert raised.value.hint is not None
    assert "TMPDIR" in raised.value.hint
