"""Autolog: the inputs and outputs of a run, found by watching the readers and writers of other libraries.

Rules: what a watched reader is about to read must be registered, and verifies, before it is read; it is the run's input
from then on: the file, or the nearest folder around it that was registered from there. What a watched writer wrote is
the run's output, under a name made from its file's. What this run wrote itself may be read again and is no input. In
SQL, every text that names something that is there counts as read, and one that names something only afterwards as
written. Invariants: nothing is watched before `autolog` or after it; what one thread's call was found to name never
stands for another's; a read that cannot be vouched for is an error, or, if that is asked for, counted in the signed
statement.

    with ledger.run("clean") as run, autolog(run, namespace="titanic", version="2"):
        pandas.read_csv("raw/train.csv").dropna().to_parquet("cleaned.parquet")
"""

from __future__ import annotations

import glob
import os
import re
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from provenance.errors import ConflictError, MalformedError, NotFoundError, PolicyError
from provenance.ledger.autolog_calls import CALLS, Patches, WatchedCall, imported, places_in
from provenance.statement import DatasetName

if TYPE_CHECKING:
    from types import TracebackType

    from provenance.ledger.running import RunRecorder

Unknown = Literal["refuse", "count"]
_NOT_IN_NAMES = re.compile(r"[^a-z0-9._-]+")
_SQL_TEXT = re.compile(r"'((?:[^']|'')*)'|\"((?:[^\"]|\"\")*)\"")
_MAX_SQL_CHARS: Final = 1_000_000
_active = threading.Lock()


