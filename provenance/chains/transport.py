"""One HTTP endpoint, to which bytes are posted and from which bounded bytes come back in bounded time.

Invariants: a request ends within its timeout, however slowly the other side answers; an answer is never larger than
`max_bytes`; redirects are not followed; what a URL can hide a key in (user, path, query) appears in no message, nor
in what another error says of it.
"""

from __future__ import annotations

import base64
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import SplitResult, unquote, unquote_plus, urlsplit

from provenance.errors import ChainError
from provenance.limits import MAX_HTTP_RESPONSE_BYTES, MAX_URI_CHARS

_CHUNK_BYTES: Final = 2**16
_MIN_SECRET_CHARS: Final = 4
"""Shorter parts of a path (`v3`, `rpc`) are no keys, and blotting them out would spoil every message."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where an endpoint is. `label` is what may be shown; everything else stays here."""

    label: str
    host: str
    port: int
    is_tls: bool
    target: str = field(repr=False)
    authorization: str | None = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)

    def redact(self, text: str) -> str:
        """`text` without anything secret in the URL, for showing what the endpoint said."""
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return text


def parse_address(uri: str) -> Address:
    """The address an `http://` or `https://` URL names; `ChainError` that does not repeat it."""
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError:
        raise _bad_uri("it cannot be parsed") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise _bad_uri("it has no host")
    if len(uri) > MAX_URI_CHARS or not uri.isascii() or not uri.isprintable() or " " in uri:
        raise _bad_uri("it is too long or holds characters that must be percent-encoded")
    is_tls = parts.scheme == "https"
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    user = ":".join(unquote(part or "") for part in (parts.username, parts.password))
    return Address(
        label=f"{parts.scheme}://{host}" + (f":{port}" if port else ""),
        host=parts.hostname,
        port=port or (443 if is_tls else 80),
        is_tls=is_tls,
        target=(parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
        authorization=base64.b64encode(user.encode()).decode() if parts.username is not None else None,
        secrets=_secrets(parts),
    )


class Transport:
    """Keeps one connection to an address open; threads take turns."""

    def __init__(self, address: Address, *, timeout_s: float, max_bytes: int = MAX_HTTP_RESPONSE_BYTES) -> None:
        self.address = address
        self._timeout_s, self._max_bytes = timeout_s, max_bytes
        self._mutex = threading.Lock()
        self._connection: http.client.HTTPConnection | None = None
        self._context = ssl.create_default_context() if address.is_tls else None

    def __repr__(self) -> str:
        return f"Transport({self.address.label})"

    def post(self, body: bytes) -> tuple[int, bytes]:
        """HTTP status and body of the answer to `body`, posted as JSON. Every failure is a `ChainError`."""
        deadline = time.monotonic() + self._timeout_s
        if not self._mutex.acquire(timeout=self._timeout_s):
            raise self._failed("is busy with another request", got=f"no turn within {self._timeout_s:g} s")
        try:
            is_reused = self._connection is not None
            try:
                return self._post_once(body, deadline)
            except (ConnectionError, http.client.BadStatusLine):
                # A connection kept open may have been closed by the other side meanwhile: that is no failure yet.
                if not is_reused or time.monotonic() >= deadline:
                    raise
                return self._post_once(body, deadline)
        except (OSError, http.client.HTTPException, UnicodeError) as error:
            # `from None`: what Python says of a request can hold its path.
            raise self._unreachable(error, time.monotonic() >= deadline) from None
        finally:
            self._mutex.release()

    def close(self) -> None:
        """Close the connection; a later request opens another."""
        with self._mutex:
            self._drop()

    def _post_once(self, body: bytes, deadline: float) -> tuple[int, bytes]:
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": "provenance-ledger",
        }
        if self.address.authorization is not None:
            headers["Authorization"] = f"Basic {self.address.authorization}"
        is_complete = False
        try:
            connection = self._connected(deadline)
            with _hangs_up(connection.sock, deadline):
                if isinstance(connection.sock, ssl.SSLSocket) and connection.sock.version() is None:
                    connection.sock.do_handshake()
                connection.request("POST", self.address.target, body, headers)
                response = connection.getresponse()
                with closing(response):  # the answer, not its connection
                    content = self._read(response)
            is_complete = time.monotonic() < deadline
            if not is_complete:
                raise TimeoutError
            if response.will_close:
                self._drop()
            return response.status, content
        finally:
            if not is_complete:
                self._drop()

    def _read(self, response: http.client.HTTPResponse) -> bytes:
        if response.length is not None and response.length > self._max_bytes:
            raise self._too_large(f"{response.length} bytes")
        chunks, size = [], 0
        while chunk := response.read1(_CHUNK_BYTES):
            chunks.append(chunk)
            size += len(chunk)
            if size > self._max_bytes:
                raise self._too_large("more")
        if response.length:
            raise http.client.IncompleteRead(b"", response.length)
        return b"".join(chunks)

    def _connected(self, deadline: float) -> http.client.HTTPConnection:
        if self._connection is not None:
            return self._connection
        kind = http.client.HTTPSConnection if self.address.is_tls else http.client.HTTPConnection
        connection = kind(self.address.host, self.address.port)
        sock = _dial(self.address, deadline)
        if self._context is not None:
            # The handshake waits until the deadline is guarded.
            sock = self._context.wrap_socket(sock, server_hostname=self.address.host, do_handshake_on_connect=False)
        connection.sock = sock
        self._connection = connection
        return connection

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _failed(self, what: str, *, expected: str | None = None, got: str, hint: str | None = None) -> ChainError:
        return ChainError(f"chain endpoint {what}", expected=expected, got=got, where=self.address.label, hint=hint)

    def _too_large(self, got: str) -> ChainError:
        return self._failed("sent too much", expected=f"at most {self._max_bytes} bytes", got=got)

    def _unreachable(self, error: Exception, is_late: bool) -> ChainError:
        hint = "check that the endpoint runs and that its URL is right; repeating is safe"
        if is_late or isinstance(error, TimeoutError):
            return self._failed(
                "did not answer", expected=f"an answer within {self._timeout_s:g} s", got="none", hint=hint
            )
        if isinstance(error, ssl.SSLCertVerificationError):
            return self._failed("has no valid certificate", got=error.verify_message, hint=hint)
        if isinstance(error, OSError):
            got = error.strerror or type(error).__name__
            return self._failed("cannot be reached", got=self.address.redact(got), hint=hint)
        if isinstance(error, UnicodeError):
            return self._failed("has a host name that is none", got=type(error).__name__, hint=hint)
        return self._failed("does not speak HTTP", got=type(error).__name__, hint=hint)


