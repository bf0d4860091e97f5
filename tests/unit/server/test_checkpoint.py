"""`GET /checkpoint` under a quorum of witnesses: what too few of them saw is not shown."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import httpx

from provenance.ledger import Ledger
from provenance.log import Cosigner, encode_vkey, parse_checkpoint, parse_note
from provenance.server import create_app

WITNESSES = (Cosigner("one.example/w", b"\x01" * 32), Cosigner("two.example/w", b"\x02" * 32))


async def _asked(ledger: Ledger) -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(create_app(ledger)), base_url="http://x") as client:
        return await client.get("/checkpoint")


def _cosign(ledger: Ledger, *witnesses: Cosigner) -> None:
    row = ledger.log.checkpoint()
    checkpoint = parse_checkpoint(parse_note(row.note).text)
    ledger.add_cosignatures(row, [witness.cosign(checkpoint, 1_800_000_000) for witness in witnesses])


def test_the_checkpoint_that_is_shown_is_one_that_enough_cosigned(tmp_path: Path) -> None:
    with Ledger.init(tmp_path / "ledger") as ledger:
        ledger.keyring.new("k")

        def register(name: str) -> None:
            (tmp_path / name).write_text(name)
            ledger.register(tmp_path / name, f"t/{name}", "1", anchor=False)

        def size() -> int:
            answer = asyncio.run(_asked(ledger))
            assert answer.status_code == 200
            return parse_checkpoint(parse_note(answer.content).text).size

        register("a")
        assert size() == 1  # nobody is asked for
        with ledger.keyring.editing_trust():
            vkeys = tuple(encode_vkey(one.verifier) for one in WITNESSES)
            ledger.keyring.write_trust(replace(ledger.keyring.trust(), witnesses=vkeys, quorum=2))
        assert asyncio.run(_asked(ledger)).status_code == 503
        _cosign(ledger, WITNESSES[0])
        assert asyncio.run(_asked(ledger)).status_code == 503
        _cosign(ledger, WITNESSES[1])
        assert size() == 1
        register("b")
        assert size() == 1  # the largest that enough have seen
        _cosign(ledger, *WITNESSES)
        assert size() == 2
