"""Ledgers to break: one small anchored history, copied for each test that damages it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from provenance.ledger import Ledger

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Makes a folder of files: write("name", a="content", **{"sub/b": "more"})."""

    def make(_name: str, **files: str) -> Path:
        for path, content in files.items():
            place = tmp_path / _name / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(content)
        return tmp_path / _name

    return make


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A new ledger with one Ed25519 key, which signs fast and makes no OMS bundle."""
    with Ledger.init(tmp_path / "ledger", origin="test.example/log") as made:
        made.keyring.new("someone", algorithm="ed25519")
        yield made


@pytest.fixture
def model(ledger: Ledger, tmp_path: Path) -> Path:
    """The bytes of acme/model@1, which verifies."""
    place = tmp_path / "model.bin"
    place.write_bytes(b"weights")
    ledger.register(place, "acme/model", "1", key="someone", kind="model", origin="https://acme.example/", anchor=False)
    return place


@pytest.fixture(scope="package")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A closed ledger: raw (two files) <- clean, anchored; then a model made from both, anchored again."""
    folder = tmp_path_factory.mktemp("history")
    for path, content in {"raw/a": "1", "raw/b": "22", "clean/c": "333", "model/m": "4444"}.items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(content)
    with Ledger.init(folder, origin="history.example/log") as ledger:
        ledger.keyring.new("museum")
        ledger.keyring.new("lab", algorithm="ed25519")
        ledger.register(folder / "raw", "h/raw", "1", key="museum", origin="https://h.example/raw", anchor=False)
        ledger.register(folder / "clean", "h/clean", "1", key="museum", parents=["h/raw"])
        ledger.register(
            folder / "model", "h/model", "1", key="lab", parents=["h/clean", "h/raw"], kind="model", license="MIT"
        )
    return folder


@pytest.fixture
def copy(history: Path, tmp_path: Path) -> Path:
    """A copy of the history's ledger, its data included."""
    shutil.copytree(history, tmp_path / "copy")
    return tmp_path / "copy"
