"""A log behind HTTP (c2sp.org/tlog-tiles): `GET <prefix>/checkpoint`, `GET <prefix>/tile/...`.

Invariants: a request ends within its timeout, from first byte sent to last byte read; an answer is never larger than
stated, as it came or decompressed, so that a small answer that inflates to a large one is cut off at the limit; a
redirect is followed only to the same scheme, host and port, three times at most; what fails in passing is tried three
times. No message holds a query, a user or what the server wrote.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import Final
from urllib.parse import urljoin, urlsplit

from provenance.errors import LogError, MalformedError
from provenance.limits import MAX_NOTE_BYTES
from provenance.log import encode_tile_path
from provenance.log.static import CHECKPOINT_PATH, StaticPath, max_bytes_of
from provenance.logs.base import LogFiles, check_name

_PIECE_BYTES: Final = 64 * 2**10
_ATTEMPTS: Final = 3
_FIRST_WAIT_S: Final = 0.2
_MAX_REDIRECTS: Final = 3
_GZIP_BITS: Final = 31
"""zlib's number for a gzip wrapper and the largest window."""
_ABSENT: Final = frozenset({403, 404, 410})
"""Object stores answer 403 for what is not there to who may not list."""
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_PASSING: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_HEADERS: Final = {"Accept-Encoding": "gzip, identity", "User-Agent": "provenance-monitor"}


class _PassingError(Exception):
    """Something that may go well when it is tried again."""


