"""`provenance witness policy`: which cosignatures a checkpoint needs before it is published."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from provenance.cli.exits import DONE
from provenance.cli.files import read_file, write_file
from provenance.cli.invocation import Invocation
from provenance.errors import printable
from provenance.limits import MAX_TLOG_POLICY_BYTES

if TYPE_CHECKING:
    from provenance.ledger.witness_policy import WitnessState


def set_policy(
    run: Invocation,
    file: Annotated[str, typer.Argument(metavar="FILE", help="A C2SP tlog-policy: log, witness, group, quorum lines.")],
) -> int:
    """Publish checkpoints only once they are cosigned as a policy asks, instead of by a number of witnesses.

    It goes into the trust roots: whoever verifies by them asks for the same.
    """
    from provenance.ledger.witness_policy import set_witness_policy

    data = read_file(file, "witness policy", max_bytes=MAX_TLOG_POLICY_BYTES)
    with run.ledger() as ledger:
        state = set_witness_policy(ledger, data)
    _show(run, state)
    run.document(state.to_json())
    return DONE


def show(
    run: Invocation,
    output: Annotated[
        str | None, typer.Option("--output", "-o", metavar="FILE", help="Write the policy there, for verifiers.")
    ] = None,
) -> int:
    """Show which cosignatures checkpoints need, as a C2SP tlog-policy, and whether the latest has them."""
    from provenance.ledger.witness_policy import witness_state
    from provenance.log import encode_tlog_policy

    with run.ledger() as ledger:
        state = witness_state(ledger)
    data = encode_tlog_policy(state.policy)
    if output is not None:
        write_file(output, data)
    else:
        for line in data.decode("utf-8").splitlines():
            run.screen.line(printable(line))
    _show(run, state)
    run.screen.pairs([("written", output)])
    run.document(state.to_json())
    return DONE


def remove(run: Invocation) -> int:
    """Ask for no cosignatures any more. Witnesses are asked as before."""
    from provenance.ledger.witness_policy import remove_witness_policy

    with run.ledger() as ledger:
        policy = remove_witness_policy(ledger)
    run.screen.pairs([("removed", policy.requirement())])
    run.document({"removed": policy.requirement()})
    return DONE


def _show(run: Invocation, state: WitnessState) -> None:
    run.screen.pairs(
        [
            ("needed", state.policy.requirement()),
            ("state", state.words),
            ("cosigned", state.finding.found if state.finding is not None else None),
            ("not asked", ", ".join(state.unasked) or None),
        ]
    )
