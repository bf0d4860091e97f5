"""Inputs of a program, verified before it uses them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from provenance.errors import PolicyError, SourceError
from provenance.ledger.ledger import Ledger, Location
from provenance.policy.policy import MAX_POLICY_BYTES, Policy, parse_policy
from provenance.verify.gate import Decision


def verify_inputs(
    inputs: Iterable[Location], policy: Policy | str | os.PathLike[str], *, ledger: Ledger | None = None
) -> tuple[Decision, ...]:
    """The decisions of a policy (or of one in a file) on paths or references, if it allows all of them.

    `PolicyError` names the first that it denies, and why. Without `ledger`, the nearest one is asked.
    """
    rules = policy if isinstance(policy, Policy) else _read(policy)
    opened = ledger if ledger is not None else Ledger.open()
    try:
        decisions = tuple(opened.gate(one, rules) for one in inputs)
    finally:
        if ledger is None:
            opened.close()
    for one in decisions:
        if not one.allowed:
            first = one.denials[0]
            what = f"policy {rules.name} denies {one.target}: {first.rule} of {first.about}: {first.reason}"
            raise PolicyError(what, hint=f"see provenance gate --policy FILE {one.target}")
    return decisions


def _read(path: str | os.PathLike[str]) -> Policy:
    try:
        with Path(path).open("rb") as file:
            return parse_policy(file.read(MAX_POLICY_BYTES + 1))
    except OSError as error:
        raise SourceError("cannot read the policy", got=error.strerror, where=os.fspath(path)) from error
