"""`provenance keys announce`, `rotate` and `events`: what is said of keys, signed with them and logged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from provenance.cli.arguments import KeyNameArgument, PassphraseFileOption
from provenance.cli.completion import complete_own_key
from provenance.cli.exits import DONE
from provenance.cli.invocation import Invocation
from provenance.cli.passphrase import passphrase_for

if TYPE_CHECKING:
    from provenance.ledger.key_events import SaidOfKey

_Held = Annotated[str, typer.Argument(metavar="NAME", help="A key held here.", autocompletion=complete_own_key)]


def announce(run: Invocation, name: _Held, passphrase_file: PassphraseFileOption = None) -> int:
    """Log that a key held here is in use, signed with it: from then on its place in time can be proven."""
    from provenance.ledger.key_events import announce_key

    with run.ledger() as ledger:
        said = announce_key(ledger, name, passphrase_for(ledger.keyring, name, passphrase_file))
    return tell(run, name, said)


def rotate(
    run: Invocation,
    name: _Held,
    successor: Annotated[
        str, typer.Argument(metavar="SUCCESSOR", help="The key that takes its place.", autocompletion=complete_own_key)
    ],
    passphrase_file: PassphraseFileOption = None,
) -> int:
    """Log that another key takes a key's place, signed with the one that gives way.

    What it signed stays good: to end it, `keys revoke`. Others still decide for themselves whether to trust the
    successor.
    """
    from provenance.ledger.key_events import rotate_key

    with run.ledger() as ledger:
        said = rotate_key(ledger, name, successor, passphrase_for(ledger.keyring, name, passphrase_file))
    return tell(run, name, said)


def events(run: Invocation, name: KeyNameArgument) -> int:
    """What the log holds about a key, in its order: that it is in use, gave way to another, or was revoked."""
    from provenance.cli.verbs.keys import find_key
    from provenance.encoding import Digest
    from provenance.ledger.key_events import said_of_key

    with run.ledger() as ledger:
        listed = find_key(ledger.keyring, name)
        said = said_of_key(ledger, Digest.from_hex(listed.key.keyid))
    rows = [(str(one.index), str(one.event.action), _words(one), one.event.created, one.keyid[:16]) for one in said]
    if rows:
        run.screen.table(("entry", "event", "what it says", "created", "key"), rows)
    else:
        run.screen.line(f"nothing was said about {listed.name}")
    run.document({"keyid": listed.key.keyid, "events": [one.to_json() for one in said]})
    return DONE


def tell(run: Invocation, name: str, said: SaidOfKey) -> int:
    """Show what was logged of a key."""
    run.screen.pairs([("key", name), (str(said.event.action), _words(said) or "yes"), ("log entry", str(said.index))])
    run.document(said.to_json())
    return DONE


def _words(said: SaidOfKey) -> str:
    event = said.event
    if event.successor is not None:
        return f"by {event.successor.keyid.hex[:16]}"
    return ", ".join(text for text in (event.reason, event.since and f"since {event.since}") if text)
