"""`provenance witness`: a witness of other logs, and the witnesses of this one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from provenance.cli.arguments import parse_number
from provenance.cli.exits import DONE, ENVIRONMENT
from provenance.cli.invocation import Invocation
from provenance.cli.verbs.attest import AttestOptions, check_plain, open_attester
from provenance.errors import MalformedError, printable

if TYPE_CHECKING:
    from provenance.encoding import JsonValue
    from provenance.ledger.witness_folder import OpenWitness
    from provenance.ledger.witnessing import WitnessPlace
    from provenance.server.attester import Attestations

_Folder = Annotated[str, typer.Argument(metavar="DIR", help="The witness's own folder.")]
_MAX_QUORUM = 64


def init(
    run: Invocation,
    folder: _Folder,
    name: Annotated[str, typer.Argument(metavar="NAME", help="A URL without scheme, as witness.example/w1.")],
    no_post_quantum: Annotated[
        bool, typer.Option("--no-post-quantum", help="Cosign with Ed25519 alone, not with ML-DSA-44 too.")
    ] = False,
) -> int:
    """Make a witness: keys, and a place for what it sees. Run it where no log's operator does."""
    from provenance.ledger.witness_folder import make_witness
    from provenance.log import encode_vkey

    made = make_witness(Path(folder), name, post_quantum=not no_post_quantum)
    vkeys = [encode_vkey(verifier) for verifier in made.verifiers]
    run.screen.pairs(
        [
            ("witness", name),
            *(("verifier key", vkey) for vkey in vkeys),
            ("next", f"provenance witness watch {folder} LOG-KEY...; provenance witness serve {folder}"),
        ]
    )
    run.document({"witness": name, "vkey": vkeys[0], "vkeys": [*vkeys]})
    return DONE


def watch(
    run: Invocation,
    folder: _Folder,
    vkeys: Annotated[
        list[str], typer.Argument(metavar="LOG-KEY...", help="A log's verifier keys: `log keys list --json` has them.")
    ],
    forget: Annotated[bool, typer.Option("--forget", help="Take these keys of the log no more.")] = False,
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="URL", help="Where an attester reads the log's entries: a URL or a folder."),
    ] = None,
) -> int:
    """Cosign for a log. A log may have several keys while it changes them; what was seen of it stays.

    A checkpoint is taken for the log's with the signature of any key that is watched.
    """
    from contextlib import closing

    from provenance.ledger.witness_folder import STATE, open_witness_folder
    from provenance.log import parse_vkey
    from provenance.witnesses.attested import AttestedState

    origins = list(dict.fromkeys(parse_vkey(vkey).name for vkey in vkeys))
    if len(origins) != 1:
        raise MalformedError("keys are of several logs", expected="one log's", got=", ".join(origins))
    if at is not None:
        _check_place(at)
    with open_witness_folder(Path(folder)) as witness:
        for vkey in vkeys:
            if forget:
                witness.state.forget(vkey)
            else:
                witness.state.watch(vkey)
        keys = next((one.vkeys for one in witness.state.logs() if one.origin == origins[0]), ())
    if at is not None:
        with closing(AttestedState(Path(folder) / STATE)) as state:
            state.set_place(origins[0], at)
    run.screen.pairs([("log", printable(origins[0])), ("key", "taken no more" if forget else "taken")])
    run.document({"origin": origins[0], "keys": list(keys)})
    return DONE


