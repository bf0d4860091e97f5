"""A witness on disk: its key (0600) and what it has seen.

Invariants: the key is made once and never replaced; its name is in a file beside it; where what it has seen is gone, it
signs nothing.

    witness/  name  witness.key  witness.db
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from provenance.errors import MalformedError, NotFoundError, StoreError
from provenance.ledger.layout import read_bounded
from provenance.log import Cosigner
from provenance.log.text import check_key_name
from provenance.signers.secret_file import read_secret, write_secret
from provenance.witnesses.state import WitnessState

_SEED_BYTES: Final = 32
_STATE: Final = "witness.db"
_MAX_NAME_BYTES: Final = 1_024


@dataclass(frozen=True, slots=True)
class OpenWitness:
    """A witness's key and what it has seen."""

    cosigner: Cosigner = field(repr=False)
    state: WitnessState


def make_witness(folder: Path, name: str) -> Cosigner:
    """Make a witness in a folder: `name` is a schema-less URL that identifies it. `ConflictError` if one is there."""
    check_key_name(name)
    if not name.isprintable() or len(name.encode()) > _MAX_NAME_BYTES:
        raise MalformedError("not a name for a witness", expected="a URL without scheme, as witness.example/w1")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError("cannot make the folder", got=error.strerror, where=folder) from error
    write_secret(folder / "witness.key", os.urandom(_SEED_BYTES))
    try:
        (folder / "name").write_text(name + "\n", "utf-8")
    except OSError as error:
        raise StoreError("cannot write the witness's name", got=error.strerror, where=folder) from error
    WitnessState(folder / _STATE).close()
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
    cosigner = Cosigner(name.decode("utf-8", "replace").strip(), read_secret(folder / "witness.key"))
    if not (folder / _STATE).is_file():
        # Without what it has seen its key would sign a second history.
        hint = "restore it, or make another witness, with another key"
        raise StoreError("what the witness has seen is gone", where=folder / _STATE, hint=hint)
    with closing(WitnessState(folder / _STATE)) as state:
        yield OpenWitness(cosigner, state)
