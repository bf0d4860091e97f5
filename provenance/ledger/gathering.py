"""Gathering evidence: from rows of the store to what a verifier needs.

Invariants: every proof of one gathering leads to one checkpoint, the anchored one where an anchor covers the target,
but for what was said later, whose proofs lead to the newest, and for what a key signed that was revoked at some time,
and what was made from something that was, whose proofs lead to its own first anchor; nothing is judged here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from provenance.anchor import AnchorReceipt, parse_receipt_bytes
from provenance.encoding import Digest
from provenance.errors import MalformedError, NotFoundError, StoreError
from provenance.ledger.publication import events_about, prove_entry, tile_reader
from provenance.limits import MAX_BUNDLE_BYTES
from provenance.log import TileReader
from provenance.policy import TrustRoots
from provenance.signature import Envelope, PublicKey, parse_envelope
from provenance.statement import DatasetStatement, parse_statement
from provenance.statement.events import read_event
from provenance.statement.failed_run import FailedRun
from provenance.statement.frame import open_frame
from provenance.statement.key_event import KeyAction, read_key_event
from provenance.statement.revocation import Revocation
from provenance.statement.usage import Usage
from provenance.statement.verdict import Verdict
from provenance.stores import BlobStore, CheckpointRow, DatasetRow, EntryRow, OutboxRow, StoreReader
from provenance.verify import Evidence, EvidenceEntry
from provenance.verify.entry_checks import is_block_before

_BEARS_ON_NOTHING = (Usage.TYPE, FailedRun.TYPE, Verdict.TYPE)
"""Events that no verdict looks at, and that come in any number."""
_MAX_ANCHORS_BACK = 256
_MAX_CHUNK_MAP_BYTES = 8 * 2**20
"""Of 256 GiB in chunks of 1 MiB; what a larger one says can be had from the ledger."""


def gather(
    store: StoreReader,
    blobs: BlobStore,
    target: DatasetRow,
    trust: TrustRoots,
    *,
    with_manifests: bool,
    anchor: OutboxRow | None = None,
    with_all: bool = False,
) -> Evidence:
    """The evidence for `target` and its ancestors; with an `anchor`, what it holds and nothing that was logged later.

    `with_all`: all that was said of the keys, and not only what ends them and the first of everything else.

    `StoreError` if the store lacks what the log must have.
    """
    if anchor is None:
        checkpoint, anchors = _checkpoint(store, target.entry_index)
    else:
        checkpoint, anchors = _checkpoint_of(store, anchor)
    tiles = tile_reader(store, checkpoint.size)
    ancestry = (target.entry_index, *store.ancestors(target.entry_index))
    events = _Events(store, checkpoint, tiles, trust, with_later=anchor is None)
    rows = [_entry(store, index) for index in ancestry]
    said = [events.about(row) for row in rows]
    late = _late_users(store, ancestry, said, trust, anchors)
    entries, keys, manifests = list[EvidenceEntry](), dict[str, PublicKey](), list[Digest]()
    lists: list[Digest] = []
    spoken = _KeyEvents(store, checkpoint, tiles, with_later=anchor is None, with_all=with_all)
    blocks: dict[bytes, int] = {}
    for row, words in zip(rows, said, strict=True):
        envelope, statement = _read(row)
        proven = EvidenceEntry(row.envelope, prove_entry(store, row.index, checkpoint, tiles))
        signer = trust.source(envelope.signatures[0].keyid)
        is_of_ended_key = signer is not None and signer.since is not None
        if row.index != target.entry_index and (is_of_ended_key or row.index in late):
            proven, receipts = _in_own_anchor(store, row.index, proven)
            anchors = tuple(dict.fromkeys((*anchors, *receipts)))
        entries.append(proven)
        if statement.materials is not None:
            lists.append(statement.materials.digest)
        manifests += [statement.manifest, *_small(blobs, statement.parameters.chunks)]
        if statement.not_before is not None:
            blocks[statement.not_before.hash] = max(row.index, blocks.get(statement.not_before.hash, 0))
        for signed in (envelope, *(parse_envelope(event.envelope) for event in words)):
            spoken.look(signed.signatures[0].keyid)
            source = trust.source(signed.signatures[0].keyid)
            if source is not None:
                keys[source.key.keyid] = source.key.alone  # offered, and never what is asked for
    entries += [*(event for words in said for event in words), *spoken.entries()]
    return Evidence(
        target=entries[0].digest,
        entries=tuple(entries),
        keys=tuple(keys.values()),
        anchors=tuple(dict.fromkeys((*anchors, *events.receipts))),
        headers=_headers(store, blocks),
        blobs=KeptBlobs(blobs, [*lists, *(manifests if with_manifests else ())]),
    )


def _entry(store: StoreReader, index: int) -> EntryRow:
    row = store.entry(index)
    if row is None:
        raise StoreError("log entry is missing", where=f"entry {index}", hint="run `provenance log fsck`")
    return row


class _Events:
    """What was said about statements and bears on their verdicts, and the receipts of the anchors that it is proven
    in."""

    def __init__(
        self, store: StoreReader, checkpoint: CheckpointRow, tiles: TileReader, trust: TrustRoots, *, with_later: bool
    ) -> None:
        self._store, self._checkpoint, self._tiles, self._trust = store, checkpoint, tiles, trust
        self._with_later = with_later
        self.receipts: dict[AnchorReceipt, None] = {}

    def about(self, row: EntryRow) -> list[EvidenceEntry]:
        """What was said about one; of a key that was revoked from some time on, as it was anchored first."""
        found = []
        about = Digest.of(row.envelope)
        for index, event in _said(self._store, about, self._checkpoint, self._tiles, with_later=self._with_later):
            proven, receipts = event, tuple[AnchorReceipt, ...]()
            signer = self._trust.source(parse_envelope(event.envelope).signatures[0].keyid)
            if self._with_later and signer is not None and signer.since is not None:
                proven, receipts = _in_own_anchor(self._store, index, event)
            self.receipts.update(dict.fromkeys(receipts))
            found.append(proven)
        return found


def _late_users(
    store: StoreReader,
    ancestry: Sequence[int],
    said: Iterable[Sequence[EvidenceEntry]],
    trust: TrustRoots,
    anchors: Sequence[AnchorReceipt],
) -> set[int]:
    """Which of the ancestry were made from something that was revoked from some time on, and need their own anchors to
    show that they are older, as the common one is not."""
    found: set[int] = set()
    known = frozenset(ancestry)
    for index, words in zip(ancestry, said, strict=True):
        times = [since for event in words if (since := _revoked_since(event, trust)) is not None]
        if times and not any(is_block_before(receipt.block_time_s, min(times)) for receipt in anchors):
            found.update(child.entry_index for child in children_of(store, index) if child.entry_index in known)
    return found


def _revoked_since(event: EvidenceEntry, trust: TrustRoots) -> str | None:
    """From when on an event revokes what it is about, if it does and somebody says so who is known."""
    envelope = parse_envelope(event.envelope)
    if trust.source(envelope.signatures[0].keyid) is None:
        return None
    frame = open_frame(envelope.payload)
    body = read_event(frame).body if frame.predicate_type == Revocation.TYPE else None
    return body.since if isinstance(body, Revocation) else None


def children_of(store: StoreReader, index: int) -> Iterator[DatasetRow]:
    """What names an entry as a parent, in log order."""
    after: int | None = None
    while page := store.children(index, after=after):
        yield from page
        after = page[-1].entry_index


def _in_own_anchor(
    store: StoreReader, index: int, entry: EvidenceEntry
) -> tuple[EvidenceEntry, tuple[AnchorReceipt, ...]]:
    """An entry, proven in the first anchor after it, which says best when it was there; as it is, if there is none."""
    own, receipts = _checkpoint(store, index)
    if not receipts:
        return entry, ()
    return EvidenceEntry(entry.envelope, prove_entry(store, index, own, tile_reader(store, own.size))), receipts


class _KeyEvents:
    """What is said of the keys that signed: each key is looked up once."""

    def __init__(
        self, store: StoreReader, checkpoint: CheckpointRow, tiles: TileReader, *, with_later: bool, with_all: bool
    ) -> None:
        self._store, self._checkpoint, self._tiles, self._with_later = store, checkpoint, tiles, with_later
        self._with_all = with_all
        self._found: dict[str, list[EvidenceEntry]] = {}

    def look(self, keyid: str) -> None:
        """Find the entries about a key, and about those that took its place."""
        waiting = [keyid]
        while waiting:
            keyid = waiting.pop()
            if keyid in self._found:
                continue
            about, wants = Digest.from_hex(keyid), _FewOfAKey(with_all=self._with_all)
            said = _said(self._store, about, self._checkpoint, self._tiles, with_later=self._with_later, wants=wants)
            self._found[keyid] = [entry for _, entry in said]
            waiting += wants.successors
            waiting += [parse_envelope(entry.envelope).signatures[0].keyid for entry in self._found[keyid]]

    def entries(self) -> list[EvidenceEntry]:
        """All that were found, each once."""
        return list({one.digest: one for found in self._found.values() for one in found}.values())


class _FewOfAKey:
    """Which entries about a key go into evidence: every revocation, and of what else the key says of itself the first
    of each kind, so that its holder cannot fill bundles."""

    def __init__(self, *, with_all: bool) -> None:
        self._seen, self._with_all = set[KeyAction](), with_all
        self.successors: list[str] = []

    def __call__(self, envelope: bytes) -> bool:
        signed = parse_envelope(envelope)
        event = read_key_event(open_frame(signed.payload))
        if event.action is KeyAction.REVOKED:
            return True
        if event.action in self._seen or signed.signatures[0].keyid != event.key.keyid.hex:
            return self._with_all
        self._seen.add(event.action)
        if event.successor is not None:
            self.successors.append(event.successor.keyid.hex)
        return True


def _said(
    store: StoreReader,
    about: Digest,
    checkpoint: CheckpointRow,
    tiles: TileReader,
    *,
    with_later: bool,
    wants: Callable[[bytes], bool] = lambda _: True,
) -> Iterator[tuple[int, EvidenceEntry]]:
    """What was said about a statement and bears on its verdict, with its index, if its envelope is wanted. What was
    logged after the checkpoint of the gathering is proven in the newest, with `with_later`."""
    newest: tuple[CheckpointRow, TileReader] | None = None
    for event in events_about(store, about):
        row = store.entry(event.entry_index) if event.type not in _BEARS_ON_NOTHING else None
        if row is None or not (row.index < checkpoint.size or with_later) or not wants(row.envelope):
            continue
        if row.index < checkpoint.size:
            yield row.index, EvidenceEntry(row.envelope, prove_entry(store, row.index, checkpoint, tiles))
            continue
        if newest is None:
            latest = store.checkpoint() or checkpoint
            newest = latest, tile_reader(store, latest.size)
        yield row.index, EvidenceEntry(row.envelope, prove_entry(store, row.index, *newest))


def _read(row: EntryRow) -> tuple[Envelope, DatasetStatement]:
    try:
        envelope = parse_envelope(row.envelope)
        return envelope, parse_statement(envelope.payload)
    except MalformedError as error:  # it was well formed when it was logged
        hint = "run `provenance log fsck`, and restore the ledger from a backup or a mirror"
        raise StoreError("log entry is damaged", got=error.what, where=f"entry {row.index}", hint=hint) from error


def _small(blobs: BlobStore, digest: Digest | None) -> list[Digest]:
    """A chunk map that is kept here and is no burden to a bundle."""
    if digest is None or not blobs.has(digest) or blobs.size_bytes(digest) > _MAX_CHUNK_MAP_BYTES:
        return []
    return [digest]


class KeptBlobs(Mapping[Digest, bytes]):
    """Those of some blobs that are kept here, read when they are asked for. `StoreError` for one that is damaged."""

    def __init__(self, blobs: BlobStore, digests: Iterable[Digest]) -> None:
        self._blobs = blobs
        self._digests = {digest: None for digest in digests if blobs.has(digest)}

    def __getitem__(self, digest: Digest) -> bytes:
        if digest not in self._digests:
            raise KeyError(digest)
        return self._blobs.get(digest, max_bytes=MAX_BUNDLE_BYTES)

    def __iter__(self) -> Iterator[Digest]:
        return iter(self._digests)

    def __len__(self) -> int:
        return len(self._digests)


def _headers(store: StoreReader, blocks: Mapping[bytes, int]) -> tuple[bytes, ...]:
    """The headers of blocks that this log was anchored in, by block hash and the last entry that names the block.

    A statement names the block of the anchor that was newest when it was signed: one of the last before its entry.
    """
    found: dict[bytes, bytes] = {}
    for block, index in blocks.items():
        covering = store.anchor_covering(index) or store.outbox_latest_anchor()
        before, width = (covering.id if covering is not None else 0), 4
        while block not in found and before > 0 and width <= _MAX_ANCHORS_BACK:
            page = store.anchors(after_id=max(0, before - width), limit=width)
            receipts = (receipt_of(row) for row in page if row.id <= before)
            found.update({receipt.block_hash: receipt.header for receipt in receipts if receipt is not None})
            before, width = before - width, 2 * width
    return tuple(found[block] for block in blocks if block in found)


def receipt_of(row: OutboxRow) -> AnchorReceipt | None:
    """The anchor receipt that an outbox row keeps. `StoreError` if it is damaged."""
    if row.receipt is None:
        return None
    try:
        return parse_receipt_bytes(row.receipt)
    except MalformedError as error:  # it was well formed when it was kept
        hint = "run `provenance log fsck`, and restore the ledger from a backup"
        where = f"outbox row {row.id}"
        raise StoreError("anchor receipt is damaged", got=error.what, where=where, hint=hint) from error


def _checkpoint_of(store: StoreReader, anchor: OutboxRow) -> tuple[CheckpointRow, tuple[AnchorReceipt, ...]]:
    kept, receipt = store.checkpoint_at(anchor.size or 0), receipt_of(anchor)
    if kept is None or receipt is None:
        raise StoreError("anchored checkpoint is missing", where=f"outbox row {anchor.id}", hint="see `log fsck`")
    return kept, (receipt,)


def _checkpoint(store: StoreReader, index: int) -> tuple[CheckpointRow, tuple[AnchorReceipt, ...]]:
    anchored = store.anchor_covering(index)
    if anchored is not None and anchored.size is not None:
        kept, receipt = store.checkpoint_at(anchored.size), receipt_of(anchored)
        if kept is not None and receipt is not None:
            return kept, (receipt,)
    latest = store.checkpoint()
    if latest is None:
        raise NotFoundError("the log is empty", hint="register a dataset first")
    return latest, ()
