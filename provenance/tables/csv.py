"""CSV (RFC 4180) and TSV: one fragment a file.

Rules: the first line names the columns; an empty field is null, and a quoted empty one is empty text; numbers, dates
(`2026-01-31`), times and timestamps (`2026-01-31 12:34:56.789`, with `Z` or an offset where the column has a zone) are
as Arrow reads them; durations are integers in their unit; binary is base64; nested columns have no form in CSV.

Without a schema, a column is the first of these that every field of it fits: nothing but null, `int64` (no leading
zeros, no plus), `float64` (fields of digits alone only as `int64`, and up to 2**53: codes and long numbers are text),
`bool` (`true`, `false`), `date`, a timestamp in microseconds without zone, text. What was inferred is recorded: the
schema document is kept beside the fingerprint.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pc_csv

from provenance.encoding.records import RecordSchema
from provenance.errors import MalformedError, SourceError
from provenance.tables.base import Fragment, bounded, check_unchanged, identify, unreadable
from provenance.tables.files import FileTable, fragments_of
from provenance.tables.text import carrier_type, from_text

_BLOCK_BYTES: Final = 4 * 2**20
_INTEGER: Final = r"^-?(0|[1-9][0-9]*)$"
_DIGITS: Final = r"^[+-]?[0-9]+$"
_MAX_EXACT: Final = 2**53
_CANDIDATES: Final = (pa.null(), pa.int64(), pa.float64(), pa.bool_(), pa.date32(), pa.timestamp("us"), pa.string())
_PLACE = re.compile(r"CSV column #([0-9]+)(?:: Row #([0-9]+))?")
_ROW = re.compile(r"Row #([0-9]+)")


def open_files(paths: Sequence[Path], schema: RecordSchema | None) -> FileTable:
    """The table of these files, by `schema` or by what all of them hold."""
    identities = [identify(path) for path in paths]
    if schema is None:
        arrow = _inferred(paths)
    else:
        arrow = schema.to_arrow()
        for field in arrow:
            if pa.types.is_nested(field.type):
                raise SourceError(
                    "nested column has no form in CSV", where=field.name, hint="use JSON Lines or Parquet"
                )
    return FileTable(arrow, fragments_of(paths, identities, _read, arrow))


def _read(fragment: Fragment) -> Iterator[pa.RecordBatch]:
    path, schema = Path(fragment.path), fragment.part
    if fragment.identity is not None:
        check_unchanged(path, fragment.identity)
    types = {field.name: carrier_type(field.type) for field in schema}
    for batch in _batches(path, types, schema.names):
        columns = [from_text(batch.column(field.name), field.type, f"{path}, column {field.name}") for field in schema]
        yield from bounded(iter([pa.RecordBatch.from_arrays(columns, schema=schema)]))
    if fragment.identity is not None:
        check_unchanged(path, fragment.identity)


def _batches(path: Path, types: dict[str, pa.DataType] | None, names: list[str] | None) -> Iterator[pa.RecordBatch]:
    header = _header(path)
    if names is not None and header != names:
        got, expected = ", ".join(map(ascii, header[:20])), ", ".join(map(ascii, names[:20]))
        raise SourceError("file has other columns than the schema", expected=expected, got=got, where=path)
    convert = pc_csv.ConvertOptions(
        column_types=types or dict.fromkeys(header, pa.string()),
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
        true_values=["true"],
        false_values=["false"],
    )
    try:
        with pc_csv.open_csv(
            path,
            read_options=pc_csv.ReadOptions(use_threads=False, block_size=_BLOCK_BYTES),
            parse_options=_parse_options(path),
            convert_options=convert,
        ) as reader:
            yield from reader
    except pa.ArrowInvalid as error:
        raise _misfit(path, error, header) from None  # its own words show the field
    except (OSError, pa.ArrowException) as error:
        raise unreadable(path, error) from error


def _parse_options(path: Path) -> pc_csv.ParseOptions:
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    return pc_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True, ignore_empty_lines=False)


def _header(path: Path) -> list[str]:
    try:
        with pc_csv.open_csv(
            path,
            read_options=pc_csv.ReadOptions(use_threads=False, block_size=_BLOCK_BYTES),
            parse_options=_parse_options(path),
            convert_options=pc_csv.ConvertOptions(column_types={}),
        ) as reader:
            return list(reader.schema.names)
    except pa.ArrowInvalid as error:
        if "Empty CSV" in str(error):
            raise SourceError("file has no header", expected="a line of column names", where=path) from None
        raise _misfit(path, error, []) from None
    except (OSError, pa.ArrowException) as error:
        raise unreadable(path, error) from error


def _misfit(path: Path, error: Exception, header: list[str]) -> SourceError:
    """Where a field does not fit its column. The field itself is not shown."""
    match, row = _PLACE.search(str(error)), _ROW.search(str(error))
    where = [str(path)]
    if match is not None and int(match[1]) < len(header):
        where.append(f"column {header[int(match[1])]}")
    if row is not None:
        where.append(f"line {row[1]}")
    hint = "give the schema that fits, with --schema"
    what = "field does not fit its column" if match is not None else "file is not well-formed CSV"
    return SourceError(what, expected="RFC 4180, and the column's type", where=", ".join(where), hint=hint)


def _inferred(paths: Sequence[Path]) -> pa.Schema:
    names: list[str] | None = None
    alive: list[list[pa.DataType]] = []
    for path in paths:
        header = _header(path)
        if names is None:
            names, alive = header, [list(_CANDIDATES) for _ in header]
        for batch in _batches(path, None, names):
            for index, column in enumerate(batch.columns):
                alive[index] = [kind for kind in alive[index] if _fits(column, kind)]
    try:
        return pa.schema([(name, kinds[0]) for name, kinds in zip(names or [], alive, strict=True)])
    except MalformedError as error:
        raise SourceError(error.what, where=paths[0]) from error


def _fits(column: pa.Array, kind: pa.DataType) -> bool:
    if pa.types.is_null(kind):
        return bool(column.null_count == len(column))
    if pa.types.is_int64(kind) and not pc.all(pc.match_substring_regex(column, _INTEGER)).as_py():
        return bool(column.null_count == len(column))
    if pa.types.is_boolean(kind):
        return bool(pc.all(pc.is_in(column, pa.array(["true", "false", None]))).as_py())
    if pa.types.is_float64(kind) and not _are_exact(column.filter(pc.match_substring_regex(column, _DIGITS))):
        return False
    try:
        column.cast(kind)
    except pa.ArrowInvalid:
        return False
    return True


def _are_exact(digits: pa.Array) -> bool:
    """Whether these fields, of digits alone, are whole numbers that a float64 holds as they are written."""
    try:
        numbers = digits.cast(pa.int64())
    except pa.ArrowInvalid:
        return False
    if not len(numbers):
        return True
    is_plain = pc.all(pc.match_substring_regex(digits, _INTEGER)).as_py()
    in_range = pc.all(pc.and_(pc.greater_equal(numbers, -_MAX_EXACT), pc.less_equal(numbers, _MAX_EXACT))).as_py()
    return bool(is_plain and in_range)
