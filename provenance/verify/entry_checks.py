"""Checks of one log entry: statement, signature, trust, log, anchor.

Steps, in order: 1 the envelope and statement are well formed, and a list of inputs is the one it names; 2 the signature
holds under a key at hand, and so does the ML-DSA-44 one if the trust roots list a key for it; 3 that key is trusted for
this namespace, and not revoked, or only later than a final block proves that it had signed; 4 the checkpoint of the
proof is signed by a trusted log, with keys of every type that it owes at its size; 5 the proof leads from the entry to
its root; 6 the witness quorum is met; 7 a receipt proves that a trusted contract holds this very checkpoint; 8 the
receipt's block is known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

from provenance.anchor import DEVELOPMENT_CHAIN_ID, AnchorReceipt, verify_receipt
from provenance.errors import MalformedError, ProvenanceError, printable
from provenance.lineage import Node, Place
from provenance.log import Checkpoint, LogKey, TlogProof, entry_leaf, open_counted, parse_proof
from provenance.merkle import verify_inclusion
from provenance.policy import Status, TrustedBlock, TrustedSource, TrustRoots, find_quorum
from provenance.signature import Envelope, PublicKey, parse_envelope, verify_envelope
from provenance.statement import PAYLOAD_TYPE, BlockReference, DatasetStatement, PinnedName, parse_statement
from provenance.statement.materials import MaterialList
from provenance.verify.evidence import BlockFinding, Evidence, EvidenceEntry
from provenance.verify.report import Check, TimeBound

LAST_SECOND: Final = 253_402_300_799
"""The end of the year 9999: the last that RFC 3339 can write."""


@dataclass(frozen=True, slots=True)
class EntryVerdict:
    """The checks of one entry; `node`, `signer` and the rest as far as they could be read.

    `checkpoint` is the one that the entry is proven to be in, `anchor` the receipt of it whose block is known.
    """

    subject: str
    checks: tuple[Check, ...]
    node: Node | None = None
    signer: str = ""
    keyid: str = ""
    checkpoint: Checkpoint | None = None
    anchor: AnchorReceipt | None = None

    @property
    def not_after(self) -> TimeBound | None:
        """The time of the final block that proves that it was there; None if there is none."""
        if self.anchor is None:
            return None
        chain = f"chain {self.anchor.chain_id}, block {self.anchor.block_number}"
        clock = f"{chain} (a development chain: its single operator's clock)" if self.anchor.development else chain
        return TimeBound(block_time(self.anchor.block_time_s), clock, self.anchor.chain_id)

    def status(self, check_id: str) -> Status:
        """The status of a check; not performed if it is not there."""
        return next((check.status for check in self.checks if check.id == check_id), Status.NOT_PERFORMED)


@dataclass(frozen=True, slots=True)
class KeyEnd:
    """Where a key was revoked first, in each log that says so, and whether it is said to have been stolen."""

    places: tuple[Place, ...]
    is_theft: bool

    def is_before(self, place: Place) -> bool:
        """Whether the key had certainly ended when what is there was logged."""
        return any(one.precedes(place) for one in self.places)

    def is_after(self, place: Place) -> bool:
        """Whether what is there was certainly logged before the key's end."""
        return all(place.precedes(one) for one in self.places)


@dataclass(frozen=True, slots=True)
class KeyFacts:
    """What the log says of keys, by key id: what is common to those that gave way to one another, their ends, and which
    key took a key's place."""

    holders: Mapping[str, str] = field(default_factory=dict)
    ends: Mapping[str, KeyEnd] = field(default_factory=dict)
    following: Mapping[str, str] = field(default_factory=dict)


