"""Keys that speak for themselves in a real ledger: announced, rotated, revoked; and what others make of it."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from provenance.encoding import Digest
from provenance.errors import ConflictError, MalformedError, NotFoundError, PolicyError, ProvenanceError, SignerError
from provenance.ledger import Ledger
from provenance.ledger.gathering import receipt_of
from provenance.ledger.key_events import announce_key, revoke_key, rotate_key, said_of_key
from provenance.ledger.offline import audit_offline
from provenance.policy import Status
from provenance.signature import encode_envelope, sign_envelope
from provenance.signature.keys import derive_private_key
from provenance.statement import PAYLOAD_TYPE
from provenance.statement.finding import Finding, FindingState, Severity
from provenance.statement.key_event import KeyAction, KeyEvent, KeyReason, NamedKey, encode_key_event
from provenance.statement.quality import Quality, QualityResult
from provenance.statement.review import Decision, Review
from provenance.verify import parse_bundle, verify_bundle
from provenance.verify.audit_page import audit_page
from provenance.verify.gate import _item_facts


def _event(ledger: Ledger, name: str, action: KeyAction, by: str | None = None, **options: object) -> bytes:
    pem = ledger.keyring.show(name).public.pem
    event = KeyEvent(NamedKey.of(pem), action, "2026-11-20T12:00:00Z", **options)  # type: ignore[arg-type]
    return encode_envelope(sign_envelope(encode_key_event(event), PAYLOAD_TYPE, ledger.keyring.signer(by or name)))


@pytest.fixture
def ledger_of_history(copy: Path) -> Ledger:
    return Ledger.open(copy)


def test_what_a_key_says_of_itself_is_shown_in_order(ledger_of_history: Ledger) -> None:
    with ledger_of_history as ledger:
        ledger.keyring.new("next")
        keyid = Digest.from_hex(ledger.keyring.show("museum").public.keyid)
        indexes = [announce_key(ledger, "museum").index, rotate_key(ledger, "museum", "next").index]
        assert ledger.verify_reference("h/clean").sound  # what it signed stays good
        indexes.append(revoke_key(ledger, "museum", KeyReason.SUPERSEDED).index)
        said = said_of_key(ledger, keyid)
        assert [one.index for one in said] == indexes
        assert [one.event.action for one in said] == [KeyAction.INTRODUCED, KeyAction.ROTATED, KeyAction.REVOKED]
        assert said[1].event.successor == NamedKey.of(ledger.keyring.show("next").public.pem)
        assert said[0].event.not_before is not None
        assert [listed.type for listed in ledger.log.listed(indexes[0], 1)] == ["urn:provenance-ledger:key:1"]
        assert ledger.keyring.trust().source(keyid.hex).revoked  # type: ignore[union-attr]
        assert not ledger.verify_reference("h/clean").sound
        assert ledger.fsck().clean
        ledger.rebuild_index()
        assert [one.index for one in said_of_key(ledger, keyid)] == indexes


def test_an_audit_shows_what_was_said_of_the_keys_that_signed(ledger_of_history: Ledger) -> None:
    with ledger_of_history as ledger:
        ledger.keyring.new("next")
        ledger.keyring.new("bystander")
        keyid = ledger.keyring.show("museum").public.keyid
        announce_key(ledger, "bystander")
        first = announce_key(ledger, "museum").index
        for _ in range(3):  # whoever has a key cannot fill bundles with what it says
            time.sleep(1)
            announce_key(ledger, "museum")
        gave_way = rotate_key(ledger, "museum", "next").index
        trust = ledger.trust_roots(with_blocks=True)
        ended = revoke_key(ledger, "museum", KeyReason.SUPERSEDED).index
        audit, evidence = ledger.audited("h/model")
        assert [(one.index, one.name, str(one.event.action)) for one in audit.keys] == [
            (first, "museum", "introduced"),
            (gave_way, "museum", "rotated"),
            (ended, "museum", "revoked"),
        ]
        assert audit.keys[2].words == "revoked: superseded"
        said = audit.to_json()["keys"]
        assert isinstance(said, list)
        assert said[0] == {
            "keyid": keyid, "name": "museum", "entry": first, "created": audit.keys[0].event.created,
            "signer": keyid, "says": {"action": "introduced"},
        }  # fmt: skip
        bundle = ledger.bundle("h/model")
        page = audit_page(audit, bundle).decode()
        for one in audit.keys:
            assert f"<td>{one.words}</td>" in page
        offline, _ = audit_offline(bundle, trust, {})
        assert offline.keys == audit.keys
        # Who trusts none of these keys is told nothing by them.
        nobody = replace(trust, sources=())
        assert audit_offline(bundle, nobody, {})[0].keys == ()
        assert len(evidence.entries) == len(ledger.audited("h/model")[1].entries)


def test_who_has_an_older_trust_is_told_by_the_bundle(ledger_of_history: Ledger) -> None:
    with ledger_of_history as ledger:
        trust, before = ledger.trust_roots(with_blocks=True), ledger.bundle("h/clean")
        assert verify_bundle(before, trust).sound
        revoke_key(ledger, "museum", KeyReason.COMPROMISED)
        report = verify_bundle(ledger.bundle("h/clean"), trust)
        assert not report.sound
        assert "signed by a revoked key" in {check.note for check in report.failures}
        assert verify_bundle(before, trust).sound  # it does not know yet: no bundle proves that there is no revocation


def test_what_a_block_proves_to_be_older_is_spared(ledger_of_history: Ledger) -> None:
    with ledger_of_history as ledger:
        trust = ledger.trust_roots(with_blocks=True)
        receipts = [receipt_of(row) for row in ledger.anchors()]
        while time.time() < max(one.block_time_s for one in receipts if one is not None) + 1:
            time.sleep(0.1)  # blocks of this chain may be seconds ahead; what is spared is older than what was said
        revoke_key(ledger, "museum", KeyReason.RETIRED, "2099-01-01T00:00:00Z")
        report = verify_bundle(ledger.bundle("h/model"), trust)
        assert report.sound
        noted = [check.note for check in report.checks if check.id == "trust" and "revoked since" in check.note]
        assert len(noted) == 2  # of the two that the museum signed
        assert len(parse_bundle(ledger.bundle("h/model")).anchors) == 2  # each is proven in the first that covers it


def test_a_revocation_of_what_signed_a_parent_reaches_its_descendants(ledger_of_history: Ledger) -> None:
    with ledger_of_history as ledger:
        revoke_key(ledger, "museum", KeyReason.COMPROMISED)
        report = ledger.verify_reference("h/model")  # signed by the lab, made from what the museum signed
        assert not report.sound
        assert {check.subject for check in report.failures if check.id == "trust"} == {"h/clean@1", "h/raw@1"}


def test_what_is_sent_to_a_ledger(ledger: Ledger) -> None:
    ledger.keyring.new("stranger", trust=False)
    ledger.keyring.new("other")
    for envelope, error in (
        (_event(ledger, "stranger", KeyAction.INTRODUCED), PolicyError),
        (_event(ledger, "someone", KeyAction.REVOKED, by="other", reason=KeyReason.RETIRED), PolicyError),
        (_event(ledger, "stranger", KeyAction.REVOKED, by="someone", reason=KeyReason.RETIRED), PolicyError),
        (_event(ledger, "someone", KeyAction.INTRODUCED)[:-20], ProvenanceError),
    ):
        with pytest.raises(error):
            ledger.submit(envelope)
    assert ledger.log.size() == 0
    sent = _event(ledger, "other", KeyAction.REVOKED, reason=KeyReason.COMPROMISED)
    receipt = ledger.submit(sent)
    assert (receipt.name, receipt.digest, receipt.created) == ("key", ledger.keyring.show("other").public.keyid, True)
    assert ledger.submit(sent).created is False
    assert ledger.keyring.trust().source(receipt.digest).revoked  # type: ignore[union-attr]
    with pytest.raises(PolicyError, match="revoked"):  # it says nothing more
        ledger.submit(_event(ledger, "other", KeyAction.INTRODUCED))
    assert ledger.log.size() == 1


def test_a_successor_is_a_key(ledger: Ledger) -> None:
    ledger.keyring.new("next")
    pem = ledger.keyring.show("next").public.pem
    for text in ("junk", "", pem[:-30], pem + "x", pem.replace("PUBLIC", "PRIVATE"), pem.replace("\n", "\r\n")):
        with pytest.raises(MalformedError):
            ledger.submit(_event(ledger, "someone", KeyAction.ROTATED, successor=NamedKey.of(text)))
    assert ledger.log.size() == 0
    assert ledger.submit(_event(ledger, "someone", KeyAction.ROTATED, successor=NamedKey.of(pem))).created


def test_who_cannot_sign_says_nothing(ledger: Ledger) -> None:
    with pytest.raises((NotFoundError, SignerError)):
        announce_key(ledger, "nobody")
    with pytest.raises((NotFoundError, SignerError)):
        rotate_key(ledger, "someone", "nobody")
    with pytest.raises(ProvenanceError):
        revoke_key(ledger, "someone", KeyReason.RETIRED, "yesterday")
    with pytest.raises(NotFoundError, match="no such key"):
        said_of_key(ledger, Digest.of(b"x"))
    assert said_of_key(ledger, Digest.from_hex(ledger.keyring.show("someone").public.keyid)) == ()
    assert ledger.log.size() == 0
    assert not ledger.keyring.trust().source(ledger.keyring.show("someone").public.keyid).revoked  # type: ignore[union-attr]


def test_a_key_that_was_ended_does_not_flood_the_log(ledger: Ledger) -> None:
    sent = _event(ledger, "someone", KeyAction.REVOKED, reason=KeyReason.COMPROMISED, since="2026-06-01T00:00:00Z")
    ledger.submit(sent)
    for since in ("2026-06-01T00:00:00Z", "2026-07-01T00:00:00Z"):
        with pytest.raises(ConflictError, match="already"):
            ledger.submit(_event(ledger, "someone", KeyAction.REVOKED, reason=KeyReason.RETIRED, since=since))
    ledger.submit(
        _event(ledger, "someone", KeyAction.REVOKED, reason=KeyReason.COMPROMISED, since="2026-05-01T00:00:00Z")
    )
    ledger.submit(_event(ledger, "someone", KeyAction.REVOKED, reason=KeyReason.COMPROMISED))
    with pytest.raises(ConflictError, match="already"):
        ledger.submit(_event(ledger, "someone", KeyAction.REVOKED, reason=KeyReason.RETIRED))
    assert ledger.log.size() == 3


def test_a_thief_does_not_use_up_the_room_for_the_true_revocation(ledger: Ledger) -> None:
    def ended(since: str | None, **changes: object) -> bytes:
        pem = ledger.keyring.show("someone").public.pem
        event = KeyEvent(
            NamedKey.of(pem), KeyAction.REVOKED, "2026-11-20T12:00:00Z", reason=KeyReason.RETIRED, since=since
        )
        payload = encode_key_event(replace(event, **changes))  # type: ignore[arg-type]
        return encode_envelope(sign_envelope(payload, PAYLOAD_TYPE, ledger.keyring.signer("someone")))

    with pytest.raises(PolicyError, match="yet to come"):
        ledger.submit(ended("2098-01-01T00:00:00Z", created="2099-01-01T00:00:00Z"))
    for year in range(2025, 2017, -1):
        ledger.submit(ended(f"{year}-01-01T00:00:00Z"))
    with pytest.raises(ConflictError):
        ledger.submit(ended("2001-01-01T00:00:00Z"))
    ledger.submit(ended(None))
    listed = ledger.keyring.trust().source(ledger.keyring.show("someone").public.keyid)
    assert listed is not None
    assert (listed.revoked, listed.since) == (True, None)


def test_who_retires_a_key_takes_nothing_back_and_loses_nothing(ledger_of_history: Ledger) -> None:
    """What a key said before it was retired, and a block proves to be older, counts; what it said against an artefact
    counts whenever it was."""
    with ledger_of_history as ledger:
        ledger.keyring.new("reviewer")
        ledger.state("h/clean", Review(Decision.APPROVED), key="reviewer")
        ledger.state("h/model", Quality(QualityResult.FAILED, failed=("x",)), key="reviewer")
        ledger.anchor()
        receipts = [receipt_of(row) for row in ledger.anchors()]
        while time.time() < max(one.block_time_s for one in receipts if one is not None) + 1:
            time.sleep(0.1)
        ledger.state("h/raw", Review(Decision.APPROVED), key="reviewer")  # nothing proves that this was before
        trust = ledger.trust_roots(with_blocks=True)
        revoke_key(ledger, "reviewer", KeyReason.RETIRED, "2099-01-01T00:00:00Z")
        for name, status in (("h/clean", Status.PASSED), ("h/raw", Status.NOT_PERFORMED)):
            for report in (ledger.verify_reference(name), verify_bundle(ledger.bundle(name), trust)):
                assert [check.status for check in report.checks if check.id == "review"] == [status]
        for report in (ledger.verify_reference("h/model"), verify_bundle(ledger.bundle("h/model"), trust)):
            assert not report.sound
            assert [check.status for check in report.checks if check.id == "quality"] == [Status.FAILED]


def test_one_key_takes_the_place_of_another_and_no_second(ledger: Ledger) -> None:
    for name in ("next", "third"):
        ledger.keyring.new(name)
    rotate_key(ledger, "someone", "next")
    with pytest.raises(ConflictError, match="took its place already"):
        rotate_key(ledger, "someone", "third")
    rotate_key(ledger, "next", "third")
    assert ledger.log.size() == 2


def test_keys_that_gave_way_to_one_another_are_one_holders(ledger_of_history: Ledger) -> None:
    with ledger_of_history as ledger:
        for name in ("one", "two"):
            ledger.keyring.new(name)
        ledger.state("h/model", Review(Decision.APPROVED), key="two")
        trust = ledger.trust_roots(with_blocks=True)

        def reviews() -> list[Status]:
            reports = (ledger.verify_reference("h/model"), verify_bundle(ledger.bundle("h/model"), trust))
            return [check.status for report in reports for check in report.checks if check.id == "review"]

        assert reviews() == [Status.PASSED] * 2
        rotate_key(ledger, "lab", "one")
        assert reviews() == [Status.PASSED] * 2
        rotate_key(ledger, "one", "two")  # `one` signed nothing that is at hand
        assert reviews() == [Status.NOT_PERFORMED] * 2


def test_an_audit_counts_what_the_report_counts(ledger_of_history: Ledger) -> None:
    with ledger_of_history as ledger:
        ledger.keyring.new("tester")
        for state in (FindingState.OPEN, FindingState.RESOLVED):
            ledger.state("h/model", Finding("f", Severity.HIGH, "x", state), key="tester")
            time.sleep(1)
        ledger.state("h/model", Review(Decision.APPROVED), key="lab")  # who registered it
        revoke_key(ledger, "tester", KeyReason.RETIRED)
        audit, _ = ledger.audited("h/model")
        assert audit.open_findings() == []
        assert audit.items[0].approvals == _item_facts(audit.items[0])["reviews"] == 0
        ledger.state("h/model", Review(Decision.APPROVED), key="museum")
        assert ledger.audited("h/model")[0].items[0].approvals == 1


def test_a_complete_bundle_follows_whoever_ended_a_key(ledger_of_history: Ledger) -> None:
    with ledger_of_history as ledger:
        other = ledger.keyring.new("second", trust=False)
        ledger.keyring.trust_key("museum", other)
        announce_key(ledger, "second")
        ledger.submit(_event(ledger, "museum", KeyAction.REVOKED, by="second", reason=KeyReason.RETIRED))
        report = verify_bundle(ledger.bundle("h/model", complete=True), ledger.trust_roots(with_blocks=True))
        assert [check.status for check in report.checks if check.id == "log.complete"] == [Status.PASSED]


@pytest.mark.parametrize(
    ("main", "speaker", "ends"),
    [
        ((), ("sandbox",), False),
        (("sandbox", "museum"), ("sandbox",), False),
        (("sandbox",), ("sandbox", "museum"), True),
        (("sandbox",), (), True),
        ((), (), True),
    ],
)
def test_a_key_that_speaks_for_less_ends_no_key_of_its_name_here_either(
    ledger: Ledger, main: tuple[str, ...], speaker: tuple[str, ...], ends: bool
) -> None:
    keys = [derive_private_key("ed25519", bytes([number]) * 32) for number in (1, 2)]
    for one, namespaces in zip(keys, (main, speaker), strict=True):
        ledger.keyring.trust_key("gallery", one.public, namespaces=namespaces)
    event = KeyEvent(
        NamedKey.of(keys[0].public.pem), KeyAction.REVOKED, "2026-11-20T12:00:00Z", reason=KeyReason.COMPROMISED
    )
    sent = encode_envelope(sign_envelope(encode_key_event(event), PAYLOAD_TYPE, keys[1]))
    size = ledger.log.size()
    if ends:
        ledger.submit(sent)
    else:
        with pytest.raises(PolicyError, match="speaks for less"):
            ledger.submit(sent)
        assert ledger.log.size() == size
    listed = ledger.keyring.trust().source(keys[0].public.keyid)
    assert listed is not None
    assert listed.revoked is ends
