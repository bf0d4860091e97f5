"""Checks of what was said about an artefact after it was registered: runs, test results, reviews, findings, replays and
revocations.

Rules: an event is about an artefact if it names its envelope, its name and its digest. It counts if its signature holds
under a key that is trusted for the artefact's namespace and a trusted log holds it; what anybody else says is told and
decides nothing. What speaks against an artefact counts even if too few witnesses cosigned it, or if its key was revoked
since: whoever ends a key takes back no warning that it gave; after its end in the log a key says nothing. Of several
words of one key about one thing the last that was signed holds, by the time it says, and of one time the last in the
log, or, where two logs hold them, what speaks against the artefact: to log an older word again changes nothing. A key
to which another gave way may take back what that said, and never the other way round. What a key took back before it
was retired stays taken back. Indexes of two logs are no order: whoever takes back must be later, and a key's word older
than its end, by a block (`provenance.lineage.place`). A revocation that counts fails the artefact, and so everything
made from it, but for what a block proves to have existed before the time from which on it was revoked. Nothing is said
of events that are not at hand: that there are none cannot be proven by what is here.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from provenance.encoding import Digest
from provenance.errors import ProvenanceError, printable
from provenance.lineage import Place
from provenance.policy import Status
from provenance.signature import parse_envelope
from provenance.statement import PAYLOAD_TYPE, DatasetStatement
from provenance.statement.events import EVENT_TYPES, Body, Event, read_event, thing_of
from provenance.statement.finding import Finding, FindingState
from provenance.statement.frame import Pin, open_frame
from provenance.statement.key_event import KeyReason
from provenance.statement.materials import MaterialList, encode_materials
from provenance.statement.quality import Quality, QualityResult
from provenance.statement.replay import Replay, ReplayResult
from provenance.statement.review import Decision, Review
from provenance.statement.revocation import Revocation
from provenance.statement.run import Run
from provenance.verify.entry_checks import EntryVerifier
from provenance.verify.evidence import EvidenceEntry
from provenance.verify.report import Check


@dataclass(frozen=True, slots=True)
class Registrant:
    """Who registered an artefact: what is common to all their keys (`EntryVerifier.holder`), and what the trust roots
    call them."""

    holder: str
    source: str | None = None


@dataclass(frozen=True, slots=True)
class EventVerdict:
    """An event, the SHA-256 of its envelope, its place in the log, who signed it, what the trust roots call them,
    whether it counts (`problem` says why not), and `holder`, the same for keys that gave way to one another.

    `holds`: the signature, the key's listing and the log do, before the key's end, whoever cosigned; `takes_back`: it
    takes back what its key said before, even if it does not count; `successors` are keys that may take it back;
    `lacks_reason`: it would take back if the trust roots said why they revoke its key, and that it was not stolen.
    """

    event: Event
    envelope: Digest
    place: Place
    keyid: str
    signer: str
    problem: str | None = None
    source: str | None = None
    holder: str = ""
    holds: bool = False
    takes_back: bool = False
    successors: frozenset[str] = frozenset()
    lacks_reason: bool = False

    @property
    def index(self) -> int:
        """Its index in its log."""
        return self.place.index

    def follows(self, other: EventVerdict) -> bool:
        """Whether it was said later: by the time that each signer says, and of one time by the log."""
        if self.event.created != other.event.created:
            return self.event.created > other.event.created
        return other.place.precedes(self.place)

    def is_of(self, registrant: Registrant) -> bool:
        """Whether who registered the artefact said it: by the same key, one that took its place or whose place it took,
        or another of the same name."""
        is_named = registrant.source is not None and self.source == registrant.source
        return (self.holder or self.keyid) == registrant.holder or is_named

    @property
    def where(self) -> str:
        """`entry 7 by museum (93a8fbd032c8bcb7)`."""
        return f"entry {self.index} by {self.signer}"


def judge_events(
    verifier: EntryVerifier, entries: Iterable[EvidenceEntry], about: Mapping[Digest, DatasetStatement]
) -> Mapping[Digest, list[EventVerdict]]:
    """Verdicts on those entries that are events about the given statements, by envelope, in their order."""
    found: dict[Digest, list[EventVerdict]] = {}
    for entry in entries:
        event = _event(entry)
        if event is None:
            continue
        statement = about.get(event.about.envelope)
        # Its namespace decides who may speak: what gives the artefact another name is not about it.
        if statement is None or (statement.name, statement.digest) != (event.about.name, event.about.digest):
            continue
        found.setdefault(event.about.envelope, []).append(_judge(verifier, entry, event))
    return {envelope: _in_order(verdicts, about[envelope]) for envelope, verdicts in found.items()}


def _in_order(verdicts: Iterable[EventVerdict], statement: DatasetStatement) -> list[EventVerdict]:
    """What is later comes later: by the time that is said, then by the log. Of words of one key about one thing and of
    one time, which two logs hold, what speaks against the artefact comes last."""
    words: dict[Hashable, list[EventVerdict]] = {}
    for verdict in verdicts:
        event = verdict.event
        words.setdefault((event.created, verdict.keyid, event.type, thing_of(event.body)), []).append(verdict)
    ranked = []
    for said in words.values():
        is_mixed = len({verdict.place.origin for verdict in said} - {None}) > 1
        for verdict in said:
            rank = _strictness(verdict.event.body, statement) if is_mixed else 0
            ranked.append((verdict.event.created, rank, verdict.index, verdict.place.order, verdict))
    return [verdict for *_, verdict in sorted(ranked, key=lambda one: one[:4])]


def _strictness(body: Body, statement: DatasetStatement) -> int:
    """How much it speaks against the artefact: 0 not at all, 2 so that it fails."""
    if isinstance(body, Run):
        return 0 if _read_its_parents(body, statement) else 2
    if not _speaks_against(body):
        return 0
    is_open = isinstance(body, Finding) and body.state is FindingState.OPEN
    return 1 if is_open or (isinstance(body, Review) and body.decision is Decision.CHANGES_REQUESTED) else 2


def _words(verdicts: Iterable[EventVerdict]) -> Iterator[EventVerdict]:
    """Those that count, or take something back, in their order."""
    return (verdict for verdict in verdicts if verdict.problem is None or verdict.takes_back)


def _event(entry: EvidenceEntry) -> Event | None:
    try:
        envelope = parse_envelope(entry.envelope)
        if envelope.payload_type != PAYLOAD_TYPE:
            return None
        frame = open_frame(envelope.payload)
        return read_event(frame) if frame.predicate_type in EVENT_TYPES else None
    except ProvenanceError:  # whatever else it is, it is no event
        return None


_Body = TypeVar("_Body")
_Last = dict[tuple[str, Hashable], tuple[EventVerdict, _Body]]
"""The last word of each key (its id) about each thing."""


def _standing(last: _Last[_Body]) -> _Last[_Body]:
    """Those that count and that no later word of a successor about the same thing takes back."""

    def is_taken_back(keyid: str, thing: Hashable, word: EventVerdict) -> bool:
        later = (last.get((successor, thing)) for successor in word.successors if successor != keyid)
        return any(one is not None and one[0].follows(word) for one in later)

    return {
        (keyid, thing): (word, body)
        for (keyid, thing), (word, body) in last.items()
        if word.problem is None and not is_taken_back(keyid, thing, word)
    }


_SPARED: Final = {"log.witnesses", "trust"}
"""What does not silence a warning: who holds cosignatures back must not hold it back with them, and who ends a key must
not end it with the key."""


def _judge(verifier: EntryVerifier, entry: EvidenceEntry, event: Event) -> EventVerdict:
    signer, place, checks = verifier.judge_saying(entry, event.about.name, event.not_before)
    keyid = parse_envelope(entry.envelope).signatures[0].keyid
    bad = [check for check in checks if check.status is not Status.PASSED]
    end = verifier.end_of(keyid)
    is_late = end is not None and end.is_before(place)
    is_listed = verifier.lists(keyid, event.about.name)
    holds = is_listed and not is_late and all(check.id in _SPARED for check in bad)
    if holds and _speaks_against(event.body):
        bad = []
    # Of a key that was retired, and not of a stolen one, what it said before counts as far as that it takes back.
    source = verifier.listed(keyid)
    reason, since = (source.reason, source.since) if source is not None else (None, None)
    is_theft = reason is KeyReason.COMPROMISED or (end is not None and end.is_theft)
    is_retired = not is_theft and (end is not None or reason is not None)
    # Where the log does not say when it ended, what the key itself says is all that there is.
    is_in_time = end.is_after(place) if end is not None else since is None or event.created < since
    lacks_trust_alone = holds and is_in_time and all(check.id == "trust" for check in bad)
    takes_back = lacks_trust_alone and (is_retired or not bad)
    return EventVerdict(
        event,
        entry.digest,
        place,
        keyid,
        signer or f"key {keyid[:16]}",
        f"{bad[0].id}: {bad[0].note}" if bad else None,
        verifier.source_name(keyid),
        verifier.holder(keyid),
        holds,
        takes_back,
        verifier.successors(keyid),
        lacks_reason=lacks_trust_alone and not takes_back and not is_theft,
    )


def _unheard(word: EventVerdict, known: Iterable[EventVerdict]) -> str:
    """What the note on a word adds if its key took it back, and that does not count for want of a reason."""
    event = word.event
    is_unheard = any(
        one.lacks_reason
        and (one.keyid, one.event.type, thing_of(one.event.body)) == (word.keyid, event.type, thing_of(event.body))
        and one.follows(word)
        for one in known
    )
    return "; a later word of the same key does not count: it is revoked, and no reason is given" if is_unheard else ""


def _speaks_against(body: Body) -> bool:
    return (
        isinstance(body, Revocation)
        or (isinstance(body, Finding) and body.state in (FindingState.OPEN, FindingState.CONFIRMED))
        or (isinstance(body, Review) and body.decision is not Decision.APPROVED)
        or (isinstance(body, Quality) and body.result is QualityResult.FAILED)
        or (isinstance(body, Replay) and body.result is ReplayResult.DIFFERS)
    )


def review_check(subject: str, registrant: Registrant, verdicts: Iterable[EventVerdict]) -> Check | None:
    """What reviewers decided, the last word of each: failed if one rejected it, passed if one approved it who did not
    register it; None if nobody who counts said anything."""
    known = list(verdicts)
    last = _reviews(known)
    rejected = [verdict for verdict, review in last.values() if review.decision is Decision.REJECTED]
    approved = [
        verdict
        for verdict, review in last.values()
        if review.decision is Decision.APPROVED and not verdict.is_of(registrant)
    ]
    if rejected:
        note = f"rejected by a reviewer{_unheard(rejected[-1], known)}"
        return Check("review", subject, Status.FAILED, note, where=rejected[-1].where)
    if approved:
        return Check("review", subject, Status.PASSED, f"approved: {approved[-1].where}")
    if last:
        note = "nobody but its registrant approved it, or changes are requested"
        return Check("review", subject, Status.NOT_PERFORMED, note)
    return None


def _reviews(verdicts: Iterable[EventVerdict]) -> _Last[Review]:
    last: _Last[Review] = {}
    for verdict in _words(verdicts):
        if isinstance(verdict.event.body, Review):
            last[verdict.keyid, None] = verdict, verdict.event.body
    return _standing(last)


def approvals(verdicts: Iterable[EventVerdict], registrant: Registrant) -> int:
    """How many approve it who did not register it."""
    reviews = _reviews(verdicts).values()
    return sum(one.decision is Decision.APPROVED and not verdict.is_of(registrant) for verdict, one in reviews)


_UNSETTLED = (FindingState.OPEN, FindingState.CONFIRMED)


def finding_checks(subject: str, registrant: Registrant, verdicts: Iterable[EventVerdict]) -> tuple[Check, ...]:
    """A check for each finding that is open or confirmed: confirmed ones fail.

    It is settled by whoever said it, or by a later word of somebody else who did not register the artefact: who is
    warned about does not take the warning back.
    """
    known = list(verdicts)
    return tuple(_finding_check(subject, *one, known) for one in unsettled_findings(known, registrant))


def unsettled_findings(verdicts: Iterable[EventVerdict], registrant: Registrant) -> list[tuple[EventVerdict, Finding]]:
    """The findings that are open or confirmed, the strictest word on each id."""
    last: _Last[Finding] = {}
    for verdict in _words(verdicts):
        body = verdict.event.body
        if isinstance(body, Finding):
            last[verdict.keyid, thing_of(body)] = verdict, body
    settling = [one for one in last.values() if one[1].state not in _UNSETTLED]
    standing: dict[str, list[tuple[EventVerdict, Finding]]] = {}
    for verdict, finding in _standing(last).values():
        if finding.state in _UNSETTLED and not any(_settles(*one, verdict, finding, registrant) for one in settling):
            standing.setdefault(finding.id, []).append((verdict, finding))
    strictest = (FindingState.OPEN, FindingState.CONFIRMED).index
    return [
        max(some, key=lambda one: (strictest(one[1].state), one[0].event.created, one[0].place.order))
        for some in standing.values()
    ]


def _settles(
    later: EventVerdict, word: Finding, verdict: EventVerdict, finding: Finding, registrant: Registrant
) -> bool:
    """Whether a later word settles a finding: of its own key, or of somebody else who did not register the artefact. A
    detector's word is about what it found itself."""
    if word.id != finding.id or not (later.follows(verdict) and verdict.place.precedes(later.place)):
        return False
    if later.keyid == verdict.keyid or later.keyid in verdict.successors:
        return word.detector in (None, finding.detector)
    return word.detector is None and not later.is_of(registrant)


