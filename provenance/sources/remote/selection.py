"""Which of the listed objects are the dataset: all that its ignore rules do not leave out.

Invariants: the rules are those of the `.provenanceignore` object at the top, then the caller's, as for a local folder;
that object is a file of the dataset like any other, and its change while the dataset is read is a change of the
dataset even where the rules leave it out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from provenance.errors import SourceError
from provenance.sources.local.ignore import IGNORE_FILE, MAX_IGNORE_BYTES, IgnoreRules, parse_lines
from provenance.sources.remote.objects import ObjectStore, StoredObject, object_label
from provenance.sources.remote.patience import Patience, patiently
from provenance.sources.remote.reading import patient_pieces


@dataclass(frozen=True, slots=True)
class Selection:
    """The objects of the dataset, the rules by which others were left out, and the object the rules are from."""

    objects: Sequence[StoredObject]
    rules: IgnoreRules
    rule_file: StoredObject | None

    @property
    def watched(self) -> Sequence[StoredObject]:
        """Every object whose change is one of the dataset."""
        if self.rule_file is None or self.rule_file in self.objects:
            return self.objects
        return [*self.objects, self.rule_file]

    def watched_of(self, listed: Sequence[StoredObject]) -> Sequence[StoredObject]:
        """What of a later listing is to be as it was."""
        kept = _kept(listed, self.rules)
        return kept + [stored for stored in listed if stored.name == IGNORE_FILE and stored not in kept]


def select(store: ObjectStore, listed: Sequence[StoredObject], more: Sequence[str], patience: Patience) -> Selection:
    """The objects that the rules leave in. `SourceError` if they leave none. One that is named itself has no rules."""
    if any(stored.is_alone for stored in listed):
        return Selection(listed, IgnoreRules(()), None)
    rule_file = next((stored for stored in listed if stored.name == IGNORE_FILE), None)
    lines = _read_lines(store, rule_file, patience) if rule_file is not None else []
    rules = IgnoreRules([*lines, *more])
    kept = _kept(listed, rules)
    if not kept:
        raise SourceError("ignore rules leave no file", expected="at least one file", where=store.label)
    return Selection(kept, rules, rule_file)


def _read_lines(store: ObjectStore, stored: StoredObject, patience: Patience) -> list[str]:
    where = object_label(store.label, stored.name)
    if stored.size > MAX_IGNORE_BYTES:
        raise SourceError("ignore file is too large", expected=f"at most {MAX_IGNORE_BYTES} bytes", where=where)
    data = patiently(patience, where, lambda: b"".join(patient_pieces(store, stored, 0, stored.size, patience)))
    return parse_lines(data)


def _kept(listed: Sequence[StoredObject], rules: IgnoreRules) -> list[StoredObject]:
    if not rules:
        return list(listed)
    folders: dict[str, bool] = {"": False}

    def is_left_out(folder: str) -> bool:
        """Whether a folder is not entered: by a rule, or because one above it is not."""
        found = folders.get(folder)
        if found is None:
            above = folder.rpartition("/")[0]
            found = folders[folder] = is_left_out(above) or rules.leaves_out(folder, is_folder=True)
        return found

    return [
        stored
        for stored in listed
        if not is_left_out(stored.name.rpartition("/")[0]) and not rules.leaves_out(stored.name, is_folder=False)
    ]
