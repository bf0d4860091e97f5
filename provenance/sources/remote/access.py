"""What opens a web server, and the way there: logins of the netrc file, proxies of the environment.

Invariants: nothing is read from a URI; a login in the open goes to this machine only; neither is ever in a message.
"""

from __future__ import annotations

import base64
import netrc
import os
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies, proxy_bypass

from provenance.errors import SourceError

_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


def login(parts: SplitResult) -> str | None:
    """The `Authorization` for this host by the netrc file. In the open it goes to this machine only."""
    if parts.scheme != "https" and parts.hostname not in _LOOPBACK:
        return None
    path = os.environ.get("NETRC")
    file = Path(path) if path else Path.home() / ".netrc"
    try:
        # A `default` entry is for whoever asks, and whoever is asked would get it: it is not used.
        found = netrc.netrc(file).hosts.get(parts.hostname or "")
    except (OSError, RuntimeError, netrc.NetrcParseError):
        return None
    return basic(found[0], found[2]) if found else None


def basic(user: str | None, password: str | None) -> str | None:
    """The `Basic` authorization of a user; None without one."""
    return None if user is None else "Basic " + base64.b64encode(f"{user}:{password or ''}".encode()).decode()


def proxy_of(parts: SplitResult, label: str) -> SplitResult | None:
    """The proxy that the environment names for this URL. `SourceError` if it is none of HTTP."""
    url = getproxies().get(parts.scheme)
    if not url or proxy_bypass(parts.hostname or ""):
        return None
    try:
        proxy = urlsplit(url if "://" in url else f"http://{url}")
        if proxy.scheme == "http" and proxy.hostname and proxy.port != 0:
            return proxy
    except ValueError:
        pass
    # Its address is not shown: it may hold a password.
    raise SourceError(f"{parts.scheme}_proxy is not the URL of an HTTP proxy", where=label)
