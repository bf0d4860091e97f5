"""Slots: the parts of a row whose width is known, a few bytes a row, in one matrix for many rows.

Invariants: a slot has one width for all rows of a batch; where a row needs fewer bytes, the rest of its slot is masked
out. Values are right-aligned behind their initial byte, as RFC 8949 writes them: `1a 00 01 11 70` is 70,000. Nothing
here looks at a row by itself: every step is over a whole column.

A matrix of two rows and a slot five bytes wide; what is masked out is in brackets:

    1a 00 01 11 70          70,000
    07 [..............]     7

Source: RFC 8949 sections 3 and 4.2.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]
Column = npt.NDArray[Any]

NULL: Final = 0xF6
WIDTHS: Final = (1, 2, 3, 5, 9)
"""Bytes of an unsigned argument by its class: in the initial byte, then 1, 2, 4 or 8 bytes behind it."""
_WIDTH_OF: Final = np.array(WIDTHS, np.uint8)
_INFORMATION: Final = np.array([0, 24, 25, 26, 27], np.uint8)
_LIMITS: Final = (23, 0xFF, 0xFFFF, 0xFFFF_FFFF)
_TYPES: Final = (np.uint8, np.uint8, np.uint16, np.uint32, np.uint64)
_BIG_ENDIAN: Final = (">u1", ">u1", ">u2", ">u4", ">u8")
_HALF, _SINGLE, _DOUBLE = 0xF9, 0xFA, 0xFB
_NAN: Final = 0x7E00


@dataclass(slots=True)
class Block:
    """A matrix of rows being filled. `lengths` are the bytes of each row that vary; fixed ones are counted apart."""

    matrix: Bytes
    mask: Flags
    lengths: npt.NDArray[np.int32]

    def number_view(self, column: int, kind: str) -> Column:
        """The column's bytes as numbers, to be written in place."""
        rows, width = self.matrix.shape
        return np.ndarray((rows,), kind, buffer=self.matrix.data, offset=column, strides=(width,))

    def mask_view(self, column: int, kind: str) -> Column:
        """The column's mask bytes as numbers, to be written in place."""
        rows, width = self.mask.shape
        return np.ndarray((rows,), kind, buffer=self.mask.data, offset=column, strides=(width,))


class Slot(Protocol):
    """`width` bytes at most; `fixed` if every row has just that many."""

    width: int
    fixed: bool

    def write(self, block: Block, column: int) -> None:
        """Fill the slot at `column`; its mask is all true before."""


class Constant:
    """The same bytes in every row."""

    def __init__(self, data: bytes) -> None:
        self._data, self.width, self.fixed = np.frombuffer(data, np.uint8), len(data), True

    def write(self, block: Block, column: int) -> None:
        block.matrix[:, column : column + self.width] = self._data


class SingleBytes:
    """One byte a row: booleans, and columns of nothing but null."""

    def __init__(self, values: Bytes, nulls: Flags | None) -> None:
        self.width, self.fixed = 1, True
        self._values = values if nulls is None else np.where(nulls, np.uint8(NULL), values)

    def write(self, block: Block, column: int) -> None:
        block.matrix[:, column] = self._values


class NullMark:
    """`f6` in rows that are null, and nothing in the others."""

    def __init__(self, nulls: Flags) -> None:
        self.width, self.fixed, self._nulls = 1, False, nulls

    def write(self, block: Block, column: int) -> None:
        block.matrix[:, column] = NULL
        block.mask[:, column] = self._nulls
        block.lengths += self._nulls


class Arguments:
    """An initial byte of a major type with its unsigned argument: integers, and the heads of strings and arrays.

    `major` is the major type's three bits, one for all rows or one for each. Under a null the argument is 0.
    """

    def __init__(self, values: Column, major: int | Bytes, nulls: Flags | None) -> None:
        highest = _class_of(int(values.max(initial=0)))
        lowest = _class_of(int(values.min())) if len(values) else highest
        self._class, self._uniform = highest, lowest == highest
        self._has_small = lowest == 0
        self._values = values.astype(_TYPES[highest], copy=False)
        self._major, self._nulls = major, nulls
        self.width = WIDTHS[highest]
        self.fixed = self.width == 1 or (self._uniform and nulls is None)

    def write(self, block: Block, column: int) -> None:
        head, classes = self._heads()
        if self._nulls is not None:
            head = np.where(self._nulls, np.uint8(NULL), head)
        block.matrix[:, column] = head
        if self._class:
            block.number_view(column + 1, _BIG_ENDIAN[self._class])[...] = self._values
        if not self.fixed:
            self._write_mask(block, column + 1, classes)

    def _heads(self) -> tuple[Any, Bytes | None]:
        """The initial bytes, and each row's class; None if all have one."""
        major: Any = np.uint8(self._major) if isinstance(self._major, int) else self._major
        if self._class == 0:
            return self._values | major, None
        if self._uniform:
            return _INFORMATION[self._class] | major, None
        head, classes = class_heads(self._values, self._class, has_small=self._has_small)
        head |= major
        return head, classes

    def _write_mask(self, block: Block, column: int, classes: Bytes | None) -> None:
        if classes is None:
            classes = np.full(len(self._values), self._class, np.uint8)
        if self._nulls is not None:
            classes[self._nulls] = 0
        payload = self.width - 1
        if payload == 1:
            block.mask[:, column] = classes
        else:
            kind = f"<u{payload}"
            table = np.zeros((self._class + 1, payload), np.bool_)
            for number in range(1, self._class + 1):
                table[number, payload - WIDTHS[number] + 1 :] = True
            block.mask_view(column, kind)[...] = table.view(kind).ravel().take(classes)
        block.lengths += _WIDTH_OF.take(classes)


