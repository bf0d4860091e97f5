"""Growing the log within one transaction: entries at once, tiles and the signed checkpoint at the end.

Invariant: nothing is added to a log whose tiles do not give the root that was signed last, for exactly the entries that
are there.
"""

from __future__ import annotations

from collections.abc import Sequence

from provenance.errors import ConflictError, StoreError
from provenance.log import Checkpoint, CheckpointSigner, TileReader, entry_leaf, integrate, sign_checkpoint
from provenance.merkle import EMPTY_ROOT
from provenance.stores import CheckpointRow, StoreTransaction


class Growth:
    """What one transaction adds to the log. Nothing of it counts without `finish`, which it ends with."""

    def __init__(self, tx: StoreTransaction, signer: CheckpointSigner) -> None:
        self._tx, self._signer = tx, signer
        self._previous = tx.checkpoint()
        self._size = tx.size()
        self._leaves: list[bytes] = []
        self._tiles: dict[tuple[int, int], bytes] = {}

    def add(self, *envelopes: bytes) -> int:
        """The index of the first of some new entries.

        `StoreError` if tiles or checkpoint are damaged: what this log signs next extends what it signed last.
        """
        if not self._leaves:
            self._check()
        return self._append(envelopes)

    def finish(self) -> bool:
        """Put the new tiles and sign the new checkpoint; False and nothing of it if nothing was added."""
        if not self._leaves:
            return False
        grown = integrate(self._read_tile, self._size, self._leaves)
        self._tx.put_tiles(grown.tiles)
        note = sign_checkpoint(Checkpoint(self._signer.name, grown.size, grown.root), self._signer)
        expected = self._previous.size if self._previous is not None else None
        self._tx.set_checkpoint(CheckpointRow(grown.size, grown.root, note), expected_size=expected)
        return True

    def _append(self, envelopes: Sequence[bytes]) -> int:
        index = self._size + len(self._leaves)
        leaves = [entry_leaf(envelope) for envelope in envelopes]
        self._tx.append_entries(index, list(zip(leaves, envelopes, strict=True)))
        self._leaves += leaves
        return index

    def _check(self) -> None:
        previous = self._previous
        signed = (previous.size, previous.root) if previous is not None else (0, EMPTY_ROOT)
        stored = (self._size, TileReader(self._read_tile, self._size).root_at(self._size))
        if signed != stored:
            raise StoreError(
                "the log's tiles are not those of its last checkpoint",
                expected=f"size {signed[0]}, root {signed[1].hex()}",
                got=f"size {stored[0]}, root {stored[1].hex()}",
                hint="run `provenance log fsck`, and restore the ledger from a backup or a mirror",
            )
        if previous is not None and not previous.note.startswith(f"{self._signer.name}\n".encode()):
            # Two ledgers were given one database: whoever wrote to it first has it.
            raise ConflictError(
                "the database holds the log of another ledger",
                expected=self._signer.name,
                got=previous.note.partition(b"\n")[0].decode("utf-8", "replace"),
                hint="name another database in config.toml; a replica has the keys of the first one",
            )

    def _read_tile(self, level: int, index: int) -> bytes:
        if (level, index) not in self._tiles:
            self._tiles[level, index] = self._tx.tile(level, index) or b""
        return self._tiles[level, index]
