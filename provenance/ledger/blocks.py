"""What is known of blocks: those that a chain was asked about, and those of this ledger's own anchors.

Invariants: a chain is asked about a block once, and its answer is kept only for final blocks; one that did not answer
is left in peace for `CHAIN_SILENCE_S`, and its blocks stay unasked: not performed is no pass; receipts of final anchors
never change and are read once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Final

from provenance.chains import Chain
from provenance.errors import ChainError, SignerError
from provenance.ledger.gathering import receipt_of
from provenance.limits import MAX_PAGE_ITEMS
from provenance.policy import TrustedBlock
from provenance.signature import parse_envelope
from provenance.statement import parse_statement
from provenance.stores import Store
from provenance.verify import BlockFinding, Evidence

CHAIN_SILENCE_S: Final = 10.0


class KnownBlocks:
    """What one ledger knows. Threads may share it."""

    def __init__(
        self, store: Store, chain: Callable[[], AbstractContextManager[Chain]], guard: threading.RLock
    ) -> None:
        self._store, self._chain, self._guard = store, chain, guard
        self._asked: dict[tuple[int, int], BlockFinding] = {}
        self._own: dict[int, TrustedBlock] = {}
        self._silent_until_s = 0.0

    def of(self, evidence: Evidence) -> list[BlockFinding]:
        """What the chain says of the blocks that some evidence names, as far as it answers."""
        wanted = _named(evidence)
        found: dict[tuple[int, int], BlockFinding] = {}
        if any(key not in self._asked for key in wanted):
            with self._guard:  # others may have asked, or failed to, while this thread waited
                unknown = [key for key in wanted if key not in self._asked]
                if unknown and time.monotonic() >= self._silent_until_s:
                    found = self._ask(unknown)
        known = {**found, **self._asked}
        return [known[key] for key in wanted if key in known]

    def own(self) -> Iterator[TrustedBlock]:
        """The blocks of this ledger's anchors."""
        after = 0
        while page := self._store.anchors(after_id=after, limit=MAX_PAGE_ITEMS):
            for row in page:
                block = self._own.get(row.id)
                receipt = receipt_of(row) if block is None else None
                if receipt is not None:
                    block = TrustedBlock(receipt.chain_id, receipt.block_number, receipt.block_hash)
                    if row.state == "final":
                        self._own[row.id] = block
                if block is not None:
                    yield block
            after = page[-1].id

    def forget_silence(self) -> None:
        """Ask again at once."""
        self._silent_until_s = 0.0

    def _ask(self, keys: Sequence[tuple[int, int]]) -> dict[tuple[int, int], BlockFinding]:
        found: dict[tuple[int, int], BlockFinding] = {}
        try:
            with self._chain() as chain:
                info, finalized = chain.info(), chain.finalized()
                for chain_id, number in keys:
                    if chain_id == info.chain_id:
                        block = chain.block_hash(number)
                        found[chain_id, number] = BlockFinding(chain_id, number, block, finalized, info.label)
        except (ChainError, SignerError):  # no answer, or no account to open an embedded chain with
            self._silent_until_s = time.monotonic() + CHAIN_SILENCE_S
        final = {key: f for key, f in found.items() if f.hash is not None and f.number <= f.finalized}
        self._asked.update(final)
        return found


def _named(evidence: Evidence) -> list[tuple[int, int]]:
    """(chain id, block number) of the evidence's anchors and of the block its target names as *not before*."""
    target = next(entry for entry in evidence.entries if entry.digest == evidence.target)
    block = parse_statement(parse_envelope(target.envelope).payload).not_before
    named = [(receipt.chain_id, receipt.block_number) for receipt in evidence.anchors]
    return list(dict.fromkeys([*named, *([(block.chain_id, block.number)] if block is not None else [])]))
