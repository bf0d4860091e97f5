"""The verdict on an artefact and everything it was made from.

Invariants: only evidence and trust roots decide; the same function judges an offline bundle and a ledger's own
records; the first checks in a report are the target's, its ancestors follow nearest first; a statement is known by its
envelope's digest, never by the name it gives itself; the time taken grows with the evidence, not with its square.

Steps: 1 every entry of the ancestry (`entry_checks`); 2 every edge; 3 contents that are in hand; 4 what was said of
each later (`event_checks`); 5 that names and checkpoints agree; 6 the lineage as a whole; 7 the level; 8 both sides of
the time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import replace

from provenance.anchor import parse_header
from provenance.encoding import Digest
from provenance.errors import ProvenanceError
from provenance.fingerprint import Fingerprint, FingerprintDocument, diff_files, open_manifest, same_files
from provenance.lineage import LineageGraph, Node
from provenance.policy import REQUIRED_LEVEL, Status, TrustRoots, standing
from provenance.verify.completeness import completeness_check, needed_keys
from provenance.verify.entry_checks import EntryVerdict, EntryVerifier, block_time
from provenance.verify.event_checks import (
    EventVerdict,
    Registrant,
    agreement_check,
    detection_check,
    finding_checks,
    judge_events,
    quality_check,
    review_check,
    run_checks,
)
from provenance.verify.evidence import BlockFinding, ContentFinding, Evidence, parse_bundle
from provenance.verify.key_checks import key_facts, keys_of, read_key_words, with_key_revocations
from provenance.verify.report import Artefact, Check, Report, TimeBound, worst
from provenance.verify.revocations import counting_times, revocation_checks, strictest, uses_of

_RECORD_CHECKS = ("statement", "signature", "trust", "log.checkpoint", "log.inclusion", "log.witnesses")
_MAX_CHANGES = 1_000


def verify_bundle(
    data: bytes,
    trust: TrustRoots,
    *,
    contents: Mapping[str, ContentFinding] | None = None,
    blocks: Sequence[BlockFinding] = (),
) -> Report:
    """The report on an offline bundle. Needs no ledger, network or clock.

    `contents` maps pinned names (`ns/name@version`) to what was found where their bytes are. Bad evidence becomes
    failed checks, and so do contents of something that is not in the lineage; `MalformedError` if the bytes are no
    bundle.
    """
    return verify_evidence(parse_bundle(data), trust, contents=contents, blocks=blocks)


def verify_evidence(
    evidence: Evidence,
    trust: TrustRoots,
    *,
    contents: Mapping[str, ContentFinding] | None = None,
    blocks: Sequence[BlockFinding] = (),
) -> Report:
    """As `verify_bundle`, for evidence that is already parsed."""
    verifier = EntryVerifier(evidence, trust, blocks)
    verdicts = _judge_reachable(verifier, evidence)
    words = read_key_words(verifier, (one for one in evidence.entries if one.digest not in verdicts))
    if words:
        told = with_key_revocations(words, trust)
        verifier = EntryVerifier(evidence, told, blocks, key_facts(words, trust))
        verdicts = _judge_reachable(verifier, evidence)
    target = verdicts[evidence.target]
    if target.node is None:
        return _without_node(target)
    graph = LineageGraph(verdict.node for verdict in verdicts.values() if verdict.node)
    ancestry = graph.ancestry(target.node)
    unclaimed = dict(contents or {})
    unjudged = [entry for entry in evidence.entries if entry.digest not in verdicts]
    said = judge_events(verifier, unjudged, {node.envelope: node.statement for node, _ in ancestry})
    checks: list[Check] = []
    artefacts, own_checks = list[Artefact](), dict[Digest, tuple[Check, ...]]()
    spared, revoked = set[tuple[Digest, Digest]](), dict[str, str | None]()
    for node, depth in ancestry:
        content = _content(node, unclaimed.pop(_name(node), None), evidence)
        spoken = said.get(node.envelope, ())
        uses = uses_of(graph, node, verdicts) if depth and spoken else None
        times = counting_times(spoken)
        if times:
            revoked[_name(node)] = since = strictest(times)
            spared |= {(node.envelope, use.envelope) for use in uses or () if use.is_before(since)}
        later = [
            *run_checks(_name(node), node.statement, spoken),
            *revocation_checks(_name(node), spoken, uses),
            *finding_checks(_name(node), _registrant(verifier, verdicts[node.envelope]), spoken),
        ]
        if depth:  # the target's stand in the summary
            others = (
                quality_check(_name(node), spoken),
                _agreement(verifier, node, verdicts[node.envelope], spoken),
                _rejection(_name(node), _registrant(verifier, verdicts[node.envelope]), spoken),
            )
            later += [check for check in others if check is not None]
        own = (*verdicts[node.envelope].checks, *_edges(graph, node, verdicts), *content, *later)
        own_checks[node.envelope] = own
        checks += [check for check in own if depth == 0 or check.id != "content" or check.status is not _SKIPPED]
        artefacts.append(_artefact(graph, node, depth, verdicts[node.envelope], own))
    checks += [check for verdict in verdicts.values() if verdict.node is None for check in verdict.checks]
    checks += [*_unclaimed(unclaimed), *_names(ancestry), *_one_log(target, ancestry, verdicts)]
    whole = _completeness(verifier, evidence, target, ancestry, verdicts, said, keys_of(words))
    checks += [] if whole is None else [whole]
    spoken = said.get(target.node.envelope, ())
    opinions = _opinions(
        target.subject,
        quality_check(target.subject, spoken),
        _agreement(verifier, target.node, target, spoken),
        review_check(target.subject, _registrant(verifier, target), spoken),
        _detection(target.subject, detection_check(target.subject, _registrant(verifier, target), spoken), checks),
    )
    summary = (_lineage(target, ancestry, verdicts, checks), *opinions)
    stood = standing(_statuses([*own_checks[evidence.target], *summary]))
    failures = [check for check in (*checks, *opinions) if check.status is Status.FAILED]
    failed = {check.subject for check in failures}
    tainted = {check.subject for check in failures if check.id != "revocation"}
    affected = _affected(graph, ancestry, failed, {edge for edge in spared if _name_of(graph, edge[0]) not in tainted})
    return Report(
        target=target.subject,
        digest=target.node.statement.digest.hex,
        checks=(*checks, *summary),
        level=stood.level,
        missing=stood.missing,
        required=max(REQUIRED_LEVEL[node.statement.sensitivity] for node, _ in ancestry),
        artefacts=tuple(
            _with_ancestors(one, failed, is_affected=node.envelope in affected)
            for one, (node, _) in zip(artefacts, ancestry, strict=True)
        ),
        created=TimeBound(target.node.statement.created, "the signer"),
        not_before=_not_before(target.node, evidence, verifier),
        not_after=target.not_after,
        affected=tuple(affected.values()),
        revoked=revoked,
        could_be_spared=bool(failures) and all(_could_be_spared(verifier, check) for check in failures),
    )


_SKIPPED = Status.NOT_PERFORMED


_OPINIONS = ("finding", "quality", "agreement", "review", "run")


def _could_be_spared(verifier: EntryVerifier, check: Check) -> bool:
    """Whether a final block might undo a failure: of words, where a key was revoked from some time on only."""
    return check.could_be_spared or (check.id in _OPINIONS and verifier.spares)


def _affected(
    graph: LineageGraph, ancestry: Sequence[tuple[Node, int]], failed: Set[str], spared: Set[tuple[Digest, Digest]]
) -> dict[Digest, str]:
    """What was made from something that a check failed of, in log order, by edges that are not spared: names by
    envelope. What was made from that is affected by whatever edge."""
    made = [
        child
        for node, _ in ancestry
        if _name(node) in failed
        for child in graph.children(node)
        if (node.envelope, child.envelope) not in spared
    ]
    found = {node.envelope: node for node in (*made, *graph.descendants(*made))}
    return {node.envelope: _name(node) for node in sorted(found.values(), key=lambda node: node.place.order)}


def _with_ancestors(artefact: Artefact, failed: Set[str], *, is_affected: bool) -> Artefact:
    """The artefact, with the status that it has by all checks and by what it was made from."""
    if artefact.name in failed:
        return replace(artefact, status=Status.FAILED)
    return replace(artefact, status=Status.AFFECTED) if is_affected else artefact


def _judge_reachable(verifier: EntryVerifier, evidence: Evidence) -> dict[Digest, EntryVerdict]:
    """The verdicts on the target and on what its pins lead to; what else a bundle holds is nobody's business."""
    entries = {entry.digest: entry for entry in evidence.entries}
    verdicts: dict[Digest, EntryVerdict] = {}
    waiting = [evidence.target]
    while waiting:
        digest = waiting.pop()
        if digest in verdicts or digest not in entries:
            continue
        verdict = verifier.judge(entries[digest])
        verdicts[digest] = verdict
        if verdict.node is not None:
            waiting += [pin.envelope for pin in verdict.node.statement.parents]
    return verdicts


