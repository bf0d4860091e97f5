"""Growing the log within one transaction: entries at once, tiles and the signed checkpoint at the end.

Invariant: nothing is added to a log whose tiles do not give the root that was signed last, for exactly the entries that
are there.
"""

from __future__ import annotations

from provenance.errors import ConflictError, StoreError
from provenance.log import Checkpoint, CheckpointSigner, TileReader, sign_checkpoint
from provenance.log.tile import EdgeNodes, integrate_hashes
from provenance.merkle import EMPTY_ROOT, HASH_BYTES, leaf_hashes
from provenance.stores import CheckpointRow, StoreTransaction


class Growth:
    """What one transaction adds to the log. Nothing of it counts without `finish`, which it ends with."""

    def __init__(self, tx: StoreTransaction, signer: CheckpointSigner, nodes: EdgeNodes | None = None) -> None:
        """`nodes`, handed from one growth of a log to its next, saves most of what it would hash again, and says how to
        hash."""
        self._tx, self._signer = tx, signer
        self._nodes = EdgeNodes() if nodes is None else nodes
        self._previous = tx.checkpoint()
        self._size = tx.size()
        self._leaves = bytearray()
        self._tiles: dict[tuple[int, int], bytes] = {}

    def add(self, *envelopes: bytes) -> int:
        """The index of the first of some new entries.

        `StoreError` if tiles or checkpoint are damaged: what this log signs next extends what it signed last.
        """
        if not self._leaves:
            self._check()
        index = self._size + len(self._leaves) // HASH_BYTES
        self._tx.append_entries(index, envelopes)  # which refuses what cannot be an entry
        self._leaves += leaf_hashes(envelopes, tier=self._nodes.tier)
        return index

    def finish(self) -> bool:
        """Put the new tiles and sign the new checkpoint; False and nothing of it if nothing was added."""
        if not self._leaves:
            return False
        grown = integrate_hashes(self._read_tile, self._size, bytes(self._leaves), self._nodes)
        self._tx.put_tiles(grown.tiles)
        note = sign_checkpoint(Checkpoint(self._signer.name, grown.size, grown.root), self._signer)
        expected = self._previous.size if self._previous is not None else None
        self._tx.set_checkpoint(CheckpointRow(grown.size, grown.root, note), expected_size=expected)
        return True

    def _check(self) -> None:
        previous = self._previous
        signed = (previous.size, previous.root) if previous is not None else (0, EMPTY_ROOT)
        stored = (self._size, TileReader(self._read_tile, self._size, nodes=self._nodes).root_at(self._size))
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
