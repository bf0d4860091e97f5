"""Digests from a checksum file: taken without reading, said to be declared, and never remembered as computed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from provenance.encoding import Digest
from provenance.errors import SourceError
from provenance.fingerprint import Parameters
from provenance.sources import Reading, open_source
from provenance.sources.local import cache

CONTENTS = {"a": b"one", "b": b"two", "sub/c": b"three"}


@pytest.fixture(autouse=True)
def remembered_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "RACY_NS", -(10**12))


@pytest.fixture(params=[0, 1_200])
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A few files, alone or among so many that several processes read them."""
    made = tmp_path / "set"
    for name, data in {**CONTENTS, **{f"more/{number}": b"%d" % number for number in range(request.param)}}.items():
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_bytes(data)
    return made


def test_names_that_the_dataset_lacks_are_told(folder: Path) -> None:
    from provenance.ledger.fingerprinting import Wanted, find_fingerprint

    other = {"a": Digest.of(CONTENTS["a"]), "gone": Digest.of(b"x"), "away": Digest.of(b"y")}
    found = find_fingerprint(folder, Wanted(Reading(declared_by="example.org", declared=other)))
    assert found.strangers == ("away", "gone")
    assert found.notes == ("2 names of the checksum file not in the dataset, the first 'away'",)
    assert find_fingerprint(folder, Wanted(_declared("a"))).notes == ()


def _declared(*names: str) -> Reading:
    return Reading(declared_by="example.org", declared={name: Digest.of(CONTENTS[name]) for name in names})


def test_declared_files_are_not_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = open_source(folder).fingerprint()
    opened: list[str] = []
    genuine = os.open

    def noting(path: Any, *arguments: Any, **options: Any) -> int:
        opened.append(str(path))
        return genuine(path, *arguments, **options)

    monkeypatch.setattr(os, "open", noting)
    monkeypatch.setattr("provenance.sources.local.can_fork", lambda: False)
    found = open_source(folder, _declared("a", "sub/c")).fingerprint()
    assert found.document == expected.document
    assert found.parameters == Parameters((), "example.org", 2)
    assert any(path.endswith("/b") for path in opened)
    assert not any(path.endswith(("/a", "/c")) for path in opened)


def test_by_several_processes_it_is_the_same(folder: Path) -> None:
    found = open_source(folder, _declared("a", "sub/c")).fingerprint()
    assert found.document == open_source(folder).fingerprint().document
    assert found.parameters == Parameters((), "example.org", 2)


def test_what_is_wrong_is_stated_as_it_is_declared_and_found_when_it_is_read(folder: Path) -> None:
    wrong = Reading(declared_by="example.org", declared={"a": Digest.of(b"other")})
    found = open_source(folder, wrong).fingerprint()
    assert found.files[0].digest == Digest.of(b"other")
    assert found.document != open_source(folder).fingerprint().document


def test_a_declared_digest_is_in_no_cache(folder: Path, tmp_path: Path) -> None:
    wrong = Reading(declared_by="example.org", declared={"a": Digest.of(b"other")}, cache=tmp_path / "cache")
    first = open_source(folder, wrong).fingerprint()
    assert first.reread is not None
    assert "a" not in first.reread
    then = open_source(folder, Reading(cache=tmp_path / "cache")).fingerprint()
    assert then.reread == ("a",)
    assert then.document == open_source(folder).fingerprint().document


def test_what_the_cache_knows_must_be_what_is_declared(folder: Path, tmp_path: Path) -> None:
    known = Reading(cache=tmp_path / "cache")
    open_source(folder, known).fingerprint()
    right = Reading(declared_by="example.org", declared={"a": Digest.of(b"one")}, cache=tmp_path / "cache")
    assert open_source(folder, right).fingerprint().parameters == Parameters()  # computed: nothing had to be believed
    wrong = Reading(declared_by="example.org", declared={"a": Digest.of(b"other")}, cache=tmp_path / "cache")
    with pytest.raises(SourceError, match="not what was declared") as raised:
        open_source(folder, wrong).fingerprint()
    assert raised.value.where == str(folder / "a")


def test_a_checksum_file_of_something_else_is_an_error(folder: Path) -> None:
    with pytest.raises(SourceError, match="names no file of the dataset"):
        open_source(folder, Reading(declared_by="x", declared={"set/a": Digest.of(b"one")})).fingerprint()


def test_a_declared_file_that_changes_meanwhile_is_noticed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("provenance.sources.local.can_fork", lambda: False)
    from provenance.sources.local import run

    genuine = run._hash_file

    def changing(*arguments: Any) -> bytes:
        if not (folder / "a").read_bytes().endswith(b"!"):
            with (folder / "a").open("ab") as file:
                file.write(b"!")
        return genuine(*arguments)

    monkeypatch.setattr(run, "_hash_file", changing)
    with pytest.raises(SourceError, match="changed while it was read") as raised:
        open_source(folder, _declared("a")).fingerprint()
    assert raised.value.where == str(folder / "a")
