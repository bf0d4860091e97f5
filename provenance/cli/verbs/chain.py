"""`provenance chain`: the chain that this ledger anchors on."""

from __future__ import annotations

from datetime import UTC, datetime

from provenance.cli.exits import DONE
from provenance.cli.invocation import Invocation
from provenance.cli.progress import Meter
from provenance.cli.receipt_view import chain_text
from provenance.cli.screen import count_text

_WEI_PER_ETHER = 10**18


def status(run: Invocation) -> int:
    """Show the chain, the account that pays, the contract, and transactions that are not final yet."""
    with run.ledger() as ledger:
        account, contract, pending = ledger.account().address, ledger.contract(), ledger.pending()
        with Meter("asking the chain"), ledger.chain() as chain:
            info, finalized, balance = chain.info(), chain.finalized(), chain.balance(account)
    time = datetime.fromtimestamp(info.head.time_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    style = "warn" if info.development else None
    run.screen.pairs([("chain", chain_text(info.label, development=info.development))], style=style)
    run.screen.pairs(
        [
            ("chain id", str(info.chain_id)),
            ("client", info.client),
            ("head", f"block {info.head.number}, {time}"),
            ("final", f"up to block {finalized}: {info.finality}"),
            ("account", f"{account}, {balance / _WEI_PER_ETHER:.6f} ETH"),
            ("contract", contract.contract if contract else "none yet: the first anchor, or `chain deploy`, makes it"),
            ("pending", count_text(len(pending), "transaction") if pending else "none"),
        ]
    )
    if pending:
        rows = [(row.kind, row.state, f"0x{row.transaction.hex()[:16]}", str(row.size or "")) for row in pending]
        run.screen.table(("kind", "state", "transaction", "log size"), rows, indent=2)
    run.document(
        {
            "chain": info.label,
            "chainId": info.chain_id,
            "client": info.client,
            "development": info.development,
            "head": {"number": info.head.number, "hash": f"0x{info.head.hash.hex()}", "time": time},
            "finalized": finalized,
            "finality": info.finality,
            "account": account,
            "balanceWei": str(balance),
            "contract": contract.contract if contract else None,
            "pending": [
                {"kind": row.kind, "state": row.state, "transaction": f"0x{row.transaction.hex()}", "size": row.size}
                for row in pending
            ],
        }
    )
    return DONE


def deploy(run: Invocation) -> int:
    """Deploy the anchor contract, unless this account has done so. On a public chain it costs gas."""
    with run.ledger() as ledger, Meter("deploying"):
        made = ledger.deploy()
    cost = f"deployed for {made.gas_used:,} gas" if made.gas_used else "it was there already"
    run.screen.pairs(
        [("contract", made.contract), ("chain id", str(made.chain_id)), ("publisher", made.publisher), ("cost", cost)]
    )
    run.document(
        {
            "chainId": made.chain_id,
            "contract": made.contract,
            "publisher": made.publisher,
            "gasUsed": made.gas_used,
        }
    )
    return DONE
