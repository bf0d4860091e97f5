"""Part of a file from a web server: exactly the bytes that were asked for, of the very state that was listed.

Invariants: a 206 answer is taken only if its Content-Range is the range asked for, of a file of the listed size; a 200
answer to a request for a range is taken only if it is the whole file in the listed state, and what comes before the
range is skipped; fewer bytes than stated are an interruption, more are an error; a content coding (gzip) is not undone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from provenance.errors import SourceError
from provenance.sources.remote.failures import TransientError, changed
from provenance.sources.remote.transport import Answer, Target, Transport, check_status

_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,19})-([0-9]{1,19})/([0-9]{1,19}|\*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Validators:
    """What a server says of the state of a file: nothing else than this is compared."""

    etag: str
    last_modified: str
    coding: str

    @property
    def is_strong(self) -> bool:
        """Whether equal ETags mean equal bytes (RFC 9110 8.8.1)."""
        return self.etag.startswith('"')


def validators(answer: Answer) -> Validators:
    """The validators in the head of an answer."""
    coding = answer.header("Content-Encoding").strip().lower()
    return Validators(answer.header("ETag"), answer.header("Last-Modified"), "" if coding == "identity" else coding)


@dataclass(frozen=True, slots=True)
class WebFile:
    """A file on a web server: `size` in bytes, and its state (None if the address itself pins its content)."""

    target: Target
    size: int
    state: Validators | None


def read_range(transport: Transport, file: WebFile, start: int, stop: int) -> Iterator[bytes]:
    """The bytes from `start` up to `stop`, in pieces."""
    headers = {}
    is_part = start > 0 or stop < file.size
    if is_part:
        headers["Range"] = f"bytes={start}-{stop - 1}"
        if file.state is not None and file.state.is_strong:
            headers["If-Range"] = file.state.etag
    with transport.request("GET", file.target, headers) as answer:
        skip = _checked(answer, file, start, stop)
        position = start - skip
        for piece in answer.pieces():
            if answer.status == 206 and position + len(piece) > stop:
                raise SourceError("server sends more than was asked for", where=file.target.label)
            part = piece[max(start - position, 0) : max(stop - position, 0)]
            position += len(piece)
            if position > file.size:
                raise changed(file.target.label, expected=f"{file.size} bytes", got="more")
            if part:
                yield part
            if position >= stop and is_part:
                break  # a whole file that came in place of a part
    if position < stop:
        raise TransientError(f"the answer ended {stop - position} bytes early")


def _checked(answer: Answer, file: WebFile, start: int, stop: int) -> int:
    """How many bytes come before `start`. Raise unless the answer holds the range in the listed state."""
    label = file.target.label
    check_status(answer, label, is_listed=True)
    if file.state is not None:
        _check_state(answer, file.state, label)
    length = answer.content_bytes(label)
    if answer.status == 200:
        if length not in (None, file.size):
            raise changed(label, expected=f"{file.size} bytes", got=f"{length} bytes")
        return start
    found = _CONTENT_RANGE.fullmatch(answer.header("Content-Range").strip())
    expected = (start, stop - 1)
    if found is None or (int(found[1]), int(found[2])) != expected or length not in (None, stop - start):
        wanted = f"bytes {start}-{stop - 1}/{file.size}"
        raise SourceError("server sends another range", expected=wanted, got="another", where=label)
    if found[3] not in ("*", str(file.size)):
        raise changed(label, expected=f"{file.size} bytes", got=f"{found[3]} bytes")
    return 0


def _check_state(answer: Answer, state: Validators, label: str) -> None:
    found = validators(answer)
    # RFC 9110 15.3.7: a 206 repeats the ETag, but need not repeat the rest when If-Range was sent.
    if answer.status == 206:
        is_same = found.etag == state.etag and found.last_modified in ("", state.last_modified)
        is_same = is_same and found.coding in ("", state.coding)
    else:
        is_same = found == state
    if not is_same:
        raise changed(label, expected="the state that was listed", got="another ETag, time or coding")
