"""The log's map of this ledger: kept up to date from the entries, its heads signed, and what it answers.

Invariants: the map follows the log and never the other way round; a head is signed only over a map that was derived
from the entries under the checkpoint that the log signed at that size; a map that is of another history than the log is
made again. Of every checkpoint that is about to be published the head is wanted, and kept when the map comes by:
whoever publishes does not wait for it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from provenance.encoding import Digest
from provenance.errors import ConflictError, MalformedError, NotFoundError, StoreError, VerificationError
from provenance.ledger.layout import exists, writable
from provenance.log import parse_proof
from provenance.log.map import MapAnswer, MapKey, keys_of, open_head, sign_head
from provenance.signature import parse_envelope
from provenance.statement.dataset import DATASET_PREDICATE
from provenance.statement.frame import open_frame
from provenance.statement.key_event import KEY_TYPE, read_key_event
from provenance.stores import CheckpointRow
from provenance.stores.log_map import LogMap, MapState
from provenance.verify import Evidence
from provenance.verify.completeness import needed_keys

if TYPE_CHECKING:
    from provenance.ledger.ledger import Ledger

BATCH_ENTRIES: Final = 4_096
"""Entries that become durable in the map together."""
NEAR_ENTRIES: Final = 1_024
"""How far behind the map may be for an anchor to bring it up: a quarter of a second at a million entries."""
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


def wanted_checkpoint(ledger: Ledger) -> CheckpointRow:
    """The latest checkpoint, the head of whose map is wanted from now on. `NotFoundError` if the log is empty.

    A map that cannot be written keeps nobody from publishing: its head is missing then.
    """
    found: list[CheckpointRow] = []

    def size_of() -> int:  # read while the map stands still, which so has not passed it
        found.append(ledger.log.checkpoint())
        return found[-1].size

    if writable(ledger.layout.directory):
        with suppress(StoreError):
            ledger.map.want(size_of)
    return found[-1] if found else ledger.log.checkpoint()


def keep_heads(
    ledger: Ledger,
    *,
    max_entries: int | None = None,
    batch_entries: int = BATCH_ENTRIES,
    progress: MapProgress | None = None,
) -> None:
    """Bring the map to the greatest size whose head is wanted, and keep all heads on the way; none that lies more than
    `max_entries` ahead. Several may do so at once."""
    for _ in range(_TRIES):
        kept = ledger.map
        upto = ledger.log.size() if max_entries is None else min(ledger.log.size(), kept.state().size + max_entries)
        try:
            while (wanted := kept.wanted(upto)) is not None:
                _follow(ledger, kept, progress, upto=wanted, batch_entries=batch_entries)
            return
        except ConflictError:  # another process was faster
            continue


def _follow(
    ledger: Ledger,
    kept: LogMap,
    progress: MapProgress | None,
    *,
    upto: int | None = None,
    batch_entries: int = BATCH_ENTRIES,
) -> MapState:
    state, size = kept.state(), ledger.log.checkpoint().size if ledger.log.size() else 0
    if state.size and (state.size > size or ledger.log.root_at(state.size) != state.log_root):
        kept.clear()
    _grow(ledger, kept, size if upto is None else min(upto, size), progress, batch_entries)
    return kept.state()


def _grow(
    ledger: Ledger, kept: LogMap, size: int, progress: MapProgress | None, batch_entries: int = BATCH_ENTRIES
) -> None:
    while True:
        state = kept.state()
        wanted = kept.wanted(size)
        if wanted is not None and wanted <= state.size:
            _keep_head(ledger, kept, state, wanted)
            continue
        stop = size if wanted is None else wanted
        if state.size >= stop:
            return
        count = min(batch_entries, stop - state.size)
        keys = [_digests(row.envelope) for row in ledger.log.entries(state.size, count)]
        kept.add(state.size, keys, ledger.log.root_at(state.size + count))
        if progress is not None:
            progress(state.size + count, size)


def _keep_head(ledger: Ledger, kept: LogMap, state: MapState, wanted: int) -> None:
    """Sign and keep a head that is wanted, or give it up, if it is of the past or no key of now holds for its size."""
    head = _signed(ledger, state) if wanted == state.size else None
    if head is None:
        kept.give_up(wanted)
    else:
        kept.keep_head(state.size, head)


def _signed(ledger: Ledger, state: MapState) -> bytes | None:
    if state.head is not None:
        return state.head
    if state.log_root is None:
        return None
    try:
        head = sign_head(ledger.keyring.note_signer(), state.size, state.log_root, state.root)
        open_head(head, ledger.keyring.log_keys.keys())
    except (MalformedError, VerificationError):  # keys that came later
        return None
    return head


def _digests(envelope: bytes) -> Sequence[bytes]:
    return [key.digest for key in keys_of(envelope)]
