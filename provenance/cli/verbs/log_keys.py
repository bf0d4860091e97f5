"""`provenance log keys`: the log's own keys, and how they change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from provenance.cli.exits import DONE
from provenance.cli.invocation import Invocation

if TYPE_CHECKING:
    from provenance.encoding import JsonValue
    from provenance.ledger.log_keys import OwnLogKey


def list_keys(run: Invocation) -> int:
    """List the log's keys, and from which size of the log to which each signs. --json has them whole."""
    with run.ledger() as ledger:
        keys = ledger.keyring.log_keys.listed()
    run.screen.table(("key", "algorithm", "from size", "until size"), [_row(own) for own in keys])
    run.document({"keys": [_shown(own) for own in keys]})
    return DONE


def add(run: Invocation) -> int:
    """Have the log sign with an ML-DSA-44 key, too, from its next entry on.

    A new ledger does so from the beginning. Verifiers who are given the new trust roots (`keys export`) ask for both
    signatures from then on; what was signed before stays as it is.
    """
    with run.ledger() as ledger:
        made = ledger.add_log_key()
    return _told(run, (made,), "signs from the next entry on; give verifiers new trust roots: provenance keys export")


def rotate(run: Invocation) -> int:
    """Have a new key of every type sign beside the old one, from the log's next entry on.

    Both sign until `log keys retire` ends the old ones, so that others can be given the new ones first.
    Proofs made before stay good: the trust roots say for which sizes a key holds.
    """
    with run.ledger() as ledger:
        made = ledger.rotate_log_keys()
    return _told(run, made, "give verifiers (keys export) and witnesses the new keys, then retire the old ones")


def retire(
    run: Invocation,
    name: Annotated[str, typer.Argument(metavar="KEY", help="Its key id: 8 hex digits, as `log keys list` has it.")],
) -> int:
    """Have an old key sign nothing any more. What it signed up to now stays good, what it would sign is refused."""
    with run.ledger() as ledger:
        ended = ledger.retire_log_key(name)
    return _told(run, (ended,), "keep its file no longer than you need it; provenance keys export says the same")


def _told(run: Invocation, keys: tuple[OwnLogKey, ...], advice: str) -> int:
    run.screen.table(("key", "algorithm", "from size", "until size"), [_row(own) for own in keys])
    run.screen.pairs([("next", advice)])
    run.document({"keys": [_shown(own) for own in keys]})
    return DONE


def _row(own: OwnLogKey) -> tuple[str, str, str, str]:
    from provenance.log.algorithm import ALGORITHMS

    key = own.key
    until = "in force" if key.until_size is None else str(key.until_size)
    return key.verifier.key_id.hex(), ALGORITHMS[key.verifier.type_byte].label, str(key.from_size), until


def _shown(own: OwnLogKey) -> JsonValue:
    from provenance.log.algorithm import ALGORITHMS

    return {
        "vkey": own.vkey,
        "keyId": own.key.verifier.key_id.hex(),
        "algorithm": ALGORITHMS[own.key.verifier.type_byte].label,
        "fromSize": own.key.from_size,
        "untilSize": own.key.until_size,
        "file": own.file,
    }