def _completeness(
    verifier: EntryVerifier,
    evidence: Evidence,
    target: EntryVerdict,
    ancestry: Sequence[tuple[Node, int]],
    verdicts: Mapping[Digest, EntryVerdict],
    said: Mapping[Digest, Sequence[EventVerdict]],
    spoken_of: Sequence[str],
) -> Check | None:
    """Whether nothing was left out that was said of these statements, and of the keys that signed them, spoke, or are
    spoken of."""
    envelopes = [node.envelope for node, _ in ancestry]
    keyids = [verdicts[envelope].keyid for envelope in envelopes] + list(spoken_of)
    keyids += [v.keyid for spoken in said.values() for v in spoken if v.source is not None]
    return completeness_check(verifier, evidence, target.subject, needed_keys(envelopes, keyids))


def _registrant(verifier: EntryVerifier, verdict: EntryVerdict) -> Registrant:
    return Registrant(verifier.holder(verdict.keyid), verifier.source_name(verdict.keyid))


def _agreement(
    verifier: EntryVerifier, node: Node, verdict: EntryVerdict, spoken: Iterable[EventVerdict]
) -> Check | None:
    return agreement_check(_name(node), _registrant(verifier, verdict), spoken, node.statement.fingerprint.file_root)


def _rejection(subject: str, registrant: Registrant, spoken: Iterable[EventVerdict]) -> Check | None:
    """The review of an ancestor if it was rejected: what was made from it stands on that."""
    check = review_check(subject, registrant, spoken)
    return check if check is not None and check.status is Status.FAILED else None


