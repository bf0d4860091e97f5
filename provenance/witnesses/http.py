"""A witness behind HTTP (c2sp.org/tlog-witness): `POST <address>/add-checkpoint`.

Invariants: a request ends within its timeout; an answer is never larger than stated; redirects are not followed.
"""

from __future__ import annotations

import http.client
import ssl
import time
from contextlib import closing
from typing import Final
from urllib.parse import urlsplit

from provenance.errors import MalformedError, PolicyError, ProvenanceError, VerificationError, WitnessError
from provenance.log.add_checkpoint import SIZE_TYPE, AddCheckpoint, encode_add_checkpoint
from provenance.log.decimal import parse_decimal
from provenance.log.note import parse_signature_lines
from provenance.witnesses.base import Cosigned, Outgrown, Witness, WitnessAnswer
from provenance.witnesses.refusal import AttestationRefusedError, parse_refusal

_MAX_ANSWER_BYTES: Final = 64 * 2**10
_PIECE_BYTES: Final = 4_096
_REFUSED: Final = 422
_TOLD: Final = (_REFUSED, 503)
_PLAIN: Final = "text/plain"


class HttpWitness:
    """One witness at one address."""

    def __init__(self, host: str, port: int | None, path: str, *, is_tls: bool, timeout_s: float) -> None:
        self._host, self._port, self._path = host, port, path.rstrip("/") + "/add-checkpoint"
        self._context = ssl.create_default_context() if is_tls else None
        self._timeout_s = timeout_s

    def add_checkpoint(self, request: AddCheckpoint) -> WitnessAnswer:
        """See `Witness`."""
        status, kind, body = self._post(encode_add_checkpoint(request))
        try:
            if status == 200:
                return Cosigned(parse_signature_lines(body))
            if status == 409 and kind == SIZE_TYPE:
                return Outgrown(parse_decimal(body.decode("ascii").removesuffix("\n"), what="size of the witness"))
        except (ProvenanceError, UnicodeDecodeError) as error:
            raise self._failed("gave an answer that makes no sense", got=type(error).__name__) from None
        if status in (403, 404):
            what = "does not know this log" if status == 404 else "does not know this log's key"
            raise PolicyError(f"witness {what}", got=f"status {status}", where=self._host)
        if status in _TOLD and kind == _PLAIN:
            self._raise_refusal(status, body)
        if status in (409, 422):
            what = "witness says that this checkpoint does not extend what it saw"
            raise VerificationError(what, got=f"status {status}", where=self._host)
        raise self._failed("refused", got=f"status {status}")

    def _raise_refusal(self, status: int, body: bytes) -> None:
        """Raise what an attester says; return if it is none that says something."""
        try:
            refusal = parse_refusal(body)
        except MalformedError:
            return
        if status == _REFUSED:
            raise AttestationRefusedError(refusal, where=self._host)
        raise WitnessError(refusal.message, got=f"status {status}", where=self._host, hint="ask again later")

    def _post(self, body: bytes) -> tuple[int, str, bytes]:
        deadline = time.monotonic() + self._timeout_s
        connection: http.client.HTTPConnection
        if self._context is not None:
            connection = http.client.HTTPSConnection(
                self._host, self._port, timeout=self._timeout_s, context=self._context
            )
        else:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_s)
        try:
            with closing(connection):
                connection.request("POST", self._path, body, {"Content-Type": "text/plain; charset=utf-8"})
                with closing(connection.getresponse()) as answer:
                    kind = (answer.getheader("Content-Type") or "").partition(";")[0].strip().lower()
                    return answer.status, kind, self._read(answer, deadline)
        except (OSError, http.client.HTTPException) as error:
            raise self._failed("cannot be asked", got=type(error).__name__) from None

    def _read(self, answer: http.client.HTTPResponse, deadline: float) -> bytes:
        found = b""
        while piece := answer.read1(_PIECE_BYTES):
            found += piece
            if len(found) > _MAX_ANSWER_BYTES:
                raise self._failed("answered too much", got=f"more than {_MAX_ANSWER_BYTES} bytes")
            if time.monotonic() > deadline:
                raise self._failed("answered too slowly", got=f"more than {self._timeout_s:g} s")
        return found

    def _failed(self, what: str, *, got: str) -> WitnessError:
        return WitnessError(f"witness {what}", got=got, where=self._host)


def open_witness(uri: str, timeout_s: float) -> Witness:
    """The witness at an http(s) address. `MalformedError` if it is none, or holds a user or a query."""
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None or parts.query:
        raise MalformedError("not the address of a witness", expected="http(s)://host[:port][/path]")
    return HttpWitness(parts.hostname, port, parts.path, is_tls=parts.scheme == "https", timeout_s=timeout_s)
