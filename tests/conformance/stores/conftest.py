"""Every implementation of the store, by the location it is opened with. A new one is a line here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from provenance.stores import Store, open_store

IMPLEMENTATIONS = ("sqlite", "postgresql")


@pytest.fixture(params=IMPLEMENTATIONS)
def location(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a store may be made. Nothing is there yet."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("database"))
    return f"sqlite:{tmp_path / 'ledger.db'}"


@pytest.fixture
def store(location: str) -> Iterator[Store]:
    """A new, empty store; its engine finds nothing wrong with it afterwards."""
    with open_store(location, create=True, timeout_s=20) as opened:
        yield opened
    with open_store(location) as again:
        assert again.check() == []