def _detection(subject: str, looked: Check | None, checks: Sequence[Check]) -> Check | None:
    """Passed if a detector looked at the target, and no finding in its lineage is unsettled."""
    unsettled = next((check for check in checks if check.id == "finding"), None)
    if looked is None or unsettled is None:
        return looked
    note = f"{unsettled.subject} has a finding that is not settled"
    return Check("detection", subject, _SKIPPED, note, where=unsettled.where)


def _name(node: Node) -> str:
    return str(node.statement.name)


def _name_of(graph: LineageGraph, envelope: Digest) -> str | None:
    node = graph.node(envelope)
    return None if node is None else _name(node)


def _statuses(checks: Iterable[Check]) -> dict[str, Status]:
    """The worst status of each check."""
    found: dict[str, list[Status]] = {}
    for check in checks:
        found.setdefault(check.id, []).append(check.status)
    return {check_id: worst(statuses) for check_id, statuses in found.items()}


def _without_node(target: EntryVerdict) -> Report:
    stood, note = standing(_statuses(target.checks)), "the log entry cannot be read"
    unread = (Check(check, target.subject, Status.NOT_PERFORMED, note) for check in ("content", "lineage"))
    checks = (*target.checks, *unread, *_opinions(target.subject))
    return Report(target.subject, "", checks, stood.level, stood.missing, None)


