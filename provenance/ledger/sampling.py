"""A random sample of a table's records, as a table of the same format: what a run that works row by row is tried on.

Invariants: rows are drawn without replacement by a seed that is stated, so that others draw the same; they keep their
order; of text nothing but whole records is left out, so that a program reads what it would have read; a table is read
in parts, whatever its size.

Sources: RFC 4180 (a line break within quotes ends no record); Fisher and Yates by a sparse map.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import IO, Any, Final

from provenance.errors import LimitError, MalformedError, SourceError

SEED_BYTES: Final = 32
MAX_SAMPLE: Final = 1_000_000
"""Records in a sample."""
_MAX_RECORD_BYTES: Final = 64 * 2**20


def draw(seed: bytes, count: int, of: int) -> tuple[int, ...]:
    """`count` different numbers below `of`, ascending; all of them if there are no more. The seed decides which."""
    if len(seed) != SEED_BYTES:
        raise MalformedError("seed has a wrong length", expected=f"{SEED_BYTES} bytes", got=len(seed))
    if not 1 <= count <= MAX_SAMPLE:
        raise MalformedError("sample is of no size", expected=f"1 to {MAX_SAMPLE} records", got=count)
    if count >= of:
        return tuple(range(of))
    moved: dict[int, int] = {}
    chosen = []
    numbers = _numbers(seed)
    for place in range(count):
        other = place + _below(numbers, of - place)
        chosen.append(moved.get(other, other))
        moved[other] = moved.get(place, place)
    return tuple(sorted(chosen))


def _numbers(seed: bytes) -> Iterator[int]:
    """Numbers of 64 bits: SHA-256(seed || counter as big-endian u64), four of them in each."""
    counter = 0
    while True:
        block = sha256(seed + counter.to_bytes(8, "big")).digest()
        yield from (int.from_bytes(block[at : at + 8], "big") for at in range(0, 32, 8))
        counter += 1


def _below(numbers: Iterator[int], bound: int) -> int:
    """The next number, each below `bound` as likely as any other."""
    limit = 2**64 - 2**64 % bound
    return next(number for number in numbers if number < limit) % bound


def cut(source: Path, target: Path, choose: Callable[[int], Sequence[int]]) -> tuple[int, int]:
    """Write the rows of a table that `choose` picks, given how many there are, ascending: how many, and of how many.

    By the suffix: CSV, TSV and JSON Lines record by record as they are, Parquet and Arrow with their schema and
    metadata. `MalformedError` for another format, `SourceError` if it cannot be read.
    """
    cutters: dict[str, Callable[[Path, Path, Callable[[int], Sequence[int]]], tuple[int, int]]] = {
        ".csv": _cut_csv,
        ".tsv": _cut_csv,
        ".jsonl": _cut_lines,
        ".ndjson": _cut_lines,
        ".parquet": _cut_parquet,
        ".pq": _cut_parquet,
        ".arrow": _cut_arrow,
        ".feather": _cut_arrow,
        ".ipc": _cut_arrow,
        ".arrows": _cut_arrow,
    }
    cutter = cutters.get(source.suffix.lower())
    if cutter is None:
        raise MalformedError("no records can be drawn from this", expected=" ".join(cutters), got=source.name)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        return cutter(source, target, choose)
    except (OSError, ValueError) as error:  # Arrow's errors are ValueErrors or OSErrors
        raise SourceError("cannot draw records", got=type(error).__name__, where=source.name) from error


def _cut_csv(source: Path, target: Path, choose: Callable[[int], Sequence[int]]) -> tuple[int, int]:
    delimiter = b"\t" if source.suffix.lower() == ".tsv" else b","
    return _cut_text(source, target, choose, partial(_csv_records, delimiter=delimiter), 1)


def _cut_lines(source: Path, target: Path, choose: Callable[[int], Sequence[int]]) -> tuple[int, int]:
    return _cut_text(source, target, choose, _lines, 0)


def _cut_text(
    source: Path,
    target: Path,
    choose: Callable[[int], Sequence[int]],
    read: Callable[[IO[bytes]], Iterator[bytes]],
    heads: int,
) -> tuple[int, int]:
    with source.open("rb") as file:
        total = sum(1 for _ in read(file)) - heads
    wanted = choose(max(total, 0))
    rows = {row + heads for row in wanted} | set(range(heads))
    with source.open("rb") as file, target.open("xb") as out:
        for number, record in enumerate(read(file)):
            if number in rows:
                out.write(record if record.endswith(b"\n") else record + b"\n")
    return len(wanted), max(total, 0)


def _bounded_lines(file: IO[bytes]) -> Iterator[bytes]:
    while line := file.readline(_MAX_RECORD_BYTES + 1):
        if len(line) > _MAX_RECORD_BYTES:
            raise LimitError("record is too large", expected=f"at most {_MAX_RECORD_BYTES} bytes")
        yield line


def _csv_records(file: IO[bytes], delimiter: bytes) -> Iterator[bytes]:
    """Records as they stand, each with its line break; lines without anything are none, but of a table of one column,
    where they are nulls.

    A quote opens a field only where it begins, as readers of CSV have it: 5" is five inches.
    """
    pieces: list[bytes] = []
    held, is_open, has_one_column = 0, False, False
    for number, line in enumerate(_bounded_lines(file)):
        if number == 0:
            has_one_column = delimiter not in line
        if not pieces and not line.strip(b"\r\n") and not (has_one_column and number):
            continue
        if b"\r" in line.rstrip(b"\r\n") and b'"' not in line and not is_open:
            raise MalformedError("lines of the table end in CR alone", expected="LF, or CR LF")
        is_open = _is_open_after(line, delimiter, is_open)
        pieces.append(line)
        held += len(line)
        if held > _MAX_RECORD_BYTES:
            raise LimitError("record is too large", expected=f"at most {_MAX_RECORD_BYTES} bytes")
        if not is_open:
            yield b"".join(pieces)
            pieces, held = [], 0
    if pieces:
        raise MalformedError("a quoted field of the table does not end", expected="a quote")


def _is_open_after(line: bytes, delimiter: bytes, is_open: bool) -> bool:
    """Whether a quoted field is open at the end of a line, given whether one was at its beginning."""
    place = 0
    while True:
        if is_open:
            quote = line.find(b'"', place)
            if quote < 0:
                return True
            if line[quote + 1 : quote + 2] == b'"':
                place = quote + 2
                continue
            is_open, place = False, quote + 1
        elif place == 0 and line[:1] == b'"':
            is_open, place = True, 1
        else:
            begin = line.find(delimiter + b'"', place)
            if begin < 0:
                return False
            is_open, place = True, begin + 2


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    return (line for line in _bounded_lines(file) if line.strip())


def _cut_parquet(source: Path, target: Path, choose: Callable[[int], Sequence[int]]) -> tuple[int, int]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(source) as file:
        total = file.metadata.num_rows
        wanted = choose(total)
        with pq.ParquetWriter(target, file.schema_arrow) as writer:
            _write(file.iter_batches(), wanted, writer.write_batch)
    return len(wanted), total


def _cut_arrow(source: Path, target: Path, choose: Callable[[int], Sequence[int]]) -> tuple[int, int]:
    import pyarrow as pa

    with pa.OSFile(str(source)) as file:
        total = sum(batch.num_rows for batch in _arrow_batches(file))
    wanted = choose(total)
    with pa.OSFile(str(source)) as file, pa.OSFile(str(target), "wb") as out:
        reader: Any = _arrow_reader(file)
        make = pa.ipc.new_file if isinstance(reader, pa.ipc.RecordBatchFileReader) else pa.ipc.new_stream
        file.seek(0)
        with make(out, reader.schema) as writer:
            _write(_arrow_batches(file), wanted, writer.write_batch)
    return len(wanted), total


def _arrow_reader(file: Any) -> Any:
    import pyarrow as pa

    try:
        return pa.ipc.open_file(file)
    except pa.ArrowInvalid:
        file.seek(0)
        return pa.ipc.open_stream(file)


def _arrow_batches(file: Any) -> Iterator[Any]:
    reader = _arrow_reader(file)
    if hasattr(reader, "num_record_batches"):
        return (reader.get_batch(number) for number in range(reader.num_record_batches))
    return iter(reader)


def _write(batches: Iterator[Any], wanted: Sequence[int], write: Callable[[Any], object]) -> None:
    """Write the wanted rows, ascending, of batches that follow each other."""
    before, at = 0, 0
    for batch in batches:
        end = at
        while end < len(wanted) and wanted[end] < before + batch.num_rows:
            end += 1
        if end > at:
            write(batch.take([row - before for row in wanted[at:end]]))
        before, at = before + batch.num_rows, end
