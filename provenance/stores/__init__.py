"""Where a ledger's bytes and rows are kept: `open_store` for the database, `BlobStore` for large things by digest.

A location is a path, `sqlite:PATH`, `postgresql://USER@HOST/DATABASE` without a password, or another scheme that an
entry point of the group `provenance.stores` serves: the entry point's name is the scheme, its object is called as
`open_store` is and returns a `Store`.
"""

from __future__ import annotations

import re
from os import PathLike, fspath
from typing import cast

from provenance.errors import StoreError
from provenance.stores.base import Store, StoreReader, StoreTransaction
from provenance.stores.blobs import BlobStore
from provenance.stores.rows import (
    CheckpointRow,
    DatasetRow,
    EntryRow,
    EventRow,
    FileMatch,
    FileRow,
    LocationRow,
    OutboxDraft,
    OutboxKind,
    OutboxRow,
    OutboxState,
    ParentRow,
)
from provenance.stores.server_url import SCHEMES, check_server_url

__all__ = [
    "BlobStore",
    "CheckpointRow",
    "DatasetRow",
    "EntryRow",
    "EventRow",
    "FileMatch",
    "FileRow",
    "LocationRow",
    "OutboxDraft",
    "OutboxKind",
    "OutboxRow",
    "OutboxState",
    "ParentRow",
    "Store",
    "StoreReader",
    "StoreTransaction",
    "open_store",
]

_GROUP = "provenance.stores"
# Two characters at least, so that a Windows drive is a path.
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]+):(.*)", re.DOTALL)


def open_store(
    location: str | PathLike[str], *, create: bool = False, read_only: bool = False, timeout_s: float = 30.0
) -> Store:
    """The store at `location`; `StoreError` if it is missing (unless `create`), damaged, newer or of no known kind.

    `timeout_s` bounds every wait for another writer. `read_only` promises not to write a byte, and so also reads a
    ledger on a read-only medium.
    """
    text = fspath(location)
    scheme = _SCHEME.fullmatch(text) if isinstance(location, str) else None
    if scheme is None or scheme[1] == "sqlite":
        from provenance.stores.sqlite import SqliteStore

        path = text if scheme is None else scheme[2].removeprefix("//")
        return SqliteStore(path, create=create, read_only=read_only, timeout_s=timeout_s)
    if scheme[1] in SCHEMES:
        return _open_postgresql(check_server_url(text), create, read_only, timeout_s)
    # Costs 20 ms of CPU, which only third-party stores need pay.
    from importlib.metadata import entry_points

    known = {point.name: point for point in entry_points(group=_GROUP)}
    if scheme[1] not in known:
        raise StoreError(
            "no store of this kind",
            expected=", ".join(["a path", "sqlite:", "postgresql:", *(f"{name}:" for name in sorted(known))]),
            got=f"{scheme[1]}:",
            hint=f"install a package that has an entry point for it in the group {_GROUP}",
        )
    opener = known[scheme[1]].load()
    return cast("Store", opener(text, create=create, read_only=read_only, timeout_s=timeout_s))


def _open_postgresql(url: str, create: bool, read_only: bool, timeout_s: float) -> Store:
    try:
        from provenance.stores.postgresql import PostgresqlStore
    except ImportError as error:
        hint = "pip install 'provenance-ledger[postgresql]'"
        raise StoreError("the PostgreSQL driver is not installed", got=error, where=url, hint=hint) from error
    return PostgresqlStore(url, create=create, read_only=read_only, timeout_s=timeout_s)
