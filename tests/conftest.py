"""What holds for every test: nothing is kept in the home of whoever runs them; one database server serves all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator

import pytest

# Their assertions say what they found, as those of tests do.
pytest.register_assert_rewrite("tests.e2e.aftermath", "tests.faults.aftermath")

from provenance.sources.local.settling import keeps_times  # noqa: E402
from tests.postgresql import PostgresServer  # noqa: E402

_CACHE = "PROVENANCE_CACHE"


def pytest_configure(config: pytest.Config) -> None:
    """Caches of these tests, and of the processes they start, go to a folder of their own."""
    folder = tempfile.mkdtemp(prefix="provenance-tests-")
    os.environ[_CACHE] = folder
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
    # Files of a memory file system are never remembered, and tests of the cache are about those that are.
    if config.option.basetemp is None and not keeps_times(tempfile.gettempdir()):
        place = tempfile.mkdtemp(prefix="provenance-tests-", dir="/var/tmp")
        config.option.basetemp = f"{place}/tests"
        config.add_cleanup(lambda: shutil.rmtree(place, ignore_errors=True))


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """The one PostgreSQL server of this run; it always runs between two tests."""
    server = PostgresServer()
    try:
        yield server
    finally:
        server.remove()


@pytest.fixture
def database(postgres: PostgresServer) -> Iterator[str]:
    """The URL of an empty database, which nobody else uses."""
    with postgres.empty_database() as url:
        yield url
