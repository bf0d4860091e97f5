"""Random tables of every type a dataset holds, and what each of their rows is in plain Python.

`plain_row` is the oracle's view: the mapping of docs/formats/records.md from Arrow's own Python values to what CBOR
knows, written without a look at how the product does it.
"""

from __future__ import annotations

import math
import random
import struct
from collections.abc import Sequence
from decimal import Context, Decimal
from typing import Any

import pyarrow as pa

_WIDE = Context(prec=100)
UNITS = ("s", "ms", "us", "ns")
ZONES = (None, "UTC", "Europe/Berlin", "+02:00")
_INTEGERS = [pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()]
_TEXTS = ("", "a", "é", "日本", "\u0000", "🦀", "x" * 23, "y" * 24, "z" * 255, "w" * 256, "q" * 300)


def random_type(rng: random.Random, depth: int = 0) -> pa.DataType:
    """Any type, nested up to three deep."""
    if depth < 3 and rng.random() < 0.3:
        return _nested(rng, depth)
    kind = rng.randrange(16)
    match kind:
        case 0 | 1 | 2:
            return rng.choice(_INTEGERS)
        case 3:
            return rng.choice([pa.float16(), pa.float32(), pa.float64()])
        case 4:
            return pa.float64()
        case 5:
            return pa.bool_()
        case 6:
            return rng.choice([pa.string(), pa.large_string(), pa.string_view()])
        case 7:
            return rng.choice([pa.binary(), pa.large_binary(), pa.binary_view(), pa.binary(rng.randrange(1, 30))])
        case 8:
            precision = rng.choice([1, 5, 9, 18, 19, 38])
            return pa.decimal128(precision, rng.randrange(-3, precision + 1))
        case 9:
            precision = rng.choice([5, 39, 76])
            return rng.choice([pa.decimal256(precision, 3), pa.decimal64(10, 2), pa.decimal32(5, 1)])
        case 10:
            return pa.timestamp(rng.choice(UNITS), rng.choice(ZONES))
        case 11:
            return rng.choice([pa.date32(), pa.date64(), pa.duration(rng.choice(UNITS))])
        case 12:
            return rng.choice([pa.time32("s"), pa.time32("ms"), pa.time64("us"), pa.time64("ns")])
        case 13:
            return rng.choice([pa.null(), pa.month_day_nano_interval()])
        case 14:
            return rng.choice([pa.uuid(), pa.bool8(), pa.json_(), pa.json_(pa.large_string())])
    values = rng.choice([pa.string(), pa.int64(), pa.string_view(), pa.list_(pa.int8()), pa.float64()])
    return pa.run_end_encoded(pa.int32(), values) if rng.random() < 0.4 else pa.dictionary(pa.uint32(), values)


def _nested(rng: random.Random, depth: int) -> pa.DataType:
    inner = random_type(rng, depth + 1)
    match rng.randrange(7):
        case 0:
            return pa.list_(inner)
        case 1:
            return pa.large_list(inner)
        case 2:
            return pa.list_(inner, rng.randrange(1, 4))
        case 3:
            return pa.map_(rng.choice([pa.string(), pa.int32()]), inner)
        case 4:
            return pa.list_view(inner)
        case 5:
            return pa.large_list_view(inner)
    return pa.struct(
        [(name, random_type(rng, depth + 1)) for name in rng.sample(["a", "b", "ü", ""], rng.randrange(1, 4))]
    )


