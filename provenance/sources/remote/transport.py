"""HTTP requests with an end: redirects, waits and sizes are bounded, and nothing secret is passed on or shown.

Invariants: at most `MAX_REDIRECTS` redirects, never from https to anything else; credentials (`~/.netrc` or the file
that `NETRC` names, and headers that a caller gives) go to the host they are for and to no other, in the open only to
this machine; an answer begins within `head_s` and brings at least `min_bytes` in every `read_s`; bytes are taken as
they come, no coding of content is undone. Proxies are those of the environment.

Why the standard library and not fsspec's HTTP file system: that one takes an answer to another range, an answer that
ends early and an answer of another version of the file for the bytes it asked for.

Sources: RFC 9110 (sections 8.6 Content-Length, 14 Range Requests, 15.4 Redirection), RFC 9112 6.3.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Final
from urllib.parse import SplitResult, quote, unquote, urljoin, urlsplit

from provenance.errors import SourceError
from provenance.sources.remote.access import basic, login, proxy_of
from provenance.sources.remote.failures import TransientError, status_failure
from provenance.sources.remote.patience import Patience

MAX_REDIRECTS: Final = 5
_PIECE_BYTES: Final = 1 << 18
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_URL_SAFE: Final = "%/:=&?~+!$,;'@()*[]"
_USER_AGENT: Final = "provenance-ledger"


@dataclass(frozen=True, slots=True)
class Target:
    """What is asked for: the URL, headers for its own host alone, and how to call it in a message."""

    url: str = field(repr=False)
    label: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


class Answer:
    """The head of an answer whose body has not been read."""

    def __init__(self, response: http.client.HTTPResponse, patience: Patience) -> None:
        self.status = response.status
        self._response, self._patience = response, patience

    def header(self, name: str) -> str:
        """The field's value, or an empty text."""
        return self._response.headers.get(name) or ""

    def content_bytes(self, label: str) -> int | None:
        """The length the answer says its content has, in bytes."""
        values = {value.strip() for value in self._response.headers.get_all("Content-Length", [])}
        if not values:
            return None
        text = values.pop()
        if values or not (text.isascii() and text.isdigit() and len(text) < 20):
            raise SourceError("server states a length that is none", where=label)
        return int(text)

    def retry_after_s(self) -> float | None:
        """How long the server asks us to wait, where it says so in seconds."""
        text = self.header("Retry-After").strip()
        return float(text) if text.isascii() and text.isdigit() and len(text) < 6 else None

    def pieces(self) -> Iterator[bytes]:
        """The body as it comes. `TransientError` when it stops coming."""
        since, count_bytes = time.monotonic(), 0
        while True:
            try:
                piece = self._response.read1(_PIECE_BYTES)
            except (OSError, http.client.HTTPException) as error:
                failure = TransientError(type(error).__name__)
            else:
                if not piece:
                    return
                yield piece
                count_bytes += len(piece)
                if time.monotonic() - since < self._patience.read_s:
                    continue
                if count_bytes >= self._patience.min_bytes:
                    since, count_bytes = time.monotonic(), 0
                    continue
                failure = TransientError(f"{count_bytes} bytes in {self._patience.read_s:g} s")
            raise failure


