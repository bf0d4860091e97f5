"""Events in a ledger: signed and logged once, found, carried in bundles, examined; and who is concerned."""

from __future__ import annotations

import sqlite3
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from provenance.encoding import Digest
from provenance.errors import MalformedError, NotFoundError, PolicyError, VerificationError
from provenance.ledger import Ledger
from provenance.ledger.publication import EventSubmission, SaidSinceError
from provenance.policy import Status
from provenance.signature import derive_private_key, encode_envelope, sign_envelope
from provenance.statement import PAYLOAD_TYPE, Pin, PinnedName
from provenance.statement.events import Body, Event, encode_event
from provenance.statement.finding import Finding, Severity
from provenance.statement.frame import Subject
from provenance.statement.quality import Quality, QualityResult
from provenance.statement.review import Decision, Review
from provenance.statement.revocation import Revocation, RevocationReason
from provenance.statement.supersession import Supersession
from provenance.statement.usage import Usage
from provenance.verify import parse_bundle, verify_bundle
from provenance.verify.audit_page import audit_page
from provenance.verify.drawing import draw
from tests.unit.ledger.conftest import Write

REVOKED = Revocation(RevocationReason.CONSENT_WITHDRAWN)


@pytest.fixture
def opened(copy: Path) -> Ledger:
    return Ledger.open(copy)


def test_what_is_said_is_in_the_log_and_is_found(opened: Ledger) -> None:
    with opened as ledger:
        size = ledger.log.size()
        row = ledger.state("h/raw", Usage("training"), key="museum")
        assert (row.entry_index, row.type, row.about) == (size, Usage.TYPE, ledger.pin("h/raw").envelope)
        ledger.state("h/raw", REVOKED, key="lab")
        assert [said.event.body for said in ledger.said_about("h/raw")] == [Usage("training"), REVOKED]
        assert ledger.said_about("h/model") == []
        assert ledger.log.size() == size + 2
        # What is last said was made after the block of the newest anchor.
        assert ledger.said_about("h/raw")[0].event.not_before is not None


def test_a_revocation_reaches_what_was_made_from_it(opened: Ledger, copy: Path) -> None:
    with opened as ledger:
        assert ledger.verify("h/model").sound
        ledger.state("h/raw", REVOKED, key="museum")
        report = ledger.verify("h/model")
        assert [check.subject for check in report.failures if check.id == "revocation"] == ["h/raw@1"]
        assert not report.sound
        assert set(report.affected) == {"h/clean@1", "h/model@1"}
        bundle = ledger.bundle("h/model")
        trust = ledger.trust_roots(with_blocks=True)
    assert not verify_bundle(bundle, trust).sound
    # It was logged after the anchor that covers the model: its proof leads to a newer checkpoint.
    assert len(parse_bundle(bundle).entries) == 4


def test_what_stands_on_a_revoked_source_is_shown_as_affected(opened: Ledger) -> None:
    with opened as ledger:
        ledger.state("h/raw", REVOKED, key="museum")
        lineage = ledger.lineage("h/model")
        statuses = {one.name: one.status for one in lineage.report.artefacts}
        audit, bundle = ledger.audit("h/model")
        page = audit_page(audit, bundle).decode()
    assert statuses.pop("h/raw@1") is Status.FAILED
    assert set(statuses) == {"h/clean@1", "h/model@1"} and set(statuses.values()) == {Status.AFFECTED}
    value = lineage.to_json()
    assert value["verdict"] == "failed"
    failures = [(one["check"], one["subject"]) for one in value["failures"]]  # type: ignore[union-attr, index, call-overload]
    assert failures == [("revocation", "h/raw@1"), ("lineage", "h/model@1")]
    # Nothing that is drawn or listed of this lineage is green: one is red, the others are coloured as affected.
    for form, affected, passed in (
        ("dot", 'fillcolor="#fbdcc4"', 'fillcolor="#d7f0dc"'),
        ("svg", 'fill="#fbdcc4"', 'fill="#d7f0dc"'),
        ("mermaid", ":::affected", ":::passed"),
        ("prov-json", '"pl:status": "affected"', '"pl:status": "passed"'),
    ):
        text = draw(lineage.report, form)
        assert (text.count(affected), text.count(passed)) == (2, 0), form
    listed = page[page.index("Everything that went into it") : page.index("Licences and what they ask for")]
    assert listed.count('<span class="affected">affected</span>') == 2
    assert listed.count('<span class="failed">failed</span>') == 1
    assert '<span class="passed">' not in listed
    assert '<span class="affected">affected</span>: nothing of its own failed' in page


