"""File leaves: the name, size and content of one file, bound together.

Invariants: leaves are sorted by the UTF-8 bytes of their paths and no path appears twice; a path is relative, POSIX,
without empty, `.` or `..` parts and without NUL; it is taken as it is (no Unicode normalisation). The leaf binds name,
size and content, so that renaming or swapping two files changes the root.

Bytes of a leaf's data (canonical JSON; `blake3` in place of `sha256` where that is the algorithm):
`{"digest":{"sha256":"<64 hex>"},"path":"data/a.csv","size":3}`
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import overload

from provenance.encoding import Digest, Fields, parse_json
from provenance.errors import MalformedError
from provenance.fingerprint.algorithm import Algorithm, parse_algorithm
from provenance.limits import MAX_FILES, MAX_PATH_BYTES, MAX_SAFE_INTEGER, check_size
from provenance.merkle import HASH_BYTES, CompactRange, leaf_hash

_MAX_LEAF_BYTES = 8 * MAX_PATH_BYTES
_PLAIN = re.compile(r"[A-Za-z0-9 ._/+=@,()\[\]{}~#%&;:'!^$-]*")
"""Names that JSON writes as they are, tested faster than escaped."""


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One file: `path` relative with `/`, `size` in bytes, `digest` of its content by `algorithm`."""

    path: str
    size: int
    digest: Digest
    algorithm: Algorithm = Algorithm.SHA256

    def __post_init__(self) -> None:
        check_path(self.path)
        if not 0 <= self.size <= MAX_SAFE_INTEGER:
            raise MalformedError("file size is out of range", expected=f"0 to {MAX_SAFE_INTEGER}", got=self.size)

    @property
    def sort_key(self) -> bytes:
        """The UTF-8 bytes of the path."""
        return self.path.encode("utf-8")


def check_path(path: str) -> None:
    """Raise `MalformedError` unless `path` may name a file of a dataset."""
    try:
        encoded = path.encode("utf-8")
    except UnicodeEncodeError as error:
        raise MalformedError("file name is not UTF-8", expected="UTF-8", got=ascii(path)) from error
    check_size("file path", len(encoded), MAX_PATH_BYTES)
    if any(part in ("", ".", "..") for part in path.split("/")) or "\0" in path:
        raise MalformedError("file path is not a plain relative path", expected="a/b/c without . and ..", got=path)


class FileList(Sequence[FileEntry]):
    """The files of a dataset in leaf order, kept as columns: an entry is made when it is looked at.

    `names` are sorted by their UTF-8 bytes, each once and checked; `digests` holds 32 bytes a file.
    """

    __slots__ = ("algorithm", "digests", "names", "sizes")

    def __init__(self, names: Sequence[str], sizes: Sequence[int], digests: bytes, algorithm: Algorithm) -> None:
        if not len(names) == len(sizes) == len(digests) // HASH_BYTES:
            raise MalformedError("columns of files differ in length", expected=len(names), got=len(sizes))
        self.names, self.sizes, self.digests, self.algorithm = names, sizes, digests, algorithm

    def __len__(self) -> int:
        return len(self.names)

    @overload
    def __getitem__(self, index: int) -> FileEntry: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[FileEntry]: ...

    def __getitem__(self, index: int | slice) -> FileEntry | Sequence[FileEntry]:
        if isinstance(index, slice):
            return tuple(self[place] for place in range(*index.indices(len(self.names))))
        place = range(len(self.names))[index]
        digest = Digest(self.digests[HASH_BYTES * place : HASH_BYTES * (place + 1)])
        return FileEntry(self.names[place], self.sizes[place], digest, self.algorithm)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, FileList):
            mine = (self.algorithm, self.digests, list(self.sizes), list(self.names))
            return mine == (other.algorithm, other.digests, list(other.sizes), list(other.names))
        return isinstance(other, tuple) and tuple(self) == other

    def __hash__(self) -> int:
        return hash(tuple(self))

    def leaf_data(self) -> list[bytes]:
        """The data of every leaf, in order."""
        return [text.encode() for text in leaf_texts(self.names, self.sizes, self.digests, self.algorithm)]


def leaf_text(path: str, size: int, digest_hex: str, algorithm: str) -> str:
    """A leaf's data as text: RFC 8785 canonical JSON of path, size and digest."""
    # json.dumps escapes a string just as RFC 8785 3.2.2.2 does; a test holds this against the library.
    quoted = f'"{path}"' if _PLAIN.fullmatch(path) else json.dumps(path, ensure_ascii=False)
    return f'{{"digest":{{"{algorithm}":"{digest_hex}"}},"path":{quoted},"size":{size}}}'


def leaf_texts(
    paths: Sequence[str], sizes: Sequence[int], digests: bytes, algorithm: str, before: str = ""
) -> list[str]:
    """As `leaf_text` of many files, whose digests lie one after another; each with `before` in front of it."""
    hexed, width = digests.hex(), 2 * HASH_BYTES
    if not _PLAIN.fullmatch("".join(paths)):
        return [
            before + leaf_text(path, size, hexed[width * place : width * (place + 1)], algorithm)
            for place, (path, size) in enumerate(zip(paths, sizes, strict=True))
        ]
    head, middle = f'{before}{{"digest":{{"{algorithm}":"', '"},"path":"'
    return [
        f'{head}{hexed[place : place + width]}{middle}{path}","size":{size}}}'
        for place, path, size in zip(range(0, len(hexed), width), paths, sizes, strict=True)
    ]


def encode_leaf(entry: FileEntry) -> bytes:
    """The leaf's data."""
    return leaf_text(entry.path, entry.size, entry.digest.hex, entry.algorithm).encode()


def parse_leaf(data: bytes) -> FileEntry:
    """The entry whose leaf data is exactly `data`; `MalformedError` otherwise."""
    fields = Fields(parse_json(data, what="file leaf", max_bytes=_MAX_LEAF_BYTES), "file leaf")
    digest_set = fields.object("digest")
    algorithm = parse_algorithm(digest_set.only_name())
    entry = FileEntry(
        path=fields.string("path", max_chars=MAX_PATH_BYTES),
        size=fields.integer("size"),
        digest=digest_set.digest(algorithm),
        algorithm=algorithm,
    )
    fields.end()
    if encode_leaf(entry) != data:
        raise MalformedError("file leaf is not canonical JSON", expected=encode_leaf(entry), got=data)
    return entry


def sort_entries(entries: Iterable[FileEntry]) -> tuple[FileEntry, ...]:
    """The entries in leaf order; `MalformedError` for none, too many, two algorithms or a path that appears twice."""
    ordered = tuple(sorted(entries, key=lambda entry: entry.sort_key))
    if not ordered:
        raise MalformedError("dataset has no files", expected="at least one file")
    check_size("dataset", len(ordered), MAX_FILES, "files")
    for before, after in pairwise(ordered):
        if before.path == after.path:
            raise MalformedError("file path appears twice", got=after.path)
        if before.algorithm is not after.algorithm:
            raise MalformedError("files are hashed by two algorithms", expected=before.algorithm, got=after.algorithm)
    return ordered


def file_root(entries: Sequence[FileEntry]) -> Digest:
    """The RFC 9162 root over the leaves of entries that `sort_entries` put in order."""
    tree = CompactRange()
    for entry in entries:
        tree.append(leaf_hash(encode_leaf(entry)))
    return Digest(tree.root())
