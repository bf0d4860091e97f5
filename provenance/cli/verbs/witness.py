"""`provenance witness`: a witness of other logs, and the witnesses of this one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from provenance.cli.arguments import parse_number
from provenance.cli.exits import DONE, ENVIRONMENT
from provenance.cli.invocation import Invocation
from provenance.errors import printable

if TYPE_CHECKING:
    from provenance.encoding import JsonValue

_Folder = Annotated[str, typer.Argument(metavar="DIR", help="The witness's own folder.")]
_MAX_QUORUM = 64


def init(
    run: Invocation,
    folder: _Folder,
    name: Annotated[str, typer.Argument(metavar="NAME", help="A URL without scheme, as witness.example/w1.")],
) -> int:
    """Make a witness: a key, and a place for what it sees. Run it where no log's operator does."""
    from provenance.ledger.witness_folder import make_witness
    from provenance.log import encode_vkey

    vkey = encode_vkey(make_witness(Path(folder), name).verifier)
    run.screen.pairs(
        [
            ("witness", name),
            ("verifier key", vkey),
            ("next", f"provenance witness watch {folder} LOG-KEY; provenance witness serve {folder}"),
        ]
    )
    run.document({"witness": name, "vkey": vkey})
    return DONE


def watch(
    run: Invocation,
    folder: _Folder,
    vkey: Annotated[str, typer.Argument(metavar="LOG-KEY", help="A log's verifier key: `log checkpoint` shows it.")],
    forget: Annotated[bool, typer.Option("--forget", help="Take this key of the log no more.")] = False,
) -> int:
    """Cosign for a log. A log may have several keys while it changes them; what was seen of it stays."""
    from provenance.ledger.witness_folder import open_witness_folder
    from provenance.log import parse_vkey

    with open_witness_folder(Path(folder)) as witness:
        origin = parse_vkey(vkey).name
        if forget:
            witness.state.forget(vkey)
        else:
            witness.state.watch(vkey)
        keys = next(one.vkeys for one in witness.state.logs() if one.origin == origin) if not forget else ()
    run.screen.pairs([("log", printable(origin)), ("key", "taken no more" if forget else "taken")])
    run.document({"origin": origin, "keys": list(keys)})
    return DONE


def serve(
    run: Invocation,
    folder: _Folder,
    host: Annotated[str, typer.Option("--host", metavar="ADDRESS", help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[
        str, typer.Option("--port", metavar="PORT", help="The port to listen on; 0 is any free one.")
    ] = "8010",
) -> int:
    """Witness until Ctrl-C: C2SP tlog-witness at /add-checkpoint, and a page of what was seen at /."""
    from provenance.ledger.witness_folder import open_witness_folder

    number = parse_number(port, "--port", maximum=65_535)
    with open_witness_folder(Path(folder)) as witness:
        from provenance.server.witness import serve_witness

        def listening(url: str) -> None:
            run.screen.pairs([("witness", witness.cosigner.name), ("serving", url)])
            run.document({"witness": witness.cosigner.name, "url": url})
            run.flush()

        serve_witness(witness.state, witness.cosigner, host, number, listening=listening)
    return DONE


def add(
    run: Invocation,
    url: Annotated[str, typer.Argument(metavar="URL", help="Where it takes add-checkpoint.")],
    vkey: Annotated[str, typer.Argument(metavar="KEY", help="Its verifier key.")],
    quorum: Annotated[
        str | None,
        typer.Option("--quorum", metavar="N", help="How many witnesses must cosign a checkpoint before it counts."),
    ] = None,
) -> int:
    """Have this log's checkpoints cosigned by one more witness, before they are anchored.

    With --quorum, whoever verifies by this ledger's trust roots asks for so many, too.
    """
    from provenance.ledger.witnessing import add_witness

    wanted = None if quorum is None else parse_number(quorum, "--quorum", maximum=_MAX_QUORUM)
    with run.ledger() as ledger:
        place = add_witness(ledger, url, vkey, wanted)
        needed = ledger.keyring.trust().quorum
    run.screen.pairs([("witness", place.url), ("quorum", str(needed))])
    run.document({"url": place.url, "vkey": place.vkey, "quorum": needed})
    return DONE


def remove(
    run: Invocation,
    name: Annotated[str, typer.Argument(metavar="WITNESS", help="Its address, key or name.")],
) -> int:
    """Ask a witness no more. Its key stays in the trust roots, for what it cosigned."""
    from provenance.ledger.witnessing import remove_witness

    with run.ledger() as ledger:
        place = remove_witness(ledger, name)
    run.screen.pairs([("removed", place.url)])
    run.document({"url": place.url, "vkey": place.vkey})
    return DONE


def show(run: Invocation) -> int:
    """List the witnesses of this log."""
    from provenance.ledger.witnessing import witnesses_of
    from provenance.log import parse_vkey

    with run.ledger() as ledger:
        places, quorum = witnesses_of(ledger), ledger.keyring.trust().quorum
    if places:
        run.screen.table(("witness", "address"), [(parse_vkey(one.vkey).name, one.url) for one in places])
        run.screen.pairs([("quorum", str(quorum))])
    else:
        run.screen.line("no witnesses yet: `provenance witness add URL KEY`")
    listed: list[JsonValue] = [{"url": one.url, "vkey": one.vkey} for one in places]
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
    cosigned = f"{found.cosigned} of {len(found.outcomes)} witnesses, {found.quorum} needed"
    run.screen.pairs([("checkpoint", f"size {found.size}"), ("cosigned", cosigned)])
    run.document(found.to_json())
    return DONE if found.is_met else ENVIRONMENT
