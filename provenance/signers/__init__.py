"""Where source keys are kept: a location names an implementation, which is loaded when it is used.

`PATH` and `file:PATH` are a folder of key files. Third parties add schemes by entry points of the group
`provenance.signers`: name = scheme, value = a callable that takes the location and returns a `KeyStore`.
"""

from __future__ import annotations

import re
from importlib.metadata import entry_points
from pathlib import Path

from provenance.errors import SignerError
from provenance.signers.base import KeyStore, StoredKey, TransactionSigner

__all__ = ["ENTRY_POINT_GROUP", "KeyStore", "StoredKey", "TransactionSigner", "open_key_store"]

ENTRY_POINT_GROUP = "provenance.signers"

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]+):(.*)", re.DOTALL)


def open_key_store(location: str | Path) -> KeyStore:
    """The key store at `location`. `SignerError` if its scheme is unknown or its plug-in does not load."""
    match = None if isinstance(location, Path) else _SCHEME.fullmatch(location)
    if match is None or match[1] == "file":
        from provenance.signers.file import FileKeyStore

        return FileKeyStore(Path(location if match is None else match[2]))
    found = entry_points(group=ENTRY_POINT_GROUP, name=match[1])
    if not found:
        hint = f"install a package with an entry point {match[1]!r} in the group {ENTRY_POINT_GROUP!r}"
        raise SignerError("key store is of an unknown kind", expected="a folder", got=f"{match[1]}:", hint=hint)
    plug_in = next(iter(found))
    try:
        store: KeyStore = plug_in.load()(location)
    except Exception as error:
        got = type(error).__name__
        raise SignerError("key store plug-in does not load", got=got, where=plug_in.value) from error
    return store
