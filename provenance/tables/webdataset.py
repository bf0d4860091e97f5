"""WebDataset shards: a tar file's members, grouped into records.

Rules: a member's key is its path up to the first dot of its last part, what follows the dot is its column; neighbours
of one key are one record, and a key that comes again later is another; records are in the order of the tar file;
columns are `__key__` (text) and each extension of any shard, sorted, binary, null where a record lacks it. Only regular
files count: links and devices are refused, folders are nothing. One fragment a shard.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import pyarrow as pa

from provenance.encoding.records import RecordSchema
from provenance.encoding.records.types import MAX_COLUMNS
from provenance.errors import SourceError
from provenance.tables.base import MAX_BATCH_BYTES, MAX_BATCH_ROWS, Fragment, check_unchanged, identify, unreadable
from provenance.tables.files import FileTable, check_same, fragments_of

KEY: Final = "__key__"
_MAX_MEMBER_BYTES: Final = 1 << 30


def open_files(paths: Sequence[Path], schema: RecordSchema | None) -> FileTable:
    """The table of these shards. Their headers are read once for the columns, unless `schema` says them."""
    identities = [identify(path) for path in paths]
    if schema is not None:
        found = schema.to_arrow()
    else:
        extensions: set[str] = set()
        for path in paths:
            extensions.update(extension for _, extension, _ in _members(path, contents=False))
            if len(extensions) >= MAX_COLUMNS:
                raise SourceError("shards have too many extensions", expected=f"below {MAX_COLUMNS}", where=path)
        found = pa.schema([(KEY, pa.string()), *((name, pa.binary()) for name in sorted(extensions, key=_utf8))])
    wanted = pa.schema([(KEY, pa.string()), *((name, pa.binary()) for name in found.names[1:])])
    check_same(wanted, RecordSchema.of(found), paths[0])
    return FileTable(found, fragments_of(paths, identities, _read, found))


def _utf8(text: str) -> bytes:
    return text.encode("utf-8")


def _read(fragment: Fragment) -> Iterator[pa.RecordBatch]:
    path, schema = Path(fragment.path), fragment.part
    if fragment.identity is not None:
        check_unchanged(path, fragment.identity)
    rows: list[dict[str, bytes | str]] = []
    held_bytes = 0
    for key, extension, data in _members(path, contents=True):
        if extension not in schema.names[1:]:
            where = f"{path}, record {printable_key(key)}"
            raise SourceError("record has a member that the schema lacks", got=ascii(extension), where=where)
        if not rows or rows[-1][KEY] != key:
            if len(rows) >= MAX_BATCH_ROWS or held_bytes >= MAX_BATCH_BYTES:
                yield _batch(rows, schema)
                rows, held_bytes = [], 0
            rows.append({KEY: key})
        if extension in rows[-1]:
            where = f"{path}, record {printable_key(key)}"
            raise SourceError("record has a member twice", got=ascii(extension), where=where)
        rows[-1][extension] = data
        held_bytes += len(data)
    if rows:
        yield _batch(rows, schema)
    if fragment.identity is not None:
        check_unchanged(path, fragment.identity)


def printable_key(key: str) -> str:
    """A key for messages."""
    return ascii(key)[:80]


def _batch(rows: list[dict[str, bytes | str]], schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays(
        [pa.array([row.get(field.name) for row in rows], field.type) for field in schema], schema=schema
    )


def _members(path: Path, *, contents: bool) -> Iterator[tuple[str, str, bytes]]:
    """Key, extension and content of each member, in the order of the file."""
    try:
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                if member.isdir():
                    continue
                if not member.isreg():
                    raise SourceError("member is no file", expected="regular files", got=ascii(member.name), where=path)
                if member.size > _MAX_MEMBER_BYTES:
                    expected = f"at most {_MAX_MEMBER_BYTES} bytes"
                    raise SourceError("member is too large", expected=expected, got=f"{member.size} bytes", where=path)
                key, extension = _split(member.name, path)
                yield key, extension, _content(archive, member, path) if contents else b""
            _check_end(archive, path)
    except (tarfile.TarError, OSError, EOFError, UnicodeError) as error:
        raise unreadable(path, error) from error


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> bytes:
    file = archive.extractfile(member)
    data = file.read() if file is not None else b""
    if len(data) != member.size:
        expected = f"{member.size} bytes"
        raise SourceError("member is cut short", expected=expected, got=f"{len(data)} bytes", where=path)
    return data


def _check_end(archive: tarfile.TarFile, path: Path) -> None:
    """A tar file ends in a block of zeros: one that was cut off between two members does not."""
    if archive.fileobj is None:
        return
    archive.fileobj.seek(archive.offset)
    if archive.fileobj.read(512) not in (bytes(512), b"") or path.stat().st_size < archive.offset:
        raise SourceError("shard is cut short or damaged", expected="a tar file's end", where=path)
    if path.stat().st_size < archive.offset + 512 and path.stat().st_size % 512 == 0 and not _ends_in_zeros(path):
        raise SourceError("shard is cut short", expected="a tar file's end", where=path)


def _ends_in_zeros(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - 512, 0))
        return file.read(512) == bytes(512)


def _split(name: str, path: Path) -> tuple[str, str]:
    folder, slash, last = name.rpartition("/")
    stem, dot, extension = last.partition(".")
    try:
        name.encode("utf-8")
    except UnicodeEncodeError as error:
        raise SourceError("member's name is not UTF-8", got=ascii(name), where=path) from error
    if not dot or not extension or not stem:
        hint = "name members KEY.EXTENSION"
        raise SourceError("member has no key and extension", got=ascii(name), where=path, hint=hint)
    return f"{folder}{slash}{stem}", extension
