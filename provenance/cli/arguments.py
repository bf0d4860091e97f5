"""What is typed, made into values: numbers, `REF=PATH`, and the options that several verbs share.

Invariants: every verb takes text and flags; what does not fit is a `MalformedError` that names the option.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Final

import typer

from provenance.cli.completion import complete_key, complete_own_key, complete_reference
from provenance.errors import MalformedError
from provenance.limits import MAX_UINT64

_DECIMAL = re.compile(r"0|[1-9][0-9]*")
_MAX_DIGITS: Final = 20

ReferenceArgument = Annotated[
    str,
    typer.Argument(
        metavar="REF",
        help="ns/name, ns/name@version, or 8 or more digits of a digest.",
        autocompletion=complete_reference,
    ),
]
KeyNameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="The key's name or key id.", autocompletion=complete_key)
]
KeyOption = Annotated[
    str | None,
    typer.Option(
        "--key",
        metavar="NAME",
        help="Sign with this key. Needed if there are several.",
        autocompletion=complete_own_key,
    ),
]
PassphraseFileOption = Annotated[
    str | None,
    typer.Option(
        "--passphrase-file",
        metavar="FILE",
        help="Read the key's passphrase from a file; else from PROVENANCE_PASSPHRASE, else from the terminal.",
    ),
]
NamespaceOption = Annotated[
    list[str] | None,
    typer.Option("--namespace", metavar="NS", help="Trust it for this namespace only. Repeat for several."),
]
NoTrustOption = Annotated[bool, typer.Option("--no-trust", help="Keep the key without trusting it in this ledger.")]
OutputOption = Annotated[
    str, typer.Option("--output", "-o", metavar="FILE", help="Where to write it, replacing a file. - is stdout.")
]


def parse_number(text: str, what: str, *, minimum: int = 0, maximum: int = MAX_UINT64) -> int:
    """The decimal integer in `text`, from `minimum` to `maximum`; `MalformedError` names `what`."""
    if not _DECIMAL.fullmatch(text) or len(text) > _MAX_DIGITS or not minimum <= int(text) <= maximum:
        raise MalformedError(f"{what} is not a number in range", expected=f"{minimum} to {maximum}", got=text)
    return int(text)


def parse_places(texts: Iterable[str]) -> dict[str, str]:
    """`REF=PATH` texts as a mapping. `MalformedError` for another form, or a reference that is given twice."""
    places: dict[str, str] = {}
    for text in texts:
        reference, equals, path = text.partition("=")
        if not (reference and equals and path):
            raise MalformedError("--data has another form", expected="REF=PATH", got=text)
        if reference in places:
            raise MalformedError("--data names a reference twice", expected="each once", got=reference)
        places[reference] = path
    return places