def _content(node: Node, finding: ContentFinding | None, evidence: Evidence) -> tuple[Check, ...]:
    name, expected = _name(node), node.statement.digest
    if finding is None:
        return (Check("content", name, Status.NOT_PERFORMED, "its bytes are not in hand"),)
    if finding.is_part and finding.fingerprint is not None:
        return _content_of_part(node, finding.fingerprint, finding, evidence)
    if finding.digest == expected:
        return (Check("content", name, Status.PASSED, f"sha256 {expected.hex[:16]}", where=finding.where),)
    if finding.fingerprint is not None and same_files(node.statement.fingerprint, finding.fingerprint.document):
        return _content_of_same_files(node, finding.fingerprint.document, finding)
    note = "the bytes are not what was registered"
    checks = [Check("content", name, Status.FAILED, note, expected.hex, finding.digest.hex, finding.where)]
    try:
        manifest = evidence.blobs.get(node.statement.manifest)
        if manifest is None or finding.fingerprint is None:
            return (*checks, Check("content.file", name, Status.NOT_PERFORMED, "no manifest to say which file"))
        stated = open_manifest(manifest, node.statement.fingerprint)
    except ProvenanceError as error:
        return (*checks, Check("content.file", name, Status.FAILED, error.what, error.expected, error.got))
    changes = diff_files(stated.files, finding.fingerprint.files)
    for change in changes[:_MAX_CHANGES]:
        before = change.expected.digest.hex if change.expected else "no such file"
        after = change.found.digest.hex if change.found else "no such file"
        damage = finding.damage.get(change.path, ())
        check = Check("content.file", name, Status.FAILED, change.describe(), before, after, change.path, damage)
        checks.append(check)
    if len(changes) > _MAX_CHANGES:
        note = f"{len(changes) - _MAX_CHANGES} more files differ and are not listed"
        checks.append(Check("content.file", name, Status.FAILED, note))
    return tuple(checks)


def _content_of_part(node: Node, found: Fingerprint, finding: ContentFinding, evidence: Evidence) -> tuple[Check, ...]:
    """Every file in hand must be one of those stated. What is not in hand was not checked, and is not passed."""
    name = _name(node)
    try:
        manifest = evidence.blobs.get(node.statement.manifest)
        if manifest is None:
            return (
                Check("content", name, Status.NOT_PERFORMED, "no manifest to say which files", where=finding.where),
            )
        stated = {entry.path: entry for entry in open_manifest(manifest, node.statement.fingerprint).files}
    except ProvenanceError as error:
        return (Check("content.file", name, Status.FAILED, error.what, error.expected, error.got),)
    checks: list[Check] = []
    good = good_bytes = 0
    for entry in found.files:
        meant = stated.get(entry.path)
        if meant == entry:
            good += 1
            good_bytes += entry.size
        elif len(checks) < _MAX_CHANGES:
            note = "the file is not what was registered" if meant is not None else "the dataset has no such file"
            damage = finding.damage.get(entry.path, ())
            before = meant.digest.hex if meant is not None else "no such file"
            found_hex = entry.digest.hex
            checks.append(Check("content.file", name, Status.FAILED, note, before, found_hex, entry.path, damage))
    document = node.statement.fingerprint
    part = f"{good:,} of {document.file_count:,} files, {good_bytes:,} of {document.total_bytes:,} bytes"
    if checks:
        note = f"files in hand are not what was registered; {part} are"
        return (Check("content", name, Status.FAILED, note, where=finding.where), *checks)
    passed = Check("content.file", name, Status.PASSED, f"partial: {part} are what was registered", where=finding.where)
    note = "partial: the other files are not in hand" if good < document.file_count else "every file is in hand"
    status = Status.NOT_PERFORMED if good < document.file_count else Status.PASSED
    return (Check("content", name, status, note, where=finding.where), passed)


