"""The program of a run: its commit, and the packages it could use."""

from __future__ import annotations

import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Final

from provenance.encoding import canonical_json
from provenance.errors import ProvenanceError
from provenance.statement.credentials import check_no_secret
from provenance.statement.run import Revision

_GIT_TIMEOUT_S: Final = 10.0


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