def random_value(rng: random.Random, kind: pa.DataType, nulls: float) -> Any:
    """A value of the type as this module's plain Python, often at an edge; None with the probability `nulls`."""
    types = pa.types
    if types.is_null(kind) or rng.random() < nulls:
        return None
    if isinstance(kind, pa.BaseExtensionType):
        return random_value(rng, kind.storage_type, 0)
    if types.is_dictionary(kind) or types.is_run_end_encoded(kind):
        return random_value(rng, kind.value_type, 0)
    if types.is_boolean(kind):
        return rng.random() < 0.5
    if types.is_integer(kind):
        return _integer(rng, kind.bit_width, signed=types.is_signed_integer(kind))
    if types.is_floating(kind):
        return _float(rng, kind.bit_width)
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return rng.choice(_TEXTS)
    if types.is_decimal(kind):
        digits = rng.choice([1, kind.precision])
        unscaled = rng.randrange(-(10**digits) + 1, 10**digits)
        return Decimal(unscaled).scaleb(-kind.scale, context=_WIDE)
    if types.is_fixed_size_binary(kind):
        return rng.randbytes(kind.byte_width)
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind):
        return rng.randbytes(rng.choice([0, 1, 23, 24, 255, 256]))
    return _time_or_nested(rng, kind, nulls)


def _time_or_nested(rng: random.Random, kind: pa.DataType, nulls: float) -> Any:
    types = pa.types
    if types.is_interval(kind):
        return pa.MonthDayNano([rng.randrange(-100, 100), rng.randrange(-100, 100), rng.randrange(-(2**40), 2**40)])
    if types.is_date32(kind):
        return _integer(rng, 24, signed=True)
    if types.is_date64(kind):
        return rng.randrange(-100_000, 100_000) * 86_400_000
    if types.is_time(kind):
        per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[kind.unit]
        return rng.randrange(86_400 * per_second)
    if types.is_timestamp(kind) or types.is_duration(kind):
        return _integer(rng, 64, signed=True)
    if types.is_map(kind):
        pairs = range(rng.randrange(4))
        return [(random_value(rng, kind.key_type, 0), random_value(rng, kind.item_type, nulls)) for _ in pairs]
    if types.is_struct(kind):
        children = [kind.field(index) for index in range(kind.num_fields)]
        return {child.name: random_value(rng, child.type, nulls) for child in children}
    count = kind.list_size if types.is_fixed_size_list(kind) else rng.choice([0, 1, 2, 3, 25])
    return [random_value(rng, kind.value_type, nulls) for _ in range(count)]


def _integer(rng: random.Random, bits: int, *, signed: bool) -> int:
    edges = [0, 1, 22, 23, 24, 25, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1]
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    value = rng.choice(edges) if rng.random() < 0.7 else rng.randrange(low, high + 1)
    if signed and rng.random() < 0.5:
        value = -1 - value
    return int(min(max(value, low), high))


