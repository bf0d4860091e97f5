"""py-evm's atomic database over the embedded chain's SQLite file.

Invariants: nothing is written outside an open SQL transaction, which is what makes a block durable as a whole; a batch
keeps its writes in memory and applies them when it ends without an error.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from eth.abc import AtomicWriteBatchAPI
from eth.db.atomic import AtomicDBWriteBatch
from eth.db.backends.base import BaseAtomicDB

from provenance.chains.database import ChainDatabase


class StateDatabase(BaseAtomicDB):
    """py-evm's atomic database over the table `state`."""

    def __init__(self, database: ChainDatabase) -> None:
        self._database = database

    def __getitem__(self, key: bytes) -> bytes:
        value = self._database.read_state(key)
        if value is None:
            raise KeyError(key)
        return value

    def __setitem__(self, key: bytes, value: bytes) -> None:
        self._database.write_state(key, value)

    def __delitem__(self, key: bytes) -> None:
        if not self._database.delete_state(key):
            raise KeyError(key)

    def _exists(self, key: bytes) -> bool:
        return self._database.read_state(key) is not None

    @contextmanager
    def atomic_batch(self) -> Iterator[AtomicWriteBatchAPI]:
        """Writes that become visible together or not at all, within the SQL transaction that is open."""
        with AtomicDBWriteBatch._commit_unless_raises(self) as batch:
            yield batch
