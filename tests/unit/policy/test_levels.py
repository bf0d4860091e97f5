"""The table of levels is the design's (section 6), word for word."""

from __future__ import annotations

import pytest

from provenance.errors import MalformedError
from provenance.policy import REQUIRED_LEVEL, REQUIREMENTS, Level, parse_level
from provenance.statement import Sensitivity


def test_the_table() -> None:
    assert dict(REQUIREMENTS) == {
        Level.D0: ("statement",),
        Level.D1: ("content", "log.checkpoint", "log.inclusion"),
        Level.D2: ("signature", "trust", "log.witnesses"),
        Level.D3: ("lineage", "quality", "anchor.receipt", "anchor.block"),
        Level.D4: ("agreement", "detection", "review"),
    }
    assert list(REQUIREMENTS) == sorted(Level)


def test_what_each_sensitivity_needs() -> None:
    assert {s.value: level.name for s, level in REQUIRED_LEVEL.items()} == {
        "public": "D1",
        "internal": "D2",
        "confidential": "D3",
        "restricted": "D4",
    }
    assert set(REQUIRED_LEVEL) == set(Sensitivity)


def test_levels_by_name() -> None:
    for level in Level:
        assert parse_level(level.name) is parse_level(level.name.lower()) is level
    for text in ("", "D5", "2", "D", "D1 ", "d\u0661", "\udcff"):
        with pytest.raises(MalformedError, match="unknown level"):
            parse_level(text)
