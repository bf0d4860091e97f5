"""One value, however Arrow holds it: slices, dictionaries, runs, views, wide offsets, extensions, nulls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from provenance.encoding.records import RecordSchema, encode_rows
from tests.unit.encoding.records.tables import encoded, values

TEXTS = ["a", None, "", "é", "x" * 300, "a"]
HEX = ["6161", "f6", "60", "62c3a9", "79012c" + "78" * 300, "6161"]


def _runs(texts: list[str | None]) -> pa.Array:
    return pa.RunEndEncodedArray.from_arrays(pa.array(range(1, len(texts) + 1), pa.int16()), pa.array(texts))


FORMS: list[Callable[[list[str | None]], pa.Array]] = [
    pa.array,
    lambda texts: pa.array(texts, pa.large_string()),
    lambda texts: pa.array(texts, pa.string_view()),
    lambda texts: pa.array(texts).dictionary_encode(),
    lambda texts: pa.array(texts, pa.large_string()).dictionary_encode(),
    lambda texts: pa.array(texts).dictionary_encode(null_encoding="encode"),
    lambda texts: pa.DictionaryArray.from_arrays(
        pa.array(range(len(texts)), pa.uint8()), pa.array(texts, pa.string_view())
    ),
    lambda texts: pa.DictionaryArray.from_arrays(pa.array(range(len(texts))), pa.array(texts).dictionary_encode()),
    _runs,
    lambda texts: pa.ExtensionArray.from_storage(pa.json_(), pa.array(texts)),
]


@pytest.mark.parametrize("form", FORMS)
def test_text(form: Callable[[list[str | None]], pa.Array]) -> None:
    array = form(TEXTS)
    assert RecordSchema.of(pa.schema([("c", array.type)])).fields[0].type == "string"
    for start in range(len(TEXTS) + 1):
        for stop in range(start, len(TEXTS) + 1):
            part = array.slice(start, stop - start)
            assert values(part) == HEX[start:stop]
            assert encoded({"c": part}).null_columns.tolist() == [None in TEXTS[start:stop]]


@pytest.mark.parametrize("form", FORMS)
def test_text_at_every_depth(form: Callable[[list[str | None]], pa.Array]) -> None:
    """In lists, in structs under null, in maps; each cut at every level."""
    inner = form(["cut", *TEXTS, "cut"]).slice(1, 6)
    a, null, _, e, long, _ = HEX
    lists = pa.ListArray.from_arrays(pa.array([0, 2, None, 3, 6], pa.int32()), inner)
    expected = ["82" + a + null, "8160", "f6", "83" + e + long + a]
    assert [values(lists.slice(start)) for start in range(4)] == [
        ["82" + a + null, "81" + HEX[2], "f6", "83" + e + long + a][start:] for start in range(4)
    ]
    assert values(lists) == expected
    structs = pa.StructArray.from_arrays(
        [inner, pa.array(range(6))], names=["s", "n"], mask=pa.array([False, True, False, False, True, False])
    )
    assert values(structs.slice(1)) == ["f6", "826002", "82" + e + "03", "f6", "82" + a + "05"]
    maps = pa.MapArray.from_arrays(
        pa.array([0, 1, 1, 3], pa.int32()), pa.array(range(9, 15)).slice(3), inner.slice(0, 3)
    )
    assert values(maps.slice(1)) == ["80", "82820df6820e60"]
    fixed = pa.FixedSizeListArray.from_arrays(inner, 2)
    assert values(fixed.slice(1, 1)) == ["8260" + e]


def test_list_views_in_any_order_with_gaps_and_overlaps() -> None:
    inner = pa.array([9, 10, 11, 12, 13])
    view = pa.ListViewArray.from_arrays(
        pa.array([3, 0, 1, 0, 4], pa.int32()), pa.array([2, 2, 2, 0, 5], pa.int32()), inner,
        mask=pa.array([False, False, False, False, True]),
    )  # fmt: skip
    expected = ["820c0d", "82090a", "820a0b", "80", "f6"]
    assert [values(view.slice(start)) for start in range(6)] == [expected[start:] for start in range(6)]


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (pa.array([b"0" * 16, None], pa.uuid()), ["50" + "30" * 16, "f6"]),
        (pa.ExtensionArray.from_storage(pa.bool8(), pa.array([0, 1, None], pa.int8())), ["00", "01", "f6"]),
        (pa.array([b"", None], pa.binary(0)), ["40", "f6"]),
        (pa.array([{}, None], pa.struct([])), ["80", "f6"]),
        (pa.array([[], None], pa.list_(pa.int8(), 0)), ["80", "f6"]),
        (pa.array([None, None]), ["f6", "f6"]),
        (pa.array([True, None, False] * 9).slice(4, 3), ["f6", "f4", "f5"]),
        (pa.array([b"ab", None, b""], pa.binary_view()).slice(0, 2), ["426162", "f6"]),
        (pa.array([[None], None, []], pa.list_(pa.null())), ["81f6", "f6", "80"]),
    ],
)
def test_odd_types(array: pa.Array, expected: list[str]) -> None:
    assert values(array) == expected


def test_extension_types_within_others_and_unregistered() -> None:
    class Celsius(pa.ExtensionType):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(pa.float64(), "test.celsius")

        def __arrow_ext_serialize__(self) -> bytes:
            return b""

        @classmethod
        def __arrow_ext_deserialize__(cls, storage: pa.DataType, data: bytes) -> Any:
            return cls()

    warm = pa.ExtensionArray.from_storage(Celsius(), pa.array([1.5, None, 2.0]))
    assert values(warm) == ["f93e00", "f6", "f94000"]
    assert values(pa.ListArray.from_arrays([0, 2, 3], warm)) == ["82f93e00f6", "81f94000"]
    structs = pa.StructArray.from_arrays([warm], names=["t"], mask=pa.array([True, False, False]))
    assert values(structs) == ["f6", "81f6", "81f94000"]


def test_what_lies_under_a_null_is_not_read() -> None:
    valid = pa.array([False, True]).buffers()[1]
    text = pa.Array.from_buffers(pa.string(), 2, [valid, _ints(0, 2, 3), pa.py_buffer(b"\xff\xfea")])
    assert values(text) == ["f6", "6161"]
    numbers = pa.Array.from_buffers(pa.int64(), 2, [valid, pa.py_buffer(np.array([2**40, 1]))])
    assert values(numbers) == ["f6", "01"]
    lists = pa.Array.from_buffers(pa.list_(pa.int64()), 2, [valid, _ints(0, 2, 3)], children=[pa.array([7, 8, 9])])
    assert values(lists) == ["f6", "8109"]
    dates = pa.Array.from_buffers(pa.date64(), 2, [valid, pa.py_buffer(np.array([5, 86_400_000]))])
    assert values(dates) == ["f6", "01"]
    floats = pa.Array.from_buffers(pa.float64(), 2, [valid, pa.py_buffer(np.array([0.1, 0.5]))])
    assert values(floats) == ["f6", "f93800"]


def test_a_struct_under_null_hides_bad_values() -> None:
    bad = pa.Array.from_buffers(pa.string(), 2, [None, _ints(0, 1, 2), pa.py_buffer(b"\xffa")])
    structs = pa.StructArray.from_arrays([bad], names=["s"], mask=pa.array([True, False]))
    assert values(structs) == ["f6", "816161"]


def test_chunks_and_batches_do_not_show() -> None:
    table = pa.table({"s": pa.chunked_array([["a"], [], [None, "b" * 30]]), "n": pa.chunked_array([[1], [300, 2]])})
    schema = RecordSchema.of(table.schema)
    whole = encode_rows(table.combine_chunks().to_batches()[0], schema)
    parts = [encode_rows(batch, schema) for batch in table.to_batches()]
    assert len(parts) == 3
    assert b"".join(part.data.tobytes() for part in parts) == whole.data.tobytes()


def _ints(*numbers: int) -> pa.Buffer:
    return pa.py_buffer(np.array(numbers, np.int32))
