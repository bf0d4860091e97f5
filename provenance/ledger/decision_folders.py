"""Where the decisions of models lie: a folder a model, `decisions/<namespace>/<name>@<version>`.

Invariants: no two models share a folder; folders are 0700; what earlier releases kept in `decisions/<namespace>_<name>@
<version>`, a name that several models can have, is taken for one model's only if no other that is registered has it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from provenance.errors import MalformedError, NotFoundError, StoreError
from provenance.ledger.decision_journal import SUFFIX
from provenance.ledger.fsck_report import FsckReport
from provenance.statement import DatasetName, PinnedName

if TYPE_CHECKING:
    from provenance.ledger.ledger import Ledger

KEPT: Final = ".kept"
"""What the name of a journal ends in whose decisions are not all in the log."""
_FOLDER: Final = "decisions"


def folder_of(directory: Path, model: PinnedName) -> Path:
    """Where a ledger in `directory` keeps the decisions of a model."""
    return directory / _FOLDER / model.dataset.namespace / f"{model.dataset.name}@{model.version}"


def earlier_folder_of(directory: Path, model: PinnedName) -> Path:
    """Where earlier releases kept them, and perhaps those of other models."""
    return directory / _FOLDER / str(model).replace("/", "_")


def folders_of(ledger: Ledger, model: PinnedName) -> tuple[Path, ...]:
    """Folders with decisions of this model and of no other, the one that is written to first."""
    directory = ledger.layout.directory
    folders = [folder_of(directory, model)]
    earlier = earlier_folder_of(directory, model)
    if earlier.is_dir() and _owners(ledger, earlier.name) == [model]:
        folders.append(earlier)
    return tuple(folders)


def make_folder(directory: Path, model: PinnedName) -> Path:
    """The folder of a model's decisions, made if it is not there, private as those above and beside it."""
    folder, earlier = folder_of(directory, model), earlier_folder_of(directory, model)
    try:
        for one in (folder.parent.parent, folder.parent, folder):
            one.mkdir(exist_ok=True, mode=0o700)
        for one in (folder.parent.parent, folder.parent, folder, earlier):
            if one.exists() and one.stat().st_mode & 0o077:  # releases before this one left some open
                one.chmod(0o700)
    except OSError as error:
        raise StoreError("cannot make the folder of decisions", got=error.strerror, where=folder) from error
    return folder


def kept_journals(folder: Path) -> list[Path]:
    """Journals under a folder whose decisions are not all in the log, and that are not tried again."""
    return sorted(folder.rglob(f"*{SUFFIX}{KEPT}"))


def kept_problem(folders: Sequence[Path]) -> StoreError | None:
    """What to say of the journals that are kept in a model's folders; None if there are none."""
    kept = [path for folder in folders for path in sorted(folder.glob(f"*{SUFFIX}{KEPT}"))]
    if not kept:
        return None
    hint = "what of it can be read, and is this model's, is in the log; see to the rest, then move the file away"
    noun = "a journal" if len(kept) == 1 else f"{len(kept)} journals"
    return StoreError(f"not all decisions of {noun} are in the log", where=", ".join(map(str, kept[:10])), hint=hint)


def examine_decisions(ledger: Ledger, report: FsckReport) -> None:
    """Tell of journals in a ledger's folder: kept ones, and those that may be several models', are findings; those
    that wait for the log are notes."""
    folder = ledger.layout.directory / _FOLDER
    for path in kept_journals(folder):
        report.find(f"decisions: not all of {path.relative_to(folder)} are in the log")
    for earlier in sorted(folder.glob("*@*")):
        owners = _owners(ledger, earlier.name)
        if len(owners) != 1 and any(earlier.glob(f"*{SUFFIX}")):
            names = ", ".join(map(str, owners)) or "no model that is registered"
            report.find(f"decisions: journals in {earlier.name} are of one of several models, and not logged: {names}")
    waiting = len(list(folder.rglob(f"*{SUFFIX}")))
    if waiting:
        report.note(f"journals of decisions that are not in the log yet: {waiting}")


def _owners(ledger: Ledger, name: str) -> list[PinnedName]:
    """Registered models whose folder had this name in earlier releases."""
    found = []
    for model in _meanings(name):
        with contextlib.suppress(NotFoundError):
            found.append(ledger.pin(str(model)).name)
    return found


def _meanings(name: str) -> Iterator[PinnedName]:
    joined, _, version = name.partition("@")
    for at, character in enumerate(joined):
        if character == "_":
            with contextlib.suppress(MalformedError):
                yield PinnedName(DatasetName(joined[:at], joined[at + 1 :]), version)
