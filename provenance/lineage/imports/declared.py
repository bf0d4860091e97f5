"""What another tool's document declares of datasets and of the steps that made them.

Invariants: everything is as it was declared: nothing here was checked, and digests are facts of their declarer under
the names of their algorithms; a dataset is known by namespace and name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from provenance.encoding import Digest, JsonValue
from provenance.errors import MalformedError
from provenance.limits import check_size
from provenance.statement.credentials import without_secrets

MAX_DECLARED: Final = 10_000
"""Steps in a document, and datasets of a step."""
MAX_EDGES: Final = 100_000
"""Inputs and outputs of all steps of a document."""
MAX_NAME_CHARS: Final = 2_048
_MAX_KEY_CHARS: Final = 200


@dataclass(frozen=True, slots=True)
class DeclaredDataset:
    """A dataset, and the digests that the document has of it: algorithm -> text. What opens a URL is left out of its
    name."""

    name: str
    digests: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_size("name", len(self.name), MAX_NAME_CHARS, "characters")
        object.__setattr__(self, "name", without_secrets(self.name))
        if not self.name:
            raise MalformedError("dataset has no name", expected="text")

    @property
    def version(self) -> str | None:
        """The first of its digests by strength, as `algorithm:text`."""
        for algorithm in ("sha256", "sha512", "sha384", "blake3", "sha1", "md5"):
            if algorithm in self.digests:
                return f"{algorithm}:{self.digests[algorithm]}"
        return next((f"{algorithm}:{text}" for algorithm, text in sorted(self.digests.items())), None)


@dataclass(frozen=True, slots=True)
class DeclaredStep:
    """A step that made `outputs` from `inputs`; times are RFC 3339 as the document has them."""

    name: str
    inputs: tuple[DeclaredDataset, ...] = ()
    outputs: tuple[DeclaredDataset, ...] = ()
    facts: Mapping[str, JsonValue] = field(default_factory=dict)
    started: str | None = None
    finished: str | None = None
    identity: str | None = None
    """What its run is known by, in whichever document it stands; None: by the document."""

    def __post_init__(self) -> None:
        check_size("name", len(self.name), MAX_NAME_CHARS, "characters")
        object.__setattr__(self, "name", without_secrets(self.name))
        plain = {name: without_secrets(one) if isinstance(one, str) else one for name, one in self.facts.items()}
        object.__setattr__(self, "facts", plain)
        check_size("step", len(self.inputs) + len(self.outputs), MAX_DECLARED, "datasets")


@dataclass(frozen=True, slots=True)
class Declared:
    """A document: of which format, its steps, and datasets that no step of it made or used."""

    form: str
    steps: tuple[DeclaredStep, ...] = ()
    datasets: tuple[DeclaredDataset, ...] = ()

    def __post_init__(self) -> None:
        check_size("document", len(self.steps) + len(self.datasets), MAX_DECLARED, "steps and datasets")
        edges = sum(len(step.inputs) + len(step.outputs) for step in self.steps)
        check_size("document", edges, MAX_EDGES, "inputs and outputs")
        if not self.steps and not self.datasets:
            raise MalformedError("document declares no lineage", expected="a step or a dataset", got=self.form)


def as_object(value: JsonValue) -> dict[str, JsonValue]:
    """The object, or an empty one if it is none."""
    return value if isinstance(value, dict) else {}


def told_apart(known: Mapping[str, DeclaredDataset]) -> dict[str, DeclaredDataset]:
    """The same datasets by their ids; those of a name that several have are called by it and their id."""
    counts = Counter(one.name for one in known.values())
    taken = {name for name, count in counts.items() if count == 1}
    found = {}
    for key, one in known.items():
        told, number = one, 0
        while counts[one.name] > 1 and (told is one or told.name in taken):
            number += 1
            suffix = (
                f" ({key})"
                if number == 1 and len(key) < _MAX_KEY_CHARS
                else f" ({Digest.of(f'{number} {key}'.encode()).hex[:16]})"
            )
            told = DeclaredDataset(one.name[: MAX_NAME_CHARS - len(suffix)] + suffix, one.digests)
        taken.add(told.name)
        found[key] = told
    return found


def texts(value: JsonValue) -> dict[str, str]:
    """The texts of a digest set; what is no text is not declared."""
    if not isinstance(value, dict):
        return {}
    return {str(name).lower(): text for name, text in value.items() if isinstance(text, str) and text}


def objects(value: JsonValue, what: str) -> list[dict[str, JsonValue]]:
    """The objects in a list; none where nothing is there. `MalformedError` for anything else."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise MalformedError(f"{what} is no list", expected="a list of objects", where=what)
    check_size(what, len(value), MAX_DECLARED, "items")
    for number, one in enumerate(value):
        if not isinstance(one, dict):
            raise MalformedError(f"{what} holds something that is no object", where=f"{what}[{number}]")
    return [one for one in value if isinstance(one, dict)]


def text_of(value: JsonValue) -> str | None:
    """A text that is not empty, or None."""
    return value if isinstance(value, str) and value else None
