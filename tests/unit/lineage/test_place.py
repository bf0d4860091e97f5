"""Which of two entries was logged first: within one log its indexes, across logs blocks alone."""

from __future__ import annotations

import pytest

from provenance.lineage import Place
from provenance.statement import BlockReference


def _after(number: int, chain: int = 1) -> BlockReference:
    return BlockReference(chain, number, b"\x01" * 32)


@pytest.mark.parametrize(
    ("one", "other", "precedes"),
    [
        (Place("a", 1), Place("a", 2), True),
        (Place("a", 2), Place("a", 2), False),
        (Place("a", 3), Place("a", 2), False),
        (Place("a", 1), Place("b", 2), False),
        (Place(None, 1), Place(None, 2), False),
        (Place("a", 1), Place(None, 2), False),
        (Place("a", 9, anchored=(1, 7)), Place("b", 2, signed_after=_after(7)), True),
        (Place("a", 9, anchored=(1, 7)), Place("b", 2, signed_after=_after(8)), True),
        (Place("a", 9, anchored=(1, 7)), Place("b", 2, signed_after=_after(6)), False),
        (Place("a", 9, anchored=(1, 7)), Place("b", 2, signed_after=_after(8, chain=2)), False),
        (Place("a", 1, anchored=(1, 7)), Place("b", 2, anchored=(1, 8)), False),
        (Place("a", 1, signed_after=_after(7)), Place("b", 2, signed_after=_after(8)), False),
        (Place(None, 9, anchored=(1, 7)), Place("b", 2, signed_after=_after(8)), False),
        # Of one log its own order holds, whatever blocks are named.
        (Place("a", 9, anchored=(1, 7)), Place("a", 2, signed_after=_after(8)), False),
    ],
)
def test_what_precedes_is_certain(one: Place, other: Place, precedes: bool) -> None:
    assert one.precedes(other) is precedes
