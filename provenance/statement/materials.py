"""The material list: the inputs of a statement that has more of them than it can name itself.

Invariants: one line an input, sorted by the UTF-8 bytes of its pinned name, each name once; the statement commits to
the list's bytes, to how many inputs it names, and to the RFC 9162 root over its lines, so that one input can be proven
without the others; a list is never read without being held against all three.

Bytes of a line (canonical JSON, then a newline): `{"digest":{"sha256":"<64 hex>"},"envelope":{"sha256":"<64 hex>"},
"name":"ns/name@1"}`; of the commitment, in the place of a statement's `parents`: `{"count":100000,"digest":{"sha256":
"<64 hex>"},"root":{"sha256":"<64 hex>"}}`. A leaf is the line without its newline.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from provenance.encoding import Digest, Fields, JsonValue, canonical_json, parse_json
from provenance.errors import MalformedError, NotFoundError, VerificationError
from provenance.limits import MAX_MATERIALS, check_size
from provenance.merkle import leaf_hash, node_hash, prove_inclusion, root_of, verify_inclusion
from provenance.statement.frame import Pin, parse_pin
from provenance.statement.names import PinnedName

MAX_LINE_BYTES: Final = 1_024
MAX_LIST_BYTES: Final = MAX_MATERIALS * MAX_LINE_BYTES


@dataclass(frozen=True, slots=True)
class MaterialList:
    """What a statement says of its list: how many inputs, the SHA-256 of its bytes, the root over its lines."""

    count: int
    digest: Digest
    root: Digest

    def __post_init__(self) -> None:
        if self.count < 1:
            raise MalformedError("material list is empty", expected="one input at least", got=self.count)
        check_size("material list", self.count, MAX_MATERIALS, "inputs")

    def to_json(self) -> dict[str, JsonValue]:
        """The commitment as a JSON object."""
        return {"count": self.count, "digest": {"sha256": self.digest.hex}, "root": {"sha256": self.root.hex}}


@dataclass(frozen=True, slots=True)
class MaterialProof:
    """That one input is in a list: its line's place and the hashes that lead to the root."""

    pin: Pin
    index: int
    hashes: tuple[bytes, ...]


def sorted_materials(pins: Iterable[Pin]) -> tuple[Pin, ...]:
    """The inputs as a list has them."""
    return tuple(sorted(pins, key=_order))


def encode_materials(pins: Iterable[Pin]) -> tuple[bytes, MaterialList]:
    """The list's bytes, and what a statement says of it."""
    lines = [_line(pin) for pin in sorted_materials(pins)]
    data = b"".join(line + b"\n" for line in lines)
    return data, MaterialList(len(lines), Digest.of(data), Digest(root_of(map(leaf_hash, lines))))


def parse_materials(data: bytes, stated: MaterialList) -> tuple[Pin, ...]:
    """The inputs in a list, if it is the one that was stated. `MalformedError` says what is wrong and where."""
    check_size("material list", len(data), MAX_LIST_BYTES)
    if Digest.of(data) != stated.digest:
        raise MalformedError("not the material list that was stated", expected=stated.digest, got=Digest.of(data))
    lines = data.split(b"\n")
    if lines.pop():
        raise MalformedError("material list does not end with a newline")
    if len(lines) != stated.count:
        raise MalformedError("material list is of another length", expected=stated.count, got=len(lines))
    root = Digest(root_of(map(leaf_hash, lines)))
    if root != stated.root:
        raise MalformedError("material list has another root", expected=stated.root, got=root)
    pins = tuple(_parse_line(line, number) for number, line in enumerate(lines, 1))
    for number, (one, other) in enumerate(pairwise(pins), 1):
        if _order(one) >= _order(other):
            where = f"line {number + 1}"
            raise MalformedError("material list is not sorted", expected="each name once, in order", where=where)
    return pins


def parse_commitment(value: JsonValue, what: str) -> MaterialList:
    """What a statement says of its list."""
    fields = Fields(value, what)
    found = MaterialList(fields.integer("count"), fields.digest_set("digest"), fields.digest_set("root"))
    fields.end()
    return found


def prove_material(pins: tuple[Pin, ...], name: PinnedName) -> MaterialProof:
    """The proof that an input is in a list. `NotFoundError` if it is not."""
    index = next((place for place, pin in enumerate(pins) if pin.name == name), None)
    if index is None:
        raise NotFoundError("not among the inputs", got=name)
    levels = [[leaf_hash(_line(pin)) for pin in pins]]
    while len(levels[-1]) > 1:
        below = levels[-1]
        levels.append([node_hash(below[at], below[at + 1]) for at in range(0, len(below) - 1, 2)])
    return MaterialProof(
        pins[index], index, tuple(prove_inclusion(index, len(pins), lambda level, at: levels[level][at]))
    )


def verify_material(proof: MaterialProof, stated: MaterialList) -> None:
    """Raise `VerificationError` unless the proof shows that the input is in the stated list."""
    if proof.index >= stated.count:
        raise VerificationError("input is beyond the list", expected=f"below {stated.count}", got=proof.index)
    verify_inclusion(leaf_hash(_line(proof.pin)), proof.index, stated.count, proof.hashes, stated.root.raw)


def _order(pin: Pin) -> bytes:
    return str(pin.name).encode()


def _line(pin: Pin) -> bytes:
    return canonical_json(pin.to_json())


def _parse_line(line: bytes, number: int) -> Pin:
    pin = parse_pin(parse_json(line, what=f"material {number}", max_bytes=MAX_LINE_BYTES), "material")
    if _line(pin) != line:
        raise MalformedError("material is not canonical JSON", expected="RFC 8785", where=f"line {number}")
    return pin
