"""`GET /v1/lineage/{ref}`: by depth, direction and time; `GET /v1/keys/{keyid}`: page by page."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx

from provenance.ledger import Ledger
from provenance.ledger.key_events import announce_key, revoke_key, rotate_key
from provenance.server import create_app
from provenance.statement.key_event import KeyReason


async def _asked(ledger: Ledger, *queries: str, of: str = "/v1/lineage/t/b") -> list[tuple[int, Any]]:
    transport = httpx.ASGITransport(create_app(ledger))
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        answers = [await client.get(f"{of}{query}") for query in queries]
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


def test_what_was_said_of_a_key_page_by_page(tmp_path: Path) -> None:
    with Ledger.init(tmp_path / "ledger") as ledger:
        for name in ("one", "two", "silent"):
            ledger.keyring.new(name)
        one, silent = (ledger.keyring.show(name).public.keyid for name in ("one", "silent"))
        said = [announce_key(ledger, "one"), rotate_key(ledger, "one", "two")]
        said.append(revoke_key(ledger, "one", KeyReason.RETIRED))
        whole, first, nothing, unknown, *refused = asyncio.run(
            _asked(
                ledger, one, f"{one}?limit=2", silent, "0" * 64, "0" * 63, one.upper(), f"{one}?more=1",
                f"{one}?cursor=x", of="/v1/keys/",
            )
        )  # fmt: skip
        assert (whole[0], whole[1]["keyid"], whole[1]["nextCursor"]) == (200, one, None)
        assert whole[1]["items"] == [event.to_json() for event in said]
        assert [event["says"]["action"] for event in whole[1]["items"]] == ["introduced", "rotated", "revoked"]
        assert first[1]["items"] == whole[1]["items"][:2]
        ((status, rest),) = asyncio.run(_asked(ledger, f"{one}?cursor={first[1]['nextCursor']}", of="/v1/keys/"))
        assert (status, rest["items"], rest["nextCursor"]) == (200, whole[1]["items"][2:], None)
        assert (nothing[0], nothing[1]["items"], unknown[0]) == (200, [], 404)
        assert [status for status, _ in refused] == [400, 400, 400, 400]