def test_a_bundle_carries_no_uses(opened: Ledger) -> None:
    with opened as ledger:
        before = ledger.bundle("h/model")
        ledger.state("h/model", Usage("training"), key="lab")
        assert len(parse_bundle(ledger.bundle("h/model")).entries) == len(parse_bundle(before).entries)


def test_the_impact_is_told_with_the_shortest_ways(opened: Ledger, write: Write) -> None:
    with opened as ledger:
        assert ledger.impact("h/raw").names == ("h/clean@1", "h/model@1")
        assert {(one.distance, one.via) for one in ledger.impact("h/raw").affected} == {(1, "h/raw@1")}
        assert ledger.impact("h/clean").path_to("h/model@1") == ("h/clean@1", "h/model@1")
        assert ledger.impact("h/model").affected == ()
        with pytest.raises(NotFoundError, match="was not made from h/clean@1"):
            ledger.impact("h/clean").path_to("h/raw@1")
        place = write("late", x="late")
        ledger.register(place, "h/late", "1", key="lab", parents=["h/model"], anchor=False)
        impact = ledger.impact("h/raw")
        assert impact.path_to("h/late@1") == ("h/raw@1", "h/model@1", "h/late@1")
        one = {"name": "h/late@1", "distance": 2, "via": "h/model@1", "spared": False}
        assert impact.to_json("h/late@1") == {
            "of": "h/raw@1", "count": 3, "spared": 0, "affected": [one], "path": ["h/raw@1", "h/model@1", "h/late@1"],
        }  # fmt: skip


def _envelope(ledger: Ledger, about: Pin, body: Supersession | None = None) -> bytes:
    event = Event(about, body or Usage("x"), "2026-01-01T00:00:00Z")
    return encode_envelope(sign_envelope(encode_event(event), PAYLOAD_TYPE, ledger.keyring.signer("lab")))


def test_the_same_envelope_again_is_the_same_entry(opened: Ledger) -> None:
    with opened as ledger:
        envelope = _envelope(ledger, ledger.pin("h/raw"))
        first, again = (ledger.sequencer.submit(EventSubmission(envelope)) for _ in range(2))
        assert (first.created, again.created) == (True, False)
        assert first.row == again.row
        entry = ledger._store.entry(first.row.entry_index)
        assert entry is not None
        assert entry.envelope == envelope


def test_what_is_not_in_the_log_as_it_is_pinned_is_refused(opened: Ledger) -> None:
    with opened as ledger:
        raw, clean = ledger.pin("h/raw"), ledger.pin("h/clean")
        unknown = Pin(PinnedName.parse("h/none@1"), raw.digest, raw.envelope)
        size = ledger.log.size()
        for about, error in (
            (unknown, NotFoundError),
            (Pin(raw.name, clean.digest, raw.envelope), PolicyError),
            (Pin(raw.name, raw.digest, clean.envelope), PolicyError),
        ):
            with pytest.raises(error):
                ledger.sequencer.submit(EventSubmission(_envelope(ledger, about)))
            with pytest.raises(error):
                ledger.sequencer.submit(EventSubmission(_envelope(ledger, ledger.pin("h/model"), Supersession(about))))
        with pytest.raises(MalformedError):
            ledger.sequencer.submit(EventSubmission(ledger._store.entry(0).envelope))  # type: ignore[union-attr]
        assert ledger.log.size() == size
        with pytest.raises(NotFoundError):
            ledger.state("h/none", Usage("x"), key="lab")