class EntryVerifier:
    """Judges the entries of one evidence under one set of trust roots. Checkpoints and receipts are judged once."""

    def __init__(
        self,
        evidence: Evidence,
        trust: TrustRoots,
        blocks: Iterable[BlockFinding],
        facts: KeyFacts | None = None,
    ) -> None:
        """`facts`: what the log says of keys."""
        self._trust, self._facts = trust, facts or KeyFacts()
        self._keys, self._blobs = {key.keyid: key for key in evidence.keys}, evidence.blobs
        self._blocks = tuple(blocks)
        self._known: set[tuple[int, int, bytes | None]] = {(b.chain_id, b.number, b.hash) for b in trust.blocks}
        self._known |= {(f.chain_id, f.number, f.hash) for f in self._blocks if f.number <= f.finalized}
        self._anchors: dict[tuple[str, int, bytes], list[AnchorReceipt]] = {}
        for receipt in evidence.anchors:
            self._anchors.setdefault((receipt.origin, receipt.size, receipt.root), []).append(receipt)
        self._logs, self._witnesses = trust.log_keys(), trust.witness_keys()
        self._sources: dict[str, TrustedSource | None] = {}
        self._checkpoints: dict[bytes, tuple[Checkpoint | None, tuple[Check, Check]]] = {}
        self._receipts: dict[tuple[str, int, bytes], tuple[AnchorReceipt | None, tuple[Check, ...]]] = {}

    def judge(self, entry: EvidenceEntry) -> EntryVerdict:
        """The verdict on one entry. Never raises for bad evidence: it becomes a failed check."""
        label = f"envelope {entry.digest.hex[:16]}"
        try:
            envelope = parse_envelope(entry.envelope)
            statement = _statement(envelope)
        except ProvenanceError as error:
            return EntryVerdict(label, (_failed("statement", label, error),))
        subject = str(statement.name)
        checks = [Check("statement", subject, Status.PASSED, "well formed")]
        if statement.materials is not None:
            statement, check = self._materials(statement, statement.materials)
            checks.append(check)
        index, checkpoint, log_checks = self._log(entry, subject)
        anchor, anchor_checks = self._anchor(checkpoint, subject)
        signer, signature_checks = self._signature(envelope, statement.name, subject, anchor)
        checks += [*signature_checks, *log_checks, *anchor_checks]
        place = self._place(index, checkpoint, anchor, statement.not_before)
        node = Node(entry.digest, place, statement) if place is not None else None
        keyid = envelope.signatures[0].keyid
        return EntryVerdict(subject, tuple(checks), node, signer, keyid, checkpoint, anchor)

    def _materials(self, statement: DatasetStatement, stated: MaterialList) -> tuple[DatasetStatement, Check]:
        """The statement with the inputs that its list names, if that is at hand."""
        subject = str(statement.name)
        data = self._blobs.get(stated.digest)
        if data is None:
            note = f"the list of its {stated.count} inputs is not at hand"
            # As a parent that is named and missing: what is left out must not make the verdict better.
            return statement, Check(
                "materials", subject, Status.FAILED, note, f"the list {stated.digest.hex}", "nothing"
            )
        try:
            whole = statement.with_materials(data)
        except ProvenanceError as error:
            return statement, _failed("materials", subject, error)
        return whole, Check("materials", subject, Status.PASSED, f"list of {stated.count} inputs")

    def judge_saying(
        self, entry: EvidenceEntry, about: PinnedName, not_before: BlockReference | None
    ) -> tuple[str, Place, tuple[Check, ...]]:
        """Who signed an entry that is about an artefact, its place in the log, and the checks of signature, trust (for
        the artefact's namespace) and log. The envelope is well formed; `not_before` is the block that it names."""
        subject = str(about)
        index, checkpoint, log_checks = self._log(entry, subject)
        anchor, _ = self._anchor(checkpoint, subject)
        signer, checks = self._signature(parse_envelope(entry.envelope), about, subject, anchor)
        place = self._place(index, checkpoint, anchor, not_before) or Place(None, -1)
        return signer, place, (*checks, *log_checks)

    def judge_log(
        self, entry: EvidenceEntry, subject: str, not_before: BlockReference | None
    ) -> tuple[Place | None, tuple[Check, ...]]:
        """An entry's place, and the checks of the log alone: that a trusted one holds it, that enough witnesses
        cosigned."""
        index, checkpoint, checks = self._log(entry, subject)
        anchor, _ = self._anchor(checkpoint, subject)
        return self._place(index, checkpoint, anchor, not_before), tuple(checks)

    def _place(
        self,
        index: int | None,
        checkpoint: Checkpoint | None,
        anchor: AnchorReceipt | None,
        not_before: BlockReference | None,
    ) -> Place | None:
        if index is None:
            return None
        anchored = (anchor.chain_id, anchor.block_number) if anchor is not None else None
        return Place(
            checkpoint.origin if checkpoint is not None else None,
            index,
            anchored,
            not_before if not_before is not None and self.knows(not_before) else None,
        )

    @property
    def spares(self) -> bool:
        """Whether a key in the trust roots was revoked from some time on, so that a block may spare what it signed."""
        return any(source.since is not None for source in self._trust.sources)

    def knows(self, block: BlockReference) -> bool:
        """Whether a block is known to be in its chain, and final: by the trust roots, or by a chain that was asked."""
        return (block.chain_id, block.number, block.hash) in self._known

    def place_of(self, entry: EvidenceEntry) -> tuple[str, int] | None:
        """The log (its origin) and the index that an entry is proven to be at; None if it is not."""
        index, checkpoint, checks = self._log(entry, "")
        proven = all(check.status is Status.PASSED for check in checks if check.id != "log.witnesses")
        return (checkpoint.origin, index) if proven and checkpoint is not None and index is not None else None

    def known_roots(self) -> dict[tuple[str, int], bytes]:
        """Origin and size -> root, of every checkpoint that was verified so far."""
        found = (checkpoint for checkpoint, _ in self._checkpoints.values() if checkpoint is not None)
        return {(one.origin, one.size): one.root for one in found}

    def log_keys(self) -> tuple[LogKey, ...]:
        """The trusted keys of logs, with the sizes they hold for."""
        return self._logs

    def source_name(self, keyid: str) -> str | None:
        """What the trust roots call who has a key; None if they do not list it."""
        source = self._source(keyid)
        return None if source is None else source.name

    def lists(self, keyid: str, name: PinnedName) -> bool:
        """Whether the trust roots list a key for an artefact's namespace, in force or revoked."""
        source = self._source(keyid)
        return source is not None and (not source.namespaces or name.dataset.namespace in source.namespaces)

    def holder(self, keyid: str) -> str:
        """What is common to all keys that gave way to one another; the key's own id if there are no others."""
        return self._facts.holders.get(keyid, keyid)

    def successors(self, keyid: str) -> frozenset[str]:
        """The keys that took its place, one after another."""
        found: dict[str, None] = {}
        following = self._facts.following.get(keyid)
        while following is not None and following not in found:
            found[following] = None
            following = self._facts.following.get(following)
        return frozenset(found)

    def listed(self, keyid: str) -> TrustedSource | None:
        """What the trust roots say of a key, with what the log says of its end; None if they do not list it."""
        return self._source(keyid)

    def end_of(self, keyid: str) -> KeyEnd | None:
        """Where in the log a key was revoked; None if it was not, there."""
        return self._facts.ends.get(keyid)

    def _signature(
        self, envelope: Envelope, name: PinnedName, subject: str, anchor: AnchorReceipt | None
    ) -> tuple[str, tuple[Check, Check]]:
        keyid = envelope.signatures[0].keyid
        source = self._source(keyid)
        key: PublicKey | None = source.key if source else self._keys.get(keyid)
        if key is None:
            no_key = "no public key with this id is at hand"
            unknown = Check("signature", subject, Status.NOT_PERFORMED, no_key, found=keyid)
            return keyid, (unknown, Check("trust", subject, Status.FAILED, "signed but not trusted", found=keyid))
        signer = f"{printable(source.name) if source else 'unknown'} ({keyid[:16]})"
        try:
            verify_envelope(envelope, key)
        except ProvenanceError as error:
            invalid = _failed("signature", subject, error)
            return signer, (invalid, Check("trust", subject, Status.NOT_PERFORMED, "the signature is invalid"))
        note = f"{' and '.join(key.algorithms)} by key {keyid[:16]}"
        if len(envelope.signatures) > len(key.algorithms):
            note += "; a second signature is not judged: the trust roots list no ML-DSA-44 key beside it"
        valid = Check("signature", subject, Status.PASSED, note)
        if source is None:
            trust = Check("trust", subject, Status.FAILED, "signed but not trusted", "a key in the trust roots", keyid)
        elif source.revoked and not _signed_before(source, anchor):
            note = "signed by a revoked key"
            if source.since is not None:
                note += f": since {source.since}, and nothing proves that it signed before"
            is_open = source.since is not None and anchor is None
            trust = Check(
                "trust",
                subject,
                Status.FAILED,
                note,
                "a key in force",
                printable(source.name),
                could_be_spared=is_open,
            )
        elif source.namespaces and name.dataset.namespace not in source.namespaces:
            expected, found = " | ".join(source.namespaces), name.dataset.namespace
            trust = Check("trust", subject, Status.FAILED, "key is not trusted for this namespace", expected, found)
        else:
            note = f"source {printable(source.name)}"
            if source.revoked and anchor is not None:
                note += f", revoked since {source.since}; it signed before block {anchor.block_number}"
            trust = Check("trust", subject, Status.PASSED, note)
        return signer, (valid, trust)

    def _source(self, keyid: str) -> TrustedSource | None:
        if keyid not in self._sources:
            self._sources[keyid] = self._trust.source(keyid)
        return self._sources[keyid]

    def _log(self, entry: EvidenceEntry, subject: str) -> tuple[int | None, Checkpoint | None, list[Check]]:
        try:
            proof = parse_proof(entry.proof)
        except ProvenanceError as error:
            return None, None, [_failed("log.inclusion", subject, error)]
        checkpoint, (check, witnesses) = self._checkpoint(proof, subject)
        checks = [check]
        if checkpoint is None:
            checks.append(Check("log.inclusion", subject, Status.NOT_PERFORMED, "no trusted checkpoint"))
            return proof.index, None, checks
        try:
            leaf = entry_leaf(entry.envelope)
            verify_inclusion(leaf, proof.index, checkpoint.size, proof.hashes, checkpoint.root)
        except ProvenanceError as error:
            checks.append(_failed("log.inclusion", subject, error))
            return proof.index, None, checks
        note = f"entry {proof.index} of {checkpoint.size}"
        checks.append(Check("log.inclusion", subject, Status.PASSED, note))
        checks.append(witnesses)
        return proof.index, checkpoint, checks

    def _checkpoint(self, proof: TlogProof, subject: str) -> tuple[Checkpoint | None, tuple[Check, Check]]:
        if proof.checkpoint not in self._checkpoints:
            self._checkpoints[proof.checkpoint] = self._judge_checkpoint(proof.checkpoint)
        checkpoint, (check, witnesses) = self._checkpoints[proof.checkpoint]
        return checkpoint, (_about(check, subject), _about(witnesses, subject))

    def _judge_checkpoint(self, data: bytes) -> tuple[Checkpoint | None, tuple[Check, Check]]:
        unseen = Check("log.witnesses", "", Status.NOT_PERFORMED, "no trusted checkpoint")
        if not self._trust.logs:
            no_log = "a log key in the trust roots"
            return None, (Check("log.checkpoint", "", Status.FAILED, "no log is trusted", no_log), unseen)
        try:
            counted = open_counted(data, self._logs, self._witnesses)
        except ProvenanceError as error:
            return None, (_failed("log.checkpoint", "", error), unseen)
        with_what = f" with {' and '.join(counted.algorithms)}" if len(counted.algorithms) > 1 else ""
        note = f"signed by {counted.checkpoint.origin}{with_what}"
        signed = Check("log.checkpoint", "", Status.PASSED, note)
        return counted.checkpoint, (signed, self._quorum(data, len(counted.witnesses)))

    def _quorum(self, note: bytes, count: int) -> Check:
        found = find_quorum(self._trust, note, count)
        status = Status.PASSED if found.is_met else Status.FAILED
        return Check("log.witnesses", "", status, found.note, found.expected, found.found)

    def _anchor(self, checkpoint: Checkpoint | None, subject: str) -> tuple[AnchorReceipt | None, tuple[Check, ...]]:
        key = (checkpoint.origin, checkpoint.size, checkpoint.root) if checkpoint else None
        if key is None or key not in self._anchors:
            note = "no anchor of this checkpoint is at hand"
            absent = (Check("anchor.receipt", subject, Status.NOT_PERFORMED, note),)
            return None, (*absent, Check("anchor.block", subject, Status.NOT_PERFORMED, note))
        if key not in self._receipts:
            self._receipts[key] = self._judge_receipts(self._anchors[key])
        receipt, checks = self._receipts[key]
        return receipt, tuple(_about(check, subject) for check in checks)

    def _judge_receipts(self, receipts: list[AnchorReceipt]) -> tuple[AnchorReceipt | None, tuple[Check, ...]]:
        verdicts = [self._judge_receipt(receipt) for receipt in receipts]
        ranked = sorted(verdicts, key=lambda verdict: [check.status is not Status.PASSED for check in verdict[1]])
        return ranked[0]

    def _judge_receipt(self, receipt: AnchorReceipt) -> tuple[AnchorReceipt | None, tuple[Check, ...]]:
        blocked = Check("anchor.block", "", Status.NOT_PERFORMED, "the receipt does not hold")
        anchor = self._trust.anchor(receipt.chain_id, receipt.contract, receipt.publisher)
        # The receipt's own word is only its writer's (anchor.CLAIMED_FIELDS); it can add the label, not take it away.
        if receipt.chain_id == DEVELOPMENT_CHAIN_ID or (anchor is not None and anchor.development):
            receipt = replace(receipt, development=True)
        kind = "development chain" if receipt.development else "chain"
        where = f"{kind} {receipt.chain_id}, contract {receipt.contract}"
        if anchor is None:
            note = "anchored where the trust roots name no anchor"
            return None, (Check("anchor.receipt", "", Status.NOT_PERFORMED, note, where=where), blocked)
        try:
            verify_receipt(receipt)
        except ProvenanceError as error:
            return None, (_failed("anchor.receipt", "", error), blocked)
        # Its place in the block is proven; its hash is only what the receipt's writer says (anchor.CLAIMED_FIELDS).
        note = f"transaction {receipt.transaction_index} of block {receipt.block_number}"
        proven = Check("anchor.receipt", "", Status.PASSED, note, where=where)
        block = self._judge_block(receipt)
        return (receipt if block.status is Status.PASSED else None), (proven, block)

    def _judge_block(self, receipt: AnchorReceipt) -> Check:
        height = f"block {receipt.block_number} of chain {receipt.chain_id}"
        known = TrustedBlock(receipt.chain_id, receipt.block_number, receipt.block_hash)
        for block in self._trust.blocks:
            if (block.chain_id, block.number) == (known.chain_id, known.number):
                if block == known:
                    return Check("anchor.block", "", Status.PASSED, f"{height} is in the trust roots")
                expected, found = block.hash.hex(), known.hash.hex()
                return Check("anchor.block", "", Status.FAILED, "another block is trusted", expected, found, height)
        for finding in self._blocks:
            if (finding.chain_id, finding.number) == (known.chain_id, known.number):
                if finding.hash != known.hash:
                    found = finding.hash.hex() if finding.hash else "no block"
                    return Check("anchor.block", "", Status.FAILED, "not in the chain", known.hash.hex(), found, height)
                if finding.number > finding.finalized:
                    note = f"{height} is not final yet: the chain's finalised height is {finding.finalized}"
                    return Check("anchor.block", "", Status.NOT_PERFORMED, note)
                return Check("anchor.block", "", Status.PASSED, f"{height} is final, says {finding.source}")
        return Check("anchor.block", "", Status.NOT_PERFORMED, f"nobody was asked whether {height} is in the chain")