def _finding_check(subject: str, verdict: EventVerdict, finding: Finding, known: Sequence[EventVerdict]) -> Check:
    note = f"{finding.state} finding {finding.id} ({finding.severity}): {printable(finding.title)}"
    note += _unheard(verdict, known)
    status = Status.FAILED if finding.state is FindingState.CONFIRMED else Status.NOT_PERFORMED
    return Check("finding", subject, status, note, where=verdict.where)


def detectors(verdicts: Iterable[EventVerdict], registrant: Registrant) -> dict[str, EventVerdict]:
    """The last word that stands of each detector that looked, by the detector's name: whatever it found, but for words
    of who registered the artefact, whose own look at it proves nothing."""
    last: _Last[Finding] = {}
    for verdict in _words(verdicts):
        body = verdict.event.body
        if isinstance(body, Finding):
            last[verdict.keyid, thing_of(body)] = verdict, body
    words = [(body.detector, verdict) for verdict, body in _standing(last).values() if not verdict.is_of(registrant)]
    return {detector: verdict for detector, verdict in words if detector is not None}


def detection_check(subject: str, registrant: Registrant, verdicts: Iterable[EventVerdict]) -> Check | None:
    """Passed if somebody else than the registrant says that a detector looked at the artefact, whatever it found; None
    if nobody does."""
    known = list(verdicts)
    found = detectors(known, registrant)
    if found:
        note, where = f"looked at by {', '.join(sorted(found))}", next(reversed(found.values())).where
        return Check("detection", subject, Status.PASSED, note, where=where)
    if any(isinstance(one.event.body, Finding) and one.event.body.detector and one.problem is None for one in known):
        note = "nobody but its registrant says that a detector looked at it"
        return Check("detection", subject, Status.NOT_PERFORMED, note)
    return None


