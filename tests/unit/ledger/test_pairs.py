"""Pairs in a real ledger: made, trusted, registered with, submitted from elsewhere, and never weakened in silence."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from provenance.encoding import Digest
from provenance.errors import ConflictError, PolicyError, SignerError, VerificationError
from provenance.ledger import Ledger
from provenance.ledger.key_events import announce_key, revoke_key, said_of_key
from provenance.lineage.signed_event import open_signed, sign_event
from provenance.policy import Status
from provenance.signature import encode_envelope, parse_envelope, parse_oms, sign_envelope, verify_envelope, verify_oms
from provenance.statement import PAYLOAD_TYPE
from provenance.statement.key_event import KeyReason
from provenance.statement.review import Decision, Review
from provenance.verify import verify_bundle


@pytest.fixture
def made(ledger: Ledger, tmp_path: Path) -> Ledger:
    """The ledger with a P-256 pair `museum`, and h/raw@1 that it signed."""
    ledger.keyring.new("museum", post_quantum=True)
    (tmp_path / "raw").write_text("1")
    ledger.register(tmp_path / "raw", "h/raw", "1", key="museum", origin="https://h.example", anchor=False)
    return ledger


def _without_pairs(ledger: Ledger) -> None:
    """List the classical keys alone, as a ledger does that was given no more."""
    roots = ledger.keyring.trust()
    sources = tuple(replace(one, key=one.key.alone) for one in roots.sources)
    ledger.keyring.write_trust(replace(roots, sources=sources))


def test_what_a_pair_registers_verifies_here_and_offline(made: Ledger) -> None:
    key = made.keyring.show("museum").public
    assert key.algorithms == ("ecdsa-p256", "ml-dsa-44")
    assert made.verify_reference("h/raw").sound
    assert made.fsck().clean
    bundle, roots = made.bundle("h/raw"), made.trust_roots()
    report = verify_bundle(bundle, roots)
    assert [check.note for check in report.checks if check.id == "signature"] == [
        f"ecdsa-p256 and ml-dsa-44 by key {key.keyid[:16]}"
    ]
    alone = replace(roots, sources=tuple(replace(one, key=one.key.alone) for one in roots.sources))
    (check,) = (check for check in verify_bundle(bundle, alone).checks if check.id == "signature")
    assert check.status is Status.PASSED
    assert "not judged" in check.note
    assert verify_bundle(bundle, replace(roots, sources=())).sound is False


def test_its_oms_bundle_is_as_any_other(made: Ledger) -> None:
    oms = parse_oms(made.oms_bundle("h/raw"))
    assert len(oms.envelope.signatures) == 1
    assert verify_oms(oms, made.keyring.show("museum").public).not_judged == ()
    assert len(parse_envelope(made.log.entry(0).envelope).signatures) == 2


def test_events_of_a_pair_owe_both(made: Ledger) -> None:
    made.state("h/raw", Review(Decision.APPROVED), key="museum")
    announce_key(made, "museum")
    for index in range(3):
        envelope = parse_envelope(made.log.entry(index).envelope)
        verify_envelope(envelope, made.keyring.show("museum").public)
    assert made.verify_reference("h/raw").sound
    revoke_key(made, "museum", KeyReason.RETIRED)
    assert not made.verify_reference("h/raw").sound
    keyid = Digest.from_hex(made.keyring.show("museum").public.keyid)
    assert [one.event.action for one in said_of_key(made, keyid)] == ["introduced", "revoked"]
    listed = made.keyring.trust().source(keyid.hex)
    assert listed is not None
    assert listed.key == made.keyring.show("museum").public


def test_a_ledger_logs_only_what_it_can_judge_whole(made: Ledger, tmp_path: Path) -> None:
    envelope = made.log.entry(0).envelope
    parsed = parse_envelope(envelope)
    pem = made.keyring.show("museum").public
    with Ledger.init(tmp_path / "other", origin="other.example/log") as other:
        stripped = encode_envelope(replace(parsed, signatures=parsed.signatures[:1]))
        other.keyring.trust_pem("museum", pem.pem.encode())
        with pytest.raises(VerificationError, match="a key that is not known"):
            other.submit(envelope)
        other.keyring.trust_pem("museum", pem.text.encode())
        with pytest.raises(VerificationError, match="lacks the ML-DSA-44"):
            other.submit(stripped)
        assert other.submit(envelope).created
        assert not other.submit(envelope).created
        assert other.verify_reference("h/raw").sound


def test_trust_in_a_pair_is_not_weakened_in_silence(made: Ledger) -> None:
    keyring, key = made.keyring, made.keyring.show("museum").public
    with pytest.raises(ConflictError, match="with an ML-DSA-44 key beside it"):
        keyring.trust_pem("museum", key.pem.encode())
    with pytest.raises(ConflictError, match="with an ML-DSA-44 key beside it"):
        keyring.trust_key("museum", key.alone, namespaces=("h",))
    assert keyring.trust_pem("museum", key.text.encode()).key == key
    listed = keyring.trust_key("museum", key.alone, revoked=True)
    assert (listed.key, listed.revoked) == (key, True)
    with pytest.raises(PolicyError):
        keyring.trust_key("museum", key)


def test_a_pair_may_be_listed_where_its_classical_key_was(made: Ledger) -> None:
    key = made.keyring.show("museum").public
    _without_pairs(made)
    report = made.verify_reference("h/raw")
    assert report.sound
    assert "not judged" in next(check.note for check in report.checks if check.id == "signature")
    made.keyring.trust_pem("museum", key.text.encode())
    assert made.verify_reference("h/raw").sound


def test_half_a_pair_signs_nothing_where_the_pair_is_trusted(made: Ledger, tmp_path: Path) -> None:
    file = made.layout.keys / "museum.pem"
    blocks = file.read_text().split("-----BEGIN ")
    file.write_text("-----BEGIN ".join(blocks[number] for number in (0, 1, 3)))
    assert made.keyring.show("museum").public.ml_dsa is None
    with pytest.raises(SignerError, match="lacks the ML-DSA-44 key"):
        made.register(tmp_path / "raw", "h/raw", "2", key="museum", anchor=False)
    _without_pairs(made)
    made.register(tmp_path / "raw", "h/raw", "2", key="museum", anchor=False)


def test_a_statement_leaves_room_for_both_signatures(made: Ledger, tmp_path: Path) -> None:
    """Parents go into a list of their own where the second signature takes their room."""
    parents = []
    for number in range(225):
        (tmp_path / "many").write_text(str(number))
        name = f"h/{'long-name-of-a-parent' * 2}-{number}"
        made.register(tmp_path / "many", name, "1", key="museum", anchor=False)
        parents.append(name)
    for count in range(1, len(parents), 7):
        receipt = made.register(
            tmp_path / "raw", f"h/child-{count}", "1", key="museum", parents=parents[:count], anchor=False
        )
        assert len(made.log.entry(receipt.index).envelope) <= 65_535


def test_a_lineage_event_that_a_pair_signed(made: Ledger) -> None:
    signer = made.keyring.signer("museum")
    envelope = open_signed(sign_event(b'{"eventType":"START"}', signer))
    assert len(envelope.signatures) == 2
    verify_envelope(envelope, signer.public)
    forged = sign_envelope(b"{}", PAYLOAD_TYPE, signer)
    with pytest.raises(VerificationError):
        verify_envelope(replace(envelope, payload=forged.payload), signer.public)
