"""Names of datasets in the index of lineage events: which are of the same dataset, and which one was before.

Invariants: two names are of one dataset as long as the last `symlinks` facet of one of them names the other; a dataset
was renamed if a run that did not fail says so; either leads both ways.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from provenance.lineage.facets import SYMLINKS
from provenance.stores.lineage_schema import FAILED

Rows = Callable[[str, Sequence[int]], list[tuple[Any, ...]]]
_AMONG: Final = "IN (SELECT value FROM json_each(?))"
_SAME: Final = f"""SELECT names.dataset, names.other FROM names
    JOIN facets ON facets.node = names.dataset AND facets.facet = '{SYMLINKS}'
    JOIN texts ON texts.id = names.text AND texts.value = facets.value"""  # noqa: S608 - a word of this project
_RENAMES: Final = f"""SELECT DISTINCT renames.previous, renames.dataset, runs.trust FROM renames
    JOIN runs ON runs.id = renames.run AND runs.state NOT IN {FAILED}"""  # noqa: S608 - likewise


class NameReader:
    """Reads what `rows` gives: the rows of a query about some ids, of which it bounds the number."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def same(self, datasets: Sequence[int]) -> set[tuple[int, int]]:
        """Pairs of names of one dataset, one of which is among these, either way round."""
        found = set()
        for end in ("dataset", "other"):
            for one, other in self._rows(f"{_SAME} WHERE names.{end} {_AMONG}", datasets):
                found |= {(one, other), (other, one)}
        return found

    def renames(self, datasets: Sequence[int]) -> set[tuple[int, int, int]]:
        """(before, after, whether that was signed or imported) of the renames that one of these is part of."""
        return {
            (previous, dataset, trust)
            for end in ("dataset", "previous")
            for previous, dataset, trust in self._rows(f"{_RENAMES} WHERE renames.{end} {_AMONG}", datasets)
        }
