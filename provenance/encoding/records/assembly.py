"""Rows put together from their parts, many at a time.

Invariants: consecutive slots share one matrix, compressed once; runs of bytes are joined between them; the result has
no gap: row i is `data[offsets[i]:offsets[i + 1]]`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from provenance.encoding.records.slots import Block, Bytes, Slot

_INT32_MAX: Final = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Raw:
    """A run of bytes for each row: `data[offsets[i]:offsets[i + 1]]`, offsets of 32 or 64 bits."""

    data: Bytes
    offsets: npt.NDArray[Any]

    @property
    def size_bytes(self) -> int:
        """Bytes of all rows."""
        return int(self.offsets[-1] - self.offsets[0])


Part: TypeAlias = Slot | Raw


class Scratch:
    """Memory that is used again from batch to batch. One for each thread; None makes new memory each time."""

    def __init__(self) -> None:
        self._matrix: Bytes = np.empty(0, np.uint8)
        self._mask: npt.NDArray[np.bool_] = np.empty(0, np.bool_)

    def block(self, rows: int, width: int) -> Block:
        """A block whose mask is all true and whose matrix holds anything."""
        size = rows * width
        if len(self._matrix) < size:
            self._matrix, self._mask = np.empty(size, np.uint8), np.empty(size, np.bool_)
        matrix, mask = self._matrix[:size].reshape(rows, width), self._mask[:size].reshape(rows, width)
        mask[...] = True
        return Block(matrix, mask, np.zeros(rows, np.int32))


def assemble(parts: Sequence[Part], rows: int, scratch: Scratch | None = None) -> tuple[Bytes, npt.NDArray[np.int64]]:
    """The rows' bytes and their offsets, `rows + 1` of them."""
    scratch = scratch or Scratch()
    if not rows:
        return np.empty(0, np.uint8), np.zeros(1, np.int64)
    runs: list[Raw] = []
    slots: list[Slot] = []
    for part in parts:
        if isinstance(part, Raw):
            if slots:
                runs.append(_compress(slots, rows, scratch))
                slots = []
            runs.append(part)
        else:
            slots.append(part)
    if slots:
        runs.append(_compress(slots, rows, scratch))
    if len(runs) == 1:
        return _alone(runs[0])
    return _join(runs, rows)


def _compress(slots: Sequence[Slot], rows: int, scratch: Scratch) -> Raw:
    width = sum(slot.width for slot in slots)
    block = scratch.block(rows, width)
    column = fixed = 0
    for slot in slots:
        slot.write(block, column)
        column += slot.width
        fixed += slot.width if slot.fixed else 0
    if fixed == width:
        return Raw(block.matrix.reshape(-1).copy(), np.arange(0, rows * width + 1, width, dtype=np.int64))
    block.lengths += fixed
    offsets = np.zeros(rows + 1, np.int64)
    np.cumsum(block.lengths, out=offsets[1:])
    return Raw(block.matrix[block.mask], offsets)


def _alone(run: Raw) -> tuple[Bytes, npt.NDArray[np.int64]]:
    offsets = run.offsets.astype(np.int64, copy=False)
    first = int(offsets[0])
    return run.data[first : int(offsets[-1])], offsets - first if first else offsets


def _join(runs: Sequence[Raw], rows: int) -> tuple[Bytes, npt.NDArray[np.int64]]:
    small = sum(run.size_bytes for run in runs) <= _INT32_MAX
    kind, number = (pa.binary(), np.int32) if small else (pa.large_binary(), np.int64)
    arrays = []
    for run in runs:
        data, offsets = run.data, run.offsets
        if small and offsets.dtype != np.int32 and int(offsets[-1]) > _INT32_MAX:
            first = int(offsets[0])
            data, offsets = data[first:], offsets - first
        buffers = [None, pa.py_buffer(offsets.astype(number, copy=False)), pa.py_buffer(data)]
        arrays.append(pa.Array.from_buffers(kind, rows, buffers))
    joined = pc.binary_join_element_wise(*arrays, pa.scalar(b"", kind))
    _, offsets, data = joined.buffers()
    ends = np.frombuffer(offsets, number, count=rows + 1)
    size = int(ends[-1])
    return np.frombuffer(data, np.uint8, count=size) if size else np.empty(0, np.uint8), ends.astype(np.int64)
