"""A witness on disk: its keys (0600) and what it has seen.

Invariants: its name is in a file beside the keys (`provenance.ledger.witness_keys`), and never changes; where what it
has seen is gone, it signs nothing.

    witness/  name  keys.json  witness.key  witness-ml-dsa-44.key  witness.db
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from provenance.errors import MalformedError, NotFoundError, StoreError
from provenance.ledger.layout import read_bounded
from provenance.ledger.witness_keys import WitnessKeys
from provenance.log.text import check_key_name
from provenance.witnesses.state import WitnessState

STATE: Final = "witness.db"
_MAX_NAME_BYTES: Final = 1_024


@dataclass(frozen=True, slots=True)
class OpenWitness:
    """A witness's keys and what it has seen."""

    cosigner: WitnessKeys = field(repr=False)
    state: WitnessState


def make_witness(folder: Path, name: str, *, post_quantum: bool = True) -> WitnessKeys:
    """Make a witness in a folder: `name` is a schema-less URL that identifies it. `ConflictError` if one is there.

    `post_quantum`: it cosigns with an ML-DSA-44 key beside its Ed25519 key.
    """
    check_key_name(name)
    if not name.isprintable() or len(name.encode()) > _MAX_NAME_BYTES:
        raise MalformedError("not a name for a witness", expected="a URL without scheme, as witness.example/w1")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError("cannot make the folder", got=error.strerror, where=folder) from error
    WitnessKeys(folder, name).create(post_quantum=post_quantum)
    try:
        (folder / "name").write_text(name + "\n", "utf-8")
    except OSError as error:
        raise StoreError("cannot write the witness's name", got=error.strerror, where=folder) from error
    WitnessState(folder / STATE).close()
    with open_witness_folder(folder) as witness:
        return witness.cosigner


@contextmanager
def open_witness_folder(folder: Path) -> Iterator[OpenWitness]:
    """The witness in a folder. `NotFoundError` if there is none."""
    try:
        name = read_bounded(folder / "name", "witness's name", max_bytes=_MAX_NAME_BYTES + 1)
    except FileNotFoundError:
        raise NotFoundError("no witness here", where=folder, hint="make one with `provenance witness init`") from None
    except OSError as error:
        raise StoreError("cannot read the witness's name", got=error.strerror, where=folder) from error
    cosigner = WitnessKeys(folder, name.decode("utf-8", "replace").strip())
    cosigner.listed()  # a key that is missing or damaged ends it here
    if not (folder / STATE).is_file():
        # Without what it has seen its key would sign a second history.
        hint = "restore it, or make another witness, with another key"
        raise StoreError("what the witness has seen is gone", where=folder / STATE, hint=hint)
    with closing(WitnessState(folder / STATE)) as state:
        yield OpenWitness(cosigner, state)
