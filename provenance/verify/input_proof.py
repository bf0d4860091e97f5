"""Input proofs: that a signed statement names one input, for whoever may not or need not see its other inputs.

Invariants: canonical JSON; the document holds the very envelope that was logged, and what leads from the input to what
that commits to; a document that is well formed proves nothing before `verify_input` returned, and whose signature the
envelope bears is for the trust roots to say. An input that the statement names itself needs no hashes.

Bytes (one line): `{"envelope":"<base64>","format":"urn:provenance-ledger:input-proof:1","index":3,"input":{"digest":
{"sha256":"<64 hex>"},"envelope":{"sha256":"<64 hex>"},"name":"ns/name@1"},"proof":["<base64>"]}`
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from provenance.encoding import Fields, JsonValue, b64decode, b64encode, canonical_json, parse_json
from provenance.errors import MalformedError, NotFoundError, VerificationError
from provenance.limits import MAX_ENTRY_BYTES, MAX_PROOF_HASHES
from provenance.merkle import HASH_BYTES
from provenance.signature import parse_envelope
from provenance.statement import DatasetStatement, PinnedName, parse_statement
from provenance.statement.frame import parse_pin
from provenance.statement.materials import MaterialProof, prove_material, verify_material

FORMAT: Final = "urn:provenance-ledger:input-proof:1"
MAX_INPUT_PROOF_BYTES: Final = 2 * MAX_ENTRY_BYTES + 100 * MAX_PROOF_HASHES


@dataclass(frozen=True, slots=True)
class InputProof:
    """That `material.pin` is input `material.index` of the statement in `envelope`."""

    envelope: bytes
    material: MaterialProof

    @property
    def statement(self) -> DatasetStatement:
        """The statement, without the inputs of a material list. `MalformedError` if the envelope holds none."""
        return parse_statement(parse_envelope(self.envelope).payload)


def prove_input(envelope: bytes, statement: DatasetStatement, name: PinnedName) -> InputProof:
    """The proof that a statement, whose inputs are all known, names this one. `NotFoundError` if it does not."""
    if statement.materials is not None:
        return InputProof(envelope, prove_material(statement.parents, name))
    for index, pin in enumerate(statement.parents):
        if pin.name == name:
            return InputProof(envelope, MaterialProof(pin, index, ()))
    raise NotFoundError("not among the inputs", expected=f"an input of {statement.name}", got=name)


def verify_input(proof: InputProof) -> DatasetStatement:
    """The statement that names the input. `VerificationError` or `MalformedError` if it does not."""
    statement, material = proof.statement, proof.material
    if statement.materials is not None:
        verify_material(material, statement.materials)
    elif material.hashes or statement.parents[material.index : material.index + 1] != (material.pin,):
        raise VerificationError("the statement does not name this input", expected=statement.name, got=material.pin)
    return statement


def encode_input_proof(proof: InputProof) -> bytes:
    """The document's canonical JSON."""
    material = proof.material
    return canonical_json(
        {
            "format": FORMAT,
            "envelope": b64encode(proof.envelope),
            "index": material.index,
            "input": material.pin.to_json(),
            "proof": [b64encode(each) for each in material.hashes],
        }
    )


def is_input_proof(data: bytes) -> bool:
    """Whether this seems to be such a document."""
    return b'"format":"%b"' % FORMAT.encode() in data[: MAX_INPUT_PROOF_BYTES + 1]


def parse_input_proof(data: bytes) -> InputProof:
    """The proof in a document. `MalformedError` if it is none; it may end with a newline."""
    text = data.removesuffix(b"\n")
    fields = Fields(parse_json(text, what="input proof", max_bytes=MAX_INPUT_PROOF_BYTES), "input proof")
    fields.constant("format", FORMAT)
    envelope = fields.base64("envelope", max_bytes=MAX_ENTRY_BYTES)
    pin = parse_pin(fields.value("input"), "input proof.input")
    hashes = tuple(_hash(item) for item in fields.array("proof", max_items=MAX_PROOF_HASHES))
    proof = InputProof(envelope, MaterialProof(pin, fields.integer("index"), hashes))
    fields.end()
    if encode_input_proof(proof) != text:
        raise MalformedError("input proof is not canonical JSON", expected="RFC 8785")
    return proof


def _hash(value: JsonValue) -> bytes:
    if not isinstance(value, str):
        raise MalformedError("hash is no text", expected="base64", where="input proof.proof")
    found = b64decode(value, what="hash", max_bytes=HASH_BYTES)
    if len(found) != HASH_BYTES:
        raise MalformedError("hash has another length", expected=f"{HASH_BYTES} bytes", got=len(found))
    return found