def run_checks(subject: str, statement: DatasetStatement, verdicts: Iterable[EventVerdict]) -> tuple[Check, ...]:
    """A check for the last run that each signer says made the artefact: it fails if its inputs are not the parents (by
    their envelopes) that the artefact's own statement pins, or the list that it commits to."""
    # That it read something else speaks against the artefact, and so counts whatever became of the key.
    last: _Last[Run] = {}
    for verdict in verdicts:
        run = verdict.event.body
        if isinstance(run, Run):
            is_right = _read_its_parents(run, statement)
            if verdict.holds and not is_right:
                last[verdict.keyid, None] = replace(verdict, problem=None), run
            elif verdict.problem is None or verdict.takes_back:
                last[verdict.keyid, None] = verdict, run
    checks = []
    for verdict, run in _standing(last).values():
        if _read_its_parents(run, statement):
            what = printable(run.command[0]) if run.command else "a program"
            note = f"made by {what} in step {run.step}" + (
                f", commit {run.revision.commit[:12]}" if run.revision else ""
            )
            if run.observed is not None and run.observed.unnamed:
                note += f"; it opened {run.observed.unnamed} files of its folder that nobody named"
            if run.read_nothing:
                note += "; it opened no file of its inputs"
            checks.append(Check("run", subject, Status.PASSED, note, where=verdict.where))
            continue
        note = "the run did not read what the artefact is said to be made from"
        parents = {one.envelope for one in statement.parents}
        extra = ", ".join(str(one.pin.name) for one in run.inputs if one.pin.envelope not in parents)
        count = len(parents) if statement.names_parents or statement.materials is None else statement.materials.count
        expected = f"{count} inputs, those it pins"
        read = len({one.pin.envelope for one in run.inputs}) if run.listed is None else run.listed.materials.count
        found = f"{read} inputs" + (f", with {extra}" if extra else "")
        checks.append(Check("run", subject, Status.FAILED, note, expected, found, verdict.where))
    return tuple(checks)


