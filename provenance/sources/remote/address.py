"""Where a remote dataset is: its URI, and what of it may be shown.

Invariants: a label holds no user, password, query or fragment; the URI itself is in no `repr`. Credentials are never
taken from a URI: one that holds a user or password is refused, and only a web address may have a query, because a
link that was handed out cannot be read without.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Final
from urllib.parse import urlsplit

from provenance.errors import SourceError, printable
from provenance.limits import MAX_URI_CHARS

SCHEMES: Final = {
    "s3": "s3",
    "s3a": "s3",
    "gs": "gs",
    "gcs": "gs",
    "az": "az",
    "abfs": "az",
    "abfss": "az",
    "hf": "hf",
    "http": "http",
    "https": "http",
    "ipfs": "ipfs",
    "memory": "memory",
}
"""Scheme to the kind of store that reads it."""

_LIBRARIES: Final = {"s3": "s3fs", "gs": "gcsfs", "az": "adlfs", "hf": "huggingface_hub"}
"""Kind of store to the module it needs; the extra is called as the kind."""

_ACCOUNT_SCHEMES: Final = frozenset({"az", "abfs", "abfss"})
"""Here `container@account.host` is no user, but names the account."""


@dataclass(frozen=True, slots=True)
class Address:
    """A remote dataset. `label` may be shown; `uri` is what is read."""

    scheme: str
    label: str
    uri: str = field(repr=False)

    @property
    def kind(self) -> str:
        """The kind of store: `s3`, `gs`, `az`, `hf`, `http`, `ipfs`, `memory`."""
        return SCHEMES[self.scheme]

    @property
    def path(self) -> str:
        """What follows `scheme://`, as it was written."""
        return self.uri.partition("://")[2]


def parse_address(uri: str) -> Address:
    """The address in a URI; `SourceError` that does not repeat it, since it may hold a password."""
    scheme, separator, rest = uri.partition("://")
    scheme = scheme.lower()
    if not separator or scheme not in SCHEMES:
        supported = ", ".join(f"{name}://" for name in SCHEMES if name != "memory")
        shown = printable(scheme) if len(scheme) < 32 and separator else "something else"
        raise SourceError("unsupported source", expected=f"a local path, file:// or {supported}", got=f"{shown}://")
    if len(uri) > MAX_URI_CHARS or not uri.isprintable():
        raise _refused(scheme, f"it is longer than {MAX_URI_CHARS} characters or holds control characters")
    if SCHEMES[scheme] == "http":
        return _web_address(scheme, uri)
    if "?" in rest or "#" in rest:
        hint = "an object whose name holds ? or # is read with the folder it lies in"
        raise _refused(scheme, "it has a query or fragment, which such an address has not", hint)
    if "::" in rest:
        raise _refused(scheme, "it is a chain of addresses (::)")
    place = rest.partition("/")[0]
    if not place:
        raise _refused(scheme, "it names no place")
    if "@" in place and (scheme not in _ACCOUNT_SCHEMES or ":" in place):
        raise _refused(scheme, "it holds a user or password", "credentials come from the environment")
    _require_library(scheme)
    return Address(scheme, printable(f"{scheme}://{rest}"), f"{scheme}://{rest}")


def _web_address(scheme: str, uri: str) -> Address:
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError:
        raise _refused(scheme, "it cannot be parsed") from None
    if not parts.hostname:
        raise _refused(scheme, "it has no host")
    if parts.username is not None or parts.password is not None:
        raise _refused(scheme, "it holds a user or password", "put them in ~/.netrc, or in the file that NETRC names")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    label = f"{scheme}://{host}{f':{port}' if port else ''}{parts.path}"
    return Address(scheme, printable(label), parts._replace(scheme=scheme, fragment="").geturl())


def _require_library(scheme: str) -> None:
    kind = SCHEMES[scheme]
    library = _LIBRARIES.get(kind)
    if library is not None and find_spec(library) is None:
        hint = f"pip install 'provenance-ledger[{kind}]'"
        raise SourceError(f"reading {scheme}:// needs the extra {kind}", hint=hint)


def _refused(scheme: str, why: str, hint: str | None = None) -> SourceError:
    return SourceError(f"not a {scheme}:// address that can be read", got=why, hint=hint)
