"""Digests that somebody else computed, as `sha256sum` and its BSD kin write them.

Invariants: a name has one digest; every line is read or is an error that names it; nothing is guessed: a
digest cut short or a name that no dataset can hold is an error. Blank lines and lines that begin with `#` say nothing.

Bytes, a line each (a name with a backslash, newline or carriage return has those as `\\\\`, `\\n` and `\\r`, and the
line then begins with a backslash):
`<64 hex>  data/a.csv` or `<64 hex> *data/a.csv` or `SHA256 (data/a.csv) = <64 hex>`
"""

from __future__ import annotations

import re
from typing import Final

from provenance.encoding import Digest
from provenance.errors import MalformedError
from provenance.fingerprint.files import check_path
from provenance.limits import MAX_FILES, MAX_MANIFEST_BYTES, check_size

_GNU: Final = re.compile(r"(\\?)([0-9A-Fa-f]{64}) [ *](.+)", re.DOTALL)
_BSD: Final = re.compile(r"(\\?)SHA256 \((.+)\) = ([0-9A-Fa-f]{64})", re.DOTALL)
_ESCAPE: Final = re.compile(r"\\(.?)", re.DOTALL)
_ESCAPES: Final = {"\\": "\\", "n": "\n", "r": "\r"}


def parse_sums(data: bytes) -> dict[str, Digest]:
    """Path -> SHA-256, as the lines state them; a leading `./` is dropped. `MalformedError` names the line."""
    check_size("checksum file", len(data), MAX_MANIFEST_BYTES)
    found: dict[str, Digest] = {}
    for number, line in enumerate(data.split(b"\n"), 1):
        line = line.removesuffix(b"\r")
        if not line or line.startswith(b"#"):
            continue
        try:
            path, digest = _parse_line(line)
            if found.setdefault(path, digest) != digest:
                raise MalformedError("file has two digests", expected=found[path], got=digest)
            check_size("checksum file", len(found), MAX_FILES, "files")
        except MalformedError as error:
            where = f"line {number} of the checksum file"
            raise MalformedError(error.what, expected=error.expected, got=error.got, where=where) from error
    if not found:
        raise MalformedError("checksum file names no file", expected="lines as sha256sum writes them")
    return found


def _parse_line(line: bytes) -> tuple[str, Digest]:
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedError("file name is not UTF-8", expected="UTF-8", got=ascii(line[:200])) from error
    if (gnu := _GNU.fullmatch(text)) is not None:
        escaped, digest, path = gnu.groups()
    elif (bsd := _BSD.fullmatch(text)) is not None:
        escaped, path, digest = bsd.groups()
    else:
        expected = "64 hex digits, two spaces and a name, or SHA256 (name) = 64 hex digits"
        raise MalformedError("not a line of SHA-256 sums", expected=expected, got=ascii(text[:200]))
    if escaped:
        path = _ESCAPE.sub(_unescape, path)
    path = path.removeprefix("./")
    check_path(path)
    return path, Digest.from_hex(digest.lower())


def _unescape(match: re.Match[str]) -> str:
    if match[1] not in _ESCAPES:
        raise MalformedError("not an escape", expected="\\\\, \\n or \\r", got=ascii(match[0]))
    return _ESCAPES[match[1]]
