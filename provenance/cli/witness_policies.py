"""The witness policy that a verifier names: the option of several verbs, and the proof that it alone decides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from provenance.cli.exits import DONE
from provenance.cli.files import read_file
from provenance.cli.invocation import Invocation
from provenance.errors import MalformedError
from provenance.limits import MAX_ENTRY_BYTES, MAX_NOTE_BYTES, MAX_TLOG_POLICY_BYTES

if TYPE_CHECKING:
    from provenance.log import TlogPolicy

WitnessPolicyOption = Annotated[
    str | None,
    typer.Option(
        "--witness-policy",
        metavar="FILE",
        help="Which cosignatures a checkpoint needs: a C2SP tlog-policy, in the place of what the trust roots ask for.",
    ),
]


def read_witness_policy(file: str) -> TlogPolicy:
    """The policy in a file. `MalformedError` says what is wrong with it, and in which line."""
    from provenance.log import parse_tlog_policy

    return parse_tlog_policy(read_file(file, "witness policy", max_bytes=MAX_TLOG_POLICY_BYTES))


def is_tlog_proof(data: bytes) -> bool:
    """Whether this seems to be a C2SP tlog-proof."""
    return data.startswith(b"c2sp.org/tlog-proof@")


def check_tlog_proof(run: Invocation, file: str, data: bytes, entry: str | None, policy_file: str | None) -> int:
    """Check a tlog-proof of the entry in a file, by a witness policy, which says which logs count."""
    from provenance.log import parse_proof, verify_witnessed

    if entry is None or policy_file is None:
        expected = "the entry's bytes at PATH, and --witness-policy FILE"
        raise MalformedError("a tlog-proof alone says nothing", expected=expected)
    if len(data) > MAX_NOTE_BYTES:
        raise MalformedError("tlog proof is too large", expected=f"at most {MAX_NOTE_BYTES} bytes")
    proof, policy = parse_proof(data), read_witness_policy(policy_file)
    verdict = verify_witnessed(proof, read_file(entry, "log entry", max_bytes=MAX_ENTRY_BYTES), policy)
    head = verdict.checkpoint
    run.screen.pairs(
        [
            ("proof", file),
            ("entry", f"{proof.index} of {head.size} of {head.origin}"),
            ("root", head.root.hex()),
            ("cosigned", f"{verdict.found}; the policy asks for {verdict.expected}"),
        ]
    )
    run.screen.line()
    run.screen.spans(("VERIFIED", "good"), (f"  against the witness policy {policy_file}", None))
    run.document(
        {
            "verified": True,
            "holds": True,
            "kind": "entry",
            "index": proof.index,
            "origin": head.origin,
            "size": head.size,
            "root": head.root.hex(),
            "cosigned": list(verdict.cosigned),
            "requirement": policy.requirement(),
        }
    )
    return DONE
