"""How the way to a descendant is shown: whole, or its ends."""

from __future__ import annotations

from provenance.cli.verbs.events import shortened


def test_a_long_way_is_shown_by_its_ends() -> None:
    path = [f"a/n{number}@1" for number in range(9)]
    assert list(shortened(path[:8])) == path[:8]
    assert list(shortened(path)) == [*path[:4], "...", *path[5:]]
    assert len(shortened([f"a/n{number}@1" for number in range(10_000)])) == 9
