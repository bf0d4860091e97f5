"""Where a ledger keeps what, and its settings.

Invariants: everything lies under one folder, readable by its owner only, but for the log where a database server has
it; `config.toml` names the log's origin, the chain and that database, and holds no secret but what the owner put into a
chain's URL.

    .provenance/  config.toml  ledger.db  trust.json  blobs/  trees/  keys/  chain/
"""

from __future__ import annotations

import json
import os
import re
import stat
import tomllib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from provenance.errors import MalformedError, NotFoundError, StoreError
from provenance.limits import MAX_CONFIG_BYTES, MAX_URI_CHARS, check_size
from provenance.stores.server_url import check_server_url

FOLDER: Final = ".provenance"
ENVIRONMENT: Final = "PROVENANCE_LEDGER"
_ORIGIN = re.compile(r"[a-z0-9][a-z0-9.-]*(?::[0-9]{1,5})?(?:/[A-Za-z0-9._~-]+)*")
_CHAIN = re.compile(r"embedded:\Z|https?://[^/]|(?!embedded:|https?:)[a-z][a-z0-9+.-]+:")


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths of the ledger in `directory`."""

    directory: Path

    @property
    def config(self) -> Path:
        """Settings."""
        return self.directory / "config.toml"

    @property
    def database(self) -> Path:
        """Queue, entries, tiles, checkpoint, outbox, index, unless the configuration names a database server."""
        return self.directory / "ledger.db"

    @property
    def trust(self) -> Path:
        """Trust roots of this ledger."""
        return self.directory / "trust.json"

    @property
    def blobs(self) -> Path:
        """Content-addressed blobs."""
        return self.directory / "blobs"

    @property
    def trees(self) -> Path:
        """Stored trees of datasets' records, by their roots."""
        return self.directory / "trees"

    @property
    def keys(self) -> Path:
        """Private keys, 0600."""
        return self.directory / "keys"


@dataclass(frozen=True, slots=True)
class Config:
    """`origin` names the log (a schema-less URL); `chain` is where it is anchored; `database` is the URL of the
    server's database that has the log, None for a file in the ledger's folder."""

    origin: str
    chain: str = "embedded:"
    database: str | None = None

    def __post_init__(self) -> None:
        check_size("origin", len(self.origin), 255, "characters")
        check_size("chain", len(self.chain), MAX_URI_CHARS, "characters")
        if not _ORIGIN.fullmatch(self.origin):
            raise MalformedError(
                "not a log origin", expected="a URL without scheme, as example.com/log", got=self.origin
            )
        if not self.chain.isprintable() or not _CHAIN.match(self.chain):  # never shown: it may hold a key
            raise MalformedError("not a chain URI", expected="embedded:, http://... or https://...")
        if self.database is not None:
            check_server_url(self.database)


def read_config(path: Path) -> Config:
    """The settings in a file. `MalformedError` names what is wrong."""
    try:
        data = read_bounded(path, "configuration", max_bytes=MAX_CONFIG_BYTES)
        table = tomllib.loads(data.decode("utf-8"))
    except OSError as error:
        raise StoreError("cannot read the configuration", got=error.strerror, where=path) from error
    except RecursionError:
        raise MalformedError("configuration is nested too deeply", where=path) from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise MalformedError("configuration is not TOML", got=error, where=path) from error
    log, chain = table.get("log", {}), table.get("chain", {})
    origin = log.get("origin") if isinstance(log, dict) else None
    uri = chain.get("uri", "embedded:") if isinstance(chain, dict) else None
    if not isinstance(origin, str) or not isinstance(uri, str):
        raise MalformedError("configuration lacks a setting", expected="log.origin and chain.uri as text", where=path)
    database = table.get("database")
    if database is not None and not isinstance(database, str):
        raise MalformedError("configuration has a setting of another type", expected="database as text", where=path)
    return Config(origin, uri, database)


def read_bounded(path: Path, what: str, *, max_bytes: int) -> bytes:
    """The bytes of a file. `LimitError` above `max_bytes`, `StoreError` if it is none; `OSError` passes through.

    A pipe or device in its place is not waited for.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise StoreError(f"{what} is not a file", expected="a regular file", where=path)
        with open(descriptor, "rb", closefd=False) as file:
            data = file.read(max_bytes + 1)
    finally:
        os.close(descriptor)
    check_size(what, len(data), max_bytes)
    return data


def write_config(path: Path, config: Config) -> None:
    """Write the settings, whole or not at all, readable by the owner only."""
    shared = (
        ""
        if config.database is None
        else "# The database that has the log. No password: it comes from PGPASSWORD, ~/.pgpass or a service file.\n"
        f"database = {_toml(config.database)}\n\n"
    )
    text = (
        f"{shared}"
        "# Provenance ledger. The origin names this log for ever; do not change it.\n"
        f"[log]\norigin = {_toml(config.origin)}\n\n"
        "# embedded: (single-operator development chain) or the URL of an Ethereum JSON-RPC endpoint.\n"
        f"[chain]\nuri = {_toml(config.chain)}\n"
    )
    write_private(path, text.encode("utf-8"))


def _toml(text: str) -> str:
    # A JSON string is a basic string of TOML, if it is not escaped into surrogates, which TOML has none of.
    return json.dumps(text, ensure_ascii=False)


def write_private(path: Path, data: bytes) -> None:
    """Replace a file atomically and durably, mode 0600."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor, not a path
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise StoreError("cannot write", got=error.strerror, where=path) from error


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def discover(start: Path | None = None) -> Path:
    """The ledger's folder: `PROVENANCE_LEDGER`, else the nearest `.provenance/` upwards. `NotFoundError` if none."""
    named = os.environ.get(ENVIRONMENT)
    if named:
        return ledger_folder(Path(named))
    try:
        here = (start or Path.cwd()).resolve()
    except OSError as error:
        raise NotFoundError("no ledger here: the current directory is gone", hint="change to another one") from error
    for folder in (here, *here.parents):
        if exists(folder / FOLDER / "config.toml"):
            return folder / FOLDER
    raise NotFoundError(
        "no ledger here",
        expected=f"a {FOLDER} folder in this directory or above",
        where=here,
        hint=f"make one with `provenance init`, or name one with --ledger DIR or {ENVIRONMENT}",
    )


def ledger_folder(path: Path) -> Path:
    """The folder of the ledger that `path` names: itself, or the `.provenance` in it."""
    for folder in (path, path / FOLDER):
        if exists(folder / "config.toml"):
            return folder.resolve()
    raise NotFoundError("no ledger there", expected="a folder made by `provenance init`", where=path)


def writable(folder: Path) -> bool:
    """Whether this user may make files in a folder: not so on a medium that is mounted read-only. Never raises."""
    return os.access(folder, os.W_OK | os.X_OK)


def exists(path: str | os.PathLike[str]) -> bool:
    """Whether there is something at `path` that can be seen; never raises."""
    try:
        return Path(path).exists()
    except (OSError, ValueError):  # a name too long, a folder closed to this user, a NUL
        return False