class Halves:
    """Half-precision numbers; one NaN for all."""

    width = 3

    def __init__(self, values: npt.NDArray[np.float16], nulls: Flags | None) -> None:
        self._bits = np.where(np.isnan(values), np.uint16(_NAN), values.view(np.uint16))
        self._nulls, self.fixed = nulls, nulls is None

    def write(self, block: Block, column: int) -> None:
        block.matrix[:, column] = _HALF
        block.number_view(column + 1, ">u2")[...] = self._bits
        if self._nulls is not None:
            lengths = np.full(len(self._bits), 3, np.uint8)
            _write_nulls(block, column, 3, self._nulls, lengths)
            block.lengths += lengths


class Singles:
    """Single-precision numbers, each as a half where that keeps it; one NaN for all."""

    width = 5

    def __init__(self, values: npt.NDArray[np.float32], nulls: Flags | None) -> None:
        with np.errstate(all="ignore"):
            halves = values.astype(np.float16)
            nan = np.isnan(values)
            short = (halves == values) | nan
        if nulls is not None:
            short &= ~nulls
        self._values, self._nulls = values, nulls
        self._rows = _some(short)
        self._bits = np.where(nan, np.uint16(_NAN), halves.view(np.uint16))[self._rows]
        self.fixed = nulls is None and not len(self._bits)

    def write(self, block: Block, column: int) -> None:
        block.matrix[:, column] = _SINGLE
        block.number_view(column + 1, ">f4")[...] = self._values
        if self.fixed:
            return
        lengths = np.full(len(self._values), 5, np.uint8)
        if len(self._bits):
            block.matrix[self._rows, column] = _HALF
            block.number_view(column + 3, ">u2")[self._rows] = self._bits
            block.mask_view(column + 1, "<u2")[self._rows] = 0
            lengths[self._rows] = 3
        if self._nulls is not None:
            _write_nulls(block, column, 5, self._nulls, lengths)
        block.lengths += lengths


class Floats:
    """Double-precision numbers, each in the shortest of half, single and double that keeps it; one NaN for all."""

    width = 9

    def __init__(self, values: npt.NDArray[np.float64], nulls: Flags | None) -> None:
        with np.errstate(all="ignore"):
            singles = values.astype(np.float32)
            short = (singles == values) | np.isnan(values)
        if nulls is not None:
            short &= ~nulls
        self._values, self._nulls = values, nulls
        self._rows = _some(short)
        self._singles = singles[self._rows]
        self.fixed = nulls is None and not len(self._singles)

    def write(self, block: Block, column: int) -> None:
        block.matrix[:, column] = _DOUBLE
        block.number_view(column + 1, ">f8")[...] = self._values
        if self.fixed:
            return
        lengths = np.full(len(self._values), 9, np.uint8)
        if len(self._singles):
            self._write_short(block, column, lengths)
        if self._nulls is not None:
            _write_nulls(block, column, 9, self._nulls, lengths)
        block.lengths += lengths

    def _write_short(self, block: Block, column: int, lengths: Bytes) -> None:
        singles, rows = self._singles, self._rows
        with np.errstate(all="ignore"):
            halves = singles.astype(np.float16)
            nan = np.isnan(singles)
            half = (halves == singles) | nan
        bits = np.where(half, halves.view(np.uint16), singles.view(np.uint32)).astype(np.uint64)
        bits[nan] = _NAN
        block.matrix[rows, column] = np.where(half, np.uint8(_HALF), np.uint8(_SINGLE))
        block.number_view(column + 1, ">u8")[rows] = bits
        block.mask_view(column + 1, "<u8")[rows] = np.where(half, _LAST_2, _LAST_4)
        lengths[rows] = np.where(half, np.uint8(3), np.uint8(5))


def _some(flags: Flags) -> Any:
    """An index of the rows where the flag is set: a slice where that is all of them."""
    rows = np.flatnonzero(flags)
    return slice(None) if len(rows) == len(flags) else rows


def _write_nulls(block: Block, column: int, width: int, nulls: Flags, lengths: Bytes) -> None:
    rows = np.flatnonzero(nulls)
    block.matrix[rows, column] = NULL
    block.mask[rows, column + 1 : column + width] = False
    lengths[rows] = 1


def integers(values: Column, nulls: Flags | None) -> Arguments:
    """The slot of signed or unsigned integers of any width; what lies under a null does not matter."""
    if nulls is not None:
        values = np.where(nulls, values.dtype.type(0), values)
    if values.dtype.kind == "u" or not len(values) or values.min() >= 0:
        return Arguments(values.view(f"u{values.itemsize}"), 0x00, nulls)
    sign = values >> (8 * values.itemsize - 1)
    return Arguments((values ^ sign).view(f"u{values.itemsize}"), sign.astype(np.uint8) & np.uint8(0x20), nulls)


def _class_of(value: int) -> int:
    return sum(value > limit for limit in _LIMITS)


def class_heads(values: Column, highest: int = 4, *, has_small: bool = True) -> tuple[Bytes, Bytes]:
    """The initial bytes of arguments without their major type, and each argument's class, none above `highest`."""
    classes = (values > _LIMITS[0]).view(np.uint8)
    for limit in _LIMITS[1:highest]:
        classes = classes + (values > limit).view(np.uint8)
    head = _INFORMATION.take(classes)
    if has_small:
        np.copyto(head, values, where=classes == 0, casting="unsafe")
    return head, classes


def _last(count: int) -> np.uint64:
    mask = np.zeros(8, np.bool_)
    mask[8 - count :] = True
    return np.uint64(mask.view("<u8")[0])


_LAST_2: Final = _last(2)
_LAST_4: Final = _last(4)