def _float(rng: random.Random, bits: int) -> float:
    form = {16: "<e", 32: "<f", 64: "<d"}[bits]
    special = [0.0, -0.0, 1.5, 65_504.0, 65_505.0, 1e-8, 3.4e38, 1e300, 5e-324, math.inf, -math.inf, math.nan, 0.1]
    if rng.random() < 0.6:
        value = rng.choice(special)
        try:
            return float(struct.unpack(form, struct.pack(form, value))[0])
        except OverflowError:
            return math.inf
    return float(struct.unpack(form, rng.randbytes(bits // 8))[0])


def array_of(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """The values as an Arrow array. Times are given as integers, which `pa.array` takes for them."""
    if isinstance(kind, pa.BaseExtensionType):
        return pa.ExtensionArray.from_storage(kind, array_of(values, kind.storage_type))
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return _repeated(values, kind)
    if pa.types.is_decimal(kind):
        return _decimals(values, kind)
    if pa.types.is_float16(kind):
        return pa.array(values, pa.float32()).cast(kind)
    if pa.types.is_struct(kind):
        children = [kind.field(index) for index in range(kind.num_fields)]
        columns = [array_of([None if v is None else v[c.name] for v in values], c.type) for c in children]
        mask = pa.array([v is None for v in values], pa.bool_())
        return pa.StructArray.from_arrays(columns, fields=children, mask=mask)
    if pa.types.is_map(kind):
        flat = [pair for value in values if value is not None for pair in value]
        keys, items = array_of([k for k, _ in flat], kind.key_type), array_of([v for _, v in flat], kind.item_type)
        return pa.MapArray.from_arrays(_list_offsets(values, pa.int32()), keys, items)
    if pa.types.is_fixed_size_list(kind):
        filler = [None] * kind.list_size
        flat = [item for value in values for item in (filler if value is None else value)]
        mask = pa.array([value is None for value in values], pa.bool_())
        return pa.FixedSizeListArray.from_arrays(array_of(flat, kind.value_type), kind.list_size, mask=mask)
    if pa.types.is_list_view(kind) or pa.types.is_large_list_view(kind):
        return _list_view(values, kind)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        flat = [item for value in values if value is not None for item in value]
        wide = pa.types.is_large_list(kind)
        make = pa.LargeListArray if wide else pa.ListArray
        return make.from_arrays(
            _list_offsets(values, pa.int64() if wide else pa.int32()), array_of(flat, kind.value_type)
        )
    return pa.array(values, kind)


def _decimals(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """From bytes: `pa.array` refuses some decimals of negative scale. Under a null lies the largest number there is."""
    width = kind.bit_width // 8
    numbers = [10**kind.precision - 1 if v is None else int(v.scaleb(kind.scale, context=_WIDE)) for v in values]
    data = b"".join(number.to_bytes(width, "little", signed=True) for number in numbers)
    valid = pa.array([value is not None for value in values], pa.bool_()).buffers()[1]
    return pa.Array.from_buffers(kind, len(values), [valid, pa.py_buffer(data)])


def _list_view(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """A view whose lists lie backwards, each apart from the next, with something under nulls too."""
    flat: list[Any] = []
    offsets, sizes = [0] * len(values), [0] * len(values)
    for index in reversed(range(len(values))):
        items = [None] if values[index] is None else values[index]
        offsets[index], sizes[index] = len(flat), len(items)
        flat += [*items, None]
    mask = pa.array([value is None for value in values], pa.bool_())
    wide = pa.types.is_large_list_view(kind)
    make, number = (pa.LargeListViewArray, pa.int64()) if wide else (pa.ListViewArray, pa.int32())
    return make.from_arrays(
        pa.array(offsets, number), pa.array(sizes, number), array_of(flat, kind.value_type), mask=mask
    )


def _repeated(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """A dictionary that names some values twice and some never, null too; or runs, some of them of one value."""
    if pa.types.is_dictionary(kind):
        entries = [None, *values, *values]
        indices = [(None if i % 2 else 0) if v is None else 1 + i + i % 2 * len(values) for i, v in enumerate(values)]
        return pa.DictionaryArray.from_arrays(pa.array(indices, kind.index_type), array_of(entries, kind.value_type))
    return pa.RunEndEncodedArray.from_arrays(
        pa.array(range(1, len(values) + 1), pa.int32()), array_of(values, kind.value_type)
    )


def _list_offsets(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    offsets: list[int | None] = []
    position = 0
    for value in values:
        offsets.append(None if value is None else position)
        position += 0 if value is None else len(value)
    return pa.array([*offsets, position], kind)


def plain(value: Any, kind: pa.DataType) -> Any:
    """What a value is to CBOR: `cbor2.dumps(..., canonical=True)` of it is the leaf."""
    types = pa.types
    if value is None:
        return None
    if isinstance(kind, pa.BaseExtensionType):
        return plain(value, kind.storage_type)
    if types.is_dictionary(kind) or types.is_run_end_encoded(kind):
        return plain(value, kind.value_type)
    if types.is_struct(kind):
        return [plain(value[kind.field(index).name], kind.field(index).type) for index in range(kind.num_fields)]
    if types.is_map(kind):
        return [[plain(k, kind.key_type), plain(v, kind.item_type)] for k, v in value]
    if types.is_interval(kind):
        return [value.months, value.days, value.nanoseconds]
    if types.is_date64(kind):
        return value // 86_400_000
    if types.is_decimal(kind):
        return Decimal(value).quantize(Decimal(1).scaleb(-kind.scale), context=_WIDE)
    if isinstance(value, list):
        return [plain(item, kind.value_type) for item in value]
    return value
