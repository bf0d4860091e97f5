"""The forking worker process, started once, and the ledger that is copied for every run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.runs import FaultWorkers
from tests.faults.steps import prepare_template


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
