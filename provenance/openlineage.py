"""A transport for OpenLineage's Python client that signs: name it by import path in `openlineage.yml`.

    transport:
      type: provenance.openlineage.SignedTransport
      ledger: /srv/ledger        # whose key signs, and, without a url, where events are logged
      key: airflow
      url: https://lineage.example   # a server that was started with `provenance serve --openlineage`

Without `url` each event is signed, durable and in the ledger's log when `emit` returns; with it, once the server said
so. Another backend is kept by the client's own transport `composite`. Invariants: `emit` returns only for what was
acknowledged, else it raises; a key, a passphrase or a bearer key is never in a message; every request has a timeout.
"""

from __future__ import annotations

import http.client
import os
import ssl
import threading
import time
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from openlineage.client.serde import Serde
from openlineage.client.transport.transport import Config, Transport

from provenance.errors import MalformedError, SourceError
from provenance.ledger import Ledger
from provenance.ledger.importing import open_index
from provenance.ledger.receiving import EventLog, read_event
from provenance.lineage.signed_event import sign_event

_TRIES: Final = 5
_MAX_ANSWER_BYTES: Final = 64 * 2**10
_DEFAULT_TIMEOUT_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class _Place:
    host: str
    port: int | None
    path: str
    context: ssl.SSLContext | None


class SignedConfig(Config):
    """What `openlineage.yml` says. `bearerEnv` and `passphraseEnv` name environment variables that hold secrets."""

    def __init__(
        self,
        ledger: str | None = None,
        key: str | None = None,
        url: str | None = None,
        bearer_env: str | None = None,
        passphrase_env: str | None = None,
        timeout_s: float = _DEFAULT_TIMEOUT_S,
    ) -> None:
        self.ledger, self.key, self.url, self.timeout_s = ledger, key, url, timeout_s
        self.bearer_env, self.passphrase_env = bearer_env, passphrase_env

    @classmethod
    def from_dict(cls, params: dict[str, Any]) -> SignedConfig:
        """The settings in a mapping. `MalformedError` for one that is not known or of another type."""
        names = {"ledger": "ledger", "key": "key", "url": "url", "bearerEnv": "bearer_env"}
        names |= {"passphraseEnv": "passphrase_env", "timeout": "timeout_s"}
        found: dict[str, Any] = {}
        for name, value in params.items():
            if name == "type":
                continue
            if name not in names:
                raise MalformedError("unknown setting of SignedTransport", expected=", ".join(names), got=name)
            is_right = isinstance(value, int | float) and 0 < value <= 3_600
            if not (is_right if name == "timeout" else isinstance(value, str)):
                expected = "seconds, at most 3,600" if name == "timeout" else "text"
                raise MalformedError("setting of SignedTransport is of another kind", expected=expected, got=name)
            found[names[name]] = value
        return cls(**found)


class SignedTransport(Transport):
    """Signs each event with a key of a ledger, and logs it there or sends it to a server."""

    kind = "provenance"
    config_class = SignedConfig

    def __init__(self, config: SignedConfig) -> None:
        self._config, self._guard = config, threading.Lock()
        self._place = _place(config.url) if config.url is not None else None
        self._bearer = _secret(config.bearer_env)
        passphrase = _secret(config.passphrase_env)
        self._ledger = Ledger.open(config.ledger)
        try:
            self._signer = self._ledger.keyring.signer(
                config.key, passphrase.encode() if passphrase is not None else None
            )
            self._index = open_index(self._ledger) if self._place is None else None
        except BaseException:
            self._ledger.close()
            raise

    def emit(self, event: Any) -> None:
        """Sign an event and have it acknowledged. `ProvenanceError` if it was not."""
        signed = sign_event(Serde.to_json(event).encode("utf-8"), self._signer)
        if self._place is not None:
            self._send(self._place, signed)
            return
        parsed = read_event(signed)
        with self._guard:
            if self._index is None:
                raise SourceError("transport is closed", expected="an open one")
            EventLog(self._ledger, self._signer, self._index).add([(signed, parsed)])

    def close(self, timeout: float = -1) -> bool:  # noqa: ARG002 - nothing waits: what was emitted is acknowledged
        """Let the ledger go."""
        with self._guard:
            if self._index is not None:
                self._index.close()
                self._index = None
            self._ledger.close()
        return True

    def _send(self, place: _Place, signed: bytes) -> None:
        headers = {"Content-Type": "application/json"}
        if self._bearer is not None:
            headers["Authorization"] = f"Bearer {self._bearer}"
        deadline, wait_s = time.monotonic() + self._config.timeout_s, 0.2
        for attempt in range(1, _TRIES + 1):
            left_s = deadline - time.monotonic()
            try:
                status, answer, retry_after_s = _post(place, signed, headers, max(left_s, 0.1))
            except OSError as error:
                status, answer, retry_after_s = 0, type(error).__name__, None
            if status == 201:
                return
            if status not in (0, 502, 503, 504) or attempt == _TRIES or time.monotonic() + wait_s > deadline:
                got = f"{status}: {answer}" if status else answer
                raise SourceError("the event was not taken", expected="201", got=got, where=self._config.url)
            # The same bytes are the same event: to send them again adds nothing.
            time.sleep(min(retry_after_s or wait_s, max(deadline - time.monotonic(), 0)))
            wait_s *= 2


def _secret(name: str | None) -> str | None:
    if name is None:
        return None
    value = os.environ.get(name)
    if not value:
        raise MalformedError("environment variable is not set", expected="what SignedTransport is to use", got=name)
    return value


def _place(url: str) -> _Place:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None or parts.query:
        raise MalformedError("not the address of a server", expected="http(s)://host[:port][/path]")
    try:
        port = parts.port
    except ValueError:
        raise MalformedError("not the address of a server", expected="a port below 65536") from None
    context = ssl.create_default_context() if parts.scheme == "https" else None  # once: it reads many certificates
    return _Place(parts.hostname, port, f"{parts.path.rstrip('/')}/api/v1/lineage", context)


def _post(place: _Place, body: bytes, headers: dict[str, str], timeout_s: float) -> tuple[int, str, float | None]:
    """Status, what a refusal says, and how long to wait."""
    connection: http.client.HTTPConnection
    if place.context is not None:
        connection = http.client.HTTPSConnection(place.host, place.port, timeout=timeout_s, context=place.context)
    else:
        connection = http.client.HTTPConnection(place.host, place.port, timeout=timeout_s)
    try:
        connection.request("POST", place.path, body, headers)
        answer = connection.getresponse()
        text = answer.read(_MAX_ANSWER_BYTES).decode("utf-8", "replace")
        after = answer.headers.get("Retry-After", "")
        return answer.status, text, float(after) if after.isdecimal() else None
    except http.client.HTTPException as error:
        raise OSError(type(error).__name__) from error
    finally:
        connection.close()