def _signed_before(source: TrustedSource, anchor: AnchorReceipt | None) -> bool:
    """Whether a final block, in whose time the entry was logged already, is older than the revocation of the key."""
    return source.since is not None and anchor is not None and is_block_before(anchor.block_time_s, source.since)


def is_block_before(block_time_s: int, time: str) -> bool:
    """Whether a block, of a time in Unix seconds, is older than an RFC 3339 time."""
    return block_time_s <= LAST_SECOND and datetime.fromtimestamp(block_time_s, UTC) < datetime.fromisoformat(time)


def block_time(seconds: int) -> str:
    """A block's time, in Unix seconds, as RFC 3339 in UTC; in words, if it is of a year that cannot be written so."""
    if seconds > LAST_SECOND:
        return f"{seconds} seconds after 1970"
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _statement(envelope: Envelope) -> DatasetStatement:
    if envelope.payload_type != PAYLOAD_TYPE:
        raise MalformedError("envelope holds something else", expected=PAYLOAD_TYPE, got=envelope.payload_type)
    return parse_statement(envelope.payload)


def _failed(check_id: str, subject: str, error: ProvenanceError) -> Check:
    note = "malformed" if isinstance(error, MalformedError) else "invalid"
    return Check(check_id, subject, Status.FAILED, f"{note}: {error.what}", error.expected, error.got, error.where)


def _about(check: Check, subject: str) -> Check:
    return replace(check, subject=subject)
