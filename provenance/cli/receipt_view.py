"""How receipts and anchors look.

Invariant: wherever an anchor is shown, so is the chain it is on, and that it is a development chain if it is one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from provenance.cli.screen import Screen, count_text, size_text

if TYPE_CHECKING:
    from provenance.ledger import AnchorOutcome, Receipt


def show_receipt(screen: Screen, receipt: Receipt) -> None:
    """A registration's receipt, as far as it holds before anchoring."""
    screen.pairs([("registered" if receipt.created else "unchanged", receipt.name)], style="good")
    screen.pairs(
        [
            ("digest", receipt.digest),
            ("files", f"{count_text(receipt.files, 'file')}, {size_text(receipt.total_bytes)}"),
            ("signed by", f"key {receipt.signer[:16]}"),
            ("log entry", str(receipt.index)),
            *(("note", note) for note in receipt.notes),
        ]
    )


def show_anchor(screen: Screen, outcome: AnchorOutcome) -> None:
    """What anchoring did."""
    if outcome.status == "nothing to anchor":
        screen.pairs([("anchor", "nothing to anchor: the log is empty")])
        return
    receipt = outcome.receipt
    if outcome.status == "anchored":
        gas = f"{outcome.gas_used:,} gas"
        if outcome.covered > 1:
            gas += f", {outcome.gas_used / outcome.covered:,.1f} gas per dataset"
        done = f"{count_text(outcome.covered, 'dataset')} in one transaction, {gas}"
        screen.pairs([("anchored", done)], style="good")
    else:
        screen.pairs([("anchored", f"before: this anchor covers all {outcome.size:,} log entries")])
    if receipt is not None:
        screen.pairs(
            [
                ("transaction", f"0x{receipt.transaction.hex()}"),
                ("contract", f"{receipt.contract} on chain {receipt.chain_id}, block {receipt.block_number}"),
            ]
        )
    development = receipt is not None and receipt.development
    screen.pairs([("chain", chain_text(outcome.chain, development=development))], style="warn" if development else None)


def chain_text(label: str, *, development: bool) -> str:
    """A chain's label, and what a development chain is worth."""
    if not development:
        return label
    named = label if "development chain" in label else f"{label} (a development chain)"
    return f"{named}: whoever runs it can rewrite it"
