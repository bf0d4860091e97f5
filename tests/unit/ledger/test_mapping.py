"""The log's map of a real ledger: it follows the log, answers for everybody, and cannot be led astray."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from provenance.errors import NotFoundError
from provenance.ledger import Ledger
from provenance.ledger.key_events import announce_key, rotate_key
from provenance.ledger.mapping import answer_about, check_map, update_map
from provenance.log import parse_proof
from provenance.log.map import KeyKind, Listed, MapKey, keys_of, sign_head, verify_answer
from provenance.policy import SizeSpan, Status, TrustRoots
from provenance.signature import parse_envelope
from provenance.statement.review import Decision, Review
from provenance.statement.revocation import Revocation, RevocationReason
from provenance.statement.usage import Usage
from provenance.verify import Check, Evidence, encode_bundle, parse_bundle, verify_evidence
from tests.unit.ledger.conftest import Write


def _listed(ledger: Ledger, kind: KeyKind, value: str) -> Listed:
    answer = answer_about(ledger, MapKey(kind, value))
    return verify_answer(answer, ledger.keyring.log_keys.keys())


def test_it_answers_for_what_is_in_the_log_now(copy: Path) -> None:
    with Ledger.open(copy) as ledger:
        about = ledger.pin("h/raw")
        before = _listed(ledger, KeyKind.ABOUT, about.envelope.hex)
        said = [ledger.state("h/raw", Review(Decision.APPROVED), key="lab").entry_index]
        used = ledger.state("h/raw", Usage("training"), key="lab").entry_index
        after = _listed(ledger, KeyKind.ABOUT, about.envelope.hex)
        assert (after.size, after.entries) == (before.size + 2, (*before.entries, *said))
        assert after.log_root == ledger.log.root_at(after.size)
        assert _listed(ledger, KeyKind.USE, about.envelope.hex).entries == (used,)
        assert _listed(ledger, KeyKind.NAME, "h/none").entries == ()
        # Every key of every entry, by the entries alone.
        rows = ledger.log.entries(0, after.size)
        for key in {key for row in rows for key in keys_of(row.envelope)}:
            expected = tuple(row.index for row in rows if key in keys_of(row.envelope))
            assert _listed(ledger, key.kind, key.value).entries == expected
        assert check_map(ledger) == ()


def test_a_head_is_signed_once_for_a_size(copy: Path) -> None:
    with Ledger.open(copy) as ledger:
        first = answer_about(ledger, MapKey(KeyKind.NAME, "h/raw")).head
        assert answer_about(ledger, MapKey(KeyKind.NAME, "h/model")).head == first
        ledger.state("h/raw", Usage("x"), key="lab")
        assert answer_about(ledger, MapKey(KeyKind.NAME, "h/raw")).head != first


def test_it_is_made_again_if_it_is_of_another_history(copy: Path) -> None:
    with Ledger.open(copy) as ledger:
        size = update_map(ledger).size
        ledger.map.add(size, [[b"x" * 32]], b"y" * 32)  # more than the log has
        assert check_map(ledger)
        assert update_map(ledger).size == size
        assert check_map(ledger) == ()
        ledger.map.clear()
        ledger.map.add(0, [[b"x" * 32]] * size, b"y" * 32)  # as much, of another log
        assert check_map(ledger)
        assert _listed(ledger, KeyKind.NAME, "h/raw").entries
        ledger.map.clear()
        root = ledger.log.root_at(size)
        ledger.map.add(0, [[b"x" * 32]] * size, root)  # lists that the entries do not give: fsck derives them again
        assert "the map's root" in check_map(ledger)[0]


def test_threads_ask_while_others_write(copy: Path) -> None:
    with Ledger.open(copy) as ledger, Ledger.open(copy) as other:

        def work(number: int) -> int:
            if number % 3 == 0:
                return ledger.state("h/raw", Usage(f"x{number}"), key="lab").entry_index
            asked = ledger if number % 3 == 1 else other
            return len(_listed(asked, KeyKind.NAME, "h/raw").entries)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(work, range(36)))
        assert len(_listed(other, KeyKind.USE, ledger.pin("h/raw").envelope.hex).entries) == 12
        assert check_map(ledger) == ()


def test_an_empty_log_has_no_head(tmp_path: Path, write: Write) -> None:
    with Ledger.init(tmp_path / "empty") as ledger:
        with pytest.raises(NotFoundError, match="empty"):
            answer_about(ledger, MapKey(KeyKind.NAME, "h/raw"))
        ledger.keyring.new("k")
        ledger.register(write("a", x="y"), "t/a", "1", anchor=False)
        assert _listed(ledger, KeyKind.NAME, "t/a").entries == (0,)


def test_a_complete_bundle_shows_that_nothing_was_left_out(copy: Path) -> None:
    with Ledger.open(copy) as ledger:
        ledger.state("h/raw", Review(Decision.APPROVED), key="lab")
        announce_key(ledger, "museum")
        ledger.keyring.new("next")
        rotate_key(ledger, "museum", "next")
        data = ledger.bundle("h/model", complete=True)
        trust = ledger.trust_roots(with_blocks=True)
        assert parse_bundle(ledger.bundle("h/model")).answers == ()
    evidence = parse_bundle(data)
    assert encode_bundle(evidence) == data

    def check(changed: Evidence) -> Check:
        report = verify_evidence(parse_bundle(encode_bundle(changed)), trust)
        (found,) = [one for one in report.checks if one.id == "log.complete"]
        assert report.sound == (found.status is not Status.FAILED)
        return found

    good = check(evidence)
    assert good.status is Status.PASSED
    assert "of the first" in good.note
    said = [entry for entry in evidence.entries if b"review" in parse_envelope(entry.envelope).payload]
    assert len(said) == 1
    without = replace(evidence, entries=tuple(entry for entry in evidence.entries if entry not in said))
    assert "was left out" in check(without).note
    keys = [entry for entry in evidence.entries if b"ledger:key:1" in parse_envelope(entry.envelope).payload]
    assert len(keys) == 2
    for one in keys:
        without = replace(evidence, entries=tuple(entry for entry in evidence.entries if entry != one))
        assert "was left out" in check(without).note
    for place in range(len(evidence.answers)):
        fewer = replace(evidence, answers=(*evidence.answers[:place], *evidence.answers[place + 1 :]))
        assert check(fewer).status is Status.NOT_PERFORMED
        answer = evidence.answers[place]
        wrong = replace(answer, entries=answer.entries[:-1]) if answer.entries else replace(answer, entries=(1,))
        answers = tuple(wrong if one == answer else one for one in evidence.answers)
        assert check(replace(evidence, answers=answers)).status is Status.FAILED


def test_what_is_revoked_later_is_not_hidden_by_an_old_answer(copy: Path) -> None:
    """Whoever makes the bundle cannot leave a revocation out: the list says that there is one."""
    with Ledger.open(copy) as ledger:
        before = parse_bundle(ledger.bundle("h/model", complete=True))
        ledger.state("h/raw", Revocation(RevocationReason.CONSENT_WITHDRAWN), key="museum")
        after = parse_bundle(ledger.bundle("h/model", complete=True))
        trust = ledger.trust_roots(with_blocks=True)
    assert not verify_evidence(after, trust).sound
    hidden = replace(after, entries=before.entries)
    report = verify_evidence(hidden, trust)
    (found,) = [one for one in report.checks if one.id == "log.complete"]
    assert (found.status, report.sound) == (Status.FAILED, False)
    # An answer of an earlier size holds for that size, and says so; beside proofs of a larger log it shows nothing.
    report = verify_evidence(replace(after, entries=before.entries, answers=before.answers), trust)
    (found,) = [one for one in report.checks if one.id == "log.complete"]
    assert (found.status, f"the first {_size(before)} entries" in found.note) == (Status.PASSED, True)
    told = [entry for entry in after.entries if entry.envelope not in {one.envelope for one in before.entries}]
    report = verify_evidence(replace(after, entries=(*before.entries, *told), answers=before.answers), trust)
    (found,) = [one for one in report.checks if one.id == "log.complete"]
    assert (found.status, "the log had" in found.note) == (Status.NOT_PERFORMED, True)


def _size(evidence: Evidence) -> int:
    return int(evidence.answers[0].head.split(b"\n")[1])


def test_a_map_of_another_history_is_told(copy: Path) -> None:
    with Ledger.open(copy) as ledger:
        evidence = parse_bundle(ledger.bundle("h/model", complete=True))
        signer, state = ledger.keyring.note_signer(), ledger.map.state()
        trust = ledger.trust_roots(with_blocks=True)
    other = sign_head(signer, state.size, b"x" * 32, state.root)
    forged = tuple(replace(one, head=other, log_root=b"x" * 32) for one in evidence.answers)
    # The log's own checkpoint of that size must be at hand to see it: the bundle's entries are proven in it.
    sizes = {parse_proof(entry.proof).head.size for entry in evidence.entries}
    report = verify_evidence(replace(evidence, answers=forged), trust)
    (found,) = [one for one in report.checks if one.id == "log.complete"]
    assert (found.status is Status.FAILED) == (state.size in sizes)


def test_a_head_by_a_key_that_does_not_hold_for_its_size_shows_nothing(copy: Path) -> None:
    with Ledger.open(copy) as ledger:
        evidence = parse_bundle(ledger.bundle("h/model", complete=True))
        trust = ledger.trust_roots(with_blocks=True)
        vkey, size = ledger.keyring.vkey, ledger.log.size()
        ledger.rotate_log_keys()
        ledger.retire_log_key(vkey)
        assert {key.until_size for key in ledger.trust_roots().log_keys()} != {None}
        ledger.state("h/raw", Usage("x"), key="lab")
        later = parse_bundle(ledger.bundle("h/model", complete=True))
        now = ledger.trust_roots(with_blocks=True)

    def status(changed: Evidence, roots: TrustRoots) -> Status:
        (found,) = [one for one in verify_evidence(changed, roots).checks if one.id == "log.complete"]
        return found.status

    assert status(evidence, trust) is status(later, now) is Status.PASSED
    confined = replace(now, log_spans=(SizeSpan(vkey, 0, size - 1),), logs=(vkey,))
    assert status(evidence, confined) is Status.FAILED  # its size is above the key's


def test_a_chain_of_keys_cannot_be_cut_out_of_a_complete_bundle(copy: Path) -> None:
    with Ledger.open(copy) as ledger:
        for name in ("one", "two"):
            ledger.keyring.new(name)
        ledger.state("h/model", Review(Decision.APPROVED), key="two")
        rotate_key(ledger, "lab", "one")
        cut = rotate_key(ledger, "one", "two").index
        evidence, trust = parse_bundle(ledger.bundle("h/model", complete=True)), ledger.trust_roots(with_blocks=True)
    whole = verify_evidence(evidence, trust)
    assert [one.status for one in whole.checks if one.id in ("log.complete", "review")] == [
        Status.PASSED, Status.NOT_PERFORMED,
    ]  # fmt: skip
    without = tuple(entry for entry in evidence.entries if parse_proof(entry.proof).index != cut)
    report = verify_evidence(replace(evidence, entries=without), trust)
    assert [one.status for one in report.checks if one.id == "log.complete"] == [Status.FAILED]


def test_another_log_does_not_answer_for_this_one(copy: Path, tmp_path: Path, write: Write) -> None:
    with Ledger.init(tmp_path / "other") as other, Ledger.open(copy) as ledger:
        other.keyring.new("k")
        other.register(write("a", x="y"), "t/a", "1", anchor=False)
        evidence, trust = parse_bundle(ledger.bundle("h/model", complete=True)), ledger.trust_roots(with_blocks=True)
        answers = tuple(answer_about(other, one.key) for one in evidence.answers)
        both = replace(trust, logs=(*trust.logs, *other.trust_roots().logs))
    report = verify_evidence(replace(evidence, answers=answers), both)
    assert [one.status for one in report.checks if one.id == "log.complete"] == [Status.NOT_PERFORMED]
