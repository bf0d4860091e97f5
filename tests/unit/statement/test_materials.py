"""Material lists: inputs that are too many to be named in a statement."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest

from provenance.encoding import Digest, canonical_json
from provenance.errors import LimitError, MalformedError, NotFoundError, ProvenanceError, VerificationError
from provenance.limits import MAX_MATERIALS
from provenance.merkle import leaf_hash, node_hash
from provenance.statement import Pin, PinnedName, encode_statement, parse_statement
from provenance.statement.materials import (
    MaterialList,
    MaterialProof,
    encode_materials,
    parse_materials,
    prove_material,
    verify_material,
)
from tests.unit.verify.forge import statement


def _pins(count: int) -> list[Pin]:
    numbers = list(range(count))
    random.Random(4).shuffle(numbers)
    return [
        Pin(PinnedName.parse(f"many/n{number}@1"), Digest.of(b"d%d" % number), Digest.of(b"e%d" % number))
        for number in numbers
    ]


def _root(leaves: list[bytes]) -> bytes:
    """RFC 9162 2.1.1, word by word."""
    if len(leaves) == 1:
        return leaves[0]
    half = 1
    while half * 2 < len(leaves):
        half *= 2
    return node_hash(_root(leaves[:half]), _root(leaves[half:]))


@pytest.mark.parametrize("count", [1, 2, 3, 257, 1_000])
def test_a_list_is_its_lines_sorted(count: int) -> None:
    pins = _pins(count)
    data, stated = encode_materials(pins)
    lines = data.decode().splitlines()
    names = [json.loads(line)["name"] for line in lines]
    assert names == sorted(names, key=str.encode)
    assert stated == MaterialList(count, Digest.of(data), Digest(_root([leaf_hash(line.encode()) for line in lines])))
    assert encode_materials(reversed(pins)) == (data, stated)
    assert set(parse_materials(data, stated)) == set(pins)


def test_a_statement_commits_to_its_list() -> None:
    pins = _pins(300)
    made = statement("child", pins)
    assert made.materials is not None
    payload = encode_statement(made)
    assert len(payload) < 2_000
    read = parse_statement(payload, strict=True)
    assert (read.parents, read.names_parents) == ((), False)
    data, _ = encode_materials(pins)
    whole = read.with_materials(data)
    assert whole.names_parents
    assert set(whole.parents) == set(pins)
    assert encode_statement(whole) == payload
    # Whoever knows no lists must not take it for a statement without inputs.
    assert isinstance(json.loads(payload)["predicate"]["parents"], dict)


def test_another_list_is_refused() -> None:
    pins = _pins(300)
    data, stated = encode_materials(pins)
    for place in range(0, len(data), 41):
        changed = bytearray(data)
        changed[place] ^= 1
        with pytest.raises(MalformedError):
            parse_materials(bytes(changed), stated)
    for other in (b"", data[:-1], data + b"\n", data + data.splitlines(keepends=True)[0]):
        with pytest.raises(MalformedError):
            parse_materials(other, stated)


def _committed(lines: list[bytes]) -> tuple[bytes, MaterialList]:
    data = b"".join(line + b"\n" for line in lines)
    return data, MaterialList(len(lines), Digest.of(data), Digest(_root([leaf_hash(line) for line in lines])))


def test_a_list_that_a_dishonest_signer_committed_to_is_refused_too() -> None:
    lines = encode_materials(_pins(4))[0].splitlines()
    spaced = json.dumps(json.loads(lines[1])).encode()
    extra = canonical_json({**json.loads(lines[1]), "more": 1})
    for wrong, what in (
        ([lines[1], lines[0]], "not sorted"),
        ([lines[0], lines[0]], "not sorted"),
        ([lines[0], spaced], "canonical"),
        ([lines[0], extra], "more"),
        ([lines[0], b"{}"], "lacks"),
        ([lines[0], b"\xff"], "UTF-8"),
    ):
        data, stated = _committed(wrong)
        with pytest.raises(ProvenanceError, match=what):
            parse_materials(data, stated)
    data, stated = _committed(lines)
    for wrong_list in (replace(stated, count=3), replace(stated, root=Digest.of(b"")), replace(stated, count=5)):
        with pytest.raises(MalformedError):
            parse_materials(data, wrong_list)
    for count in (0, -1):
        with pytest.raises(MalformedError, match="empty"):
            replace(stated, count=count)
    with pytest.raises(LimitError):
        replace(stated, count=MAX_MATERIALS + 1)


@pytest.mark.parametrize("count", [1, 2, 7, 64, 300])
def test_one_input_is_proven_without_the_others(count: int) -> None:
    pins = _pins(count)
    data, stated = encode_materials(pins)
    ordered = parse_materials(data, stated)
    for pin in pins[:20]:
        proof = prove_material(ordered, pin.name)
        assert proof.pin == pin
        assert len(proof.hashes) <= 9
        verify_material(proof, stated)
        for wrong in (
            replace(proof, pin=replace(pin, digest=Digest.of(b"other"))),
            replace(proof, index=proof.index + 1),
            replace(proof, hashes=(*proof.hashes, b"\0" * 32)),
            *(replace(proof, hashes=proof.hashes[1:]) for _ in proof.hashes[:1]),
        ):
            with pytest.raises(ProvenanceError):
                verify_material(wrong, stated)
    with pytest.raises(VerificationError):
        verify_material(MaterialProof(pins[0], stated.count, ()), stated)
    with pytest.raises(NotFoundError):
        prove_material(ordered, PinnedName.parse("many/other@1"))
