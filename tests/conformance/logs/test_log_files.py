"""What every reader of a log's files promises (`provenance.logs.base`), run on each kind, on a log written by hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from provenance.errors import LogError
from provenance.log import EntriesPath, TilePath, parse_tile_path
from provenance.logs import open_log
from tests.simulators.hand_log import HandLog
from tests.simulators.static_server import static_server

ENTRIES = [b"entry %d" % number for number in range(300)]


@dataclass(frozen=True, slots=True)
class Shown:
    """A folder, and the address by which it is read."""

    folder: Path
    address: str


@pytest.fixture(params=["directory", "file", "http", "http below a path"])
def shown(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shown]:
    """An empty folder, as each kind reads it."""
    folder = tmp_path / "some/log"
    folder.mkdir(parents=True)
    if request.param == "directory":
        yield Shown(folder, str(folder))
    elif request.param == "file":
        yield Shown(folder, f"file://{folder}")
    else:
        is_below = "below" in request.param
        with static_server(tmp_path if is_below else folder) as url:
            yield Shown(folder, f"{url}/some/log" if is_below else url)


def test_every_file_is_read_and_nothing_else_is_there(shown: Shown) -> None:
    files = HandLog().write(shown.folder, ENTRIES)
    with closing(open_log(shown.address)) as log:
        assert log.checkpoint() == files["checkpoint"]
        for name in files.keys() - {"checkpoint"}:
            assert log.read(parse_tile_path(f"/{name}")) == files[name]
        for path in (TilePath(0, 1), TilePath(0, 1, 45), TilePath(2, 0, 1), EntriesPath(1), EntriesPath(5, 1)):
            assert log.read(path) is None


def test_the_checkpoint_is_read_anew(shown: Shown) -> None:
    with closing(open_log(shown.address)) as log:
        with pytest.raises(LogError, match="no log here"):
            log.checkpoint()
        for size in (1, 2):
            files = HandLog().write(shown.folder, ENTRIES[:size])
            assert log.checkpoint() == files["checkpoint"]


@pytest.mark.parametrize(("path", "limit"), [(TilePath(0, 0), 8_192), (EntriesPath(0, 1), 65_537)])
def test_a_file_that_is_too_large_is_refused(shown: Shown, path: TilePath | EntriesPath, limit: int) -> None:
    name = "tile/0/000" if isinstance(path, TilePath) else "tile/entries/000.p/1"
    (shown.folder / name).parent.mkdir(parents=True)
    with closing(open_log(shown.address)) as log:
        (shown.folder / name).write_bytes(bytes(limit))
        assert log.read(path) == bytes(limit)
        (shown.folder / name).write_bytes(bytes(limit + 1))
        with pytest.raises(LogError, match="too large"):
            log.read(path)
        (shown.folder / "checkpoint").write_bytes(bytes(1_000_001))
        with pytest.raises(LogError, match="too large"):
            log.checkpoint()
