"""`from provenance import NAME` gives the same whatever else was imported before: no name is a package's, too."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import provenance


def test_no_public_name_is_a_module_of_the_package() -> None:
    folder = Path(str(provenance.__file__)).parent
    modules = {place.stem for place in folder.iterdir() if place.is_dir() or place.suffix == ".py"}
    assert not modules & set(provenance.__all__)


def test_every_public_name_is_there_after_all_the_others() -> None:
    script = "import provenance, types\nfound = [getattr(provenance, name) for name in provenance.__all__ * 2]\n"
    script += "assert not any(isinstance(one, types.ModuleType) for one in found)"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