def _read_its_parents(run: Run, statement: DatasetStatement) -> bool:
    """Whether the inputs are the parents. Lists are held against each other by what is stated of them: they need not be
    at hand."""
    if run.listed is None and statement.names_parents:
        return {one.pin.envelope for one in run.inputs} == {one.envelope for one in statement.parents}
    read = run.listed.materials if run.listed is not None else _list_of(one.pin for one in run.inputs)
    pinned = statement.materials if statement.materials is not None else _list_of(statement.parents)
    return read == pinned


def _list_of(pins: Iterable[Pin]) -> MaterialList | None:
    known = tuple(pins)
    return encode_materials(known)[1] if known else None


def quality_check(subject: str, verdicts: Iterable[EventVerdict]) -> Check | None:
    """What tests came to, the last result of each signer and configuration: failed if one failed, passed if there is
    one; None if nobody who counts tested it."""
    known = list(verdicts)
    last = _results(known)
    if not last:
        return None
    ranked = sorted(last.values(), key=lambda item: (list(QualityResult).index(item[1].result), item[0].place.order))
    worst, body = ranked[-1]
    if body.result is QualityResult.FAILED:
        failed = ", ".join(printable(name) for name in body.failed[:5])
        note = f"tests failed: {failed or 'it is not said which'}{_unheard(worst, known)}"
        return Check("quality", subject, Status.FAILED, note, where=worst.where)
    warned = sum(len(one.warned) for _, one in last.values())
    note = f"{sum(len(one.passed) for _, one in last.values())} tests passed, {warned} warned"
    return Check("quality", subject, Status.PASSED, note, where=worst.where)


