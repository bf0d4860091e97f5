"""The log's map of this ledger: kept up to date from the entries, its heads signed, and what it answers.

Invariants: the map follows the log and never the other way round; a head is signed only over a map that was derived
from the entries under the checkpoint that the log signed at that size; a map that is of another history than the log is
made again.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from provenance.encoding import Digest
from provenance.errors import ConflictError, NotFoundError, StoreError
from provenance.ledger.layout import exists, writable
from provenance.log import parse_proof
from provenance.log.map import MapAnswer, MapKey, keys_of, sign_head
from provenance.signature import parse_envelope
from provenance.statement.dataset import DATASET_PREDICATE
from provenance.statement.frame import open_frame
from provenance.statement.key_event import KEY_TYPE, read_key_event
from provenance.stores.log_map import LogMap, MapState
from provenance.verify import Evidence
from provenance.verify.completeness import needed_keys

if TYPE_CHECKING:
    from provenance.ledger.ledger import Ledger

BATCH_ENTRIES: Final = 4_096
"""Entries that become durable in the map together."""
FILE: Final = "map.db"
_TRIES: Final = 8

MapProgress = Callable[[int, int], None]
"""(entries done, entries in all)."""


def update_map(ledger: Ledger, progress: MapProgress | None = None) -> MapState:
    """Bring the map to the log's size; its state. Several may do so at once."""
    for _ in range(_TRIES):
        try:
            return _follow(ledger, ledger.map, progress)
        except ConflictError:  # another process was faster
            continue
    raise StoreError("the log's map is written by others all the time", hint="try again")


def answer_about(ledger: Ledger, key: MapKey) -> MapAnswer:
    """What the log, as it is now, holds about a key, with the proof that this is all. `NotFoundError` if it is
    empty."""
    for _ in range(_TRIES):
        state = update_map(ledger)
        if not state.size:
            raise NotFoundError("the log is empty", hint="register a dataset first")
        found = ledger.map.find(key.digest)
        if found.state.size != state.size or found.state.log_root is None:
            continue  # another process moved on between
        head = found.state.head
        if head is None:
            head = sign_head(ledger.keyring.note_signer(), state.size, found.state.log_root, found.state.root)
            ledger.map.keep_head(state.size, head)
        return MapAnswer(key, found.bucket, found.hashes, found.state.log_root, head, found.entries)
    raise StoreError("the log grows faster than its map", hint="try again")


def complete_evidence(ledger: Ledger, gathered: Callable[[], Evidence]) -> Evidence:
    """What `gathered` gives, with the map's answers that nothing was left out of it: of each statement, and of each key
    that signed something in it. It is gathered again if more was logged meanwhile."""
    for _ in range(_TRIES):
        evidence = gathered()
        answers = tuple(answer_about(ledger, key) for key in _keys_in(evidence))
        at_hand = {parse_proof(entry.proof).index for entry in evidence.entries}
        if all(index in at_hand for answer in answers for index in answer.entries):
            return replace(evidence, answers=answers)
    raise StoreError("the log grows faster than its evidence is gathered", hint="try again")


def _keys_in(evidence: Evidence) -> list[MapKey]:
    envelopes, keyids = list[Digest](), list[str]()
    for entry in evidence.entries:
        envelope = parse_envelope(entry.envelope)
        keyids.append(envelope.signatures[0].keyid)
        frame = open_frame(envelope.payload)
        if frame.predicate_type == DATASET_PREDICATE:
            envelopes.append(entry.digest)
        if frame.predicate_type == KEY_TYPE and (successor := read_key_event(frame).successor) is not None:
            keyids.append(successor.keyid.hex)
    return needed_keys(envelopes, keyids)


def check_map(ledger: Ledger) -> tuple[str, ...]:
    """What is wrong with the map: nothing, or how it differs from the one that the entries give, derived again beside
    it."""
    if not exists(ledger.layout.directory / FILE) or not writable(ledger.layout.directory):
        return ()
    try:
        return _differences(ledger)
    except StoreError as error:
        return (f"the map cannot be compared: {error.message}",)


def _differences(ledger: Ledger) -> tuple[str, ...]:
    state = ledger.map.state()
    if not state.size:
        return ()
    if state.size > ledger.log.size() or ledger.log.root_at(state.size) != state.log_root:
        return (f"the map covers {state.size} entries of another history than this log's",)
    with tempfile.TemporaryDirectory(dir=ledger.layout.directory, prefix=".map-") as folder:
        again = LogMap(Path(folder) / "map.db")
        try:
            _grow(ledger, again, state.size, None)
            derived = again.state()
        finally:
            again.close()
    if derived.root != state.root:
        return (f"the map's root is {state.root.hex()}, the first {state.size} entries give {derived.root.hex()}",)
    return ()


def _follow(ledger: Ledger, kept: LogMap, progress: MapProgress | None) -> MapState:
    state, size = kept.state(), ledger.log.checkpoint().size if ledger.log.size() else 0
    if state.size and (state.size > size or ledger.log.root_at(state.size) != state.log_root):
        kept.clear()
    _grow(ledger, kept, size, progress)
    return kept.state()


def _grow(ledger: Ledger, kept: LogMap, size: int, progress: MapProgress | None) -> None:
    for first in range(kept.state().size, size, BATCH_ENTRIES):
        count = min(BATCH_ENTRIES, size - first)
        keys = [_digests(row.envelope) for row in ledger.log.entries(first, count)]
        kept.add(first, keys, ledger.log.root_at(first + count))
        if progress is not None:
            progress(first + count, size)


def _digests(envelope: bytes) -> Sequence[bytes]:
    return [key.digest for key in keys_of(envelope)]
