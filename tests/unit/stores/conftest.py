"""A SQLite ledger with rows in every table."""

from __future__ import annotations

from pathlib import Path

import pytest

from provenance.encoding import Digest
from provenance.stores import FileRow, LocationRow, open_store
from tests.conformance.stores.samples import anchor, append, dataset, envelope, parent

ENTRIES = 300


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """`ledger.db`, closed."""
    path = tmp_path / "ledger.db"
    with open_store(path, create=True) as store, store.transaction() as tx:
        row = append(tx, [envelope(i) for i in range(ENTRIES)])
        tx.keep_checkpoint(row)
        tx.outbox_add(anchor(ENTRIES))
        for index in range(0, 40, 2):
            parents = [parent(index, 0, dataset(index - 2))] if index else []
            tx.add_dataset(dataset(index), parents, [FileRow(Digest.of(b"%d" % index), f"{index}.csv")])
            tx.add_location(LocationRow(index, f"/data/{index}", index))
        tx.set_index_size(40, expected_size=0)
    return path
