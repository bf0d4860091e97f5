"""From an Arrow array to the parts of a row: slots of known width, and runs of bytes.

Invariants: parts follow each other in a row as RFC 8949 puts them; what lies in a buffer under a null is never read;
slices, chunks, dictionaries and views give the parts of the plain array. Nothing here looks at a row by itself, but for
decimals above 64 bits.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from provenance.encoding.records.assembly import Raw, assemble
from provenance.encoding.records.slots import (
    Arguments,
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
from provenance.encoding.records.types import is_list
from provenance.encoding.records.values import encode_decimal, encode_head
from provenance.errors import MalformedError

Part: TypeAlias = Slot | Raw

_DAY_MS = 86_400_000
_INTERVAL = np.dtype([("months", "<i4"), ("days", "<i4"), ("nanoseconds", "<i8")])


def parts_of(array: pa.Array, where: str) -> list[Part]:
    """The parts of one column. `MalformedError` names the column, and the row where one is at fault."""
    array = plain(array)
    kind, types = array.type, pa.types
    nulls = nulls_of(array)
    if types.is_null(kind):
        return [SingleBytes(np.full(len(array), 0xF6, np.uint8), None)]
    if types.is_boolean(kind):
        return [SingleBytes(_bits(array.buffers()[1], array) | np.uint8(0xF4), nulls)]
    if types.is_integer(kind):
        return [integers(_numbers(array, np.dtype(kind.to_pandas_dtype())), nulls)]
    if types.is_floating(kind):
        return [_floats(array, nulls)]
    if types.is_date64(kind):
        return [integers(_days(array, nulls, where), nulls)]
    if types.is_temporal(kind) and not types.is_interval(kind):
        return [integers(_numbers(array, np.dtype(f"<i{kind.bit_width // 8}")), nulls)]
    if types.is_string(kind) or types.is_large_string(kind):
        return _bytes(array, nulls, 0x60, where)
    if types.is_binary(kind) or types.is_large_binary(kind):
        return _bytes(array, nulls, 0x40, where)
    if is_list(kind) or types.is_map(kind):
        return _lists(array, nulls, where)
    if nulls is not None:  # of several parts each, and none of them where it is null
        return _spread(parts_of(_take(array, np.flatnonzero(~nulls)), where), nulls)
    if types.is_struct(kind):
        children = [(array.field(index), f"{where}.{kind.field(index).name}") for index in range(kind.num_fields)]
        return [Constant(encode_head(4, len(children))), *(part for child in children for part in parts_of(*child))]
    if types.is_decimal(kind):
        return _decimals(array)
    return _intervals(array)


def nulls_of(array: pa.Array) -> Flags | None:
    """Which values are null; None if none is."""
    if array.null_count == 0 or pa.types.is_null(array.type):
        return None
    flags: Flags = _bits(array.buffers()[0], array) == 0
    return flags


def _bits(buffer: pa.Buffer, array: pa.Array) -> npt.NDArray[np.uint8]:
    first, last = array.offset // 8, (array.offset + len(array) + 7) // 8
    bits = np.unpackbits(np.frombuffer(buffer, np.uint8)[first:last], bitorder="little")
    return bits[array.offset - 8 * first :][: len(array)]


def plain(array: pa.Array) -> pa.Array:
    """The same values without dictionary, runs, views of bytes, fixed widths of bytes or extension."""
    while True:
        kind, types = array.type, pa.types
        if isinstance(kind, pa.BaseExtensionType):
            array = array.storage
        elif types.is_dictionary(kind):
            array = array.dictionary_decode()
        elif types.is_run_end_encoded(kind):
            array = pc.run_end_decode(array)
        elif types.is_string_view(kind):
            array = array.cast(pa.large_string())
        elif types.is_binary_view(kind) or (types.is_fixed_size_binary(kind) and not types.is_decimal(kind)):
            array = array.cast(pa.large_binary())
        elif types.is_decimal(kind) and kind.bit_width < 128:
            array = array.cast(pa.decimal128(kind.precision, kind.scale))
        else:
            return array


def _numbers(array: pa.Array, kind: np.dtype[Any]) -> npt.NDArray[Any]:
    buffer = array.buffers()[1]
    if buffer is None or not len(array):
        return np.empty(0, kind)
    return np.frombuffer(buffer, kind, count=len(array), offset=array.offset * kind.itemsize)


def _floats(array: pa.Array, nulls: Flags | None) -> Slot:
    kind = array.type
    if pa.types.is_float64(kind):
        return Floats(_numbers(array, np.dtype("<f8")), nulls)
    if pa.types.is_float32(kind):
        return Singles(_numbers(array, np.dtype("<f4")), nulls)
    return Halves(_numbers(array, np.dtype("<f2")), nulls)


def _days(array: pa.Array, nulls: Flags | None, where: str) -> npt.NDArray[np.int64]:
    values = _numbers(array, np.dtype("<i8"))
    if nulls is not None:
        values = np.where(nulls, 0, values)
    days, rest = np.divmod(values, _DAY_MS)
    if rest.any():
        row = int(np.flatnonzero(rest)[0])
        raise MalformedError(
            "date is no whole day", expected="a multiple of 86,400,000 ms", where=f"{where}, row {row}"
        )
    return days


def _offsets(array: pa.Array) -> npt.NDArray[Any]:
    kind, types = array.type, pa.types
    wide = types.is_large_string(kind) or types.is_large_binary(kind) or types.is_large_list(kind)
    number = np.dtype("<i8" if wide else "<i4")
    buffer = array.buffers()[1]
    if buffer is None or not len(array):
        return np.zeros(1, number)
    return np.frombuffer(buffer, number, count=len(array) + 1, offset=array.offset * number.itemsize)


def _bytes(array: pa.Array, nulls: Flags | None, major: int, where: str) -> list[Part]:
    offsets = _offsets(array)
    lengths = offsets[1:] - offsets[:-1]
    if nulls is not None and lengths[nulls].any():  # bytes under a null are no part of the column
        array = pc.fill_null(array, "" if major == 0x60 else b"")
        offsets = _offsets(array)
        lengths = offsets[1:] - offsets[:-1]
    buffer = array.buffers()[2]
    data = np.frombuffer(buffer, np.uint8) if buffer is not None else np.empty(0, np.uint8)
    if major == 0x60:
        _check_text(array, data[offsets[0] : offsets[-1]], where)
    return [Arguments(lengths.view(f"u{lengths.itemsize}"), major, nulls), Raw(data, offsets)]


def _check_text(array: pa.Array, data: npt.NDArray[np.uint8], where: str) -> None:
    if not len(data) or data.max() < 0x80:
        return
    try:
        array.validate(full=True)
    except pa.ArrowInvalid:
        for row, value in enumerate(array.cast(pa.large_binary())):
            try:
                (value.as_py() or b"").decode("utf-8")
            except UnicodeDecodeError as error:
                raise MalformedError("text is not UTF-8", expected="UTF-8", where=f"{where}, row {row}") from error
        raise


def _lists(array: pa.Array, nulls: Flags | None, where: str) -> list[Part]:
    starts, counts = _ranges(array)
    if nulls is not None:
        counts = np.where(nulls, 0, counts)
    children, count = _children(array, starts, counts)
    if pa.types.is_map(array.type):
        names = ("key", "value")
        parts: list[Part] = [Constant(encode_head(4, 2))]
        for name, child in zip(names, children, strict=True):
            parts += parts_of(child, f"{where}.{name}")
    else:
        parts = parts_of(children[0], f"{where}[]")
    data, ends = assemble(parts, count)
    offsets = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=offsets[1:])
    return [Arguments(counts.astype(np.uint64), 0x80, nulls), Raw(data, ends[offsets])]


def _ranges(array: pa.Array) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Where each list starts among the values, and how many it has."""
    kind, types, rows = array.type, pa.types, len(array)
    if types.is_fixed_size_list(kind):
        counts = np.full(rows, kind.list_size, np.int64)
        return (array.offset + np.arange(rows, dtype=np.int64)) * kind.list_size, counts
    if types.is_list_view(kind) or types.is_large_list_view(kind):
        number = np.dtype("<i8" if types.is_large_list_view(kind) else "<i4")
        views = (
            np.frombuffer(buffer, number, count=rows, offset=array.offset * number.itemsize)
            if buffer is not None and rows
            else np.zeros(0, number)
            for buffer in array.buffers()[1:3]
        )
        starts, counts = (view.astype(np.int64) for view in views)
        return starts, counts
    offsets = _offsets(array).astype(np.int64)
    return offsets[:-1], offsets[1:] - offsets[:-1]


