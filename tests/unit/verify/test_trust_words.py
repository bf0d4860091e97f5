"""Unsigned, signed but not trusted, revoked and invalid are different words; only a trusted log is believed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from provenance.encoding import Digest, b64encode, canonical_json
from provenance.errors import MalformedError
from provenance.log import Checkpoint, Cosigner, NoteSignature, NoteSigner, encode_vkey
from provenance.policy import Level, Status, TrustedSource, TrustRoots
from provenance.signature import Envelope, Signature, encode_envelope, parse_envelope
from provenance.verify import Check, Evidence, EvidenceEntry, Report, parse_bundle, verify_evidence
from tests.unit.verify.forge import Lineage, Log, key, sign, statement

PASSED, FAILED, NOT = Status.PASSED, Status.FAILED, Status.NOT_PERFORMED


def _check(report: Report, check_id: str) -> Check:
    (found,) = [check for check in report.checks if check.id == check_id]
    return found


def _forged_signature() -> bytes:
    """An envelope by key 1 whose payload was exchanged."""
    genuine, other = parse_envelope(sign(statement("a"), key(1))), parse_envelope(sign(statement("b"), key(1)))
    return encode_envelope(replace(genuine, signatures=other.signatures))


LISTINGS = {
    "trusted": TrustRoots((TrustedSource("museum", key(1).public),)),
    "trusted for it": TrustRoots((TrustedSource("museum", key(1).public, namespaces=("x", "forge")),)),
    "trusted elsewhere": TrustRoots((TrustedSource("museum", key(1).public, namespaces=("forg", "forge2")),)),
    "revoked": TrustRoots((TrustedSource("museum", key(1).public, revoked=True),)),
    "both": TrustRoots((TrustedSource("m", key(1).public), TrustedSource("m", key(1).public, revoked=True))),
    "another": TrustRoots((TrustedSource("museum", key(2).public),)),
    "nobody": TrustRoots(),
}


@pytest.mark.parametrize(
    ("listing", "offered", "signature", "trust", "words"),
    [
        ("trusted", False, PASSED, PASSED, "source museum"),
        ("trusted", True, PASSED, PASSED, "source museum"),
        ("trusted for it", False, PASSED, PASSED, "source museum"),
        ("trusted elsewhere", True, PASSED, FAILED, "key is not trusted for this namespace"),
        ("revoked", True, PASSED, FAILED, "signed by a revoked key"),
        ("both", True, PASSED, FAILED, "signed by a revoked key"),
        ("another", True, PASSED, FAILED, "signed but not trusted"),
        ("nobody", True, PASSED, FAILED, "signed but not trusted"),
        ("another", False, NOT, FAILED, "signed but not trusted"),
        ("nobody", False, NOT, FAILED, "signed but not trusted"),
    ],
)
def test_the_word_for_a_good_signature(
    listing: str, offered: bool, signature: Status, trust: Status, words: str
) -> None:
    lineage = Lineage()
    lineage.add("a")
    evidence = replace(lineage.evidence("a"), keys=(key(1).public,) if offered else ())
    report = verify_evidence(
        evidence, replace(LISTINGS[listing], logs=(lineage.log.vkey,)), contents=lineage.content("a")
    )
    assert _check(report, "signature").status is signature
    assert (_check(report, "trust").status, _check(report, "trust").note) == (trust, words)
    assert report.sound is (trust is PASSED)
    assert report.level is (Level.D2 if trust is PASSED else Level.D1)


@pytest.mark.parametrize("listing", [name for name in LISTINGS if name not in ("another", "nobody")])
def test_an_invalid_signature_is_invalid_whoever_is_trusted(listing: str) -> None:
    log = Log()
    entry = log.entry(log.append(_forged_signature()))
    report = verify_evidence(Evidence(entry.digest, (entry,)), replace(LISTINGS[listing], logs=(log.vkey,)))
    assert _check(report, "signature").status is FAILED
    assert _check(report, "signature").note.startswith("invalid")
    assert (_check(report, "trust").status, _check(report, "trust").note) == (NOT, "the signature is invalid")
    assert not report.sound


def test_an_invalid_signature_by_a_key_that_is_only_offered_is_invalid_too() -> None:
    log = Log()
    entry = log.entry(log.append(_forged_signature()))
    evidence = Evidence(entry.digest, (entry,), keys=(key(1).public,))
    report = verify_evidence(evidence, TrustRoots(logs=(log.vkey,)))
    assert _check(report, "signature").status is FAILED
    assert not report.sound


def test_a_key_in_the_bundle_is_offered_and_not_trusted() -> None:
    """A forger who brings a key of his own, under the key id of the trusted one or not, is not believed."""
    log = Log()
    forged = parse_envelope(sign(statement("a"), key(9)))
    lie = Envelope(forged.payload, forged.payload_type, (Signature(key(1).public.keyid, forged.signatures[0].sig),))
    for envelope in (forged, lie):
        entry = log.entry(log.append(encode_envelope(envelope)))
        evidence = Evidence(entry.digest, (entry,), keys=(key(9).public,))
        report = verify_evidence(evidence, replace(LISTINGS["trusted"], logs=(log.vkey,)))
        assert not report.sound
        assert _check(report, "trust").status is not PASSED


@pytest.mark.parametrize("signatures", [[], [{"keyid": "", "sig": ""}], [{"keyid": "0" * 64, "sig": "AAAA"}] * 2])
def test_unsigned_is_malformed_and_says_so(signatures: list[dict[str, str]]) -> None:
    log = Log()
    payload = b64encode(parse_envelope(sign(statement("a"), key(1))).payload)
    envelope = canonical_json(
        {"payload": payload, "payloadType": "application/vnd.in-toto+json", "signatures": signatures}
    )
    entry = log.entry(log.append(envelope))
    report = verify_evidence(Evidence(entry.digest, (entry,)), replace(LISTINGS["trusted"], logs=(log.vkey,)))
    assert _check(report, "statement").status is FAILED
    assert _check(report, "statement").note.startswith("malformed")
    assert (report.sound, report.level) == (False, None)


def test_a_payload_of_another_type_is_no_statement() -> None:
    log = Log()
    genuine = parse_envelope(sign(statement("a"), key(1)))
    for payload_type in ("application/json", "application/vnd.in-toto+jsonl"):
        entry = log.entry(log.append(encode_envelope(replace(genuine, payload_type=payload_type))))
        report = verify_evidence(Evidence(entry.digest, (entry,)), replace(LISTINGS["trusted"], logs=(log.vkey,)))
        assert _check(report, "statement").expected == "application/vnd.in-toto+json"
        assert not report.sound


WITNESSES = [Cosigner(f"witness.example/w{number}", bytes([number]) * 32) for number in (1, 2, 3)]


@pytest.mark.parametrize(
    ("signing", "quorum", "status", "found"),
    [
        ((), 0, PASSED, "none required by the policy, none counted"),
        ((0,), 0, PASSED, "none required by the policy, 1 counted"),
        ((0, 1), 2, PASSED, "2 of 2 cosigned, 2 are needed"),
        ((0, 0), 2, FAILED, "1"),
        ((0, 2), 2, FAILED, "1"),  # the third is nobody's witness
        ((2,), 1, FAILED, "0"),
        ((), 1, FAILED, "0"),
    ],
)
def test_a_quorum_of_witnesses_is_needed_if_it_is_asked_for(
    signing: tuple[int, ...], quorum: int, status: Status, found: str
) -> None:
    lineage = Lineage(Log(cosigners=tuple(WITNESSES[number] for number in signing)))
    lineage.add("a")
    lineage.add("b", ["a"])
    trust = lineage.trust(witnesses=tuple(encode_vkey(one.verifier) for one in WITNESSES[:2]), quorum=quorum)
    report = verify_evidence(lineage.evidence("b"), trust, contents=lineage.content("b"))
    for check in (check for check in report.checks if check.id == "log.witnesses"):
        assert (check.status, check.found if status is FAILED else check.note) == (status, found)
    assert report.sound is (status is PASSED)
    assert report.level is (Level.D2 if status is PASSED else Level.D1)


def test_a_witness_that_signed_another_checkpoint_spoils_this_one() -> None:
    liar = WITNESSES[0].cosign(Checkpoint("forge.example/log", 1, bytes(32)), 1)

    class Liar(Cosigner):
        def cosign(self, checkpoint: Checkpoint, time_s: int) -> NoteSignature:
            return liar

    lineage = Lineage(Log(cosigners=(Liar("witness.example/w1", b"\x01" * 32), WITNESSES[1])))
    lineage.add("a")
    trust = lineage.trust(witnesses=tuple(encode_vkey(one.verifier) for one in WITNESSES[:2]), quorum=1)
    report = verify_evidence(lineage.evidence("a"), trust)
    assert (_check(report, "log.checkpoint").status, report.sound) == (FAILED, False)


OWN_LOG = NoteSigner("forge.example/log", b"\x07" * 32)
OTHER_LOG = NoteSigner("forge.example/log", b"\x08" * 32)
OTHER_NAME = NoteSigner("other.example/log", b"\x07" * 32)


@pytest.mark.parametrize(
    ("logs", "believed"),
    [
        ((), False),
        ((OTHER_LOG,), False),
        ((OTHER_NAME,), False),
        ((OTHER_LOG, OTHER_NAME), False),
        ((OWN_LOG,), True),
        ((OTHER_LOG, OWN_LOG), True),
        ((OWN_LOG, OTHER_NAME), True),
    ],
)
def test_only_a_checkpoint_by_a_trusted_log_counts(logs: tuple[NoteSigner, ...], believed: bool) -> None:
    lineage = Lineage()
    lineage.add("a")
    trust = lineage.trust(logs=tuple(encode_vkey(signer.verifier) for signer in logs))
    report = verify_evidence(lineage.evidence("a"), trust, contents=lineage.content("a"))
    assert (_check(report, "log.checkpoint").status is PASSED) is believed
    assert _check(report, "log.inclusion").status is (PASSED if believed else NOT)
    assert report.sound is believed
    assert report.level is (Level.D2 if believed else Level.D0)


def test_a_proof_of_another_entry_or_root_fails() -> None:
    lineage = Lineage()
    for text in "abcde":
        lineage.add(text)
    right = lineage.entry("c")
    for wrong in [lineage.entry(text).proof for text in "abde"]:
        evidence = Evidence(right.digest, (replace(right, proof=wrong),))
        report = verify_evidence(evidence, lineage.trust(), contents=lineage.content("c"))
        assert _check(report, "log.checkpoint").status is PASSED
        assert _check(report, "log.inclusion").status is FAILED
        assert (report.sound, report.level) == (False, Level.D0)
    for garbage in (b"", b"\n", right.proof[:-1], b"c2sp.org/tlog-proof@v2" + right.proof[22:], b"\xff"):
        evidence = Evidence(right.digest, (replace(right, proof=garbage),))
        report = verify_evidence(evidence, lineage.trust(), contents=lineage.content("c"))
        assert (report.sound, report.level) == (False, Level.D0)


def test_a_name_in_the_trust_roots_cannot_forge_a_terminal() -> None:
    lineage = Lineage()
    lineage.add("a")
    for revoked in (False, True):
        trust = lineage.trust(sources=(TrustedSource("x\x1b[2J\n", key(1).public, revoked=revoked),))
        report = verify_evidence(lineage.evidence("a"), trust)
        texts = [text for check in report.checks for text in (check.note, check.found or "", check.expected or "")]
        assert all(text.isprintable() for text in (*texts, *(artefact.signer for artefact in report.artefacts)))


def test_evidence_must_hold_its_target() -> None:
    lineage = Lineage()
    lineage.add("a")
    data = encode_without_target(lineage.entry("a"))
    with pytest.raises(MalformedError, match="does not hold its target"):
        parse_bundle(data)


def encode_without_target(entry: EvidenceEntry) -> bytes:
    from provenance.verify import encode_bundle

    return encode_bundle(Evidence(Digest.of(b"another"), (entry,)))
