"""One anchored ledger that sessions look at and must not change."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sessions.session import Forks, Session


@pytest.fixture(scope="session")
def anchored(tmp_path_factory: pytest.TempPathFactory) -> Session:
    """`x/raw@1` and `x/made@1`, anchored; beside the ledger `bundle.json`, `trust.json` and the key's `museum.pem`."""
    session = Session(tmp_path_factory.mktemp("anchored"))
    folder: Path = session.folder
    for name in ("raw", "made"):
        (folder / name).mkdir()
        (folder / name / "rows.csv").write_text(f"{name}\n1\n")
    session.run("init", "--origin", "ledger.example/odd")
    (folder / "museum.pem").write_text(session.json("keys", "new", "museum")["pem"])
    session.run(
        "register", "raw", "--name", "x/raw", "--version", "1", "--origin", "https://example.com", "--no-anchor"
    )
    session.run("register", "made", "--name", "x/made", "--version", "1", "--parent", "x/raw")
    session.run("bundle", "x/made", "-o", "bundle.json")
    session.run("keys", "export", "-o", "trust.json")
    return session


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    """A warm process to run many verbs in."""
    started = Forks()
    yield started
    started.close()