def serve(
    run: Invocation,
    folder: _Folder,
    options: AttestOptions,
    host: Annotated[str, typer.Option("--host", metavar="ADDRESS", help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[
        str, typer.Option("--port", metavar="PORT", help="The port to listen on; 0 is any free one.")
    ] = "8010",
) -> int:
    """Witness until Ctrl-C: C2SP tlog-witness at /add-checkpoint, and a page of what was seen at /.

    With --attest it checks each new entry first, by a policy that brings its own trust roots, and data that it can
    reach; what it checked is signed, and served at /attestations. It never is a plain witness again.
    """
    from provenance.ledger.witness_folder import open_witness_folder

    number = parse_number(port, "--port", maximum=65_535)
    if options.attest:
        with open_attester(options, Path(folder)) as opened:
            from provenance.server.attester import Attestations

            attestations = Attestations(opened.attester)
            _serve(run, opened.witness, host, number, attestations)
        return DONE
    check_plain(options, Path(folder))
    with open_witness_folder(Path(folder)) as witness:
        _serve(run, witness, host, number, None)
    return DONE


def _serve(run: Invocation, witness: OpenWitness, host: str, port: int, attestations: Attestations | None) -> None:
    from provenance.server.witness import serve_witness

    def listening(url: str) -> None:
        attester = attestations.shown() if attestations is not None else None
        keyid = None if attester is None else str(attester["keyid"])
        run.screen.pairs([("witness", witness.cosigner.name), ("serving", url), ("attester", keyid)])
        run.document({"witness": witness.cosigner.name, "url": url, "attester": attester})
        run.flush()

    serve_witness(witness.state, witness.cosigner, host, port, attestations=attestations, listening=listening)


def _check_place(address: str) -> None:
    from provenance.logs import open_log

    open_log(address).close()


def add(
    run: Invocation,
    url: Annotated[str, typer.Argument(metavar="URL", help="Where it takes add-checkpoint.")],
    vkeys: Annotated[
        list[str], typer.Argument(metavar="KEY...", help="Its verifier keys: `witness init` and its page show them.")
    ],
    quorum: Annotated[
        str | None,
        typer.Option("--quorum", metavar="N", help="How many witnesses must cosign a checkpoint before it counts."),
    ] = None,
) -> int:
    """Have this log's checkpoints cosigned by one more witness, before they are anchored.

    A witness that is asked already is given more keys, which count from now on beside those it has: so it changes them.
    With --quorum, whoever verifies by this ledger's trust roots asks for so many, too.
    """
    from provenance.ledger.witnessing import add_witness

    wanted = None if quorum is None else parse_number(quorum, "--quorum", maximum=_MAX_QUORUM)
    with run.ledger() as ledger:
        place = add_witness(ledger, url, *vkeys, quorum=wanted)
        needed = ledger.keyring.trust().quorum
    run.screen.pairs([("witness", place.url), ("keys", _keys(place)), ("quorum", str(needed))])
    run.document({**place.to_json(), "quorum": needed})
    return DONE


def retire(
    run: Invocation,
    name: Annotated[str, typer.Argument(metavar="KEY", help="A witness's key id, as `witness list` has it.")],
) -> int:
    """Count what a witness's old key cosigns no more. What it cosigned before counts, and so do its other keys."""
    from provenance.ledger.witnessing import retire_witness_key

    with run.ledger() as ledger:
        place = retire_witness_key(ledger, name)
    run.screen.pairs([("witness", place.url), ("keys", _keys(place))])
    run.document(place.to_json())
    return DONE


def _keys(place: WitnessPlace) -> str:
    from provenance.log import parse_vkey
    from provenance.log.algorithm import ALGORITHMS

    found = [parse_vkey(vkey) for vkey in place.vkeys]
    return ", ".join(f"{one.key_id.hex()} ({ALGORITHMS[one.type_byte].label})" for one in found)


def remove(
    run: Invocation,
    name: Annotated[str, typer.Argument(metavar="WITNESS", help="Its address, key or name.")],
) -> int:
    """Ask a witness no more. Its keys stay in the trust roots, for what it cosigned."""
    from provenance.ledger.witnessing import remove_witness

    with run.ledger() as ledger:
        place = remove_witness(ledger, name)
    run.screen.pairs([("removed", place.url)])
    run.document(place.to_json())
    return DONE


def show(run: Invocation) -> int:
    """List the witnesses of this log."""
    from provenance.ledger.witnessing import witnesses_of

    with run.ledger() as ledger:
        places, quorum = witnesses_of(ledger), ledger.keyring.trust().quorum
    if places:
        run.screen.table(("witness", "keys", "address"), [(one.name, _keys(one), one.url) for one in places])
        run.screen.pairs([("quorum", str(quorum))])
    else:
        run.screen.line("no witnesses yet: `provenance witness add URL KEY`")
    listed: list[JsonValue] = [one.to_json() for one in places]
    run.document({"witnesses": listed, "quorum": quorum})
    return DONE


def cosign(
    run: Invocation,
    timeout: Annotated[
        str, typer.Option("--timeout", metavar="SECONDS", help="How long a witness may take to answer.")
    ] = "10",
) -> int:
    """Have the latest checkpoint cosigned now. Exit code 3 if too few did."""
    from provenance.ledger.witnessing import collect

    with run.ledger() as ledger:
        found = collect(ledger, parse_number(timeout, "--timeout", minimum=1, maximum=600))
    for one in found.outcomes:
        word, style = ("cosigned", "good") if one.problem is None else ("failed", "bad")
        run.screen.spans((f"{word:10}", style), (one.place.url, "strong"))
        if one.problem is not None:
            run.screen.line(f"  {one.problem.what}")
    cosigned = f"{found.cosigned} of {len(found.outcomes)} witnesses, {found.needed}"
    run.screen.pairs([("checkpoint", f"size {found.size}"), ("cosigned", cosigned)])
    run.document(found.to_json())
    return DONE if found.is_met else ENVIRONMENT
