"""Uploaded files: hashed while they arrive, never stored.

Invariants: what is hashed is the file's bytes and nothing else; a form holds exactly one part, named `file`, and ends
where its boundary says; nothing of a file is kept but its SHA-256, its size and its name.

    --boundary
    Content-Disposition: form-data; name="file"; filename="titanic.csv"

    <bytes>
    --boundary--
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError

from provenance.encoding import Digest
from provenance.errors import LimitError, MalformedError
from provenance.server.bodies import MediaType, parse_media_type
from provenance.server.service import Service

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

FORM: Final = "multipart/form-data"
BYTES: Final = "application/octet-stream"
PART: Final = "file"
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")  # RFC 2046 5.1.1
_FORM_SHAPE: Final = f"one part, named {PART!r}"
_MAX_PART_HEADER_BYTES: Final = 4_096
_BATCH_BYTES: Final = 1 * 2**20


@dataclass(frozen=True, slots=True)
class Upload:
    """An uploaded file: SHA-256, size in bytes, and the name its sender gave it, if any."""

    digest: Digest
    size: int
    name: str | None = None


class Hasher(Protocol):
    """Takes a body's bytes in order, then says what file they were."""

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""

    def finish(self) -> Upload:
        """The file. `MalformedError` if the body was cut."""


class PlainHasher:
    """For a body that is the file."""

    def __init__(self) -> None:
        self._hash, self._size = hashlib.sha256(), 0

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        self._hash.update(data)
        self._size += len(data)

    def finish(self) -> Upload:
        """The file."""
        return Upload(Digest(self._hash.digest()), self._size)


class FormHasher:
    """For a multipart form that holds the file (RFC 7578)."""

    def __init__(self, boundary: str) -> None:
        self._file = PlainHasher()
        self._parts, self._ended = 0, False
        self._field, self._value, self._header_bytes = b"", b"", 0
        self._disposition: MediaType | None = None
        callbacks: MultipartCallbacks = {
            "on_part_begin": self._part_begins,
            "on_header_field": self._on_field,
            "on_header_value": self._on_value,
            "on_header_end": self._header_ends,
            "on_headers_finished": self._headers_end,
            "on_part_data": self._on_data,
            "on_end": self._form_ends,
        }
        self._parser = MultipartParser(boundary.encode("ascii"), callbacks)

    def feed(self, data: bytes) -> None:
        """Take the next bytes. `MalformedError` if they are no form of one file."""
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise MalformedError("form is not multipart/form-data", expected=_FORM_SHAPE, got=error) from error

    def finish(self) -> Upload:
        """The file."""
        if not self._ended or self._disposition is None:
            raise MalformedError("form is cut or empty", expected=f"{_FORM_SHAPE}, then the closing boundary")
        uploaded = self._file.finish()
        return Upload(uploaded.digest, uploaded.size, self._disposition.parameters.get("filename"))

    def _part_begins(self) -> None:
        self._parts += 1
        if self._parts > 1:
            raise MalformedError("form holds more than one part", expected=_FORM_SHAPE)

    def _on_field(self, data: bytes, start: int, end: int) -> None:
        self._field += self._header_piece(data[start:end])

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += self._header_piece(data[start:end])

    def _header_piece(self, data: bytes) -> bytes:
        self._header_bytes += len(data)
        if self._header_bytes > _MAX_PART_HEADER_BYTES:
            expected = f"at most {_MAX_PART_HEADER_BYTES} bytes"
            raise LimitError("form part's headers are too large", expected=expected, got="more")
        return data

    def _header_ends(self) -> None:
        if self._field.lower() == b"content-disposition":
            if self._disposition is not None:
                raise MalformedError("form part names itself twice", expected=_FORM_SHAPE)
            self._disposition = _parse_disposition(self._value)
        self._field = self._value = b""

    def _headers_end(self) -> None:
        found = self._disposition.parameters.get("name") if self._disposition else None
        if found != PART:
            raise MalformedError("form part has another name", expected=_FORM_SHAPE, got=found)

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        self._file.feed(data[start:end])

    def _form_ends(self) -> None:
        self._ended = True


def hasher_for(media_type: MediaType) -> Hasher:
    """The hasher for a body of this media type, `FORM` or `BYTES`."""
    if media_type.essence != FORM:
        return PlainHasher()
    boundary = media_type.parameters.get("boundary", "")
    if not _BOUNDARY.fullmatch(boundary):
        expected = "a boundary of 1 to 70 characters"
        raise MalformedError("form has no boundary", expected=expected, got=boundary, where="Content-Type")
    return FormHasher(boundary)


async def hash_upload(pieces: AsyncIterator[bytes], hasher: Hasher, service: Service) -> Upload:
    """The file in a body, hashed in the reading threads as it comes."""
    batch, size = list[bytes](), 0
    async for piece in pieces:
        batch.append(piece)
        size += len(piece)
        if size >= _BATCH_BYTES:
            data = b"".join(batch)
            batch.clear()
            size = 0
            await service.read(partial(hasher.feed, data))
    await service.read(partial(hasher.feed, b"".join(batch)))
    return hasher.finish()


def _parse_disposition(value: bytes) -> MediaType:
    # The field has the grammar of a media type but for the slash, and names are UTF-8 (RFC 7578 section 4.2 and 5.1).
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedError("form part's name is not UTF-8", expected="UTF-8") from error
    kind, semicolon, parameters = text.partition(";")
    if kind.strip().lower() != "form-data" or not semicolon:
        raise MalformedError("form part has no name", expected=_FORM_SHAPE, got=text)
    return parse_media_type(f"form/data;{parameters}")
