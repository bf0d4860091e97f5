"""Digests that a Croissant description declares of a dataset's files.

Invariants: only what is 64 hexadecimal digits is a SHA-256: anything else, or nothing, is *not declared*; only files
that lie with the description, by a relative `contentUrl`, are named; a path has one digest.

Bytes (JSON-LD): `{"distribution":[{"@type":"cr:FileObject","contentUrl":"data/a.csv","sha256":"<64 hex>"}]}`

Source: Croissant 1.1 (MLCommons), FileObject.
"""

from __future__ import annotations

import re
from typing import Final

from provenance.encoding import Digest, JsonValue, parse_foreign_json
from provenance.errors import MalformedError
from provenance.fingerprint.files import check_path
from provenance.limits import MAX_FILES, check_size

MAX_CROISSANT_BYTES: Final = 64 * 2**20
_HEX = re.compile(r"[0-9a-fA-F]{64}")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


def parse_croissant_sums(data: bytes) -> dict[str, Digest]:
    """Path -> SHA-256 of the files whose digest is declared. `MalformedError` if it is none, or declares none."""
    value = parse_foreign_json(data, what="Croissant description", max_bytes=MAX_CROISSANT_BYTES)
    items = value.get("distribution") if isinstance(value, dict) else None
    if not isinstance(items, list):
        raise MalformedError("not a Croissant description", expected="a JSON object with a list named distribution")
    check_size("Croissant description", len(items), MAX_FILES, "files")
    found: dict[str, Digest] = {}
    for number, item in enumerate(items):
        if not isinstance(item, dict) or not _is_file(item.get("@type")):
            continue
        path, digest = item.get("contentUrl"), item.get("sha256")
        if (
            not isinstance(path, str)
            or _SCHEME.match(path)
            or not isinstance(digest, str)
            or not _HEX.fullmatch(digest)
        ):
            continue
        path = path.removeprefix("./")
        check_path(path)
        declared = Digest.from_hex(digest.lower())
        if found.setdefault(path, declared) != declared:
            where = f"distribution[{number}]"
            raise MalformedError("file has two digests", expected=found[path], got=declared, where=where)
    if not found:
        raise MalformedError("description declares no digest", expected="a FileObject with contentUrl and sha256")
    return found


def _is_file(kind: JsonValue) -> bool:
    kinds = kind if isinstance(kind, list) else [kind]
    return any(isinstance(one, str) and re.split(r"[:/#]", one)[-1] == "FileObject" for one in kinds)
