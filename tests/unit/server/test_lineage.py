"""`GET /v1/lineage/{ref}`: by depth, direction and time."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx

from provenance.ledger import Ledger
from provenance.server import create_app


async def _asked(ledger: Ledger, *queries: str) -> list[tuple[int, Any]]:
    transport = httpx.ASGITransport(create_app(ledger))
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        answers = [await client.get(f"/v1/lineage/t/b{query}") for query in queries]
    return [(answer.status_code, answer.json()) for answer in answers]


def test_lineage_by_depth_direction_and_time(tmp_path: Path) -> None:
    with Ledger.init(tmp_path / "ledger") as ledger:
        ledger.keyring.new("someone")
        parents: list[str] = []
        for name in ("a", "b", "c", "d"):
            (tmp_path / name).write_text(name)
            ledger.register(tmp_path / name, f"t/{name}", "1", parents=parents, anchor=name == "c")
            parents = [f"t/{name}"]
        whole, one, up, down, then, *refused = asyncio.run(
            _asked(
                ledger, "", "?depth=1", "?direction=up&depth=0", "?direction=down", "?asOf=2999-01-01T00:00:00Z",
                "?depth=-1", "?depth=x", "?direction=left", "?asOf=now", "?asOf=2001-01-01T00:00:00Z", "?more=1",
            )
        )  # fmt: skip
    assert (whole[0], whole[1]["descendants"], whole[1]["distances"]) == (200, ["t/c@1", "t/d@1"], [1, 2])
    assert [node["name"] for node in whole[1]["nodes"]] == ["t/b@1", "t/a@1"]
    assert (one[1]["descendants"], len(one[1]["nodes"])) == (["t/c@1"], 2)
    assert ([node["name"] for node in up[1]["nodes"]], up[1]["descendants"]) == (["t/b@1"], [])
    assert ([node["name"] for node in down[1]["nodes"]], len(down[1]["descendants"])) == (["t/b@1"], 2)
    assert then[1]["asOf"] == {"time": "2999-01-01T00:00:00Z", "logSize": 3}
    assert then[1]["descendants"] == ["t/c@1"]
    assert [status for status, _ in refused] == [400, 400, 400, 400, 404, 400]
