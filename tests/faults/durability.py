"""What a power cut could still take, read from a trace: a kill leaves what was written in the system's memory, and so
shows no sync that was left out.

A file's bytes last once the file was synced after they were written; a name (of a rename, a link, a new folder) lasts
once its folder was synced after it was made. SQLite's shared memory is made again from its log and need not last.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Final

from tests.faults.strace import SYNCS, WRITES, Call

_DESCRIPTOR = re.compile(r"[0-9]+<([^>]*)>")
_QUOTED = re.compile(r'"([^"]*)"')
_NAMING: Final = ("rename", "renameat", "renameat2", "link", "linkat", "mkdir", "mkdirat")
_REMOVING: Final = ("unlink", "unlinkat")


def unsynced(calls: Iterable[Call], folder: Path, told: Path) -> Iterator[list[str]]:
    """For every write to the file `told`: what below `folder` was not sure to last at that moment."""
    written, named = set[str](), set[str]()
    for call in calls:
        on = _DESCRIPTOR.match(call.rest)
        path = on[1] if on is not None else ""
        if call.name == "write" and path == str(told):
            yield sorted([*(f"bytes of {one}" for one in written), *(f"names in {one}" for one in named)])
        if not call.rest.rpartition(" = ")[2].lstrip()[:1].isdigit():
            continue  # it failed
        if call.name not in SYNCS and str(folder) not in call.rest:
            continue
        if call.name in WRITES and not path.endswith("-shm"):
            written.add(path)
        elif call.name in SYNCS:
            written.discard(path)
            named.discard(path)
        elif call.name in _NAMING:
            paths = _QUOTED.findall(call.rest)
            if paths[0] in written:
                written.add(paths[-1])
            if call.name.startswith("rename"):
                written.discard(paths[0])
            named.add(str(PurePosixPath(paths[-1]).parent))
        elif call.name in _REMOVING:
            name = _QUOTED.findall(call.rest)[0]
            written.discard(name if name.startswith("/") else f"{path}/{name}")