def _content_of_same_files(node: Node, found: FingerprintDocument, finding: ContentFinding) -> tuple[Check, ...]:
    """Every file is what was stated; what is left to say is about their records."""
    name, stated = _name(node), node.statement.fingerprint
    passed = Check("content", name, Status.PASSED, f"file root {stated.file_root.hex[:16]}", where=finding.where)
    if stated.records is None or found.records is None:
        # One set of files has one set of records: that they were not hashed again takes nothing from the files' check.
        note = "the files are what was registered; their records were hashed on one side only"
        return (passed, Check("content.records", name, Status.NOT_PERFORMED, note))
    note = "the files are what was registered, yet their records are not what was stated of them"
    before, after = stated.records.root.hex, found.records.root.hex
    if before == after:
        before, after = stated.records.schema.hex, found.records.schema.hex
    return (
        Check("content", name, Status.FAILED, note, node.statement.digest.hex, finding.digest.hex, finding.where),
        Check("content.records", name, Status.FAILED, note, before, after, finding.where),
    )


def _edges(graph: LineageGraph, node: Node, verdicts: Mapping[Digest, EntryVerdict]) -> tuple[Check, ...]:
    checks = []
    for edge in graph.edges(node):
        problem = edge.problem()
        if edge.parent is None and edge.pin.envelope in verdicts:
            problem = "parent's log entry cannot be read", f"a statement of {edge.pin.name} and its proof", "see there"
        if problem is None and edge.is_undecided:
            note = f"made from {edge.pin.name}: no one log holds both, and no block shows which was logged first"
            checks.append(Check("lineage.edge", _name(node), Status.NOT_PERFORMED, note))
        elif problem is None:
            checks.append(Check("lineage.edge", _name(node), Status.PASSED, f"made from {edge.pin.name}"))
        else:
            what, expected, found = problem
            where = str(edge.pin.name)
            checks.append(Check("lineage.edge", _name(node), Status.FAILED, what, expected, found, where))
    return tuple(checks)


def _names(ancestry: Sequence[tuple[Node, int]]) -> list[Check]:
    """A failed check for each name and version that two statements of one lineage claim."""
    seen: dict[str, Node] = {}
    checks = []
    for node, _ in ancestry:
        other = seen.setdefault(_name(node), node)
        if other is not node:
            note = "two statements of this lineage claim this name and version"
            found = f"envelopes {other.envelope} and {node.envelope}"
            checks.append(Check("lineage.name", _name(node), Status.FAILED, note, "one statement", found))
    return checks


def _unclaimed(contents: Mapping[str, ContentFinding]) -> list[Check]:
    note = "no artefact of this lineage has this name"
    return [
        Check("content", name, Status.FAILED, note, found=finding.digest.hex, where=finding.where)
        for name, finding in contents.items()
    ]


def _one_log(
    target: EntryVerdict, ancestry: Sequence[tuple[Node, int]], verdicts: Mapping[Digest, EntryVerdict]
) -> list[Check]:
    """Whether the proofs lead to one state of each log: nothing to say if so, else a fork or an open question."""
    roots: dict[tuple[str, int], bytes] = {}
    for node, _ in ancestry:
        checkpoint = verdicts[node.envelope].checkpoint
        if checkpoint is None:
            continue
        known = roots.setdefault((checkpoint.origin, checkpoint.size), checkpoint.root)
        if known != checkpoint.root:
            note, where = "the log signed two roots for one size", f"{checkpoint.origin}, size {checkpoint.size}"
            found = checkpoint.root.hex()
            return [Check("log.consistency", target.subject, Status.FAILED, note, known.hex(), found, where)]
    if len(roots) == len({origin for origin, _ in roots}):
        return []
    sizes = ", ".join(f"{origin} {size}" for origin, size in sorted(roots)[:10])
    note = f"nothing at hand shows that these checkpoints are of one log each: {sizes}"
    return [Check("log.consistency", target.subject, Status.NOT_PERFORMED, note)]


