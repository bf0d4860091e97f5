"""Builds what is written in C with the project, where there is a C compiler (ADR 0013): system calls for many small
files at a time, and SHA-256 by the processor's extensions. Without one, or where it fails, the project is built
without, and comes to the same more slowly.

`CC` names the compiler (default: cc, gcc or clang); `PROVENANCE_COMPILED=0` builds without. A hook of hatchling.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_LIBRARIES = {
    "provenance/sources/local/calls.c": "provenance/sources/local/libcalls.so",
    "provenance/merkle/sha256.c": "provenance/merkle/libsha256.so",
}
_FLAGS = "-std=c11 -O3 -Wall -Wextra -fstack-protector-strong -D_FORTIFY_SOURCE=2 -fvisibility=hidden -shared -fPIC"
_TIMEOUT_S = 60


class CompiledHook(BuildHookInterface[Any]):
    """Puts each library beside its source, and into a wheel, which is then for one platform."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called before a build; of an editable install too."""
        if self.target_name != "wheel":
            return
        root = Path(self.root)
        made = [library for source, library in _LIBRARIES.items() if build(root / source, root / library)]
        if not made or version == "editable":
            return
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{platform}"
        build_data["artifacts"] += made


def build(source: Path, library: Path) -> bool:
    """Whether the library is there now, built from this source. One of other source is gone in any case."""
    library.unlink(missing_ok=True)
    named = shlex.split(os.environ.get("CC", ""))
    compiler = named or [next(filter(shutil.which, ("cc", "gcc", "clang")), "")]
    if os.environ.get("PROVENANCE_COMPILED") == "0" or sys.platform != "linux" or not compiler[0]:
        return False
    with tempfile.TemporaryDirectory(dir=library.parent, prefix=".build") as folder:
        made = Path(folder) / library.name
        command = [*compiler, *_FLAGS.split(), "-o", str(made), str(source)]
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=_TIMEOUT_S)
        except (OSError, subprocess.SubprocessError) as error:
            said = getattr(error, "stderr", None) or b""
            print(f"{source.name} was not built ({error}); the project works without", file=sys.stderr)
            print(said.decode(errors="replace")[:2000], file=sys.stderr)
            return False
        made.replace(library)
    return True
