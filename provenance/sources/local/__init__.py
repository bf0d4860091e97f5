"""Datasets on a local file system: one file, or a folder with everything below it.

The written rule for each odd thing:

- an empty file is a file of size 0; an empty folder is no part of a dataset (as for git and OMS);
- a symbolic link below the dataset's path is refused: what it points to is not bound by its name (the path itself may
  be a link; it is resolved first);
- a device, socket or pipe is refused; so is a name that is not UTF-8;
- a dataset that changes while it is read is refused: names must be the same in a listing before and a listing after,
  and each file's inode, size and both times when it is read and in the listing after, so that when that begins the
  dataset is what was read, whole;
- two hard links to one file are two files;
- the ledger in use, if it lies within, is left out when its owner names it; so is what `.provenanceignore` says, which
  is itself a file of the dataset; nothing else is, whatever it is called;
- the listing after is of the folders' times, which tell of names that came or went, and of the names again unless those
  times are safely in the past; `check_unchanged` lists everything again;
- with a cache, a file that is the same as when it was hashed is not read again; if no file was last changed after the
  reading began, all of them are what they were then, and the listing after is of those alone that were read.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

from provenance.errors import MalformedError, SourceError
from provenance.fingerprint import Fingerprint, Parameters
from provenance.sources.base import ProgressCallback, Reading, Workers
from provenance.sources.local.crew import Crew, can_fork
from provenance.sources.local.ignore import IGNORE_FILE, IgnoreRules
from provenance.sources.local.listing import (
    IDENTITY,
    TICK_NS,
    Identity,
    changed,
    checked_name,
    hold_still,
    identify,
    identities,
    kind_of,
    list_names,
    pack,
    read_rules,
    refused,
    times_of,
    unreadable,
)
from provenance.sources.local.run import MANY_BYTES, Run

_MANY_FILES: Final = 1_000


class LocalSource:
    """A file or folder. `SourceError` if there is nothing at `path`."""

    def __init__(self, path: str | os.PathLike[str], reading: Reading | None = None) -> None:
        self._reading = reading or Reading()
        leave_out = self._reading.leave_out
        try:
            self._root = Path(path).resolve(strict=True)
            self._stat = self._root.stat()
            self._left_out = leave_out.resolve() if leave_out is not None else None
        except (OSError, RuntimeError, ValueError) as error:
            raise unreadable(str(path), error) from error
        self._state: tuple[list[str], bytes] | None = None
        self._folders: dict[str, Identity] = {}
        self._listed_ns = self._began_ns = 0

    @property
    def location(self) -> str:
        """The absolute path, links resolved."""
        return str(self._root)

    def fingerprint(self, progress: ProgressCallback | None = None, *, workers: Workers | None = None) -> Fingerprint:
        """The fingerprint of the file or folder as it is now."""
        rules = self._rules()
        parameters = self._parameters(rules)
        self._folders, self._listed_ns, self._began_ns = {}, time.time_ns(), time.monotonic_ns()
        names = self._list(rules, self._folders)
        self._reading.check_declared(names, self._root)
        run = Run(self._base, names, self._reading, progress, self._root)
        with ExitStack() as stack:
            crew = None
            if workers is None and self._is_for_a_crew(names):
                with suppress(OSError):  # no more processes: this one reads
                    crew = stack.enter_context(Crew(self._base, names, self._reading.algorithm, run.tiers))
            if crew is not None and run.knows_nothing:
                run.read_by(crew)
            else:
                if crew is not None:
                    crew.begin_look()
                run.remember()
                run.begin(crew.end_look() if crew is not None else pack(identities(self._base, names)))
                if workers is not None:
                    run.hash_elsewhere(workers)
                elif crew is not None and run.is_much:
                    run.hash_by(crew)
                else:
                    run.hash_here()
            self._check_after(run, crew, names, rules)
        self._state = names, bytes(run.memory.identities)
        if run.declared:
            parameters = Parameters(parameters.ignore, self._reading.declared_by, len(run.declared))
        return run.finish(parameters)

    def check_unchanged(self) -> None:
        """Raise `SourceError` that names a file unless the dataset is what it was when it was fingerprinted last."""
        if self._state is not None:
            names, packed = self._state
            _check_names(self._base, names, self._list(self._rules()))
            _check_same(self._base, names, packed, pack(identities(self._base, names)))

    @property
    def _base(self) -> str:
        """What a name is appended to."""
        folder = self._root if stat.S_ISDIR(self._stat.st_mode) else self._root.parent
        return str(folder).rstrip("/") + "/"

    def _rules(self) -> IgnoreRules:
        if not stat.S_ISDIR(self._stat.st_mode):
            return IgnoreRules(())
        return read_rules(self._root, self._reading.ignore)

    def _parameters(self, rules: IgnoreRules) -> Parameters:
        try:
            return Parameters(rules.texts)
        except MalformedError as error:
            raise SourceError(error.what, expected=error.expected, got=error.got, where=self._root) from error

    def _list(self, rules: IgnoreRules, folders: dict[str, Identity] | None = None) -> list[str]:
        if not stat.S_ISDIR(self._stat.st_mode):
            try:
                status = self._root.lstat()
            except OSError as error:
                raise unreadable(str(self._root), error) from error
            if not stat.S_ISREG(status.st_mode):
                raise SourceError("not a file or folder", got=kind_of(status.st_mode), where=self._root)
            return [checked_name(self._root.name, self._root)]
        names = list_names(self._root, rules, self._left_out, folders)
        if not names:
            raise SourceError("folder holds no files", expected="at least one file", where=self._root)
        return names

    def _is_for_a_crew(self, names: Sequence[str]) -> bool:
        if len(names) < 2 or not can_fork():
            return False
        return len(names) >= _MANY_FILES or _is_large(self._base, names)

    def _check_after(self, run: Run, crew: Crew | None, names: list[str], rules: IgnoreRules) -> None:
        """That everything is as it was when it was looked at: all of it, or, where a cache spared files and none of
        them can have changed since this reading began, those that were read."""
        # Rules that another ignore file holds by now are not those that what is bound here was chosen by.
        if self._rules() != rules:
            raise changed(self._root / IGNORE_FILE)
        self._check_root()
        numbers: Sequence[int] = sorted([*run.memory.unread, *run.declared])
        is_still = hold_still(self._folders, self._listed_ns)
        # What a renamed folder brings in keeps its times: those of the files in it say nothing.
        may_mix = run.was_held or not is_still or self._was_written_to(run.memory.identities)
        if len(numbers) < len(names) and may_mix:
            numbers = range(len(names))
        by_crew = crew if 4 * len(numbers) >= len(names) else None
        if by_crew is not None:
            by_crew.begin_check()
        if not is_still:
            _check_names(self._base, names, self._list(rules))
        if by_crew is not None:
            by_crew.end_check()
        else:
            _check_numbers(self._base, names, run.memory.identities, numbers)

    def _was_written_to(self, identities: bytes | bytearray) -> bool:
        """Whether a file may have changed since this reading began, before or after it was looked at.

        If each was last changed before, each was when it was looked at what it was when the reading began: one state,
        whatever came later. Where the clock was set meanwhile, times say nothing.
        """
        _, altered = times_of(identities)
        passed_ns = time.monotonic_ns() - self._began_ns
        is_set = abs(time.time_ns() - self._listed_ns - passed_ns) > TICK_NS
        return is_set or max(altered, default=0) >= self._listed_ns - TICK_NS

    def _check_root(self) -> None:
        """That the folder that a crew works in is still the one of this name."""
        before = self._folders.get(str(self._root))
        try:
            if before is None or identify(self._root.lstat())[:2] == before[:2]:
                return
        except OSError as error:
            raise changed(self._root) from error
        raise changed(self._root)


def _is_large(base: str, names: Sequence[str]) -> bool:
    total = 0
    for name in names:
        try:
            total += os.lstat(base + name).st_size
        except OSError:
            return False
        if total >= MANY_BYTES:
            return True
    return False


def _check_names(base: str, before: Sequence[str], after: Sequence[str]) -> None:
    """Raise unless both listings are of the same names."""
    if before == after:
        return
    for name in sorted(set(before) ^ set(after), key=lambda name: name.encode("utf-8")):
        raise changed(Path(base + name))


def _check_same(base: str, names: Sequence[str], before: bytes | bytearray, after: bytes) -> None:
    """Raise unless every file is in the same state."""
    if before == after:
        return
    for name, old, new in zip(names, IDENTITY.iter_unpack(before), IDENTITY.iter_unpack(after), strict=True):
        if old != new:
            raise changed(Path(base + name))


def _check_numbers(base: str, names: Sequence[str], packed: bytes | bytearray, numbers: Sequence[int]) -> None:
    width = IDENTITY.size
    wanted = [names[number] for number in numbers]
    before = packed if len(numbers) == len(names) else b"".join([packed[width * n : width * (n + 1)] for n in numbers])
    try:
        after = pack(identities(base, wanted))
    except SourceError as error:
        if error.what == "not a file or folder":
            raise
        raise changed(error.where or base) from error
    _check_same(base, wanted, before, after)


__all__ = ["LocalSource", "refused"]