class _Head:
    """A reader of lines that remembers whether it met the end of the connection."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.has_ended = file, False

    def readline(self, limit: int = -1) -> bytes:
        line = self.file.readline(limit)
        self.has_ended |= not line
        return line

    def close(self) -> None:
        self.file.close()


class _Response(http.client.HTTPResponse):
    """An answer whose head came to its end: the library takes a head that breaks off for a shorter one."""

    def begin(self) -> None:
        file = self.fp
        head: Any = _Head(file)  # lines are all it is asked for
        self.fp = head
        try:
            super().begin()
        finally:
            if self.fp is head:
                self.fp = file
        if head.has_ended:
            raise http.client.IncompleteRead(b"")


class Transport:
    """Makes requests. Each has its own connection, so that any number of threads may."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._context: ssl.SSLContext | None = None

    @contextmanager
    def request(self, method: str, target: Target, headers: Mapping[str, str] | None = None) -> Iterator[Answer]:
        """The answer to a request, redirects followed. `TransientError` for a network that fails."""
        url = quote(target.url, safe=_URL_SAFE)
        own_host = _origin(urlsplit(url))
        for _ in range(MAX_REDIRECTS + 1):
            parts = _parsed(url, target.label)
            credentials = dict(target.headers) if _origin(parts) == own_host else {}
            sent = {"User-Agent": _USER_AGENT, "Accept": "*/*", "Accept-Encoding": "identity", **(headers or {})}
            if "Authorization" not in credentials and (found := login(parts)):
                sent["Authorization"] = found
            connection, response = self._send(method, parts, {**sent, **credentials}, target.label)
            try:
                location = response.headers.get("Location")
                if response.status not in _REDIRECTS or location is None:
                    yield Answer(response, self._patience)
                    return
                url = _followed(url, location, target.label)
            finally:
                response.close()
                connection.close()
        raise SourceError("server redirects too often", expected=f"at most {MAX_REDIRECTS} times", where=target.label)

    def _send(
        self, method: str, parts: SplitResult, headers: dict[str, str], label: str
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        connection, selector = self._connection(parts, headers, label)
        connection.response_class = _Response
        try:
            connection.connect()
            with _hangs_up(connection.sock, self._patience.head_s):
                connection.sock.settimeout(self._patience.read_s)
                connection.request(method, selector, headers=headers)
                return connection, connection.getresponse()
        except ssl.SSLCertVerificationError:
            failure: Exception = SourceError("server has no valid certificate", where=label)
        except (http.client.InvalidURL, UnicodeError):
            failure = SourceError("server's name or path cannot be asked for", where=label)
        except (OSError, http.client.HTTPException) as error:
            failure = TransientError(type(error).__name__)
        connection.close()
        raise failure

    def _connection(
        self, parts: SplitResult, headers: dict[str, str], label: str
    ) -> tuple[http.client.HTTPConnection, str]:
        host, timeout_s = parts.hostname or "", self._patience.connect_s
        selector = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        if self._context is None:
            self._context = ssl.create_default_context()
        proxy = proxy_of(parts, label)
        if proxy is None:
            if parts.scheme == "https":
                return http.client.HTTPSConnection(host, parts.port, timeout=timeout_s, context=self._context), selector
            return http.client.HTTPConnection(host, parts.port, timeout=timeout_s), selector
        proxy_host, proxy_login = proxy.hostname or "", basic(*map(_decoded, (proxy.username, proxy.password)))
        login = {"Proxy-Authorization": proxy_login} if proxy_login else {}
        if parts.scheme == "https":
            tunnel = http.client.HTTPSConnection(proxy_host, proxy.port or 80, timeout=timeout_s, context=self._context)
            tunnel.set_tunnel(host, parts.port or 443, headers=login)
            return tunnel, selector
        headers.update(login)
        connection = http.client.HTTPConnection(proxy_host, proxy.port or 80, timeout=timeout_s)
        return connection, f"http://{parts.netloc}{selector}"


def check_status(answer: Answer, label: str, *, is_listed: bool) -> None:
    """Raise unless the answer is one with content."""
    if answer.status not in (200, 206):
        after_s = answer.retry_after_s()
        raise status_failure(answer.status, label, is_listed=is_listed, retry_after_s=after_s)


def _parsed(url: str, label: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            return parts
    except ValueError:
        pass
    raise SourceError("server redirects to what is no web address", where=label)


def _followed(url: str, location: str, label: str) -> str:
    try:
        target = quote(urljoin(url, location), safe=_URL_SAFE)
    except ValueError:
        target = ""
    if _parsed(target, label).scheme != "https" and url.startswith("https:"):
        raise SourceError("server redirects from https to http", where=label)
    return target


def _origin(parts: SplitResult) -> tuple[str, str | None, int | None]:
    return parts.scheme, parts.hostname, parts.port


def _decoded(text: str | None) -> str | None:
    return None if text is None else unquote(text)


@contextmanager
def _hangs_up(sock: socket.socket, after_s: float) -> Iterator[None]:
    """Shut `sock` down when time is up: a socket's own timeout starts anew with every byte of a slow answer."""

    def hang_up() -> None:
        with suppress(OSError):
            socket.socket.shutdown(sock, socket.SHUT_RDWR)  # of the TCP socket, below TLS

    watchdog = threading.Timer(after_s, hang_up)
    watchdog.daemon = True
    watchdog.start()
    try:
        yield
    finally:
        watchdog.cancel()
        watchdog.join()
