"""fsck of the stored trees of records: every hash derived again, every index compared with its table's tree.

Invariants: nothing is repaired; a tree that is not kept is a note, for it can be had from the data again; one that is
damaged is a finding. Memory does not grow with a tree.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from provenance.errors import NotFoundError, ProvenanceError
from provenance.fingerprint import RecordFingerprint
from provenance.ledger.fsck_report import FsckReport

if TYPE_CHECKING:
    from provenance.stores.trees import StoredTree

_BLOCK: Final = 1 << 16


class TreeAudit:
    """Examines the trees in a folder that statements name."""

    def __init__(self, folder: Path, report: FsckReport) -> None:
        self._folder, self._report = folder, report
        self._named: dict[RecordFingerprint, int] = {}

    def add(self, index: int, records: RecordFingerprint | None) -> None:
        """Note that the statement of entry `index` names these records."""
        if records is not None:
            self._named.setdefault(records, index)

    def run(self) -> None:
        """Examine all of them. Damage is reported, never raised."""
        if not self._named:
            return
        from provenance.ledger.proofs import RecordTrees

        for records, index in self._named.items():
            where = f"records of entry {index}"
            try:
                with RecordTrees(records, self._folder) as trees:
                    self._check(trees.tree, records.count, where)
                    if records.index_root is not None:
                        self._check(trees.index, records.index_count, where)
                        self._compare(trees.tree, trees.index, where)
            except NotFoundError as error:
                self._report.note(f"{where}: {error.what}: {error.got}")
            except ProvenanceError as error:
                self._report.find(f"{where}: {error}")

    def _check(self, tree: StoredTree, count: int | None, where: str) -> None:
        from provenance.machine.calibration import hash_tier

        self._report.trees += 1
        if tree.size != count:
            self._report.find(f"{where}: a tree has {tree.size} leaves, the statement says {count}")
        tree.check(hash_tier())

    def _compare(self, tree: StoredTree, index: StoredTree, where: str) -> None:
        """That each leaf of the index is that of the row it names, and each row's leaf is in the index."""
        import numpy as np

        for begin in range(0, index.size, _BLOCK):
            positions = np.arange(begin, min(begin + _BLOCK, index.size))
            rows = index.companions(positions)
            leaves = index.leaves(begin, begin + len(positions))
            wrong = np.flatnonzero(rows >= tree.size)
            if not len(wrong):
                found = np.stack([np.frombuffer(tree.read(0, int(row)), np.uint8) for row in rows])
                wrong = np.flatnonzero((found != leaves).any(axis=1))
            if len(wrong):
                self._report.find(f"{where}: leaf {begin + int(wrong[0])} of the index is not that of the row it names")
                return
        for begin in range(0, tree.size, _BLOCK):
            missing = np.flatnonzero(index.find_many(tree.leaves(begin, min(begin + _BLOCK, tree.size))) < 0)
            if len(missing):
                self._report.find(f"{where}: row {begin + int(missing[0])} is not in the index")
                return
