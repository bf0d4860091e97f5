"""What lies in an Arrow array's buffers, as numpy sees it without a copy.

Invariants: an array's offset is always applied, whichever level it is at; what lies under a null is left out;
`checked` runs before anything else reads an array, so that no offset, size or index of a hostile file leads out of a
buffer.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from provenance.encoding.records.slots import Column, Flags
from provenance.encoding.records.types import is_list
from provenance.errors import LimitError, MalformedError

Numbers = npt.NDArray[np.int64]


def nulls_of(array: pa.Array) -> Flags | None:
    """Which values are null; None if none is."""
    if array.null_count == 0 or pa.types.is_null(array.type):
        return None
    flags: Flags = bits_of(array, 0) == 0
    return flags


def bits_of(array: pa.Array, buffer: int) -> npt.NDArray[np.uint8]:
    """A buffer of bits, one byte of 0 or 1 for each value."""
    data = array.buffers()[buffer]
    if data is None or not len(array):
        return np.empty(0, np.uint8)
    first, last = array.offset // 8, (array.offset + len(array) + 7) // 8
    bits = np.unpackbits(np.frombuffer(data, np.uint8)[first:last], bitorder="little")
    return bits[array.offset - 8 * first :][: len(array)]


def numbers_of(array: pa.Array, kind: np.dtype[Any], buffer: int = 1, more: int = 0) -> Column:
    """A buffer of numbers, one for each value and `more` behind them."""
    data = array.buffers()[buffer]
    if data is None or not len(array):
        return np.zeros(more, kind)
    return np.frombuffer(data, kind, count=len(array) + more, offset=array.offset * kind.itemsize)


def offsets_of(array: pa.Array) -> Column:
    """The offsets of strings, binaries, lists or maps, one more than there are values."""
    kind, types = array.type, pa.types
    wide = types.is_large_string(kind) or types.is_large_binary(kind) or types.is_large_list(kind)
    return numbers_of(array, np.dtype("<i8" if wide else "<i4"), more=1)


def bytes_of(array: pa.Array) -> npt.NDArray[np.uint8]:
    """The bytes that the offsets of strings or binaries lead to."""
    data = array.buffers()[2]
    return np.frombuffer(data, np.uint8) if data is not None else np.empty(0, np.uint8)


def ranges_of(array: pa.Array) -> tuple[Numbers, Numbers]:
    """Where each list or map starts among its values, and how many it has: none where it is null."""
    kind, types, rows = array.type, pa.types, len(array)
    if types.is_fixed_size_list(kind):
        counts = np.full(rows, kind.list_size, np.int64)
        starts = (array.offset + np.arange(rows, dtype=np.int64)) * kind.list_size
    elif is_list_view(kind):
        number = np.dtype("<i8" if types.is_large_list_view(kind) else "<i4")
        starts, counts = (numbers_of(array, number, buffer).astype(np.int64) for buffer in (1, 2))
    else:
        offsets = offsets_of(array).astype(np.int64)
        starts, counts = offsets[:-1], offsets[1:] - offsets[:-1]
    nulls = nulls_of(array)
    return starts, counts if nulls is None else np.where(nulls, 0, counts)


def children_of(array: pa.Array, starts: Numbers, counts: Numbers) -> tuple[list[pa.Array], int]:
    """The values of lists in order (of maps, their keys and their items), and how many there are."""
    count = int(counts.sum())
    values = [array.values]
    if pa.types.is_map(array.type):
        values = [array.values.field(0), array.values.field(1)]
    used = counts > 0
    starts, counts = starts[used], counts[used]
    if not len(starts):
        return [value.slice(0, 0) for value in values], 0
    if (starts[:-1] + counts[:-1] == starts[1:]).all():
        return [value.slice(int(starts[0]), count) for value in values], count
    ends = np.cumsum(counts)
    rows = np.arange(count, dtype=np.int64) + np.repeat(starts - (ends - counts), counts)
    return [take(value, pa.array(rows)) for value in values], count


def plain(array: pa.Array) -> pa.Array:
    """The same values without dictionary, runs, views of bytes, fixed widths of bytes or extension."""
    while True:
        kind, types = array.type, pa.types
        if isinstance(kind, pa.BaseExtensionType):
            array = array.storage
        elif types.is_dictionary(kind):
            array = take(array.dictionary, array.indices)
        elif types.is_run_end_encoded(kind):
            array = take(array.values, pa.array(runs_of(array)))
        elif types.is_string_view(kind):
            array = clean_views(array).cast(pa.large_string())
        elif types.is_binary_view(kind):
            array = clean_views(array).cast(pa.large_binary())
        elif types.is_fixed_size_binary(kind) and not types.is_decimal(kind):
            array = array.cast(pa.large_binary())
        else:
            return array


def clean_views(array: pa.Array) -> pa.Array:
    """The same with empty views under nulls: Arrow's cast follows them, its validation does not."""
    nulls = nulls_of(array)
    if nulls is None:
        return array
    views = np.where(nulls[:, None], np.int64(0), numbers_of(array, np.dtype(("<i8", (2,)))))
    validity = pa.array(~nulls).buffers()[1]
    return pa.Array.from_buffers(array.type, len(array), [validity, pa.py_buffer(views), *array.buffers()[2:]])


