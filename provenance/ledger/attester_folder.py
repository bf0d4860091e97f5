"""An attester on disk: a witness's folder with a key for attestations.

Invariants: the key (0600, an Ed25519 seed of its own, which cosigns nothing) is made once and never replaced; where it
is, the witness serves as an attester or not at all, so that what its name says of a checkpoint has one meaning.

    witness/  name  keys.json  witness.key  witness-ml-dsa-44.key  witness.db  attester.key
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from provenance.errors import ConflictError
from provenance.ledger.attested_data import DataPlaces
from provenance.ledger.attesting import Attester, AttesterSettings
from provenance.ledger.layout import exists
from provenance.ledger.witness_folder import STATE, OpenWitness, open_witness_folder
from provenance.policy.policy import Policy
from provenance.signature import PrivateKey
from provenance.signature.keys import ED25519, SEED_BYTES, derive_private_key
from provenance.signers.secret_file import read_secret, write_secret
from provenance.witnesses.attested import AttestedState

_KEY: Final = "attester.key"


@dataclass(frozen=True, slots=True)
class OpenAttester:
    """A witness, and what it attests with."""

    witness: OpenWitness
    attester: Attester
    key: PrivateKey = field(repr=False)


def is_attester(folder: Path) -> bool:
    """Whether the witness in a folder has attested."""
    return exists(folder / _KEY)


def check_no_attester(folder: Path) -> None:
    """Raise `ConflictError` for a witness that is an attester: as a plain one it would cosign what it did not check."""
    if is_attester(folder):
        hint = "serve it with --attest and --policy FILE, or make another witness"
        raise ConflictError("this witness is an attester", expected="--attest", where=folder, hint=hint)


@contextmanager
def open_attester_folder(
    folder: Path, policy: Policy, places: DataPlaces, *, check_stopped: Callable[[], None] = lambda: None
) -> Iterator[OpenAttester]:
    """The witness in a folder as an attester, which it is from now on. `PolicyError` if the policy cannot be decided
    on entries."""
    with open_witness_folder(folder) as witness, closing(AttestedState(folder / STATE)) as state:
        key = _key(folder, policy, places, witness.cosigner.name, state)
        settings = AttesterSettings(witness.cosigner.name, key, policy, places)
        yield OpenAttester(witness, Attester(state, settings, check_stopped=check_stopped), key)


def _key(folder: Path, policy: Policy, places: DataPlaces, name: str, state: AttestedState) -> PrivateKey:
    path = folder / _KEY
    if not exists(path):
        seed = os.urandom(SEED_BYTES[ED25519])
        made = derive_private_key(ED25519, seed)
        Attester(state, AttesterSettings(name, made, policy, places))  # a policy that will not do leaves nothing behind
        write_secret(path, seed)
    return derive_private_key(ED25519, read_secret(path))