def test_a_key_that_is_revoked_here_says_nothing(opened: Ledger) -> None:
    with opened as ledger:
        ledger.keyring.revoke("lab")
        with pytest.raises(PolicyError, match="key is revoked here"):
            ledger.state("h/raw", REVOKED, key="lab")


def test_the_index_is_made_again_with_events(opened: Ledger) -> None:
    with opened as ledger:
        ledger.state("h/raw", Review(Decision.APPROVED), key="lab")
        ledger.state("h/raw", REVOKED, key="museum")
        before = ledger.said_about("h/raw")
        ledger.rebuild_index()
        assert ledger.said_about("h/raw") == before
        report = ledger.fsck(independent=True)
        assert (report.clean, report.notes) == (True, [])
        assert report.entries == 5


@pytest.mark.parametrize(
    "damage", ["DELETE FROM events", "UPDATE events SET type = 'x'", "UPDATE events SET about = randomblob(32)"]
)
def test_an_index_that_lost_an_event_is_damage(copy: Path, damage: str) -> None:
    with Ledger.open(copy) as ledger:
        row = ledger.state("h/raw", REVOKED, key="museum")
        path = ledger.layout.database
    with sqlite3.connect(path) as connection:
        connection.execute(damage)
    connection.close()
    with Ledger.open(copy) as ledger:
        expected = f"index of entry {row.entry_index}: the event is not what the entry says"
        assert expected in ledger.fsck().findings


def test_registering_goes_on_after_events(opened: Ledger, write: Write) -> None:
    with opened as ledger:
        ledger.state("h/raw", REVOKED, key="museum")
        receipt = ledger.register(write("more", x="more"), "h/more", "1", key="lab", parents=["h/clean"])
        assert receipt.anchor is not None
        assert [row.name for row in ledger.datasets()] == ["raw", "clean", "model", "more"]
        assert not ledger.verify("h/more").sound  # its grandparent is revoked


def test_what_is_proven_to_be_older_than_a_revocation_is_not_reached(opened: Ledger, write: Write) -> None:
    with opened as ledger:
        anchored = ledger.verify("h/model").not_after
        assert anchored is not None
        later, earlier = "2126-01-01T00:00:00Z", "2026-01-01T00:00:00Z"
        ledger.state("h/raw", Revocation(RevocationReason.LICENSE_WITHDRAWN, later), key="museum")
        report = ledger.verify("h/model")
        assert report.sound
        (check,) = [check for check in report.checks if check.id == "revocation"]
        assert anchored.time in check.note
        assert not ledger.verify("h/raw").sound  # it must not be used any more
        # Without an anchor nothing proves that it is older.
        place = write("late", x="late")
        ledger.register(place, "h/late", "1", key="lab", parents=["h/raw"], anchor=False)
        assert not ledger.verify("h/late").sound
        ledger.state("h/raw", Revocation(RevocationReason.LICENSE_WITHDRAWN, earlier), key="museum")
        assert not ledger.verify("h/model").sound


