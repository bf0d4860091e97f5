"""What `audit` and `export` are of: a reference of a ledger, or a bundle alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from provenance.cli.arguments import parse_places
from provenance.cli.files import read_file
from provenance.cli.invocation import Invocation
from provenance.cli.witness_policies import WitnessPolicyOption
from provenance.errors import MalformedError
from provenance.limits import MAX_BUNDLE_BYTES

if TYPE_CHECKING:
    from provenance.verify import Evidence
    from provenance.verify.audit import Audit

BundleOption = Annotated[
    str | None, typer.Option("--bundle", metavar="FILE", help="Of what this bundle is of; needs no ledger.")
]
TrustOption = Annotated[
    str | None, typer.Option("--trust", metavar="FILE", help="With --bundle: whose keys, which log and chain.")
]
DataOption = Annotated[
    list[str] | None,
    typer.Option("--data", metavar="REF=PATH", help="With --bundle: where a dataset's bytes are. Repeatable."),
]
OfflineOption = Annotated[bool, typer.Option("--offline", help="Do not ask the chain about blocks.")]


@dataclass(frozen=True, slots=True)
class HowToAudit:
    """The options, in the order of `--help`."""

    bundle: BundleOption = None
    trust: TrustOption = None
    witness_policy: WitnessPolicyOption = None
    data: DataOption = None
    offline: OfflineOption = False


def audited(run: Invocation, reference: str | None, how: HowToAudit, *, tells: bool = True) -> tuple[Audit, Evidence]:
    """The audit of what is meant, and the evidence that it is of. `MalformedError` if nothing is, or too much.

    `tells`: whose word is taken is shown; not where a document goes to standard output.
    """
    if how.bundle is None:
        if reference is None or how.trust is not None or how.witness_policy is not None or how.data:
            expected = "a REF, or --bundle FILE with --trust, --witness-policy and --data"
            raise MalformedError("nothing is named", expected=expected)
        with run.ledger() as ledger:
            return ledger.audited(reference, ask_chain=not how.offline)
    from provenance.cli.verbs.verify import trust_of
    from provenance.ledger.offline import audit_offline

    if reference is not None:
        raise MalformedError("too much is named", expected="a REF, or --bundle FILE", got=reference)
    roots, whose = trust_of(run, how.trust, how.witness_policy)
    found = audit_offline(
        read_file(how.bundle, "bundle", max_bytes=MAX_BUNDLE_BYTES), roots, parse_places(how.data or ())
    )
    if tells:
        run.screen.pairs([("bundle", how.bundle), ("trust roots", whose)])
    return found