def take(array: pa.Array, rows: pa.Array) -> pa.Array:
    """The values at these rows. Arrow takes from no view; where one is nested, the array is made without first.

    `LimitError` if nested strings of 32-bit offsets come to 2 GiB, which `split_batch` avoids.
    """
    try:
        return array.take(rows)
    except pa.ArrowNotImplementedError:
        without = _without_views(array)
        if without.type == array.type:
            raise
        return take(without, rows)
    except pa.ArrowInvalid as error:
        if pa.types.is_string(array.type):
            return array.cast(pa.large_string()).take(rows)
        if pa.types.is_binary(array.type):
            return array.cast(pa.large_binary()).take(rows)
        raise LimitError(
            "values of one batch are too large", expected="less than 2 GiB", hint="use less rows"
        ) from error


def runs_of(array: pa.Array) -> Numbers:
    """For each value the number of its run."""
    ends = numbers_of(array.run_ends, np.dtype(array.type.run_end_type.to_pandas_dtype())).astype(np.int64)
    rows = np.arange(array.offset, array.offset + len(array), dtype=np.int64)
    return np.searchsorted(ends, rows, side="right").astype(np.int64)


def _without_views(array: pa.Array) -> pa.Array:
    array = plain(array)
    kind, nulls = array.type, nulls_of(array)
    if pa.types.is_struct(kind) and kind.num_fields:
        fields = [kind.field(index) for index in range(kind.num_fields)]
        children = [_without_views(array.field(index)) for index in range(len(fields))]
        mask = pa.array(nulls) if nulls is not None else None
        return pa.StructArray.from_arrays(children, [field.name for field in fields], mask=mask)
    if not is_list(kind) and not pa.types.is_map(kind):
        return array
    starts, counts = ranges_of(array)
    values, _ = children_of(array, starts, counts)
    values = [_without_views(value) for value in values]
    offsets = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=offsets[1:])
    missing = np.append(nulls, False) if nulls is not None else None
    if pa.types.is_map(kind):
        # A map that is made out of nothing but its parts is a list of pairs to whoever encodes it.
        values = [pa.StructArray.from_arrays(values, ["key", "value"])]
    return pa.LargeListArray.from_arrays(pa.array(offsets, mask=missing), *values)


def is_list_view(kind: pa.DataType) -> bool:
    """Whether it is a list whose values may lie in any order."""
    return bool(pa.types.is_list_view(kind) or pa.types.is_large_list_view(kind))


def checked(array: pa.Array, where: str) -> pa.Array:
    """The array, once nothing in it leads out of its buffers; `MalformedError` otherwise.

    Looks at the slice alone and at no value: 1 ns a string. Buffers are long enough, offsets ascend and end within the
    values, run ends ascend, dictionary indices name a value.
    """
    try:
        array.validate()
        _check(array, where)
    except (pa.ArrowException, IndexError) as error:
        # Arrow's words may hold a value.
        raise _invalid(where) from error
    return array


def _check(array: pa.Array, where: str) -> None:
    kind, types = array.type, pa.types
    if isinstance(kind, pa.BaseExtensionType):
        _check(array.storage, where)
    elif types.is_dictionary(kind):
        _check(array.dictionary, where)
        bounds = pc.min_max(array.indices).as_py()
        if bounds["min"] is not None and not 0 <= bounds["min"] <= bounds["max"] < len(array.dictionary):
            raise _invalid(where)
    elif types.is_run_end_encoded(kind):
        array.validate(full=True)
        _check(array.values, where)
    elif types.is_string_view(kind) or types.is_binary_view(kind):
        # Not as text: whether it is UTF-8 is said elsewhere.
        pa.Array.from_buffers(pa.binary_view(), len(array), array.buffers(), -1, array.offset).validate(full=True)
    elif types.is_struct(kind):
        for index in range(kind.num_fields):
            _check(array.field(index), f"{where}.{kind.field(index).name}")
    elif is_list_view(kind):
        starts, counts = ranges_of(array)
        starts, counts = starts[counts != 0], counts[counts != 0]
        if len(counts) and (counts.min() < 0 or starts.min() < 0 or (starts + counts).max() > len(array.values)):
            raise _invalid(where)
        _check(array.values, f"{where}[]")
    elif types.is_fixed_size_list(kind):
        _check(array.values.slice(array.offset * kind.list_size, len(array) * kind.list_size), f"{where}[]")
    elif types.is_map(kind) or is_list(kind):
        first, last = _check_offsets(array, len(array.values), where)
        _check(array.values.slice(first, last - first), where if types.is_map(kind) else f"{where}[]")
    elif types.is_string(kind) or types.is_binary(kind) or types.is_large_string(kind) or types.is_large_binary(kind):
        _check_offsets(array, len(bytes_of(array)), where)


def _check_offsets(array: pa.Array, size: int, where: str) -> tuple[int, int]:
    offsets = offsets_of(array)
    first, last = int(offsets[0]), int(offsets[-1])
    if not 0 <= first <= last <= size or (offsets[1:] < offsets[:-1]).any():
        raise _invalid(where)
    return first, last


def _invalid(where: str) -> MalformedError:
    return MalformedError("column is not valid Arrow data", expected="offsets and indices within buffers", where=where)
