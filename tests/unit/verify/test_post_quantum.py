"""What is asked of a log that signs with Ed25519 and ML-DSA-44, while it rotates its keys, and of its witnesses."""

from __future__ import annotations

from dataclasses import replace

from provenance.log import Cosigner, LogSigner, NoteSigner, encode_vkey
from provenance.log.algorithm import ML_DSA_44
from provenance.policy import SizeSpan, Status, TimeSpan
from provenance.verify import Report, encode_bundle, parse_bundle, verify_bundle, verify_evidence
from provenance.verify.report import Check
from tests.unit.verify.forge import Lineage, Log

ORIGIN = "forge.example/log"
CLASSIC, NEWER = NoteSigner(ORIGIN, b"\x07" * 32), NoteSigner(ORIGIN, b"\x17" * 32)
ML_DSA = Cosigner(ORIGIN, b"\x27" * 32, ML_DSA_44)
BOTH = LogSigner((CLASSIC, ML_DSA))
VKEY, NEWER_VKEY, ML_DSA_VKEY = (encode_vkey(one.verifier) for one in (CLASSIC, NEWER, ML_DSA))
WITNESS = tuple(Cosigner("witness.example/w1", bytes([9, kind] * 16), kind) for kind in (0x04, ML_DSA_44))
WITNESS_VKEYS = tuple(encode_vkey(one.verifier) for one in WITNESS)


def _lineage(log: Log) -> Lineage:
    lineage = Lineage(log)
    lineage.add("a")
    lineage.add("b", ["a"])
    return lineage


def _check(report: Report, check_id: str) -> Check:
    return next(check for check in report.checks if check.id == check_id)


def test_a_log_that_signs_with_both_is_believed_with_both_and_by_who_knows_one() -> None:
    lineage = _lineage(Log(BOTH))
    for logs, note in (
        ((VKEY, ML_DSA_VKEY), f"signed by {ORIGIN} with Ed25519 and ML-DSA-44"),
        ((VKEY,), f"signed by {ORIGIN}"),
    ):
        report = verify_evidence(lineage.evidence("b"), lineage.trust(logs=logs), contents=lineage.content("b"))
        assert report.sound
        assert _check(report, "log.checkpoint").note == note


def test_a_missing_ml_dsa_signature_is_named_unless_the_key_began_later() -> None:
    lineage = _lineage(Log(CLASSIC))
    logs = (VKEY, ML_DSA_VKEY)
    report = verify_evidence(lineage.evidence("b"), lineage.trust(logs=logs))
    check = _check(report, "log.checkpoint")
    assert (check.status, report.sound) == (Status.FAILED, False)
    assert "not signed by its log with ML-DSA-44" in check.note
    assert ML_DSA.verifier.key_id.hex() in str(check.expected)
    later = lineage.trust(logs=logs, log_spans=(SizeSpan(ML_DSA_VKEY, 3),))
    assert verify_evidence(lineage.evidence("b"), later).sound


def test_a_missing_ed25519_signature_is_not_made_up_for() -> None:
    lineage = _lineage(Log(LogSigner((ML_DSA,))))
    trust = lineage.trust(logs=(VKEY, ML_DSA_VKEY))
    assert _check(verify_evidence(lineage.evidence("b"), trust), "log.checkpoint").status is Status.FAILED
    assert verify_evidence(lineage.evidence("b"), lineage.trust(logs=(ML_DSA_VKEY,))).sound


def test_old_proofs_outlive_a_rotation_and_a_retired_key_signs_nothing_more() -> None:
    lineage = _lineage(Log(CLASSIC))
    before = encode_bundle(lineage.evidence("b"))
    lineage.log.signer = LogSigner((CLASSIC, NEWER))
    lineage.add("c", ["b"])
    during = encode_bundle(lineage.evidence("c"))
    lineage.log.signer = NEWER
    lineage.add("d", ["c"])
    after = encode_bundle(lineage.evidence("d"))
    lineage.log.signer = CLASSIC  # whoever got hold of the old key
    stolen = encode_bundle(lineage.evidence("d"))
    spans = (SizeSpan(VKEY, 0, 3), SizeSpan(NEWER_VKEY, 3))
    trust = lineage.trust(logs=(VKEY, NEWER_VKEY), log_spans=spans)
    for bundle in (before, during, after):
        assert verify_bundle(bundle, trust).sound
    check = _check(verify_bundle(stolen, trust), "log.checkpoint")
    assert check.status is Status.FAILED
    assert "does not hold for its size" in check.note
    assert (check.expected, check.found) == ("size 0 to 3", "size 4")
    assert parse_bundle(stolen) != parse_bundle(after)


def test_a_witness_counts_once_and_with_both_its_keys() -> None:
    for by, sound in ((WITNESS, True), (WITNESS[:1], False), (WITNESS[1:], False), ((), False)):
        lineage = _lineage(Log(BOTH, cosigners=by))
        trust = lineage.trust(logs=(VKEY, ML_DSA_VKEY), witnesses=WITNESS_VKEYS, quorum=1)
        report = verify_evidence(lineage.evidence("b"), trust)
        assert report.sound is sound, by
        if sound:
            assert _check(report, "log.witnesses").note == "1 of 1 cosigned, 1 are needed"


def test_a_witness_key_that_ended_before_is_not_counted() -> None:
    lineage = _lineage(Log(BOTH, cosigners=WITNESS))  # at 2023-11-14T22:13:20Z
    for until, sound in (("2023-11-14T22:13:20Z", True), ("2023-11-14T22:13:19Z", False)):
        spans = tuple(TimeSpan(vkey, None, until) for vkey in WITNESS_VKEYS)
        trust = lineage.trust(logs=(VKEY,), witnesses=WITNESS_VKEYS, quorum=1, witness_spans=spans)
        assert verify_evidence(lineage.evidence("b"), trust).sound is sound


def test_one_changed_character_of_either_signature_fails_the_proof() -> None:
    lineage = _lineage(Log(BOTH))
    trust = lineage.trust(logs=(VKEY, ML_DSA_VKEY))
    entry = lineage.evidence("a").entries[0]
    text = entry.proof.decode()
    start = text.index("\N{EM DASH} ") + len(ORIGIN) + 3
    for at in (start + 20, start + 60, text.rindex(" ") + 30, len(text) - 60):
        changed = text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :]
        forged = replace(lineage.evidence("a"), entries=(replace(entry, proof=changed.encode()),))
        assert not verify_evidence(forged, trust).sound
