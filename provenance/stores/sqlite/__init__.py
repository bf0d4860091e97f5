"""The default store: one SQLite file, nothing to install or start."""

from provenance.stores.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