class Autolog:
    """Watches pandas, polars, pyarrow, duckdb and datasets (those that are imported, or these `libraries`) until it is
    left or `remove` is called. One at a time in a process.

    Outputs are called `namespace`/(their file's name up to its first dot) of this version, or what `names` says of
    their path. With `unknown="count"`, a read of something unregistered, of a URL or of an open file is let pass and
    counted in the signed statement; else it is a `PolicyError` before anything is read.

    Calls that were imported by name before (`from pandas import read_csv`) are not seen, nor is what a library reads in
    other ways than docs/autolog.md lists.
    """

    def __init__(
        self,
        run: RunRecorder,
        *,
        namespace: str,
        version: str,
        names: Mapping[str, str] | None = None,
        libraries: Sequence[str] | None = None,
        unknown: Unknown = "refuse",
    ) -> None:
        DatasetName(namespace, "any")
        if unknown not in ("refuse", "count"):
            raise MalformedError("unknown rule for unregistered inputs", expected="refuse | count", got=unknown)
        wrong = [name for name in libraries or () if name not in CALLS]
        if wrong:
            raise MalformedError("cannot watch this library", expected=" | ".join(CALLS), got=wrong[0])
        self._run, self._namespace, self._version, self._unknown = run, namespace, version, unknown
        self._names = {str(self._absolute(path)): name for path, name in (names or {}).items()}
        self._inputs: set[Path] = set()
        self._outputs: set[Path] = set()
        self._guard = threading.RLock()
        self.unregistered = 0
        """Reads of what nothing vouches for; only with `unknown="count"`."""
        if not _active.acquire(blocking=False):
            raise ConflictError("another autolog is at work in this process", hint="leave or remove it first")
        self._patches: Patches | None = Patches(self)
        try:
            self.libraries = tuple(libraries if libraries is not None else imported())
            for library in self.libraries:
                self._patches.apply(library)
        except BaseException:
            self.remove()
            raise

    def remove(self) -> None:
        """Watch no longer; what was found stays with the run."""
        patches, self._patches = self._patches, None
        if patches is None:
            return
        patches.undo()
        _active.release()
        # What is signed says who watched, and what nobody can vouch for.
        self._run.note("autolog", " ".join(sorted(self.libraries)))
        if self.unregistered:
            self._run.note("unregisteredReads", self.unregistered)
        late = sorted(set(imported()) - set(self.libraries))
        if late:
            warnings.warn(
                f"autolog did not watch {', '.join(late)}: import it before, or name it in libraries=[...]",
                stacklevel=3,
            )

    def __enter__(self) -> Autolog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    def before(self, call: WatchedCall, argument: Any) -> list[Path]:
        """Verify what is about to be read; where this call may write."""
        with self._guard:
            if call.way == "write":
                return [self._absolute(place) for place in places_in(argument)]
            if call.way == "read":
                self._read_all(call, argument)
                return []
            written = []
            for path in self._in_sql(argument):
                if path.exists():
                    self._read(path)
                else:
                    written.append(path)
            return written

    def after(self, written: Sequence[Path]) -> None:
        """Note what was written."""
        with self._guard:
            for path in written:
                if path.exists():
                    self._written(path)

    def _read_all(self, call: WatchedCall, argument: Any) -> None:
        places = list(places_in(argument))
        if not places:
            self._not_vouched_for("an open file or a buffer")
        for place in places:
            found = list(self._matching(place))
            for path in found:
                self._read(path)
            if not found and call.may_fetch and "://" not in place:
                self._not_vouched_for(place)

    def _read(self, path: Path) -> None:
        around = (path, *path.parents)
        if any(one in self._outputs or one in self._inputs for one in around):
            return
        if path.is_dir() and any(path in one.parents for one in self._outputs):
            return
        place = self._registered(path)
        try:
            self._run.input(place if place is not None else path)
        except (NotFoundError, PolicyError) as error:
            if place is not None:
                raise
            self._not_vouched_for(str(path), error)
            return
        place = place if place is not None else path
        self._inputs.add(place)

    def _registered(self, path: Path) -> Path | None:
        """The path, or the nearest folder around it, within the run's, that was registered from there."""
        for place in (path, *path.parents):
            if place == self._run.folder or self._run.folder not in place.parents:
                break
            if self._run.was_registered_from(place):
                return place
        return None

    def _written(self, path: Path) -> None:
        if path in self._outputs or any(one in self._outputs for one in path.parents):
            return
        self._outputs.add(path)
        name = self._names.get(str(path))
        if name is None:
            stem = _NOT_IN_NAMES.sub("-", path.name.split(".")[0].lower()).strip("-._")
            if not stem:
                hint = f"say what to call it: names={{{path.name!r}: 'ns/name'}}"
                raise MalformedError("no name can be made from this file's", got=path.name, hint=hint)
            name = f"{self._namespace}/{stem}"
        self._run.output(path, name, self._version)

    def _not_vouched_for(self, what: str, cause: BaseException | None = None) -> None:
        if self._unknown == "count":
            self.unregistered += 1
            return
        hint = "register it first; or count such reads in the statement: unknown='count'"
        raise PolicyError("what is read is not registered", got=what, hint=hint) from cause

    def _absolute(self, place: str) -> Path:
        # Resolved, as the run's folder is: what is read is what a link leads to.
        return Path(os.path.realpath(Path.cwd() / place))

    def _matching(self, place: str) -> Iterator[Path]:
        if "://" in place:
            self._not_vouched_for(place.split("?")[0])
            return
        if glob.has_magic(place) and not os.path.lexists(place):
            for one in sorted(glob.glob(place, recursive=True)):  # noqa: PTH207 - the place may be absolute
                yield self._absolute(one)
        elif Path(place).exists():  # else the reader says so better
            yield self._absolute(place)

    def _in_sql(self, argument: Any) -> Iterator[Path]:
        text = argument if isinstance(argument, str) else getattr(argument, "query", "")
        if len(text) > _MAX_SQL_CHARS:
            raise MalformedError("SQL is too long to be watched", expected=f"at most {_MAX_SQL_CHARS} characters")
        for match in _SQL_TEXT.finditer(text):
            place = (match[1] or "").replace("''", "'") or (match[2] or "").replace('""', '"')
            if "://" in place:
                self._not_vouched_for(place.split("?")[0])
            elif place and "\0" not in place and len(place) < 4_096:
                if glob.has_magic(place) and not os.path.lexists(place):
                    yield from self._matching(place)
                else:
                    yield self._absolute(place)


autolog: Final = Autolog
"""As it is called where it is used."""
