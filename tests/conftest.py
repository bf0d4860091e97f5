"""What holds for every test: nothing is kept in the home of whoever runs them."""

from __future__ import annotations

import os
import shutil
import tempfile

import pytest

from provenance.sources.local.settling import keeps_times

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
