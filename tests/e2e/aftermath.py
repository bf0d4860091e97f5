"""What must hold after any crash, told by the chain's blocks and by proofs, not by the ledger's own word."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from provenance.anchor import AnchoredEvent, decode_anchored, origin_id
from provenance.anchor.consensus_receipt import parse_consensus_receipt
from provenance.ledger import Ledger
from provenance.log import entry_leaf, parse_proof, parse_vkey, verify_proof
from provenance.merkle import verify_consistency
from provenance.signature import parse_envelope
from provenance.statement import parse_statement


def acknowledged(path: Path) -> list[dict[str, Any]]:
    """What workers had printed before they were killed; a line that was cut was acknowledged to nobody."""
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")
    return [json.loads(line) for line in lines[:-1]]


def anchored_events(ledger: Ledger) -> list[AnchoredEvent]:
    """Every `Anchored` event of every contract in every block of the ledger's chain, oldest first."""
    events = []
    with ledger.chain() as chain:
        for number in range(chain.info().head.number + 1):
            block = chain.block_hash(number)
            assert block is not None
            for receipt in chain.block_receipts(block):
                events += [decode_anchored(log) for log in parse_consensus_receipt(receipt).logs]
    return events


def check_nothing_is_anchored_twice(ledger: Ledger) -> list[AnchoredEvent]:
    """One contract's worth of events: sizes grow, sequences count 1, 2, 3; each has the log's own root."""
    events = anchored_events(ledger)
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    sizes = [event.size for event in events]
    assert sizes == sorted(set(sizes))
    account = ledger.account().address.lower()
    for event in events:
        assert (event.publisher, event.origin_id) == (account, origin_id(ledger.config.origin))
        _, _, _, root, _ = ledger.log.consistency(event.size, event.size)
        assert event.root == root
    return events


def check_receipt(ledger: Ledger, receipt: dict[str, Any]) -> None:
    """The receipt's proof holds, and its checkpoint is one that the log as it is now has grown from."""
    proof = parse_proof(receipt["proof"].encode())
    entry = ledger.log.entry(receipt["index"])
    assert proof.index == receipt["index"]
    checkpoint = verify_proof(proof, entry_leaf(entry.envelope), parse_vkey(ledger.keyring.vkey)).checkpoint
    statement = parse_statement(parse_envelope(entry.envelope).payload)
    assert (str(statement.name), statement.digest.hex) == (receipt["name"], receipt["digest"]["sha256"])
    size1, root1, size2, root2, hashes = ledger.log.consistency(checkpoint.size)
    verify_consistency(size1, size2, root1, root2, hashes)
    latest = ledger.log.checkpoint()
    assert (checkpoint.size, checkpoint.root) == (size1, root1)
    assert (latest.size, latest.root) == (size2, root2)


def check_anchor(events: Iterable[AnchoredEvent], outcome: dict[str, Any]) -> None:
    """An anchor that was acknowledged is in a block."""
    assert outcome["receipt"] is not None
    found = [event for event in events if event.size == outcome["size"]]
    assert [event.root.hex() for event in found] == [outcome["receipt"]["root"].removeprefix("0x")]


def check_ledger(folder: Path, told: Iterable[dict[str, Any]], *, independent: bool = True) -> int:
    """Everything above, on the ledger in `folder`; how many entries it has."""
    with Ledger.open(folder) as ledger:
        report = ledger.fsck(independent=independent)
        assert report.clean, report.findings
        events = check_nothing_is_anchored_twice(ledger)
        for what in told:
            if "receipt" in what:
                check_receipt(ledger, what["receipt"])
            outcome = what.get("anchor") or what.get("receipt", {}).get("anchor")
            if outcome:
                check_anchor(events, outcome)
        return ledger.log.size()
