"""Making, finding and configuring ledgers; what a run that was cut off left behind."""

from __future__ import annotations

import os
import stat
import tomllib
from pathlib import Path
from typing import Any

import pytest

from provenance.errors import ConflictError, MalformedError, NotFoundError, ProvenanceError, StoreError
from provenance.ledger import Ledger
from provenance.ledger.layout import (
    Config,
    discover,
    exists,
    ledger_folder,
    read_config,
    write_config,
    write_private,
)


def test_a_new_ledger_is_its_owners_alone(tmp_path: Path) -> None:
    os.umask(os.umask(0o000))
    with Ledger.init(tmp_path / "new" / "deep", origin="a.example/log") as ledger:
        ledger.keyring.new("someone")
        folder = ledger.layout.directory
        assert folder == tmp_path / "new" / "deep" / ".provenance"
        for path in (folder, *folder.rglob("*")):
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
        assert ledger.config == Config("a.example/log", "embedded:")
        assert ledger.keyring.vkey.startswith("a.example/log+")


def test_a_ledger_is_never_made_over_another(tmp_path: Path) -> None:
    Ledger.init(tmp_path).close()
    before = {path: path.read_bytes() for path in (tmp_path / ".provenance").rglob("*") if path.is_file()}
    for place in (tmp_path, tmp_path / ".provenance"):
        with pytest.raises(ConflictError):
            Ledger.init(place)
    assert {path: path.read_bytes() for path in before} == before


def test_two_ledgers_have_two_origins_and_keys(tmp_path: Path) -> None:
    with Ledger.init(tmp_path / "a") as a, Ledger.init(tmp_path / "b") as b:
        assert a.config.origin != b.config.origin
        assert a.keyring.vkey.split("+")[2] != b.keyring.vkey.split("+")[2]
        assert a.account().address != b.account().address


def test_what_a_run_that_was_cut_off_left_is_finished(tmp_path: Path) -> None:
    with Ledger.init(tmp_path, origin="a.example/log") as ledger:
        vkey, folder = ledger.keyring.vkey, ledger.layout.directory
    for missing in (["config.toml"], ["config.toml", "keys/chain.key"], ["config.toml", "trust.json", "ledger.db"]):
        for name in missing:
            (folder / name).unlink()
        with pytest.raises(NotFoundError):
            Ledger.open(tmp_path)
        with pytest.raises(ConflictError, match="another origin"):
            Ledger.init(tmp_path, origin="b.example/log")
        with Ledger.init(tmp_path) as ledger:
            assert (ledger.config.origin, ledger.keyring.vkey) == ("a.example/log", vkey)
            assert ledger.account().address


@pytest.mark.parametrize(
    "origin",
    ["", "A.example", "https://a.example", "a.example/", "a example", "a.example\n", "-a", "a.example:٣", "a" * 256],
)
def test_an_origin_is_a_url_without_scheme(tmp_path: Path, origin: str) -> None:
    with pytest.raises(MalformedError):
        Config(origin)
    if origin:
        with pytest.raises(MalformedError):
            Ledger.init(tmp_path, origin=origin)
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("chain", ["embedded:", "http://127.0.0.1:8545", "https://x.org/\u00e9/\U0001f600?k='\"\\"])
def test_settings_are_read_back(tmp_path: Path, chain: str) -> None:
    config = Config("a.example:8080/log/Main", chain)
    write_config(tmp_path / "config.toml", config)
    assert read_config(tmp_path / "config.toml") == config
    assert tomllib.loads((tmp_path / "config.toml").read_text())["chain"]["uri"] == chain


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\xff",
        b"[log]",
        b"[log]\norigin = 1",
        b"log = 'x'",
        b"[[log]]\norigin = 'a.example'",
        b"[log]\norigin = 'a.example'\n[chain]\nuri = 7",
        b"[log]\norigin = 'a.example'\n[chain]\nuri = 'ftp'",
        b"[log]\norigin = 'A'",
        b"[log]\norigin = 'a.example'\norigin = 'b.example'",
        b"x = " + b"[" * 10_000,
        b"#" * 2**20 + b"#",
    ],
)
def test_malformed_settings(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "config.toml").write_bytes(text)
    with pytest.raises(MalformedError):
        read_config(tmp_path / "config.toml")


def test_settings_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "config.toml").mkdir()
    for path in (tmp_path / "config.toml", tmp_path / "missing"):
        with pytest.raises(StoreError):
            read_config(path)


def test_the_nearest_ledger_upwards_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PROVENANCE_LEDGER", raising=False)
    Ledger.init(tmp_path / "outer").close()
    Ledger.init(tmp_path / "outer" / "inner").close()
    (tmp_path / "outer" / "inner" / "deep" / "er").mkdir(parents=True)
    (tmp_path / "outer" / "other" / ".provenance").mkdir(parents=True)  # no ledger yet
    inner, outer = tmp_path / "outer" / "inner" / ".provenance", tmp_path / "outer" / ".provenance"
    assert discover(tmp_path / "outer" / "inner" / "deep" / "er") == inner
    assert discover(tmp_path / "outer" / "other") == outer
    with pytest.raises(NotFoundError, match="no ledger here"):
        discover(tmp_path)
    monkeypatch.setenv("PROVENANCE_LEDGER", str(tmp_path / "outer"))
    assert discover(tmp_path / "outer" / "inner") == outer
    with Ledger.open() as ledger:
        assert ledger.layout.directory == outer
    monkeypatch.setenv("PROVENANCE_LEDGER", str(tmp_path))
    with pytest.raises(NotFoundError):
        Ledger.open()


@pytest.mark.parametrize("path", ["missing", "x" * 5_000, "nul\0", "file/below", "file"])
def test_a_place_without_a_ledger(tmp_path: Path, path: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotFoundError):
        ledger_folder(tmp_path / path)
    assert exists(tmp_path / path) is (path == "file")


def test_a_current_directory_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PROVENANCE_LEDGER", raising=False)
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(NotFoundError):
        Ledger.open()


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ProvenanceError):
            Ledger.init(place)


def test_a_private_file_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_private(path, b"first")
    path.chmod(0o644)
    write_private(path, b"second")
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"second", 0o600)

    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StoreError, match="cannot write"):
        write_private(path, b"third")
    assert path.read_bytes() == b"second"
    assert list(tmp_path.iterdir()) == [path]


def test_init_that_failed_can_be_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever sync of ours fails, the one after the settings have their name too."""
    genuine, failures = os.fsync, 0
    for failing in range(1, 50):
        place, calls = tmp_path / str(failing), list[int]()

        def fsync(descriptor: int, failing: int = failing, calls: list[int] = calls) -> None:
            calls.append(descriptor)
            if len(calls) == failing:
                raise OSError(5, "Input/output error")
            genuine(descriptor)

        monkeypatch.setattr(os, "fsync", fsync)
        try:
            Ledger.init(place).close()
        except ProvenanceError:
            failures += 1
            Ledger.init(place).close()
        else:
            break
        with Ledger.open(place) as ledger:
            assert ledger.fsck().clean
    assert 8 < failures < 49