def _children(
    array: pa.Array, starts: npt.NDArray[np.int64], counts: npt.NDArray[np.int64]
) -> tuple[list[pa.Array], int]:
    """The lists' values in order (of a map, its keys and its items), and how many there are."""
    count = int(counts.sum())
    values = [array.keys, array.items] if pa.types.is_map(array.type) else [array.values]
    used = counts > 0
    starts, counts = starts[used], counts[used]
    if not len(starts):
        return [value.slice(0, 0) for value in values], 0
    if (starts[:-1] + counts[:-1] == starts[1:]).all():
        return [value.slice(int(starts[0]), count) for value in values], count
    ends = np.cumsum(counts)
    rows = np.arange(count, dtype=np.int64) + np.repeat(starts - (ends - counts), counts)
    return [_take(plain(value), rows) for value in values], count


def _take(array: pa.Array, rows: npt.NDArray[np.int64]) -> pa.Array:
    """The values at these rows. Arrow takes from no view; where one is nested, the array is made without first."""
    try:
        return array.take(pa.array(rows))
    except pa.ArrowNotImplementedError:
        return _without_views(array).take(pa.array(rows))


def _without_views(array: pa.Array) -> pa.Array:
    array = plain(array)
    kind, nulls = array.type, nulls_of(array)
    if pa.types.is_struct(kind):
        children = [_without_views(array.field(index)) for index in range(kind.num_fields)]
        mask = pa.array(nulls) if nulls is not None else None
        return pa.StructArray.from_arrays(
            children, [kind.field(index).name for index in range(kind.num_fields)], mask=mask
        )
    if not is_list(kind) and not pa.types.is_map(kind):
        return array
    starts, counts = _ranges(array)
    if nulls is not None:
        counts = np.where(nulls, 0, counts)
    values, _ = _children(array, starts, counts)
    values = [_without_views(value) for value in values]
    offsets = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=offsets[1:])
    missing = np.append(nulls, False) if nulls is not None else None
    if pa.types.is_map(kind):
        return pa.MapArray.from_arrays(pa.array(offsets, pa.int32(), mask=missing), *values)
    return pa.LargeListArray.from_arrays(pa.array(offsets, mask=missing), *values)


