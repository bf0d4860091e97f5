"""Arrays whose buffers lie: an error that names the column, and no byte from outside."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest

from provenance.encoding.records import RecordSchema, encode_rows, row_bytes, split_batch
from provenance.errors import MalformedError
from tests.unit.encoding.records.tables import schema_of, values

DATA = pa.py_buffer(b"abcdef")
NUMBERS = pa.array([1, 2, 3, 4])


def _ints(*numbers: int, kind: type = np.int32) -> pa.Buffer:
    return pa.py_buffer(np.array(numbers, kind))


def _make(kind: pa.DataType, buffers: list[pa.Buffer | None], children: list[pa.Array] | None = None) -> pa.Array:
    return pa.Array.from_buffers(kind, 2, buffers, children=children)


HOSTILE: dict[str, Callable[[], pa.Array]] = {
    "text offsets descend": lambda: _make(pa.string(), [None, _ints(0, 6, 3), DATA]),
    "binary offsets descend": lambda: _make(pa.large_binary(), [None, _ints(5, 1, 6, kind=np.int64), DATA]),
    "list offsets descend": lambda: _make(pa.list_(pa.int64()), [None, _ints(0, 4, 2)], [NUMBERS]),
    "list view starts outside": lambda: _make(pa.list_view(pa.int64()), [None, _ints(0, 4), _ints(1, 1)], [NUMBERS]),
    "list view has a negative size": lambda: _make(
        pa.list_view(pa.int64()), [None, _ints(0, 2), _ints(1, -1)], [NUMBERS]
    ),
    "list view starts before": lambda: _make(pa.list_view(pa.int64()), [None, _ints(0, -1), _ints(1, 1)], [NUMBERS]),
    "map offsets descend": lambda: _make(
        pa.map_(pa.int64(), pa.int64()),
        [None, _ints(0, 4, 2)],
        [pa.StructArray.from_arrays([NUMBERS, NUMBERS], names=["key", "value"])],
    ),
    "index outside the dictionary": lambda: pa.DictionaryArray.from_arrays(
        pa.array([0, 9]), pa.array(["a", "b"]), safe=False
    ),
    "negative index": lambda: pa.DictionaryArray.from_arrays(pa.array([0, -1]), pa.array(["a", "b"]), safe=False),
    "view outside its buffer": lambda: _make(
        pa.string_view(), [None, _ints(20, 0, 0, 0, 20, 0, 0, 3), pa.py_buffer(b"x" * 20)]
    ),
    "runs descend": lambda: _make(
        pa.run_end_encoded(pa.int32(), pa.int64()), [None], [pa.array([5, 2], pa.int32()), pa.array([1, 2])]
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("nested", [False, True])
def test_no_offset_leads_outside(name: str, nested: bool) -> None:
    array = HOSTILE[name]()
    if nested:
        array = pa.StructArray.from_arrays([array], names=["x"], mask=pa.array([False, True]))
    batch = pa.RecordBatch.from_arrays([pa.array([1, 2]), array], ["ok", "bad"])
    with pytest.raises(MalformedError, match=r"column is not valid Arrow data; .*; at bad"):
        encode_rows(batch, RecordSchema.of(batch.schema))
    with pytest.raises(MalformedError, match="column is not valid Arrow data"):
        list(split_batch(batch))


@pytest.mark.parametrize("view", [(2**31 - 1, 0, 2**30, 2**30), (-12_517_376, 0, 0, 179)])
def test_views_under_nulls_are_not_followed(view: tuple[int, int, int, int]) -> None:
    validity = pa.array([True, False]).buffers()[1]
    array = _make(pa.string_view(), [validity, _ints(1, ord("a"), 0, 0, *view), DATA])
    assert values(array) == ["6161", "f6"]
    assert 0 < row_bytes(pa.RecordBatch.from_arrays([array], ["c"])) < 100


def test_text_that_is_not_utf8_names_its_row() -> None:
    offsets = np.arange(1_001, dtype=np.int32)
    data = bytearray(b"a" * 1_000)
    data[700] = 0xFF
    array = pa.Array.from_buffers(pa.string(), 1_000, [None, pa.py_buffer(offsets), pa.py_buffer(bytes(data))])
    batch = pa.RecordBatch.from_arrays([array], ["t"])
    with pytest.raises(MalformedError, match=r"^text is not UTF-8; expected UTF-8; at t, row 700$"):
        encode_rows(batch, schema_of(t=pa.string()))
    with pytest.raises(MalformedError, match=r"at t, row 5600$"):
        encode_rows(batch.slice(100), schema_of(t=pa.string()), first_row=5_000)
    lists = pa.RecordBatch.from_arrays([pa.ListArray.from_arrays(np.arange(0, 1_001, 10), array)], ["l"])
    with pytest.raises(MalformedError, match=r"at l\[\], row 70$"):
        encode_rows(lists, schema_of(l=pa.list_(pa.string())))
    assert len(values(array.slice(701))) == 299


def test_a_character_cut_in_two_by_two_rows_is_no_text() -> None:
    array = pa.Array.from_buffers(pa.string(), 2, [None, _ints(0, 1, 2), pa.py_buffer("é".encode())])
    with pytest.raises(MalformedError, match="text is not UTF-8"):
        values(array)


@pytest.mark.parametrize("kind", [pa.string_view(), pa.large_string(), pa.dictionary(pa.int8(), pa.string())])
def test_other_forms_of_text_are_checked_too(kind: pa.DataType) -> None:
    if pa.types.is_dictionary(kind):
        entries = pa.Array.from_buffers(pa.string(), 1, [None, _ints(0, 1), pa.py_buffer(b"\xff")])
        array = pa.DictionaryArray.from_arrays(pa.array([0], pa.int8()), entries)
    elif kind == pa.string_view():
        array = pa.array([b"\xff"], pa.binary_view())
        array = pa.Array.from_buffers(kind, 1, array.buffers())
    else:
        array = pa.Array.from_buffers(kind, 1, [None, _ints(0, 1, kind=np.int64), pa.py_buffer(b"\xff")])
    with pytest.raises(MalformedError, match="text is not UTF-8; expected UTF-8; at c, row 0"):
        values(array)


@pytest.mark.parametrize(
    ("kind", "ticks", "message"),
    [
        (pa.date64(), 86_400_001, "date is no whole day"),
        (pa.time32("s"), 86_400, "not a time of day"),
        (pa.time64("us"), -1, "not a time of day"),
    ],
)
def test_values_that_their_type_does_not_allow(kind: pa.DataType, ticks: int, message: str) -> None:
    number = pa.int32() if kind.bit_width == 32 else pa.int64()
    with pytest.raises(MalformedError, match=rf"^{message}; expected .*; at c, row 2$"):
        values(pa.array([0, 0, ticks, 0], number).view(kind))


@pytest.mark.parametrize(
    ("kind", "digits", "fits"),
    [
        (pa.decimal128(3, 1), 999, True),
        (pa.decimal128(3, 1), 1_000, False),
        (pa.decimal128(38, 0), 10**38 - 1, True),
        (pa.decimal128(38, 0), 10**38, False),
        (pa.decimal256(40, 3), 10**40 - 1, True),
        (pa.decimal256(40, 3), 10**40, False),
        (pa.decimal256(76, 3), 10**76, False),
        (pa.decimal32(4, 0), 10_000, False),
        (pa.decimal64(12, 0), 10**12, False),
        (pa.decimal64(12, 0), 10**12 - 1, True),
    ],
)
@pytest.mark.parametrize("sign", [1, -1])
def test_decimals_have_no_more_digits_than_their_type(kind: pa.DataType, digits: int, fits: bool, sign: int) -> None:
    size = kind.bit_width // 8
    data = b"".join(n.to_bytes(size, "little", signed=True) for n in (0, sign * digits))
    array = pa.Array.from_buffers(kind, 2, [None, pa.py_buffer(data)])
    if fits:
        assert len(values(array)) == 2
    else:
        with pytest.raises(MalformedError, match=r"^decimal has too many digits; expected at most \d+; at c, row 1$"):
            values(array)
