"""`provenance verify --proof`: what a proof document claims, checked with the dataset's digest alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from provenance.cli.exits import DONE
from provenance.cli.files import read_file
from provenance.cli.invocation import Invocation
from provenance.cli.proof_view import proof_rows
from provenance.cli.witness_policies import check_tlog_proof, is_tlog_proof
from provenance.errors import MalformedError, VerificationError

if TYPE_CHECKING:
    from provenance.encoding import Digest
    from provenance.fingerprint.proof import ProofDocument


def check_proof(
    run: Invocation,
    file: str,
    target: str | None,
    expected: str | None,
    digest: str | None,
    witness_policy: str | None = None,
) -> int:
    """Check the proof in `file`, and that the file at `target`, if one is named, is the one it is about. A tlog-proof
    is of the entry whose bytes are at `target`, by a witness policy."""
    from provenance.fingerprint.proof import (
        MAX_PROOF_BYTES,
        FileAbsenceProof,
        RecordAbsenceProof,
        encode_claim,
        parse_proof_document,
        verify_proof,
    )
    from provenance.verify.input_proof import is_input_proof

    data = read_file(file, "proof", max_bytes=MAX_PROOF_BYTES)
    if is_tlog_proof(data):
        if expected is not None or digest is not None:
            raise MalformedError("a tlog-proof is of an entry", expected="neither --as nor --digest with it")
        return check_tlog_proof(run, file, data, target, witness_policy)
    if witness_policy is not None:
        raise MalformedError("--witness-policy decides about a checkpoint", expected="a tlog-proof", where=file)
    if is_input_proof(data):
        return _check_input(run, file, data, target, expected, digest)
    document = parse_proof_document(data)
    wanted, whose = _expected(run, expected, digest)
    verify_proof(document, wanted)
    if target is not None:
        _check_file(document, target)
    run.screen.pairs([("proof", file), *proof_rows(document)])
    run.screen.line()
    if wanted is None:
        run.screen.spans(
            ("HOLDS", "warn"), ("  for the dataset of this digest; whether that is yours, compare it", None)
        )
        run.screen.prose("note: say which dataset it should be with --digest HEX, or --as REF in a ledger")
    else:
        run.screen.spans(("VERIFIED", "good"), (f"  against {whose}", None))
    run.document(
        {
            "verified": wanted is not None,
            "holds": True,
            "kind": encode_claim(document.claim)["kind"],
            "present": not isinstance(document.claim, FileAbsenceProof | RecordAbsenceProof),
            "says": {label: text for label, text in proof_rows(document) if text is not None and label != "digest"},
            "digest": {"sha256": document.digest.hex},
            "file": target,
        }
    )
    return DONE


def _check_input(
    run: Invocation, file: str, data: bytes, target: str | None, expected: str | None, digest: str | None
) -> int:
    """Check that the statement that is meant, or whichever the proof holds, names the input."""
    from provenance.encoding import Digest
    from provenance.signature import parse_envelope
    from provenance.verify.input_proof import parse_input_proof, verify_input

    if target is not None:
        raise MalformedError("the proof is about no file that is there", expected="a proof of a file", where=target)
    proof = parse_input_proof(data)
    statement = verify_input(proof)
    envelope = Digest.of(proof.envelope)
    if expected is None:
        wanted, whose = _expected(run, None, digest)
        if wanted is not None and statement.digest != wanted:
            raise VerificationError("the proof is about another artefact", expected=wanted, got=statement.digest)
    else:
        with run.ledger() as ledger:
            pin = ledger.pin(expected)
        whose = f"the entry of {pin.name} in this ledger's log"
        if envelope != pin.envelope:
            raise VerificationError("the proof is of another log entry", expected=pin.envelope, got=envelope)
    keyid = parse_envelope(proof.envelope).signatures[0].keyid
    rows = [("proof", file), ("statement", f"{statement.name}, sha256 {statement.digest.hex}")]
    rows += [("made from", f"{proof.material.pin.name}, sha256 {proof.material.pin.digest.hex}")]
    run.screen.pairs([*rows, ("envelope", f"sha256 {envelope.hex}"), ("signed by", f"key {keyid}, as it says")])
    run.screen.line()
    if expected is not None:
        run.screen.spans(("VERIFIED", "good"), (f"  against {whose}", None))
    else:
        run.screen.spans(("HOLDS", "warn"), (f"  in this envelope{', of ' + whose if whose else ''}", None))
        run.screen.prose("note: that it was logged and signed, its ledger tells: --as REF there; or a bundle of it")
    run.document(
        {
            "verified": expected is not None,
            "holds": True,
            "digest": {"sha256": statement.digest.hex},
            "envelope": {"sha256": envelope.hex},
            "input": proof.material.pin.to_json(),
        }
    )
    return DONE


def _expected(run: Invocation, reference: str | None, digest: str | None) -> tuple[Digest | None, str]:
    from provenance.encoding import Digest

    if reference is not None and digest is not None:
        raise MalformedError("--as and --digest exclude each other", expected="one of them")
    if digest is not None:
        return Digest.from_hex(digest, what="--digest"), "the digest given"
    if reference is None:
        return None, ""
    with run.ledger() as ledger:
        row = ledger.dataset(reference)
        return row.digest, f"{row.namespace}/{row.name}@{row.version} of this ledger"


def _check_file(document: ProofDocument, target: str) -> None:
    from provenance.fingerprint.proof import FileProof
    from provenance.sources import Reading, open_source

    claim = document.claim
    if not isinstance(claim, FileProof):
        raise MalformedError("the proof is about no file that is there", expected="a proof of a file", where=target)
    found = open_source(target, Reading(algorithm=claim.entry.algorithm)).fingerprint().files
    if len(found) != 1 or (found[0].digest, found[0].size) != (claim.entry.digest, claim.entry.size):
        got = found[0].digest if len(found) == 1 else f"{len(found)} files"
        raise VerificationError("file is not the one proven", expected=claim.entry.digest, got=got, where=target)
