"""Every case of the RFC 8785 author's vectors, and 100,000 numbers of his generator."""

from __future__ import annotations

import hashlib
import math
import re
import struct
from collections.abc import Iterator
from itertools import islice

import pytest

from provenance.encoding import canonical_json, parse_json
from tests.paths import SHARED, vectors

FOLDER = SHARED / "vectors" / "rfc8785"
CASES = sorted(path.stem for path in FOLDER.glob("input/*.json"))
HUNDRED_THOUSAND = "22776e6d4b49fa294a0d0f349268e5c28808fe7e0cb2bcbe28f63894e494d4c7"


def test_vectors_are_all_there() -> None:
    vectors("rfc8785")
    assert CASES == ["arrays", "french", "structures", "unicode", "values", "weird"]


@pytest.mark.parametrize("name", CASES)
def test_case(name: str) -> None:
    value = parse_json((FOLDER / f"input/{name}.json").read_bytes(), what=name, max_bytes=10_000)
    encoded = canonical_json(value)
    assert encoded == (FOLDER / f"output/{name}.json").read_bytes()
    assert encoded.hex() == "".join((FOLDER / f"outhex/{name}.txt").read_text().split())
    assert canonical_json(parse_json(encoded, what=name, max_bytes=10_000)) == encoded


def test_numbers_agree_with_the_generator() -> None:
    lines = hashlib.sha256()
    for bits in islice(_generated(), 100_000):
        value = struct.unpack(">d", struct.pack(">Q", bits))[0]
        lines.update(f"{bits:x},{canonical_json(value).decode()}\n".encode())
    assert lines.hexdigest() == HUNDRED_THOUSAND


def _generated() -> Iterator[int]:
    """The sequence of IEEE-754 bit patterns that the vectors' README describes."""
    source = (FOLDER / "README.md").read_text()
    yield from (int(text, 16) for text in re.findall(r"0x([0-9a-f]{16})n,", source))
    yield from (0x0010000000000000 + i for i in range(2000))
    block, queue = bytes(32), list[int]()
    while True:
        while not queue:
            block = hashlib.sha256(block).digest()
            queue = list(struct.unpack("<4Q", block))
        bits = queue.pop(0)
        value = struct.unpack(">d", struct.pack(">Q", bits))[0]
        if value != 0.0 and math.isfinite(value):
            yield bits
