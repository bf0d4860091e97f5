"""A ledger whose own files are damaged: every verb says what is wrong, with the code of an environment or of input."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.sessions.session import Forks, Session, state

VERBS = (
    ("log", "show"),
    ("log", "checkpoint"),
    ("log", "fsck"),
    ("verify", "raw", "--offline"),
    ("lineage", "x/made"),
    ("keys", "list"),
    ("keys", "export", "-o", "out.json"),
    ("bundle", "x/made", "-o", "out.json"),
    ("register", "made", "--name", "x/new", "--version", "1", "--no-anchor"),
)

Damage = Callable[[Path], None]


def write(name: str, data: bytes) -> Damage:
    def damage(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        (folder / name).write_bytes(data)
        (folder / name).chmod(0o600)

    return damage


def cut(name: str, length: int) -> Damage:
    def damage(folder: Path) -> None:
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[:length])

    return damage


def replace_by_folder(name: str) -> Damage:
    def damage(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).mkdir()

    return damage


def replace_by_pipe(name: str) -> Damage:
    def damage(folder: Path) -> None:
        (folder / name).unlink()
        os.mkfifo(folder / name)

    return damage


def remove(name: str) -> Damage:
    return lambda folder: (folder / name).unlink()


def widen(name: str) -> Damage:
    return lambda folder: (folder / name).chmod(0o644)


DAMAGES: dict[str, Damage] = {
    "configuration not utf-8": write("config.toml", b"\xff\xfe"),
    "configuration empty": write("config.toml", b""),
    "configuration no toml": write("config.toml", b"[[["),
    "configuration of zeros": write("config.toml", b"\0" * 100),
    "configuration with wrong types": write("config.toml", b"[log]\norigin = 7\n"),
    "configuration with a hostile origin": write("config.toml", b'[log]\norigin = "\\u001b[2J"\n'),
    "configuration with two names": write("config.toml", b"[log]\n[log]\n"),
    "configuration deep": write("config.toml", b"a = " + b"[" * 50_000),
    "configuration huge": write("config.toml", b"#" * (2 << 20)),
    "database empty": write("ledger.db", b""),
    "database of zeros": write("ledger.db", b"\0" * 8192),
    "database of text": write("ledger.db", b"just text\n" * 1000),
    "database cut": cut("ledger.db", 4096),
    "database missing": remove("ledger.db"),
    "database a folder": replace_by_folder("ledger.db"),
    "trust not json": write("trust.json", b"{"),
    "trust not utf-8": write("trust.json", b"\xff"),
    "trust deep": write("trust.json", b"[" * 100_000),
    "trust a folder": replace_by_folder("trust.json"),
    "trust a pipe": replace_by_pipe("trust.json"),
    "log key missing": remove("keys/log.key"),
    "log key cut": cut("keys/log.key", 10),
    "log key open to others": widen("keys/log.key"),
    "source key cut": cut("keys/museum.pem", 50),
    "source key open to others": widen("keys/museum.pem"),
    "source key of zeros": write("keys/museum.pem", b"\0" * 300),
    "source key a folder": replace_by_folder("keys/museum.pem"),
    "source key a pipe": replace_by_pipe("keys/museum.pem"),
    "chain key missing": remove("keys/chain.key"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage(anchored: Session, forks: Forks, tmp_path: Path, name: str) -> None:
    for folder in (".provenance", "raw", "made"):
        shutil.copytree(anchored.folder / folder, tmp_path / folder)
    for scratch in (tmp_path / ".provenance").glob("ledger.db-*"):
        scratch.unlink()
    DAMAGES[name](tmp_path / ".provenance")
    before = state(tmp_path / "raw")
    codes = {}
    for verb in VERBS:
        result = forks.run(tmp_path, *verb)
        result.check_clean()
        assert result.code in (0, 1, 2, 3), result
        if result.code in (2, 3):
            assert result.err.startswith("error: ")
        codes[" ".join(verb[:2])] = result.code
    assert set(codes.values()) != {0} or name == "chain key missing"
    assert state(tmp_path / "raw") == before


def test_a_chain_key_that_is_gone_stops_anchoring_only(anchored: Session, forks: Forks, tmp_path: Path) -> None:
    shutil.copytree(anchored.folder / ".provenance", tmp_path / ".provenance")
    (tmp_path / ".provenance" / "keys" / "chain.key").unlink()
    for verb in (("anchor",), ("chain", "status"), ("chain", "deploy")):
        result = forks.run(tmp_path, *verb)
        result.check_clean()
        assert (result.code, result.err[:7]) == (2, "error: ")


@pytest.mark.parametrize("data", [b"", b"\0" * 8192, b"just text"])
def test_a_damaged_chain_is_an_environment(anchored: Session, forks: Forks, tmp_path: Path, data: bytes) -> None:
    shutil.copytree(anchored.folder / ".provenance", tmp_path / ".provenance")
    files = [path for path in (tmp_path / ".provenance" / "chain").iterdir() if path.is_file() and path.suffix == ".db"]
    assert files
    for file in files:
        for path in file.parent.glob(f"{file.name}-*"):
            path.unlink()
        file.write_bytes(data)
    result = forks.run(tmp_path, "chain", "status")
    result.check_clean()
    assert result.code in (0, 3), result  # an empty file is an empty chain
