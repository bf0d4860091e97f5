"""Which files of a folder are opened and written while a program works there, as Linux tells it (inotify).

Invariants: nothing is kept from being opened, and nothing is held up; where it cannot be watched, or more happened than
could be told, the answer says that it is not whole. So it does if a file got a second name (a hard link) that was seen.
A file that is opened through a name elsewhere (a bind mount) is not told of, nor one by a name within a folder that
came while the program worked; what was written there and lay there when that folder was seen, is.
"""

from __future__ import annotations

import ctypes
import errno
import os
import select
import struct
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

MAX_FOLDERS: Final = 10_000
_CLOSE_WRITE, _OPEN, _MOVED_FROM, _MOVED_TO, _CREATE, _DELETE = 0x08, 0x20, 0x40, 0x80, 0x100, 0x200
_WRITTEN: Final = _CLOSE_WRITE | _MOVED_TO | _CREATE | _DELETE
_ONLY_FOLDERS, _OVERFLOW, _IS_FOLDER = 0x0100_0000, 0x4000, 0x4000_0000
_EVENT: Final = struct.Struct("iIII")
_READ_BYTES: Final = 256 * 2**10
_FLAGS: Final = os.O_CLOEXEC | os.O_NONBLOCK


class Opens:
    """What was opened. `files` are paths below the folder, with `/`; `is_whole`: all that was opened is among them;
    `moved` are paths, folders with `/` at their end, whose name was taken away meanwhile: what was opened may be
    that. `written` are paths of files that were made, opened to be written, renamed to this, or removed."""

    def __init__(self) -> None:
        self.files: set[str] = set()
        self.is_whole = False
        self.moved: set[str] = set()
        self.written: set[str] = set()


@contextmanager
def watch_opens(folder: Path) -> Iterator[Opens]:
    """Watch a folder and all below it while the block runs; read the answer after it."""
    found = Opens()
    watch = _Watch(folder, found)
    try:
        yield found
    finally:
        watch.close()


class _Watch:
    """One inotify instance, and a thread that reads from it."""

    def __init__(self, folder: Path, found: Opens) -> None:
        self._root, self._found, self._names = folder, found, dict[int, str]()
        self._descriptor = -1
        self._thread: threading.Thread | None = None
        if sys.platform != "linux":
            return
        try:
            self._calls = ctypes.CDLL(None, use_errno=True)
            self._descriptor = self._calls.inotify_init1(_FLAGS)
        except (OSError, AttributeError):
            return
        if self._descriptor < 0:
            return
        found.is_whole = True
        self._add_below("", is_new=False)
        self._stop_in, self._stop_out = os.pipe()
        self._thread = threading.Thread(target=self._work, name="provenance-opens", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Read what is left, and stop."""
        if self._thread is not None:
            os.write(self._stop_out, b"x")
            self._thread.join()
            os.close(self._stop_in)
            os.close(self._stop_out)
        if self._descriptor >= 0:
            os.close(self._descriptor)

    def _add_below(self, name: str, *, is_new: bool) -> None:
        """Watch a folder and those in it; what lies in a new one was written."""
        waiting = [name]
        while waiting:
            here = waiting.pop()
            if len(self._names) >= MAX_FOLDERS or not self._add(here):
                self._found.is_whole = False
                return
            try:
                with os.scandir(self._root / here) as entries:
                    for one in entries:
                        if one.is_dir(follow_symlinks=False):
                            waiting.append(f"{here}{one.name}/")
                        elif is_new:
                            self._found.written.add(here + one.name)
                            self._check_links(here + one.name)
            except OSError:  # it went away meanwhile, or is not to be read
                continue

    def _add(self, name: str) -> bool:
        """Watch a folder; False if it is there and cannot be."""
        mask = _OPEN | _MOVED_FROM | _WRITTEN | _ONLY_FOLDERS
        number = self._calls.inotify_add_watch(self._descriptor, os.fsencode(self._root / name), mask)
        if number >= 0:
            self._names[number] = name
        return bool(number >= 0) or ctypes.get_errno() in (errno.ENOENT, errno.ENOTDIR)

    def _check_links(self, name: str) -> None:
        """What is opened by a second name of a file is not told of by its first."""
        try:
            is_second = os.lstat(self._root / name).st_nlink > 1
        except OSError:  # it went away meanwhile
            return
        if is_second:
            self._found.is_whole = False

    def _work(self) -> None:
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        poll.register(self._stop_in, select.POLLIN)
        ended = False
        while not ended:
            ended = any(descriptor == self._stop_in for descriptor, _ in poll.poll())
            while data := self._read():
                self._take(data)

    def _read(self) -> bytes:
        try:
            return os.read(self._descriptor, _READ_BYTES)
        except BlockingIOError:
            return b""

    def _take(self, data: bytes) -> None:
        place = 0
        while place < len(data):
            number, mask, _, length = _EVENT.unpack_from(data, place)
            name = data[place + _EVENT.size : place + _EVENT.size + length].rstrip(b"\0")
            place += _EVENT.size + length
            if mask & _OVERFLOW:
                self._found.is_whole = False
            folder = self._names.get(number)
            if folder is None or not name:
                continue
            path = folder + os.fsdecode(name)
            if mask & _MOVED_FROM:
                self._found.moved.add(path + "/" * bool(mask & _IS_FOLDER))
            if mask & _IS_FOLDER:
                if mask & (_CREATE | _MOVED_TO):
                    self._add_below(path + "/", is_new=True)  # what came later is the program's own
                continue
            if mask & _OPEN:
                self._found.files.add(path)
            if mask & _WRITTEN:
                self._found.written.add(path)
            if mask & (_CREATE | _MOVED_TO):
                self._check_links(path)
