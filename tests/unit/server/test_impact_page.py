"""Pages of an impact: nothing is listed twice, and nothing is missed that was there at the first page."""

from __future__ import annotations

from collections.abc import Mapping

from provenance.ledger.impact import Descendant, Impact
from provenance.server.parameters import parse_cursor
from provenance.server.routes.events import impact_page


def _impact(*places: tuple[int, int]) -> Impact:
    """Descendants by (distance, entry), in that order."""
    found = [Descendant(entry, f"a/n{entry}@1", distance, "a/n0@1") for distance, entry in sorted(places)]
    return Impact("a/n0@1", tuple(found))


def _names(page: Mapping[str, object]) -> list[str]:
    items = page["affected"]
    assert isinstance(items, list)
    return [item["name"] for item in items]


def test_pages_join_to_the_whole_though_more_is_logged_between_them() -> None:
    places = [(1, 1), (1, 5), (2, 2), (2, 3), (3, 2**40)]
    whole, cursor, found = _impact(*places), None, list[str]()
    for number in range(3):
        after = parse_cursor("impact", {"cursor": cursor} if cursor is not None else {})
        page = impact_page(whole, after, 2, None)
        found += _names(page)
        cursor = page["nextCursor"] if isinstance(page["nextCursor"], str) else None
        assert (cursor is None) is (number == 2)
        whole = _impact(*places, (1, 9))  # logged after the first page was made
    assert [name for name in found if name != "a/n9@1"] == [f"a/n{entry}@1" for _, entry in sorted(places)]
    assert len(found) == len(set(found))


def test_a_page_that_holds_all_is_the_last() -> None:
    assert impact_page(_impact((1, 1), (1, 2)), None, 2, None)["nextCursor"] is None
    assert impact_page(_impact(), None, 2, None)["affected"] == []
