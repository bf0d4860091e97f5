"""What is done while system calls fail, and the ledger in which it is done.

Every step may be repeated: a dataset's name and version, and an envelope that is submitted, are one entry however often
they come. An event that `state` signs is another one each time, so that step looks first whether it is there.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from provenance.ledger import Ledger
from provenance.ledger.fingerprinting import Wanted
from provenance.signature import encode_envelope, sign_envelope
from provenance.statement import PAYLOAD_TYPE
from provenance.statement.events import Event, encode_event
from provenance.statement.usage import Usage

ORIGIN: Final = "faults.example/log"
KEY: Final = "someone"
Told = dict[str, Any]
_STATED, _SUBMITTED = "stated-while-calls-fail", "submitted-while-calls-fail"
_WITH_RECORDS: Final = ("three",)
_DATASETS: Final[dict[str, tuple[str, ...]]] = {"one": (), "two": ("faults/base", "faults/one"), "three": ()}


def prepare_template(folder: Path) -> None:
    """A closed ledger with one entry in `folder`, and in `folder/data` what the steps register and submit."""
    for name in ("base", *_DATASETS):
        (folder / "data" / name).mkdir(parents=True)
        for number in range(2):
            (folder / "data" / name / f"rows{number}.csv").write_text(f"row,name\n{number},{name}\n")
    with make_ledger(folder) as ledger:
        ledger.keyring.new(KEY)
        ledger.register(folder / "data" / "base", "faults/base", "1", anchor=False)
        event = Event(ledger.pin("faults/base"), Usage(_SUBMITTED), "2026-01-01T00:00:00Z")
        signed = sign_envelope(encode_event(event), PAYLOAD_TYPE, ledger.keyring.signer(KEY))
        (folder / "data" / "envelope.json").write_bytes(encode_envelope(signed))


def make_ledger(place: str | Path) -> Ledger:
    """`Ledger.init` as these tests call it."""
    return Ledger.init(place, origin=ORIGIN)


def _register(name: str) -> Callable[[Ledger, str], Told]:
    def register(ledger: Ledger, data: str) -> Told:
        parents = _DATASETS[name]
        wanted = Wanted(records=name in _WITH_RECORDS)
        return ledger.register(
            Path(data) / name, f"faults/{name}", "1", parents=parents, anchor=False, wanted=wanted
        ).to_json()

    return register


def _state(ledger: Ledger, data: str) -> Told:
    there = stated(ledger, _STATED)
    return {"index": there[0] if there else ledger.state("faults/base", Usage(_STATED)).entry_index}


def _submit(ledger: Ledger, data: str) -> Told:
    return ledger.submit((Path(data) / "envelope.json").read_bytes()).to_json()


def stated(ledger: Ledger, purpose: str) -> list[int]:
    """The entries that say the base was used for `purpose`."""
    said = ledger.said_about("faults/base")
    return [one.index for one in said if isinstance(one.event.body, Usage) and one.event.body.purpose == purpose]


STEPS: Final[dict[str, Callable[[Ledger, str], Told]]] = {
    "one": _register("one"),
    "two": _register("two"),
    "state": _state,
    "submit": _submit,
    "three": _register("three"),
}
"""By name, in their order; each returns its acknowledgement, with the entry's `index`."""
SIZE: Final = 1 + len(STEPS)
"""Entries in the log when every step is done, the template's one too."""
STEPS_SAID: Final = (_STATED, _SUBMITTED)
"""The purposes that `state` and `submit` say, each."""
