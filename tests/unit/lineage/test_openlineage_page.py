"""docs/openlineage.md names every facet of the specification."""

from __future__ import annotations

import json
import re

from tests.paths import PROJECT, SHARED


def test_every_facet_of_the_specification_is_told() -> None:
    folder = SHARED / "vectors" / "openlineage" / "spec" / "facets"
    facets = {name for path in folder.glob("*.json") for name in json.loads(path.read_bytes()).get("properties", {})}
    assert len(facets) == 33
    told = re.findall(r"^\| `(\w+)` \|", (PROJECT / "docs" / "openlineage.md").read_text("utf-8"), re.MULTILINE)
    assert set(told) == facets
    assert len(told) == len(facets)