def _dial(address: Address, deadline: float) -> socket.socket:
    """A connected socket, to the first of the host's addresses that answers before the deadline."""
    error: OSError = TimeoutError()
    for family, kind, protocol, _, target in socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM):
        remaining_s = deadline - time.monotonic()
        if remaining_s <= 0:
            raise TimeoutError
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(remaining_s)
            sock.connect(target)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return sock
        except OSError as failure:
            sock.close()
            error = failure
    raise error


@contextmanager
def _hangs_up(sock: socket.socket, deadline: float) -> Iterator[None]:
    """Shut `sock` down at the deadline: a socket's own timeout starts anew with every byte of a slow answer."""

    def hang_up() -> None:
        with suppress(OSError):
            socket.socket.shutdown(sock, socket.SHUT_RDWR)  # of the TCP socket, below TLS

    remaining_s = max(deadline - time.monotonic(), 0)
    sock.settimeout(max(remaining_s, 0.001))
    watchdog = threading.Timer(remaining_s, hang_up)
    watchdog.daemon = True
    watchdog.start()
    try:
        yield
    finally:
        watchdog.cancel()
        watchdog.join()


def _secrets(parts: SplitResult) -> tuple[str, ...]:
    """Every part of a URL that can be a key, as written and decoded; the longest first."""
    found = {parts.username or "", parts.password or "", parts.query, parts.path}
    found |= set(parts.path.split("/")) | {pair.partition("=")[2] for pair in parts.query.split("&")}
    found |= {unquote(secret) for secret in found} | {unquote_plus(secret) for secret in found}
    return tuple(sorted((s for s in found if len(s) >= _MIN_SECRET_CHARS), key=len, reverse=True))


def _bad_uri(why: str) -> ChainError:
    return ChainError("not the URL of a chain endpoint", expected="https://host/path", got=why)
