"""The log examined by another implementation: pymerkle, which shares no code with this project.

It is GPL-3.0-or-later and installed by the `audit` extra only; nothing else in the project imports it.
"""

from __future__ import annotations

from typing import Any

from provenance.errors import ProvenanceError, StoreError
from provenance.ledger.fsck_report import FsckReport
from provenance.ledger.publication import prove_entry
from provenance.log import parse_proof
from provenance.stores import CheckpointRow, Store

_MAX_PROOFS = 10_000


class IndependentAudit:
    """The same roots and inclusion proofs by pymerkle."""

    def __init__(self, store: Store, report: FsckReport) -> None:
        self._store, self._report = store, report

    def run(self, size: int, sizes: list[int]) -> None:
        """Compare the root at each of `sizes`, and the inclusion of every entry in the latest tree."""
        try:
            from pymerkle import InmemoryTree, InvalidProof, verify_inclusion
        except ImportError:
            hint = "install it: pip install 'provenance-ledger[audit]'"
            raise StoreError("the independent auditor is not installed", expected="pymerkle", hint=hint) from None
        try:
            tree = InmemoryTree(algorithm="sha256")
            for row in self._store.entries(0, size):
                tree.append_entry(row.envelope)
            latest = self._store.checkpoint()
            self._roots(tree, sizes, latest)
            if size != (latest.size if latest is not None else 0):
                self._report.find(f"pymerkle: {size} entries are under no checkpoint of that size")
            elif latest is not None:
                for index in range(0, size, max(1, size // _MAX_PROOFS)):
                    self._inclusion(tree, index, latest, InvalidProof, verify_inclusion)
        except ProvenanceError as error:
            self._report.find(f"pymerkle: {error}")

    def _roots(self, tree: Any, sizes: list[int], latest: CheckpointRow | None) -> None:
        for wanted in sizes:
            row = latest if latest is not None and latest.size == wanted else self._store.checkpoint_at(wanted)
            self._report.independent_roots += 1
            if row is None or tree.get_root(wanted) != row.root:
                self._report.find(f"pymerkle: another root at size {wanted}")

    def _inclusion(self, tree: Any, index: int, latest: CheckpointRow, invalid: Any, verify_inclusion: Any) -> None:
        ours = parse_proof(prove_entry(self._store, index, latest)).hashes
        theirs = tree.prove_inclusion(index + 1, latest.size)
        self._report.independent_proofs += 1
        try:
            verify_inclusion(tree.get_leaf(index + 1), latest.root, theirs, index=index + 1, size=latest.size)
        except invalid as error:
            self._report.find(f"pymerkle: entry {index} is not included: {error}")
        if sorted(theirs.path[1:]) != sorted(ours):
            self._report.find(f"pymerkle: the inclusion proof of entry {index} has other hashes")