def _results(verdicts: Iterable[EventVerdict]) -> _Last[Quality]:
    last: _Last[Quality] = {}
    for verdict in _words(verdicts):
        body = verdict.event.body
        if isinstance(body, Quality) and body.counts:
            last[verdict.keyid, thing_of(body)] = verdict, body
    return _standing(last)


def passed_results(verdicts: Iterable[EventVerdict]) -> int:
    """How many test results that stand did not fail."""
    return sum(one.result is not QualityResult.FAILED for _, one in _results(verdicts).values())


def agreement_check(
    subject: str, registrant: Registrant, verdicts: Iterable[EventVerdict], file_root: Digest
) -> Check | None:
    """What replays came to, the last of each signer and run: failed if one differs, passed if one that somebody else
    than the registrant (by key, and by name) made reproduced these very files; None if there is none of a run that
    counts. What a run makes again that opened no file of its inputs is agreement on nothing: not performed.

    A sample can fail it and never pass it, and another sample takes nothing back: the signer's next whole replay does.
    """
    known = list(verdicts)
    # Whoever ends the key of a run, or holds its cosignatures back, ends no replay that came out otherwise.
    runs = {v.envelope: v.problem is None for v in known if v.holds and isinstance(v.event.body, Run)}
    whole: _Last[Replay] = {}
    sampled: _Last[Replay] = {}
    for verdict in _words(known):
        body = verdict.event.body
        if not isinstance(body, Replay) or body.run not in runs:
            continue
        key = (verdict.keyid, body.run)
        if body.sample is None:
            whole[key] = verdict, body
            sampled.pop(key, None)
        elif key not in sampled or sampled[key][1].result is not ReplayResult.DIFFERS:
            sampled[key] = verdict, body
    differs = ReplayResult.DIFFERS
    whole, sampled = (
        {
            key: (verdict, replay)
            for key, (verdict, replay) in _standing(said).items()
            if replay.result is differs or runs[replay.run]
        }
        for said in (whole, sampled)
    )
    for verdict, replay in (*whole.values(), *sampled.values()):
        if replay.result is differs:
            note = "made again by the run that is said to have made it, it comes out otherwise"
            note += _unheard(verdict, known)
            found = f"file root {replay.found.hex}"
            if replay.sample is not None:
                note = "what comes of some of its input's records is not in it"
                found = f"{replay.sample.missing} of {replay.sample.found} records are missing"
            return Check("agreement", subject, Status.FAILED, note, found=found, where=verdict.where)
    blind = {v.envelope for v in known if isinstance(v.event.body, Run) and v.event.body.read_nothing}
    others = [one for one in whole.values() if not one[0].is_of(registrant) and one[1].found == file_root]
    seeing = [verdict for verdict, replay in others if replay.run not in blind]
    if seeing:
        return Check("agreement", subject, Status.PASSED, f"reproduced: {seeing[-1].where}")
    if others:
        note = "reproduced by a run that opened no file of its inputs: it says nothing of what it was made from"
        return Check("agreement", subject, Status.NOT_PERFORMED, note, where=others[-1][0].where)
    if whole:
        note = "nobody but its registrant reproduced it, file for file"
        return Check("agreement", subject, Status.NOT_PERFORMED, note)
    for verdict, replay in sampled.values():
        drawn = f"{replay.sample.records} of {replay.sample.of}" if replay.sample is not None else "some"
        note = f"a sample was reproduced, {drawn} records; of the others nothing is said"
        return Check("agreement", subject, Status.NOT_PERFORMED, note, where=verdict.where)
    return None