def _lineage(
    target: EntryVerdict,
    ancestry: Sequence[tuple[Node, int]],
    verdicts: Mapping[Digest, EntryVerdict],
    checks: Sequence[Check],
) -> Check:
    broken = [check for check in checks if check.status is Status.FAILED]
    if broken:
        first = broken[0]
        return Check("lineage", target.subject, Status.FAILED, f"broken at {first.subject}: {first.note}")
    for node, _ in ancestry:
        verdict = verdicts[node.envelope]
        missing = [check for check in _RECORD_CHECKS if verdict.status(check) is not Status.PASSED]
        if missing:
            note = f"{verdict.subject}: {missing[0]} was not performed"
            return Check("lineage", target.subject, Status.NOT_PERFORMED, note)
        if not node.statement.names_parents:
            note = f"{verdict.subject}: the list of its inputs is not at hand"
            return Check("lineage", target.subject, Status.NOT_PERFORMED, note)
        if not node.statement.parents and node.statement.origin is None:
            note = f"{verdict.subject} has no inputs and declares no origin"
            return Check("lineage", target.subject, Status.NOT_PERFORMED, note)
    undecided = next((check for check in checks if check.id == "lineage.edge" and check.status is _SKIPPED), None)
    if undecided is not None:
        return Check("lineage", target.subject, Status.NOT_PERFORMED, f"{undecided.subject}: {undecided.note}")
    if any(check.id == "log.consistency" for check in checks):
        return Check("lineage", target.subject, Status.NOT_PERFORMED, "its proofs lead to several checkpoints")
    origins = sum(1 for node, _ in ancestry if not node.statement.parents)  # every list was read, or we are not here
    count = len(ancestry)
    note = (
        f"{count} statement{'s' if count != 1 else ''} back to {origins} declared origin{'s' if origins != 1 else ''}"
    )
    return Check("lineage", target.subject, Status.PASSED, note)


def _opinions(
    subject: str,
    quality: Check | None = None,
    agreement: Check | None = None,
    review: Check | None = None,
    detection: Check | None = None,
) -> tuple[Check, ...]:
    """What others said of the target; what nobody said was not performed."""
    skipped = Status.NOT_PERFORMED
    return (
        quality or Check("quality", subject, skipped, "no signed test result is at hand"),
        agreement or Check("agreement", subject, skipped, "no independent replay is at hand"),
        review or Check("review", subject, skipped, "no reviewer's signature is at hand"),
        detection or Check("detection", subject, skipped, "no detector's word is at hand"),
    )


def _artefact(graph: LineageGraph, node: Node, depth: int, verdict: EntryVerdict, checks: Sequence[Check]) -> Artefact:
    judged = [check.status for check in checks if check.id in _RECORD_CHECKS or check.status is Status.FAILED]
    return Artefact(
        name=_name(node),
        kind=str(node.statement.kind),
        digest=node.statement.digest.hex,
        index=node.index,
        depth=depth,
        signer=verdict.signer,
        status=worst(judged),
        parents=tuple(str(edge.pin.name) for edge in graph.edges(node)),
    )


def _not_before(node: Node, evidence: Evidence, verifier: EntryVerifier) -> TimeBound | None:
    block = node.statement.not_before
    if block is None or not verifier.knows(block):
        return None
    for raw in evidence.headers:
        try:
            header = parse_header(raw)
        except ProvenanceError:
            continue
        if header.hash == block.hash and header.number == block.number:
            return TimeBound(block_time(header.time_s), f"chain {block.chain_id}, block {block.number}", block.chain_id)
    return None
