"""From an Arrow array to the parts of a row: slots of known width, and runs of bytes.

Invariants: parts follow each other in a row as RFC 8949 puts them; what lies in a buffer under a null is never read;
slices, chunks, dictionaries and views give the parts of the plain array; a value that its type does not allow (text
that is not UTF-8, a date within a day, a time of day after midnight, a decimal of too many digits) is an error. Nothing
here looks at a row by itself.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from provenance.encoding.records.arrays import (
    bits_of,
    bytes_of,
    checked,
    children_of,
    nulls_of,
    numbers_of,
    offsets_of,
    plain,
    ranges_of,
    take,
)
from provenance.encoding.records.assembly import Part, Raw, assemble
from provenance.encoding.records.cbor import encode_head
from provenance.encoding.records.decimals import decimal_parts
from provenance.encoding.records.slots import (
    NULL,
    Arguments,
    Column,
    Constant,
    Flags,
    Floats,
    Halves,
    NullMark,
    SingleBytes,
    Singles,
    Slot,
    integers,
)
from provenance.encoding.records.types import PER_SECOND, is_list
from provenance.errors import LimitError, MalformedError

_DAY_MS: Final = 86_400_000
_DAY_S: Final = 86_400
_INTERVAL: Final = np.dtype([("months", "<i4"), ("days", "<i4"), ("nanoseconds", "<i8")])
_TEXT, _BINARY = 0x60, 0x40


def column_parts(array: pa.Array, name: str, first_row: int = 0) -> tuple[list[Part], bool]:
    """The parts of one column of a table, and whether it holds a null. Errors name the row, from `first_row`."""
    checked(array, name)
    array = plain(array)
    try:
        return parts_of(array, name), array.null_count > 0
    except LimitError:
        raise
    except MalformedError as error:
        where = f"{error.where}, row {first_row + _row_at_fault(array)}"
        raise MalformedError(error.what, expected=error.expected, where=where, hint=error.hint) from None


def _row_at_fault(array: pa.Array) -> int:
    low, high = 0, len(array)
    while high - low > 1:
        middle = (low + high) // 2
        try:
            parts_of(array.slice(low, middle - low), "")
            low = middle
        except MalformedError:
            high = middle
    return low


def parts_of(array: pa.Array, where: str) -> list[Part]:
    """The parts of an array that is checked; `where` names it in errors."""
    array = plain(array)
    kind, types = array.type, pa.types
    nulls = nulls_of(array)
    if types.is_null(kind):
        return [SingleBytes(np.full(len(array), NULL, np.uint8), None)]
    if types.is_boolean(kind):
        return [SingleBytes(bits_of(array, 1) | np.uint8(0xF4), nulls)]
    if types.is_integer(kind):
        return [integers(numbers_of(array, np.dtype(kind.to_pandas_dtype())), nulls)]
    if types.is_floating(kind):
        return [_floats(array, nulls)]
    if types.is_temporal(kind) and not types.is_interval(kind):
        return [integers(_ticks(array, nulls, where), nulls)]
    if types.is_string(kind) or types.is_large_string(kind):
        return _bytes(array, nulls, _TEXT, where)
    if types.is_binary(kind) or types.is_large_binary(kind):
        return _bytes(array, nulls, _BINARY, where)
    if is_list(kind) or types.is_map(kind):
        return _lists(array, nulls, where)
    if nulls is not None:  # of several parts each, and none of them where it is null
        return _spread(parts_of(take(array, pa.array(np.flatnonzero(~nulls))), where), nulls)
    if types.is_struct(kind):
        children = [(array.field(index), f"{where}.{kind.field(index).name}") for index in range(kind.num_fields)]
        return [Constant(encode_head(4, len(children))), *(part for child in children for part in parts_of(*child))]
    if types.is_decimal(kind):
        return decimal_parts(array, where)
    return _intervals(array)


def _floats(array: pa.Array, nulls: Flags | None) -> Slot:
    kind = array.type
    if pa.types.is_float64(kind):
        return Floats(numbers_of(array, np.dtype("<f8")), nulls)
    if pa.types.is_float32(kind):
        return Singles(numbers_of(array, np.dtype("<f4")), nulls)
    return Halves(numbers_of(array, np.dtype("<f2")), nulls)


def _ticks(array: pa.Array, nulls: Flags | None, where: str) -> Column:
    kind, types = array.type, pa.types
    values = numbers_of(array, np.dtype(f"<i{kind.bit_width // 8}"))
    if not types.is_time(kind) and not types.is_date64(kind):
        return values
    if nulls is not None:
        values = np.where(nulls, values.dtype.type(0), values)
    if types.is_time(kind):
        if len(values) and not 0 <= values.min() <= values.max() < _DAY_S * PER_SECOND[kind.unit]:
            raise MalformedError("not a time of day", expected="from 0:00 to before 24:00", where=where)
        return values
    days, rest = np.divmod(values, _DAY_MS)
    if rest.any():
        raise MalformedError("date is no whole day", expected="a multiple of 86,400,000 ms", where=where)
    return days


def _bytes(array: pa.Array, nulls: Flags | None, major: int, where: str) -> list[Part]:
    offsets = offsets_of(array)
    lengths = offsets[1:] - offsets[:-1]
    if nulls is not None and lengths[nulls].any():  # bytes under a null are no part of the column
        array = array.fill_null("" if major == _TEXT else b"")
        offsets = offsets_of(array)
        lengths = offsets[1:] - offsets[:-1]
    data = bytes_of(array)
    if major == _TEXT:
        _check_text(array, data[offsets[0] : offsets[-1]], where)
    return [Arguments(lengths.view(f"u{lengths.itemsize}"), major, nulls), Raw(data, offsets)]


def _check_text(array: pa.Array, data: npt.NDArray[np.uint8], where: str) -> None:
    if not len(data) or data.max() < 0x80:
        return
    try:
        array.validate(full=True)
    except pa.ArrowInvalid as error:
        raise MalformedError("text is not UTF-8", expected="UTF-8", where=where) from error


def _lists(array: pa.Array, nulls: Flags | None, where: str) -> list[Part]:
    starts, counts = ranges_of(array)
    children, count = children_of(array, starts, counts)
    if pa.types.is_map(array.type):
        parts: list[Part] = [Constant(encode_head(4, 2))]
        for name, child in zip(("key", "value"), children, strict=True):
            parts += parts_of(child, f"{where}.{name}")
    else:
        parts = parts_of(children[0], f"{where}[]")
    data, ends = assemble(parts, count)
    rows = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=rows[1:])
    return [Arguments(counts.astype(np.uint64), 0x80, nulls), Raw(data, ends[rows])]


def _spread(parts: list[Part], nulls: Flags) -> list[Part]:
    """The parts of the rows that are not null, one value each, among rows that are."""
    count = len(nulls) - int(np.count_nonzero(nulls))
    data, ends = assemble(parts, count)
    rows = np.zeros(len(nulls) + 1, np.int64)
    np.cumsum(~nulls, out=rows[1:])
    return [NullMark(nulls), Raw(data, ends[rows])]


def _intervals(array: pa.Array) -> list[Part]:
    values = numbers_of(array, _INTERVAL)
    numbers = [integers(np.ascontiguousarray(values[name]), None) for name in ("months", "days", "nanoseconds")]
    return [Constant(encode_head(4, 3)), *numbers]
