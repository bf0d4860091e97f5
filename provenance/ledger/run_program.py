"""The program of a run: its files, its commit, and the packages it could use."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Final

from provenance.encoding import canonical_json
from provenance.errors import LimitError, ProvenanceError, SourceError
from provenance.statement.credentials import check_no_secret
from provenance.statement.run import Revision

MAX_CODE_BYTES: Final = 16 * 2**20
"""One file of a program; data are inputs."""
_GIT_TIMEOUT_S: Final = 10.0
_INTERPRETER: Final = re.compile(r"(python|pypy|bash|dash|ksh|lua|node|perl|php|ruby|Rscript|sh|zsh)[0-9.]*")
_NO_FILE: Final = frozenset({"-", "-c", "-m", "-e"})
"""What follows is text, a module, or standard input; `-e` of a shell is another option."""
_WITH_VALUE: Final = frozenset({"-W", "-X"})
"""Options of Python whose value is the next word."""


@cache
def installed_packages() -> bytes:
    """Names and versions of the Python packages that are installed: canonical JSON."""
    found = {one.metadata["Name"]: one.version for one in metadata.distributions() if one.metadata["Name"]}
    return canonical_json(dict(sorted(found.items())))


def find_revision(folder: Path) -> Revision | None:
    """The commit that is checked out in a folder; None where git or a repository is not there."""
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return None
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    repository = _git(folder, "remote", "get-url", "origin")
    try:
        if repository is not None:
            check_no_secret(repository, "repository")
        return Revision(commit, changed != "", repository)
    except ProvenanceError:  # an address with a user in it, or none that is a URI
        return Revision(commit, changed != "")


def _git(folder: Path, *arguments: str) -> str | None:
    words = ["git", "-c", "core.fsmonitor=false", *arguments]
    try:
        done = subprocess.run(  # noqa: S603 - fixed words
            words,
            cwd=folder,
            timeout=_GIT_TIMEOUT_S,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode("utf-8", "replace").strip() if done.returncode == 0 else None


def read_code(place: Path) -> bytes:
    """A file of a program. `SourceError` if it is none or cannot be read, `LimitError` if it is too large."""
    try:
        if not place.is_file():
            raise SourceError("code is no file", expected="a file", where=place)
        if place.stat().st_size > MAX_CODE_BYTES:
            raise LimitError("code file is too large", expected=f"at most {MAX_CODE_BYTES} bytes", got=place)
        return place.read_bytes()
    except OSError as error:
        raise SourceError("cannot read code", got=error.strerror, where=place) from error


def script_of(command: Sequence[str], folder: Path) -> str | None:
    """The word of a command that names its program, if that is a file in `folder`: the first (`./clean.sh`), or what an
    interpreter is told to run (`python clean.py`). None where that is text (`-c`), a module (`-m`) or too large.

    An option that is not known to have a value has none: what follows it is the program, or no file at all. A path from
    the root is not taken: whoever runs the command elsewhere would run what lies here.
    """
    words = iter(command)
    word = next(words, "")
    if _INTERPRETER.fullmatch(Path(word).name):
        word = next(words, "")
        while word.startswith("-"):
            if word in _NO_FILE and not (word == "-e" and Path(command[0]).name.endswith("sh")):
                return None
            if word in _WITH_VALUE:
                next(words, "")
            word = next(words, "")
    elif "/" not in word:
        return None
    root = folder.resolve()
    try:
        place = (root / word).resolve()
        is_there = (
            not Path(word).is_absolute()
            and place.is_relative_to(root)
            and place.is_file()
            and place.stat().st_size <= MAX_CODE_BYTES
        )
    except (OSError, ValueError):  # no path
        return None
    return word if is_there else None
