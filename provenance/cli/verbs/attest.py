"""`provenance witness serve --attest`, `waive` and `check-attestation`: what an attester is told, and what it said."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from provenance.cli.arguments import parse_number
from provenance.cli.exits import DONE, FAILED
from provenance.cli.files import read_file
from provenance.cli.invocation import Invocation
from provenance.errors import MalformedError, VerificationError, WitnessError, printable
from provenance.limits import MAX_ENTRY_BYTES, MAX_FILES, MAX_KEY_BYTES, MAX_NOTE_BYTES, MAX_SAFE_INTEGER

if TYPE_CHECKING:
    from provenance.encoding import JsonValue
    from provenance.ledger.attested_data import DataPlaces
    from provenance.ledger.attester_folder import OpenAttester
    from provenance.statement.log_attestation import LogAttestation

_ALL = "all"
_MAX_REASON_CHARS = 200


@dataclass(frozen=True, slots=True)
class AttestOptions:
    """What an attester is told."""

    attest: Annotated[
        bool, typer.Option("--attest", help="Check every new entry before cosigning, and sign what was checked.")
    ] = False
    policy: Annotated[
        str | None, typer.Option("--policy", metavar="FILE", help="With --attest: whose entries, and what must hold.")
    ] = None
    data_root: Annotated[
        list[str] | None,
        typer.Option("--data-root", metavar="PLACE", help="Where datasets lie, as NS/NAME/VERSION. Repeatable."),
    ] = None
    data_uri: Annotated[
        list[str] | None,
        typer.Option("--data-uri", metavar="PREFIX", help="Read declared origins that begin so. Repeatable."),
    ] = None
    sample: Annotated[
        str | None, typer.Option("--sample", metavar="N", help="Files to read of a dataset: 16 if not given, or all.")
    ] = None
    max_data_bytes: Annotated[
        str | None, typer.Option("--max-data-bytes", metavar="N", help="Bytes to read of a dataset, at most.")
    ] = None
    require_data: Annotated[
        bool, typer.Option("--require-data", help="Refuse a dataset whose data cannot be read.")
    ] = False


def check_plain(options: AttestOptions, folder: Path) -> None:
    """Raise unless a witness is to be served that is no attester, and is not told what only an attester is."""
    from provenance.ledger.attester_folder import check_no_attester

    told = (options.policy, options.data_root, options.data_uri, options.sample, options.max_data_bytes)
    if any(told) or options.require_data:
        raise MalformedError("this is for attesters", expected="--attest with it")
    check_no_attester(folder)


@contextmanager
def open_attester(options: AttestOptions, folder: Path) -> Iterator[OpenAttester]:
    """The witness in a folder as an attester that is told this; its work ends when this does."""
    from provenance.ledger.attester_folder import open_attester_folder
    from provenance.policy.policy import MAX_POLICY_BYTES, parse_policy

    if options.policy is None:
        raise MalformedError("an attester needs a policy", expected="--policy FILE")
    policy = parse_policy(read_file(options.policy, "policy", max_bytes=MAX_POLICY_BYTES))
    stopped = threading.Event()
    try:
        with open_attester_folder(folder, policy, _places(options), check_stopped=_checker(stopped)) as opened:
            yield opened
    finally:
        stopped.set()


def waive(
    run: Invocation,
    folder: Annotated[str, typer.Argument(metavar="DIR", help="The witness's own folder.")],
    origin: Annotated[str, typer.Argument(metavar="ORIGIN", help="The log.")],
    entry: Annotated[str, typer.Argument(metavar="ENTRY", help="The entry that failed a check.")],
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why. Whoever asks the attester sees it.")],
) -> int:
    """Let an entry pass that failed a check of this attester: a log cannot take it back, and could not go on.

    It holds for this very entry. Attestations say that nothing of it was checked; nothing that names it is let pass.
    """
    from contextlib import closing

    from provenance.ledger.witness_folder import STATE, open_witness_folder
    from provenance.witnesses.attested import MAX_SIZE, AttestedState

    number = parse_number(entry, "ENTRY", maximum=MAX_SIZE)
    if not reason.strip() or len(reason) > _MAX_REASON_CHARS:
        raise MalformedError("not a reason", expected=f"1 to {_MAX_REASON_CHARS} characters")
    with open_witness_folder(Path(folder)), closing(AttestedState(Path(folder) / STATE)) as state:
        waiver = state.waive(origin, number, reason, int(time.time()))
    run.screen.pairs([("log", printable(origin)), ("entry", str(number)), ("waived", printable(reason))])
    run.document({"origin": origin, "entry": number, "leafHash": waiver.leaf.hex(), "reason": reason})
    return DONE


def check_attestation(
    run: Invocation,
    files: Annotated[
        list[str], typer.Argument(metavar="FILE...", help="Attestations of one log, in the order of their entries.")
    ],
    key: Annotated[
        str, typer.Option("--key", metavar="PEM", help="The attester's public key, a file: /attester shows it.")
    ],
    checkpoint: Annotated[
        str | None,
        typer.Option("--checkpoint", metavar="FILE", help="The signed checkpoint that the last of them must be of."),
    ] = None,
    log_key: Annotated[
        str | None, typer.Option("--log-key", metavar="KEY", help="With --checkpoint: the log's verifier key.")
    ] = None,
) -> int:
    """Verify what an attester signed, offline: who signed it, and what was checked and what was not.

    Of several, each must name the one before. Exit code 1 if the last says that an entry was refused.
    """
    from provenance.signature import parse_public_key
    from provenance.verify.attestations import verify_attestations

    public = parse_public_key(read_file(key, "public key", max_bytes=MAX_KEY_BYTES))
    found = verify_attestations([read_file(one, "attestation", max_bytes=MAX_ENTRY_BYTES) for one in files], public)
    if (checkpoint is None) != (log_key is None):
        raise MalformedError("--checkpoint and --log-key go together", expected="both or neither")
    if checkpoint is not None and log_key is not None:
        _check_checkpoint(found[-1], checkpoint, log_key)
    _show(run, found)
    return DONE if found[-1].is_accepted else FAILED


def _check_checkpoint(last: LogAttestation, path: str, vkey: str) -> None:
    from provenance.log import open_checkpoint, parse_vkey

    opened = open_checkpoint(read_file(path, "checkpoint", max_bytes=MAX_NOTE_BYTES), parse_vkey(vkey))
    attested = (last.origin, last.entries.end, last.tree_root.raw)
    if attested != (opened.origin, opened.size, opened.root):
        expected = f"size {opened.size} of {opened.origin}"
        got = f"size {last.entries.end} of {last.origin}"
        raise VerificationError("attestation is of another checkpoint", expected=expected, got=got)


def _show(run: Invocation, found: tuple[LogAttestation, ...]) -> None:
    last = found[-1]
    word, style = ("ACCEPTED", "good") if last.is_accepted else ("REFUSED", "bad")
    run.screen.spans((word, style), (f"  {printable(last.origin)}, up to size {last.entries.end}", "strong"))
    for one in found:
        for coverage in one.entries.coverage:
            checked, count = one.entries.checked(coverage.check), one.entries.end - one.entries.begin
            skipped = "; ".join(
                f"{each.begin}-{each.end - 1} {each.reason}"
                if each.end - each.begin > 1
                else f"{each.begin} {each.reason}"
                for each in coverage.skipped
            )
            line = f"  {coverage.check:10} {checked} of {count} from entry {one.entries.begin}"
            run.screen.line(line + (f"; not checked: {skipped}" if skipped else ""))
    if last.reason is not None:
        run.screen.line(f"  entry {last.entries.end - 1}: {last.entries.failed}: {printable(last.reason)}")
    run.screen.pairs([("attester", printable(last.attester)), ("policy", _policy(last))])
    run.document({"accepted": last.is_accepted, "attestations": [_json(one) for one in found]})


def _policy(one: LogAttestation) -> str:
    return f"{printable(one.method.policy)}, sha256 {one.method.policy_digest.hex}"


def _json(one: LogAttestation) -> JsonValue:
    from provenance.encoding import parse_json
    from provenance.statement.log_attestation import encode_log_attestation

    value = parse_json(encode_log_attestation(one), what="attestation", max_bytes=MAX_ENTRY_BYTES)
    return value["predicate"] if isinstance(value, dict) else value


def _places(options: AttestOptions) -> DataPlaces:
    from provenance.ledger.attested_data import DEFAULT_MAX_BYTES, DEFAULT_SAMPLE_FILES, DataPlaces

    files: int | None = DEFAULT_SAMPLE_FILES
    if options.sample == _ALL:
        files = None
    elif options.sample is not None:
        files = parse_number(options.sample, "--sample", minimum=1, maximum=MAX_FILES)
    max_bytes = DEFAULT_MAX_BYTES
    if options.max_data_bytes is not None:
        max_bytes = parse_number(options.max_data_bytes, "--max-data-bytes", minimum=1, maximum=MAX_SAFE_INTEGER)
    roots, uris = tuple(options.data_root or ()), tuple(options.data_uri or ())
    if options.require_data and not roots and not uris:
        raise MalformedError("--require-data without a place would refuse everything", expected="--data-root PLACE")
    return DataPlaces(roots, uris, files, max_bytes, options.require_data)


def _checker(stopped: threading.Event) -> Callable[[], None]:
    def check() -> None:
        if stopped.is_set():
            raise WitnessError("attester is stopping")

    return check
