"""What holds for every test: nothing is kept in the home of whoever runs them."""

from __future__ import annotations

import os
import shutil
import tempfile

import pytest

_CACHE = "PROVENANCE_CACHE"


def pytest_configure(config: pytest.Config) -> None:
    """Caches of these tests, and of the processes they start, go to a folder of their own."""
    folder = tempfile.mkdtemp(prefix="provenance-tests-")
    os.environ[_CACHE] = folder
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
