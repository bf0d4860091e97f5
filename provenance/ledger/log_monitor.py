"""Monitoring a log that anybody runs: that it only grows, that its entries are those it signed, and what is new in it.

Steps: 1 the checkpoint is fetched and its signature verified; 2 it is shown to extend the last one that was seen; 3 new
bundles are fetched one by one, and each is shown to be of the signed tree; 4 the caller tells of what is watched; 5 the
caller has it remembered. Invariants: nothing is told of an entry that was not verified; an entry is told of once, or
again if the process ends between 4 and 5; memory is bounded by a constant, whatever the log's size: what
`provenance.log.following` holds, and the finds of 4,096 entries.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from provenance.errors import VerificationError
from provenance.ledger.log_state import LogState, read_state, write_state
from provenance.ledger.watching import Found, Watch
from provenance.log import NoteVerifier, TlogPolicy, judge_checkpoint, open_checkpoint
from provenance.log.following import Follower, Head, VerifiedBundle
from provenance.logs import LogFiles
from provenance.merkle import CompactRange

_STEP_BUNDLES: Final = 16
"""Bundles whose finds are told at a time, after which it is remembered how far this is."""


@dataclass(frozen=True, slots=True)
class Progress:
    """So far: the checkpoint, the entries that were known before this run and are now, and what was just found."""

    head: Head
    since: int
    seen: int
    found: tuple[Found, ...]
    reached: CompactRange

    @property
    def is_complete(self) -> bool:
        """Whether every entry of the checkpoint was looked at."""
        return self.seen == self.head.checkpoint.size


class Monitor:
    """Follows one log by one key."""

    def __init__(
        self,
        files: LogFiles,
        verifier: NoteVerifier,
        *,
        origin: str | None = None,
        state: Path | None = None,
        watch: Watch | None = None,
        all_tiles: bool = False,
        policy: TlogPolicy | None = None,
    ) -> None:
        """`state` is remembered in that file; without one every run begins with the first entry. `all_tiles` compares
        every tile with its entries, not only those that proofs need. A checkpoint that does not meet the `policy` is
        refused."""
        self._files, self._verifier, self._origin = files, verifier, origin or verifier.name
        self._policy = policy
        self._path, self._watch, self._all_tiles = state, watch or Watch(), all_tiles
        self._state: LogState | None = None
        if state is not None:
            self._state = read_state(state, self._origin)

    def poll(self) -> Iterator[Progress]:
        """Look at the log as it is now: progress after every few thousand new entries, at least once.

        What was told is remembered by `remember` alone. `LogFaultError` if the log forked, went back,
        withholds files or has others than it signed; `VerificationError` if the checkpoint is not signed by its key, or
        not cosigned as the policy asks;
        `LogError` if the log cannot be read.
        """
        head = read_head(self._files, self._verifier, self._origin, self._policy)
        state = self._state
        follower = Follower(self._files.read, head, before=None if state is None else state.head)
        follower.check_growth()
        since = 0 if state is None else state.seen
        reached = CompactRange() if state is None else state.reached
        if since == head.checkpoint.size:
            yield Progress(head, since, since, (), reached)
            return
        found: list[Found] = []
        for number, bundle in enumerate(follower.bundles(reached, all_tiles=self._all_tiles), 1):
            found += self._look(bundle, since)
            seen = bundle.first + len(bundle.entries)
            if number % _STEP_BUNDLES == 0 or seen == head.checkpoint.size:
                yield Progress(head, since, seen, tuple(found), bundle.reached)
                found.clear()

    def remember(self, progress: Progress) -> None:
        """Begin after this the next time: everything that was found up to here is told."""
        self._state = LogState(progress.head, progress.seen, progress.reached)
        if self._path is not None:
            write_state(self._path, self._state)

    def _look(self, bundle: VerifiedBundle, since: int) -> Iterator[Found]:
        for offset, (entry, leaf) in enumerate(zip(bundle.entries, bundle.leaves, strict=True)):
            index = bundle.first + offset
            one = self._watch.look(index, entry, leaf) if index >= since else None
            if one is not None:
                yield one


def read_head(
    files: LogFiles, verifier: NoteVerifier, origin: str | None = None, policy: TlogPolicy | None = None
) -> Head:
    """The log's checkpoint, its signature verified, and cosigned as a policy asks. `VerificationError` names the
    log."""
    note = files.checkpoint()
    try:
        head = Head(note, open_checkpoint(note, verifier, origin=origin))
        if policy is not None:
            judge_checkpoint(note, policy).require()
        return head
    except VerificationError as error:
        raise VerificationError(error.what, expected=error.expected, got=error.got, where=files.label) from error