def test_what_a_trusted_source_signed_elsewhere_is_taken(opened: Ledger) -> None:
    with opened as ledger:
        reviewer = derive_private_key("ed25519", bytes(32))
        event = Event(ledger.pin("h/model"), Review(Decision.APPROVED), "2026-01-01T00:00:00Z")
        envelope = encode_envelope(sign_envelope(encode_event(event), PAYLOAD_TYPE, reviewer))
        size = ledger.log.size()
        with pytest.raises(PolicyError, match="key is not trusted here"):
            ledger.submit(envelope)
        ledger.keyring.trust_key("reviewer", reviewer.public)
        receipt, again = ledger.submit(envelope), ledger.submit(envelope)
        assert (receipt.name, receipt.index, receipt.created) == ("h/model@1", size, True)
        assert (again.index, again.created) == (size, False)
        assert [check.status for check in ledger.verify("h/model").checks if check.id == "review"] == [Status.PASSED]
        forged = envelope.replace(b'"sig":"', b'"sig":"AA', 1)
        with pytest.raises((MalformedError, VerificationError)):
            ledger.submit(forged)
        about = Pin(PinnedName.parse("h/none@1"), event.about.digest, event.about.envelope)
        other = Event(about, Review(Decision.APPROVED), "2026-01-01T00:00:00Z")
        with pytest.raises(NotFoundError):
            ledger.submit(encode_envelope(sign_envelope(encode_event(other), PAYLOAD_TYPE, reviewer)))
        assert ledger.log.size() == size + 1


def test_a_key_concerns_what_it_signed_and_what_was_made_from_that(opened: Ledger) -> None:
    with opened as ledger:
        museum = ledger.impact_of_key("museum")
        assert museum.affected[0].via is None
        assert museum.path_to("h/raw@1") == ("h/raw@1",)
        assert set(museum.names) == {"h/raw@1", "h/clean@1", "h/model@1"}
        keyid = ledger.keyring.trust().sources[0].key.keyid
        ledger.keyring.revoke("museum")
        assert ledger.impact_of_key("museum") == museum
        assert ledger.impact_of_key(keyid[:12]).affected
        with pytest.raises(NotFoundError):
            ledger.impact_of_key("nobody")


def test_an_older_word_of_the_same_signer_is_late(opened: Ledger) -> None:
    """Whoever sends what was signed and public before cannot take back what was said since."""
    with opened as ledger:

        def signed(body: Body, created: str, by: str = "lab") -> bytes:
            event = Event(ledger.pin("h/raw"), body, created)
            return encode_envelope(sign_envelope(encode_event(event), PAYLOAD_TYPE, ledger.keyring.signer(by)))

        praise, warning = Review(Decision.APPROVED), Review(Decision.REJECTED)
        ledger.submit(signed(warning, "2026-02-01T00:00:00Z"))
        with pytest.raises(SaidSinceError, match="something newer"):
            ledger.submit(signed(praise, "2026-01-01T00:00:00Z"))
        ledger.submit(signed(praise, "2026-01-01T00:00:00Z", by="museum"))  # of its own, and of another
        ledger.submit(signed(Usage("x"), "2026-01-01T00:00:00Z"))
        ledger.submit(signed(praise, "2026-02-01T00:00:00Z"))
        ledger.state("h/raw", warning, key="lab")
        # Another thing may be told in any order.
        for finding, created in (("f2", "2026-03-02T00:00:00Z"), ("f1", "2026-03-01T00:00:00Z")):
            ledger.submit(signed(Finding(finding, Severity.LOW, "x"), created))
        for number, created in ((2, "2026-03-02T00:00:00Z"), (1, "2026-03-01T00:00:00Z")):
            rules = (Subject("rules", Digest.of(b"%d" % number)),)
            ledger.submit(signed(Quality(QualityResult.PASSED, rules, ("x",)), created))
        # Nobody speaks from a time that is yet to come, and whose clock is a little ahead can still take it back.
        with pytest.raises(PolicyError, match="yet to come"):
            ledger.submit(signed(praise, "9999-12-31T00:00:00Z"))
        ahead = (datetime.now(UTC) + timedelta(minutes=4)).strftime("%Y-%m-%dT%H:%M:%SZ")
        ledger.submit(signed(praise, ahead))
        time.sleep(1.1)  # in the same second it would be the same envelope as above
        row = ledger.state("h/raw", warning, key="lab")
        assert row.created == ahead
        checks = [check for check in ledger.verify_reference("h/raw").checks if check.id == "review"]
        assert [check.status for check in checks] == [Status.FAILED]
