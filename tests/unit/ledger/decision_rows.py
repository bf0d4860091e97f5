"""What tests of decisions read back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from provenance.ledger import Ledger
from provenance.ledger.decisions import Decisions


def rows_of(ledger: Ledger, dataset: str) -> list[dict[str, Any]]:
    """The rows of a batch."""
    with pa.OSFile(str(Path(ledger.place_of(dataset)) / "decisions.arrow")) as file, pa.ipc.open_file(file) as reader:
        rows: list[dict[str, Any]] = reader.read_all().to_pylist()
    return rows


def logged_rows(ledger: Ledger, decisions: Decisions) -> dict[str, list[dict[str, Any]]]:
    """The rows of every batch that a recorder logged, by dataset."""
    return {receipt.name: rows_of(ledger, receipt.name) for receipt in decisions.receipts}


def all_rows(ledger: Ledger) -> dict[str, list[dict[str, Any]]]:
    """The rows of every batch in the log, whoever logged it, by dataset."""
    found = ledger.versions("acme/model.decisions", limit=1_000)
    names = [f"acme/model.decisions@{row.version}" for row in found]
    return {name: rows_of(ledger, name) for name in names}
