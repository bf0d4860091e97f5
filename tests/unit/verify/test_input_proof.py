"""Input proofs: one input of a statement, without the others."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from provenance.encoding import canonical_json
from provenance.errors import MalformedError, NotFoundError, ProvenanceError, VerificationError
from provenance.verify.input_proof import (
    encode_input_proof,
    is_input_proof,
    parse_input_proof,
    prove_input,
    verify_input,
)
from tests.unit.verify.forge import Lineage, name


@pytest.mark.parametrize("count", [1, 3, 300])
def test_a_proof_shows_one_input_and_no_other(count: int) -> None:
    lineage = Lineage()
    for number in range(count):
        lineage.add(f"n{number}")
    lineage.add("child", [f"n{number}" for number in range(count)])
    made, envelope = lineage.statements["child"], lineage.log.envelopes[lineage.indexes["child"]]
    if made.materials is not None:
        made = replace(made, parents=tuple(sorted(made.parents, key=lambda pin: str(pin.name))))
    wanted = name(f"n{count - 1}")
    data = encode_input_proof(prove_input(envelope, made, wanted))
    assert is_input_proof(data)
    proof = parse_input_proof(data)
    assert verify_input(proof).name == made.name
    assert proof.material.pin.name == wanted
    if count > 256:
        assert b"forge/n7@1" not in data
        assert len(data) < 4_000
    with pytest.raises(NotFoundError):
        prove_input(envelope, made, name("other"))
    # Whoever knows the envelope, from the log or by its digest, is shown nothing false.
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 4
        with pytest.raises(ProvenanceError):
            verify_input(found := parse_input_proof(bytes(changed)))
            if found.envelope != envelope:
                raise VerificationError("another envelope")


def test_what_is_no_proof_is_malformed() -> None:
    lineage = Lineage()
    lineage.add("a")
    lineage.add("b", ["a"])
    made, envelope = lineage.statements["b"], lineage.log.envelopes[1]
    value = json.loads(encode_input_proof(prove_input(envelope, made, name("a"))))
    changes: list[dict[str, object]] = [
        {"proof": [1]},
        {"proof": ["AAAA"]},
        {"index": -1},
        {"index": "0"},
        {"envelope": "AAAA"},
        {"input": {}},
        {"more": 1},
        {"format": "other"},
    ]
    for change in changes:
        with pytest.raises(MalformedError):
            verify_input(parse_input_proof(canonical_json({**value, **change})))
    for index in (1, 2**40):
        with pytest.raises(VerificationError):
            verify_input(parse_input_proof(canonical_json({**value, "index": index})))
    with pytest.raises(MalformedError):
        parse_input_proof(json.dumps(value).encode())
