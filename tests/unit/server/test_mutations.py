"""Bundles and statements with values of every kind in every place: refused or judged, never a surprise."""

from __future__ import annotations

import asyncio
import copy
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from provenance import Ledger
from provenance.encoding import canonical_json
from provenance.errors import MalformedError
from provenance.server import create_app
from provenance.server.openapi.operations import BUNDLE, DSSE, EXAMPLES
from provenance.signature import derive_private_key, encode_envelope, parse_envelope, sign_envelope
from provenance.statement import PAYLOAD_TYPE

VALUES: tuple[Any, ...] = (
    *(
        None,
        True,
        0,
        -1,
        1.5,
        2**53 - 1,
        2**53,
        2**64,
        "",
        "0x",
        "0" * 64,
        "AA==",
        "a/b@1",
        "\0",
        "\u00e9",
        "A" * 5_000,
    ),
    *([], {}, [[]], {"sha256": "0" * 64}, "c2sp.org/tlog-proof@v1\n", "-----BEGIN PUBLIC KEY-----\n"),
)
KEY = derive_private_key("ed25519", bytes(range(32)))


def places(value: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path to every value inside a value."""
    keys = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield (*before, key)
        yield from places(value[key], (*before, key))


def mutated(value: Any, chance: random.Random) -> Any:
    """`value` with one place changed, doubled, cut or taken out."""
    changed = copy.deepcopy(value)
    *path, last = chance.choice(list(places(changed)))
    inner = changed
    for key in path:
        inner = inner[key]
    found = inner[last]
    if isinstance(found, str) and found and chance.random() < 0.5:
        at = chance.randrange(len(found))
        inner[last] = chance.choice([found[:at], found[at:], found[:at] + "0" + found[at + 1 :], found + found])
    elif chance.random() < 0.2:
        del inner[last]
    else:
        inner[last] = copy.deepcopy(chance.choice(VALUES))
    return changed


def encoded(value: Any) -> bytes:
    """Canonical JSON, or any JSON where there is none."""
    try:
        return canonical_json(value)
    except MalformedError:
        return json.dumps(value).encode()


async def statuses(ledger: Ledger) -> dict[str, set[int]]:
    """The statuses that mutations got."""
    chance, seen = random.Random(7), {"bundle": set[int](), "statement": set[int](), "read": set[int]()}
    statement = json.loads(parse_envelope(canonical_json(EXAMPLES["envelope"]["value"])).payload)
    transport = httpx.ASGITransport(create_app(ledger))
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        for number in range(300):
            body = encoded(mutated(EXAMPLES["bundle"]["value"], chance)) + b"\n"
            response = await client.post("/v1/verify", content=body, headers={"Content-Type": BUNDLE})
            seen["bundle"].add(response.status_code)
            statement["subject"][0]["name"] = f"harbour/gauge@{number}"
            payload = encoded(mutated(statement, chance))
            body = encode_envelope(sign_envelope(payload, PAYLOAD_TYPE, KEY))
            response = await client.post("/v1/statements", content=body, headers={"Content-Type": DSSE})
            seen["statement"].add(response.status_code)
            if response.status_code == 201:
                name = response.json()["name"]
                for path in (response.headers["location"], f"/v1/lineage/{name}", f"/v1/bundles/{name}"):
                    seen["read"].add((await client.get(path)).status_code)
    return seen


def test_no_value_in_any_place_is_a_surprise(tmp_path: Path) -> None:
    with Ledger.init(tmp_path) as ledger:
        ledger.keyring.trust_key("harbour", KEY.public)
        seen = asyncio.run(statuses(ledger))
    assert {200, 400} <= seen["bundle"] <= {200, 400, 413}
    assert {201, 400} <= seen["statement"] <= {201, 400, 403, 404, 413}
    assert seen["read"] == {200}
