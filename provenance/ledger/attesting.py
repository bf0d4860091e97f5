"""Attesting: a log's new entries, checked before its checkpoint is cosigned.

Steps: 1 the checkpoint is shown to extend what was checked; 2 the new bundles are fetched one by one, each shown to be
of the signed tree; 3 each new entry is checked (`provenance.verify.admission`, `provenance.ledger.attested_data`); 4
what was checked of 128 entries at most is signed, and kept in one transaction with how far this is. Invariants: an
entry counts as checked only by a signed attestation that is durable; one that fails ends it, and so does a log that
shows other files than it signed; memory is bounded by a constant, whatever the checkpoint's size: what
`provenance.log.following` holds and the outcomes of 128 entries; killed anywhere, the next run begins after the last
attestation, which is at most 128 entries, 256 MiB of data or ten seconds behind, and one dataset.

The seed of each attestation is 32 bytes of the system's randomness, drawn when its entries are in the signed tree
already, so that whoever runs the log knows neither before which files will be read.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from provenance.encoding import Digest
from provenance.errors import LogError, MalformedError, StoreError
from provenance.ledger.attested_data import AttestedData, DataOutcome, DataPlaces
from provenance.ledger.attested_past import AttestedPast
from provenance.limits import MAX_HTTP_RESPONSE_BYTES
from provenance.log import Checkpoint, parse_checkpoint, parse_note
from provenance.log.fault import FaultKind, LogFaultError, encode_evidence
from provenance.log.following import Follower, Head, VerifiedBundle
from provenance.log.tile import TILE_WIDTH
from provenance.logs import LogFiles, open_log
from provenance.merkle import CompactRange
from provenance.policy.policy import Policy
from provenance.signature import Signer, encode_envelope, sign_envelope
from provenance.statement import PAYLOAD_TYPE, DatasetStatement
from provenance.statement.checked_range import (
    MAX_ATTESTED_ENTRIES,
    CheckedRange,
    DataSample,
    EntryCheck,
    EntryOutcome,
    SkipReason,
    outcome_of,
)
from provenance.statement.log_attestation import AttestedBefore, CheckMethod, LogAttestation, encode_log_attestation
from provenance.verify import parse_bundle
from provenance.verify.admission import (
    EntryRefusedError,
    OpenedEntry,
    check_decidable,
    check_policy,
    check_references,
    check_signature,
    open_envelope,
    open_statement,
)
from provenance.witnesses.attested import MAX_SIZE, Attested, AttestedState, Finding, Progress
from provenance.witnesses.refusal import AttestationRefusedError, Refusal, RefusalKind

_BATCH_BYTES: Final = 256 * 2**20
_BATCH_S: Final = 10.0
_TIME: Final = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True, slots=True)
class AttesterSettings:
    """Who attests, with which key, by which policy and data; the clock gives Unix seconds."""

    name: str
    signer: Signer
    policy: Policy
    places: DataPlaces = field(default_factory=DataPlaces)
    timeout_s: float = 30.0
    clock: Callable[[], float] = time.time


class Attester:
    """Checks logs' entries. Threads may share it, one a log at a time; `check_stopped` raises to end the work."""

    def __init__(
        self, state: AttestedState, settings: AttesterSettings, *, check_stopped: Callable[[], None] = lambda: None
    ) -> None:
        """`PolicyError` if the policy asks for what an attester cannot decide."""
        self.state, self._settings, self._check_stopped = state, settings, check_stopped
        self._trust = check_decidable(settings.policy)
        self._data = AttestedData(settings.places, check_stopped=check_stopped)
        places = settings.places
        self._method = CheckMethod(
            settings.policy.name, settings.policy.digest, places.sample_files, places.is_required
        )

    @property
    def settings(self) -> AttesterSettings:
        """Who attests, and by what."""
        return self._settings

    def attest(self, head: Head, seen: Head | None) -> None:
        """Check the entries of a signed checkpoint that are not checked yet; it is attested then.

        `seen` is what this witness cosigned last; of a log that it was no attester of, entries after that are new.
        `AttestationRefusedError` if an entry fails, the log is at fault, or it cannot be read now.
        """
        checkpoint = head.checkpoint
        try:
            self._attest(head, seen)
        except LogFaultError as fault:
            evidence = encode_evidence(fault) if fault.kind is FaultKind.FORKED else None
            raise self._refused(checkpoint, str(fault.kind), fault.message, evidence=evidence) from fault
        except LogError as error:
            kind = RefusalKind.UNAVAILABLE
            raise self._refused(checkpoint, "log", f"{error.what}: {error.got}", kind=kind) from error

    def _attest(self, head: Head, seen: Head | None) -> None:
        checkpoint = head.checkpoint
        if checkpoint.size > MAX_SIZE:
            raise self._refused(checkpoint, "size", f"more than {MAX_SIZE} entries")
        place = self.state.place(checkpoint.origin)
        if place is None:
            hint = "provenance witness watch DIR LOG-KEY --at URL"
            raise self._refused(checkpoint, "place", f"nobody told this attester where the log is read: {hint}")
        progress = self.state.progress(checkpoint.origin)
        if progress is not None and checkpoint.size < progress.size:
            raise self._refused(checkpoint, "size", f"{progress.size} entries were checked already")
        with closing(open_log(place, timeout_s=self._settings.timeout_s)) as files:
            before = _before(head, progress, seen)
            follower = Follower(files.read, head, before=before)
            follower.check_growth()
            if before is None and progress is not None:
                self._check_prefix(head, files, progress)
            if progress is None:
                began = 0 if seen is None else seen.checkpoint.size
                reached = follower.read_range(began // TILE_WIDTH * TILE_WIDTH)
            else:
                began, reached = progress.size, progress.reached
            walk = _Walk(self, head, files, reached, began, progress)
            for bundle in follower.bundles(reached):
                walk.check(bundle)

    def _check_prefix(self, head: Head, files: LogFiles, progress: Progress) -> None:
        """That what was checked is the beginning of this tree, though it was checked under a larger checkpoint."""
        checked = Checkpoint(progress.origin, progress.size, progress.root)
        try:
            Follower(files.read, head, before=Head(progress.note, checked)).check_growth()
        except LogFaultError as fault:  # what was checked is no signed checkpoint: it proves nothing to others
            raise self._refused(head.checkpoint, str(fault.kind), fault.message) from fault

    def _refused(
        self,
        checkpoint: Checkpoint,
        check: str,
        reason: str,
        *,
        kind: RefusalKind = RefusalKind.REFUSED,
        evidence: bytes | None = None,
    ) -> AttestationRefusedError:
        """The refusal for what is wrong with a log, which is remembered."""
        progress = self.state.progress(checkpoint.origin)
        entry = 0 if progress is None else progress.size
        now_s = int(self._settings.clock())
        self.state.keep_finding(Finding(checkpoint.origin, entry, check, reason, now_s, None, evidence))
        return AttestationRefusedError(Refusal(kind, check, reason))

    def outcome(
        self, index: int, entry: bytes, past: AttestedPast, seed: Digest, files: LogFiles
    ) -> tuple[EntryOutcome, OpenedEntry | None, EntryRefusedError | None]:
        """What came of one entry: its checks, what it says, and why it is refused, if it is."""
        results: list[tuple[EntryCheck, SkipReason | None]] = []
        sample: DataSample | None = None
        opened: OpenedEntry | None = None
        try:
            envelope = open_envelope(entry)
            results.append((EntryCheck.ENVELOPE, None))
            opened = open_statement(entry, envelope)
            results.append((EntryCheck.STATEMENT, None))
            check_signature(opened, self._trust, past)
            results.append((EntryCheck.SIGNATURE, None))
            results.append((EntryCheck.REFERENCES, check_references(opened, past)))
            check_policy(opened, self._settings.policy, datetime.fromtimestamp(self._settings.clock(), UTC))
            results.append((EntryCheck.POLICY, None))
            data = self._data_of(index, opened, seed, files)
            sample = data.sample
            results += [(EntryCheck.DATA, data.data), (EntryCheck.RECORDS, data.records)]
        except EntryRefusedError as error:
            return outcome_of(index, _after(results, error.check), sample), opened, error
        return outcome_of(index, results, sample), opened, None

    def _data_of(self, index: int, opened: OpenedEntry, seed: Digest, files: LogFiles) -> DataOutcome:
        if not isinstance(opened.body, DatasetStatement):
            return DataOutcome(None, SkipReason.INAPPLICABLE, SkipReason.INAPPLICABLE)
        return self._data.check(index, opened.body, seed, lambda statement: _manifest(files, statement))

    def signed(
        self,
        head: Head,
        checked: CheckedRange,
        tree: CompactRange,
        seed: Digest,
        before: Progress | None,
        why: str | None,
    ) -> bytes:
        """The envelope of the attestation of a range that ends a tree."""
        checkpoint, now_s = head.checkpoint, self._settings.clock()
        attestation = LogAttestation(
            attester=self._settings.name,
            origin=checkpoint.origin,
            size=checkpoint.size,
            root=Digest(checkpoint.root),
            entries=checked,
            tree_root=Digest(tree.root()),
            seed=seed,
            method=self._method,
            created=datetime.fromtimestamp(now_s, UTC).strftime(_TIME),
            reason=why,
            previous=None if before is None else AttestedBefore(before.size, before.attestation),
        )
        return encode_envelope(sign_envelope(encode_log_attestation(attestation), PAYLOAD_TYPE, self._settings.signer))

    def check_stopped(self) -> None:
        """Raise if the work is to end."""
        self._check_stopped()


class _Walk:
    """One checkpoint's bundles, one after another; `size` entries are checked, durably, and `batch` since then."""

    def __init__(
        self,
        attester: Attester,
        head: Head,
        files: LogFiles,
        reached: CompactRange,
        size: int,
        progress: Progress | None,
    ) -> None:
        self._attester, self._head, self._files = attester, head, files
        self._reached, self._size, self._progress = reached, size, progress
        began = size if progress is None else progress.began
        self._past = AttestedPast(attester.state, head.checkpoint.origin, began)
        self._batch: list[EntryOutcome] = []

    def check(self, bundle: VerifiedBundle) -> None:
        """Check and attest what is new in a bundle."""
        tree = CompactRange.of(0, self._reached.nodes)
        known = self._size - bundle.first
        for leaf in bundle.leaves[:known]:
            tree.append(leaf)
        if self._progress is not None and tree.root() != self._progress.root:
            raise StoreError("what the attester kept of the log is damaged", where=f"tree of {self._size}")
        seed, started_s = self._new_batch()
        for offset in range(known, len(bundle.entries)):
            index, entry, leaf = bundle.first + offset, bundle.entries[offset], bundle.leaves[offset]
            self._attester.check_stopped()
            outcome = self._one(index, entry, leaf, tree, seed)
            tree.append(leaf)
            self._batch.append(outcome)
            is_last = offset == len(bundle.entries) - 1
            reached = bundle.reached if is_last else self._reached
            if is_last or self._is_long(started_s):
                self._keep(tree, reached, seed)
                seed, started_s = self._new_batch()

    def _one(self, index: int, entry: bytes, leaf: bytes, tree: CompactRange, seed: Digest) -> EntryOutcome:
        """The outcome of an entry that passed, or was waived. Raises `AttestationRefusedError` for one that failed."""
        waiver = self._attester.state.waiver(self._head.checkpoint.origin, index)
        if waiver is not None and waiver.leaf == leaf:
            return outcome_of(index, [(check, SkipReason.WAIVED) for check in EntryCheck])
        outcome, opened, refused = self._attester.outcome(index, entry, self._past, seed, self._files)
        if refused is not None:
            if self._batch:  # what passed before it stays checked
                self._keep(tree, self._reached, seed)
            raise self._refuse(outcome, leaf, tree, seed, refused)
        if opened is not None:
            self._past.add(index, opened)
        return outcome

    def _keep(self, tree: CompactRange, reached: CompactRange, seed: Digest) -> None:
        """Sign what the batch says, and keep it durably."""
        envelope = self._attester.signed(self._head, CheckedRange.of(self._batch), tree, seed, self._progress, None)
        progress = Progress(
            self._head.checkpoint.origin,
            self._past.begin,
            tree.size,
            tree.root(),
            reached,
            self._head.note,
            Digest.of(envelope),
        )
        attested = Attested(progress, envelope, tuple(self._past.registered.items()), tuple(self._past.revoked.items()))
        self._attester.state.advance(attested, since=None if self._progress is None else self._progress.size)
        self._past.forget()
        self._batch = []
        self._progress, self._reached, self._size = progress, reached, tree.size

    def _refuse(
        self, outcome: EntryOutcome, leaf: bytes, tree: CompactRange, seed: Digest, refused: EntryRefusedError
    ) -> AttestationRefusedError:
        grown = CompactRange.of(0, tree.nodes)
        grown.append(leaf)
        checked = CheckedRange.of([outcome], refused.check)
        envelope = self._attester.signed(self._head, checked, grown, seed, self._progress, refused.reason)
        origin, now_s = self._head.checkpoint.origin, int(self._attester.settings.clock())
        self._attester.state.keep_finding(
            Finding(origin, outcome.entry, str(refused.check), refused.reason, now_s, leaf, envelope)
        )
        return AttestationRefusedError(Refusal(RefusalKind.REFUSED, str(refused.check), refused.reason, outcome.entry))

    def _new_batch(self) -> tuple[Digest, float]:
        return Digest(secrets.token_bytes(32)), time.monotonic()

    def _is_long(self, started_s: float) -> bool:
        if len(self._batch) >= MAX_ATTESTED_ENTRIES:
            return True
        read = sum(one.sample.bytes for one in self._batch if one.sample is not None)
        return read >= _BATCH_BYTES or time.monotonic() - started_s >= _BATCH_S


def _after(
    results: Sequence[tuple[EntryCheck, SkipReason | None]], failed: EntryCheck
) -> list[tuple[EntryCheck, SkipReason | None]]:
    """The results of an entry that failed a check: those up to it were performed, and none after it."""
    given, checks = dict(results), list(EntryCheck)
    performed = checks[: checks.index(failed) + 1]
    return [(check, given.get(check) if check in performed else SkipReason.REFUSED) for check in checks]


def _before(head: Head, progress: Progress | None, seen: Head | None) -> Head | None:
    """The signed checkpoint that this one must extend: the last that entries were checked under; None if it is larger,
    as where a log sends one that is not its last."""
    if progress is None:
        return seen
    known = Head(progress.note, parse_checkpoint(parse_note(progress.note).text))
    return known if known.checkpoint.size <= head.checkpoint.size else None


def _manifest(files: LogFiles, statement: DatasetStatement) -> bytes | None:
    """The manifest that a statement names, out of the log's own bundle of it; None if that is not to be had."""
    try:
        data = files.beside(f"v1/bundles/{statement.name}", MAX_HTTP_RESPONSE_BYTES)
        return None if data is None else parse_bundle(data).blobs.get(statement.manifest)
    except (LogError, MalformedError):
        return None
