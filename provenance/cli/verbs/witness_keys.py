"""`provenance witness keys`: a witness's own keys, and how they change."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from provenance.cli.exits import DONE
from provenance.cli.invocation import Invocation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from provenance.encoding import JsonValue
    from provenance.ledger.witness_keys import OwnWitnessKey

_Folder = Annotated[str, typer.Argument(metavar="DIR", help="The witness's own folder.")]
_HEADERS = ("key", "algorithm", "from", "until")


def list_keys(run: Invocation, folder: _Folder) -> int:
    """List a witness's keys, and since when until when each cosigns. --json has them whole."""
    from provenance.ledger.witness_folder import open_witness_folder

    with open_witness_folder(Path(folder)) as witness:
        return _told(run, witness.cosigner.listed(), None)


def add(run: Invocation, folder: _Folder) -> int:
    """Have a witness cosign with an ML-DSA-44 key, too. A new witness does so from the beginning."""
    from provenance.ledger.witness_folder import open_witness_folder

    with open_witness_folder(Path(folder)) as witness:
        made = witness.cosigner.add_ml_dsa(_now())
    return _told(run, (made,), "tell the logs that ask it: provenance witness add URL KEY")


def rotate(run: Invocation, folder: _Folder) -> int:
    """Have a new key of every type cosign beside the old one, until `witness keys retire` ends the old ones.

    Meanwhile logs and verifiers can be given the new ones. A witness that is serving takes them up by itself.
    """
    from provenance.ledger.witness_folder import open_witness_folder

    with open_witness_folder(Path(folder)) as witness:
        made = witness.cosigner.rotate(_now())
    return _told(run, made, "tell the logs that ask it: provenance witness add URL KEY...; then retire the old ones")


def retire(
    run: Invocation,
    folder: _Folder,
    name: Annotated[str, typer.Argument(metavar="KEY", help="Its key id: 8 hex digits.")],
) -> int:
    """Have an old key cosign no more."""
    from provenance.ledger.witness_folder import open_witness_folder

    with open_witness_folder(Path(folder)) as witness:
        ended = witness.cosigner.retire(name, _now())
    return _told(run, (ended,), "logs end it with `provenance witness retire KEY`")


def _told(run: Invocation, keys: Sequence[OwnWitnessKey], advice: str | None) -> int:
    run.screen.table(_HEADERS, [_row(own) for own in keys])
    run.screen.pairs([("next", advice)])
    run.document({"keys": [_shown(own) for own in keys]})
    return DONE


def _row(own: OwnWitnessKey) -> tuple[str, str, str, str]:
    from provenance.log.algorithm import ALGORITHMS

    label = ALGORITHMS[own.verifier.type_byte].label
    return own.verifier.key_id.hex(), label, own.from_time or "the beginning", own.until_time or "in force"


def _shown(own: OwnWitnessKey) -> JsonValue:
    from provenance.log.algorithm import ALGORITHMS

    return {
        "vkey": own.vkey,
        "keyId": own.verifier.key_id.hex(),
        "algorithm": ALGORITHMS[own.verifier.type_byte].label,
        "fromTime": own.from_time,
        "untilTime": own.until_time,
        "file": own.file,
    }


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
