"""The forking worker process, started once, and the ledger that is copied for every run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

# Their assertions say what they found, as those of tests do.
pytest.register_assert_rewrite("tests.faults.aftermath", "tests.e2e.aftermath")

from tests.faults.runs import FaultWorkers  # noqa: E402
from tests.faults.steps import prepare_template  # noqa: E402


@pytest.fixture(scope="package")
def fault_workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultWorkers]:
    workers = FaultWorkers(tmp_path_factory.mktemp("workers"))
    yield workers
    workers.close()


@pytest.fixture(scope="package")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template")
    prepare_template(folder)
    return folder
