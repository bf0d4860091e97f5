"""Verification levels D0 to D4 (design, section 6).

Invariants: a level is reached only if every check of it and of all levels below passed; a check that failed or was
not performed is named in `missing`; nothing here looks at data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Final

from provenance.errors import MalformedError
from provenance.statement import Sensitivity


class Status(StrEnum):
    """What came of a check, `NOT_PERFORMED` is never a pass; or of all checks of an artefact: `AFFECTED` says that none
    of its own failed, and one of what it was made from did. No check is ever that."""

    PASSED = "passed"
    FAILED = "failed"
    AFFECTED = "affected"
    NOT_PERFORMED = "not performed"


class Level(IntEnum):
    """How far an artefact can be trusted."""

    D0 = 0
    D1 = 1
    D2 = 2
    D3 = 3
    D4 = 4


REQUIREMENTS: Final[Mapping[Level, tuple[str, ...]]] = {
    Level.D0: ("statement",),
    Level.D1: ("content", "log.checkpoint", "log.inclusion"),
    Level.D2: ("signature", "trust", "log.witnesses"),
    Level.D3: ("lineage", "quality", "anchor.receipt", "anchor.block"),
    Level.D4: ("agreement", "detection", "review"),
}
"""The checks each level adds."""

REQUIRED_LEVEL: Final[Mapping[Sensitivity, Level]] = {
    Sensitivity.PUBLIC: Level.D1,
    Sensitivity.INTERNAL: Level.D2,
    Sensitivity.CONFIDENTIAL: Level.D3,
    Sensitivity.RESTRICTED: Level.D4,
}
"""The level data of each sensitivity needs before it is used, unless a policy says otherwise."""


@dataclass(frozen=True, slots=True)
class Standing:
    """The level reached, or None if not even D0 is, and the checks that the next level lacks."""

    level: Level | None
    missing: tuple[str, ...]


def standing(statuses: Mapping[str, Status]) -> Standing:
    """The level that these statuses, by check, reach. A check that is not in the map was not performed."""
    reached: Level | None = None
    for level, checks in REQUIREMENTS.items():
        missing = tuple(check for check in checks if statuses.get(check) is not Status.PASSED)
        if missing:
            return Standing(reached, missing)
        reached = level
    return Standing(reached, ())


def parse_level(text: str) -> Level:
    """The level of this name; `MalformedError` that lists them."""
    try:
        return Level[text.upper()]
    except KeyError:
        raise MalformedError("unknown level", expected=" | ".join(level.name for level in Level), got=text) from None