def _spread(parts: list[Part], nulls: Flags) -> list[Part]:
    """The parts of the rows that are not null, one value each, among rows that are."""
    count = len(nulls) - int(np.count_nonzero(nulls))
    data, ends = assemble(parts, count)
    rows = np.zeros(len(nulls) + 1, np.int64)
    np.cumsum(~nulls, out=rows[1:])
    return [NullMark(nulls), Raw(data, ends[rows])]


def _decimals(array: pa.Array) -> list[Part]:
    kind = array.type
    head = b"\xc4\x82" + encode_head(*((0, -kind.scale) if kind.scale <= 0 else (1, kind.scale - 1)))
    if kind.bit_width == 128:
        words = _numbers(array, np.dtype([("low", "<i8"), ("high", "<i8")]))
        low = np.ascontiguousarray(words["low"])
        if (words["high"] == low >> 63).all():
            return [Constant(head), integers(low, None)]
    encoded = [encode_decimal(value.as_py(), kind.scale) for value in array]
    offsets = np.zeros(len(encoded) + 1, np.int64)
    np.cumsum([len(value) for value in encoded], out=offsets[1:])
    return [Raw(np.frombuffer(b"".join(encoded), np.uint8), offsets)]


def _intervals(array: pa.Array) -> list[Part]:
    values = _numbers(array, _INTERVAL)
    numbers = [integers(np.ascontiguousarray(values[name]), None) for name in ("months", "days", "nanoseconds")]
    return [Constant(encode_head(4, 3)), *numbers]
