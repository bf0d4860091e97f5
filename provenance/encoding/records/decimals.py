"""Decimals: tag 4 of the column's exponent and the unscaled integer, which may be longer than 64 bits.

Invariants: an unscaled integer within 64 bits is an integer (major type 0 or 1), a longer one a bignum (tag 2 or 3) of
the fewest bytes (RFC 8949, 3.4.3 and 4.2.1). A value of more digits than its type allows is an error.

Bytes of 1.50 with the scale 2: `c4 82 21 18 96`; of 2**64, scale 0: `c4 82 00 c2 49 01 00 00 00 00 00 00 00 00`.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from provenance.encoding.records.arrays import numbers_of
from provenance.encoding.records.assembly import Part
from provenance.encoding.records.cbor import encode_head
from provenance.encoding.records.slots import WIDTHS, Arguments, Block, Bytes, Constant, class_heads
from provenance.errors import MalformedError

_TAG_OF_BIGNUM: Final = 0xC2
_BYTE_STRING: Final = 0x40

Words = npt.NDArray[np.uint64]
"""Unsigned integers, one a row; words of 64 bits, the lowest first."""


def decimal_parts(array: pa.Array, where: str) -> list[Part]:
    """The parts of a column of decimals of any width, without nulls."""
    kind = array.type
    if kind.bit_width < 64:
        words = numbers_of(array, np.dtype("<i4")).astype(np.int64)[:, None]
    else:
        words = numbers_of(array, np.dtype(("<i8", (kind.bit_width // 64,))))
    sign = words[:, -1] >> 63
    # -1 - n for negative n, which is what CBOR writes, is the complement.
    argument = (words ^ sign[:, None]).view(np.uint64)
    _check_digits(argument, sign, kind.precision, where)
    head = Constant(b"\xc4\x82" + encode_head(*((0, -kind.scale) if kind.scale <= 0 else (1, kind.scale - 1))))
    if not argument[:, 1:].any():
        low = np.ascontiguousarray(argument[:, 0])
        return [head, Arguments(low, sign.astype(np.uint8) & np.uint8(0x20), None)]
    return [head, LongIntegers(argument, sign.astype(np.bool_))]


def _check_digits(argument: Words, sign: npt.NDArray[np.int64], precision: int, where: str) -> None:
    if not len(argument):
        return
    largest = 10**precision - 1
    above = np.zeros(len(argument), np.bool_)
    same = np.ones(len(argument), np.bool_)
    for index in reversed(range(argument.shape[1])):
        limit = np.uint64(largest >> 64 * index & 0xFFFF_FFFF_FFFF_FFFF)
        word = argument[:, index]
        above |= same & (word > limit)
        same &= word == limit
    # For a negative n the argument is -1 - n: as large as the limit is one too many.
    if (above | (same & (sign != 0))).any():
        raise MalformedError("decimal has too many digits", expected=f"at most {precision}", where=where)


class LongIntegers:
    """Integers of which some are longer than 64 bits: `c2 49 01 00 00 00 00 00 00 00 00` is 2**64.

    Three bytes of head, of which an integer within 64 bits has one, a bignum below 24 bytes two; then the argument,
    right-aligned.
    """

    fixed = False

    def __init__(self, argument: Words, negative: npt.NDArray[np.bool_]) -> None:
        self._argument, self._negative = argument, negative
        self.width = _HEAD + 8 * argument.shape[1]

    def write(self, block: Block, column: int) -> None:
        rows, words = self._argument.shape
        payload = self._argument[:, ::-1].astype(">u8").view(np.uint8).reshape(rows, 8 * words)
        lengths = _byte_lengths(payload)
        small = lengths <= 8
        heads, classes = class_heads(self._argument[:, 0])
        major = self._negative.astype(np.uint8)
        block.matrix[:, column] = np.where(small, heads | major << 5, np.uint8(_TAG_OF_BIGNUM) + major)
        block.matrix[:, column + 1] = np.where(
            lengths < 24, np.uint8(_BYTE_STRING) + lengths, np.uint8(_BYTE_STRING | 24)
        )
        block.matrix[:, column + 2] = lengths
        block.matrix[:, column + _HEAD : column + self.width] = payload
        # Up to 8 bytes the length is the class's (0, 1, 2, 4, 8); above, it is what there is.
        lengths = np.where(small, _PAYLOADS.take(classes), lengths)
        masks = _masks(self.width)
        block.mask[:, column : column + self.width] = masks.take(lengths, axis=0)
        block.lengths += masks.sum(axis=1, dtype=np.int32).take(lengths)


_HEAD: Final = 3
_PAYLOADS: Final = np.array(WIDTHS, np.uint8) - 1


def _byte_lengths(payload: Bytes) -> Bytes:
    used = payload != 0
    lengths = payload.shape[1] - used.argmax(axis=1)
    return np.where(used.any(axis=1), lengths, 0).astype(np.uint8)


def _masks(width: int) -> npt.NDArray[np.bool_]:
    """For each number of payload bytes, which bytes of the slot are written."""
    masks = np.zeros((width - _HEAD + 1, width), np.bool_)
    for length in range(len(masks)):
        masks[length, width - length :] = True
    masks[:, 0] = True
    masks[9:, 1] = True
    masks[24:, 2] = True
    return masks