class HttpLog:
    """One log at one URL."""

    is_local = False

    def __init__(self, host: str, port: int | None, prefix: str, *, is_tls: bool, timeout_s: float) -> None:
        self._host, self._port, self._prefix = host, port, prefix.rstrip("/")
        self._context = ssl.create_default_context() if is_tls else None
        self._timeout_s = timeout_s
        self._connection: http.client.HTTPConnection | None = None
        shown = f"[{host}]" if ":" in host else host
        self._base = f"{'https' if is_tls else 'http'}://{shown}{f':{port}' if port else ''}"
        self.label = self._base + self._prefix

    def checkpoint(self) -> bytes:
        """See `LogFiles`."""
        data = self._get(CHECKPOINT_PATH, MAX_NOTE_BYTES)
        if data is None:
            raise LogError("there is no log here", expected="a checkpoint", where=self.label)
        return data

    def read(self, path: StaticPath) -> bytes | None:
        """See `LogFiles`."""
        return self._get(encode_tile_path(path).removeprefix("/"), max_bytes_of(path))

    def beside(self, name: str, max_bytes: int) -> bytes | None:
        """See `LogFiles`."""
        return self._get(check_name(name), max_bytes)

    def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _get(self, name: str, max_bytes: int) -> bytes | None:
        where, failure = f"{self.label}/{name}", ""
        for attempt in range(_ATTEMPTS):
            if attempt:
                time.sleep(_FIRST_WAIT_S * 2 ** (attempt - 1))
            try:
                return self._followed(f"{self._prefix}/{name}", max_bytes, where)
            except (OSError, http.client.HTTPException, _PassingError) as error:
                self.close()
                failure = str(error) if isinstance(error, _PassingError) else type(error).__name__
            except BaseException:
                self.close()
                raise
        raise LogError("log cannot be read", got=failure, where=where, hint="try again later")

    def _followed(self, target: str, max_bytes: int, where: str) -> bytes | None:
        for _ in range(_MAX_REDIRECTS + 1):
            status, place, data = self._ask(target, max_bytes, where)
            if status == 200:
                return data
            if status in _ABSENT:
                return None
            if status not in _REDIRECTS:
                raise LogError("log refuses a file", got=f"HTTP status {status}", where=where)
            target = self._same_host(target, place, where)
        raise LogError("log redirects too often", expected=f"at most {_MAX_REDIRECTS} times", where=where)

    def _ask(self, target: str, max_bytes: int, where: str) -> tuple[int, str, bytes]:
        """Status, Location and body of one request; the body only of a 200."""
        deadline = time.monotonic() + self._timeout_s
        connection = self._connected()
        with self._cut_off(connection, deadline):
            connection.request("GET", target, headers=_HEADERS)
            with closing(connection.getresponse()) as answer:
                if answer.status in _PASSING:
                    raise _PassingError(f"HTTP status {answer.status}")
                if answer.status != 200:
                    self.close()  # what an error page holds is of no interest
                    return answer.status, answer.getheader("Location") or "", b""
                body = self._body(answer, max_bytes, where)
                if answer.will_close:
                    self.close()
        return 200, "", body

    def _body(self, answer: http.client.HTTPResponse, max_bytes: int, where: str) -> bytes:
        coding = (answer.getheader("Content-Encoding") or "identity").strip().lower()
        if coding not in ("identity", "gzip", "x-gzip"):
            raise LogError("answer is encoded in a way that was not asked for", expected="gzip or none", where=where)
        inflater = zlib.decompressobj(_GZIP_BITS) if coding != "identity" else None
        found, raw_bytes = bytearray(), 0
        # Gzip adds to what it cannot compress: 18 bytes, and 5 a block.
        max_raw_bytes = max_bytes + max_bytes // 1_000 + _PIECE_BYTES
        while piece := answer.read1(_PIECE_BYTES):
            raw_bytes += len(piece)
            found += piece if inflater is None else _inflate(inflater, piece, max_bytes + 1 - len(found), where)
            if len(found) > max_bytes or raw_bytes > max_raw_bytes:
                raise LogError("answer is too large", expected=f"at most {max_bytes} bytes", where=where)
        if inflater is not None and not inflater.eof:
            raise _PassingError("the compressed answer ended early")
        if answer.length:
            raise _PassingError("the answer ended early")
        return bytes(found)

    def _connected(self) -> http.client.HTTPConnection:
        if self._connection is None:
            if self._context is not None:
                self._connection = http.client.HTTPSConnection(
                    self._host, self._port, timeout=self._timeout_s, context=self._context
                )
            else:
                self._connection = http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_s)
            self._connection.connect()
            with suppress(OSError):
                self._connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._connection

    @contextmanager
    def _cut_off(self, connection: http.client.HTTPConnection, deadline: float) -> Iterator[None]:
        """End the connection at the deadline: a socket's own timeout begins anew with every byte."""
        held, guard, ended = connection.sock, threading.Lock(), False

        def end() -> None:
            with guard, suppress(OSError):
                if not ended:
                    socket.socket.shutdown(held, socket.SHUT_RDWR)  # not the TLS one, which is in use

        timer = threading.Timer(max(0.0, deadline - time.monotonic()), end)
        timer.daemon = True
        timer.start()
        late = _PassingError(f"no whole answer in {self._timeout_s:g} s")
        try:
            yield
            if time.monotonic() >= deadline:  # an answer without a length looks whole when it is cut
                raise late
        except (OSError, http.client.HTTPException, _PassingError):
            if time.monotonic() >= deadline:
                raise late from None
            raise
        finally:
            with guard:
                ended = True
            timer.cancel()

    def _same_host(self, target: str, place: str, where: str) -> str:
        refused = LogError("log redirects to somewhere else", expected=f"a place of {self._base}", where=where)
        try:
            parts = urlsplit(urljoin(self._base + target, place))
            here = urlsplit(self._base)
            is_here = (parts.scheme, parts.hostname, _port(parts)) == (here.scheme, here.hostname, _port(here))
        except ValueError:
            raise refused from None
        if not is_here or parts.username is not None or not (parts.path + parts.query).isascii():
            raise refused
        return parts._replace(scheme="", netloc="", fragment="").geturl() or "/"


def _port(parts: object) -> int:
    port: int | None = getattr(parts, "port", None)
    return port or (443 if getattr(parts, "scheme", "") == "https" else 80)


def _inflate(inflater: object, piece: bytes, max_bytes: int, where: str) -> bytes:
    """What a piece inflates to, at most `max_bytes` of it."""
    decompressor: zlib._Decompress = inflater  # type: ignore[assignment]  # a type that zlib does not export
    try:
        found: bytes = decompressor.decompress(piece, max_bytes)
    except zlib.error:
        raise LogError("answer is not gzip, as it says", where=where) from None
    if decompressor.unused_data:
        raise LogError("there is something after the compressed answer", where=where)
    return found


def open_log(address: str, timeout_s: float) -> LogFiles:
    """The log at an http(s) URL. `MalformedError` if it is none, or holds a user or a query."""
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    is_plain = address.isascii() and address.isprintable() and " " not in address
    if not is_plain or not parts.hostname or parts.username is not None or parts.query or parts.fragment:
        raise MalformedError("not the address of a log", expected="http(s)://host[:port][/path]")
    return HttpLog(parts.hostname, port, parts.path, is_tls=parts.scheme == "https", timeout_s=timeout_s)
