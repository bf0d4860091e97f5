"""A real PostgreSQL server of these tests' own: its own data folder, its own port, fsync on, and nobody else's data.

The server's programs come from Debian (`apt-get install postgresql`); without them every test that asks for the server
fails and says so.
"""

from __future__ import annotations

import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Literal

import psycopg

OWNER: Final = "ledger"
"""The user that the tests' ledgers connect as; no superuser."""
PASSWORD: Final = "correct horse battery staple"
_START_S: Final = 60
_SETTINGS: Final = """
listen_addresses = '127.0.0.1'
unix_socket_directories = '{folder}'
port = {port}
fsync = on
synchronous_commit = on
max_connections = 80
shared_buffers = 32MB
log_destination = stderr
"""
# By the socket whoever can reach the folder is who he says he is; over TCP a password is asked for.
_ACCESS: Final = """
local all all trust
host all all 127.0.0.1/32 scram-sha-256
"""


class PostgresServer:
    """One server. `stop` it."""

    def __init__(self) -> None:
        self._programs = find_programs()
        # Not pytest's folder, which only its owner may enter: the server refuses to run as root.
        self.folder = Path(tempfile.mkdtemp(prefix="provenance-pg-", dir="/tmp"))
        self.port = free_port()
        self._as: dict[str, Any] = {}
        if os.geteuid() == 0:
            user = next(name for name in ("postgres", "nobody") if name in {entry.pw_name for entry in pwd.getpwall()})
            entry = pwd.getpwnam(user)
            self._as = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
            os.chown(self.folder, entry.pw_uid, entry.pw_gid)
        self._process: subprocess.Popen[bytes] | None = None
        self._count = 0
        self._emptied: list[str] = []
        self._make()

    @property
    def version(self) -> str:
        """As the server says it, like "postgres (PostgreSQL) 15.10"."""
        return subprocess.run([self._programs / "postgres", "--version"], capture_output=True, text=True).stdout.strip()

    def start(self) -> None:
        """Start, and wait until it takes connections."""
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", self.folder / "data"],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **self._as,
            )
        deadline = time.monotonic() + _START_S
        while True:
            try:
                return self.admin("SELECT 1")
            except psycopg.OperationalError as error:
                ended = self._process.poll()
                tail = (self.folder / "log").read_text(errors="replace")[-2_000:]
                assert ended is None, f"the server ended with {ended}:\n{tail}"
                assert time.monotonic() < deadline, f"no server after {_START_S} s: {error}\n{tail}"
                time.sleep(0.05)

    def stop(self, how: Literal["fast", "immediate"] = "fast") -> None:
        """Stop: `fast` as an operator would, `immediate` like a crash, without writing anything back."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT if how == "fast" else signal.SIGQUIT)
            self._process.wait(_START_S)
            self._process = None

    @contextmanager
    def down(self, how: Literal["fast", "immediate"] = "fast") -> Iterator[None]:
        """The server is stopped within the block, and runs again after it."""
        self.stop(how)
        try:
            yield
        finally:
            self.start()

    def remove(self) -> None:
        """Stop, and remove its data."""
        self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)

    @contextmanager
    def empty_database(self) -> Iterator[str]:
        """The URL of an empty database that nobody else uses meanwhile, by the server's socket.

        It is emptied and lent again: a database of its own for every test would cost a thousand files each.
        """
        if not self._emptied:
            self._count += 1
            self.admin(f"CREATE DATABASE t{self._count} OWNER {OWNER} TEMPLATE template0 ENCODING 'UTF8'")
            self._emptied.append(f"t{self._count}")
        name = self._emptied.pop()
        yield self.url(name)
        with self.connect(self.url(name)) as connection:
            statements = f"""SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
                WHERE datname = '{name}' AND pid <> pg_backend_pid();
                DROP SCHEMA IF EXISTS provenance CASCADE; ALTER DATABASE {name} RESET ALL"""
            connection.execute(statements.encode())
        self._emptied.append(name)

    def url(self, database: str, user: str = OWNER) -> str:
        """The URL of a database by the server's socket."""
        return f"postgresql://{user}@/{database}?host={self.folder}&port={self.port}"

    def tcp_url(self, database: str, user: str = OWNER) -> str:
        """The same over TCP, where it asks for a password."""
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def connect(self, url: str, user: str = "postgres") -> psycopg.Connection[tuple[Any, ...]]:
        """A plain connection, as the superuser."""
        return psycopg.connect(url, user=user, autocommit=True)

    def admin(self, statement: str, database: str = "postgres") -> None:
        """Run a statement as the superuser."""
        with self.connect(self.url(database)) as connection:
            connection.execute(statement.encode())

    def reload(self, setting: str, value: str | None) -> None:
        """Change a setting of the running server; None takes the change back. Returns once it is in force."""
        self.admin(f"ALTER SYSTEM SET {setting} = {value}" if value else f"ALTER SYSTEM RESET {setting}")
        self.admin("SELECT pg_reload_conf()")
        deadline = time.monotonic() + _START_S
        while True:
            with self.connect(self.url("postgres")) as connection:
                row = connection.execute("SELECT current_setting(%s)", (setting,)).fetchone()
            if row == (value or "on",):
                return
            assert time.monotonic() < deadline, f"{setting} is still {row}"
            time.sleep(0.02)

    def _make(self) -> None:
        data = self.folder / "data"
        command: list[str | Path] = [
            self._programs / "initdb",
            "-D",
            data,
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C",
        ]
        made = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=120, **self._as)
        assert made.returncode == 0, made.stderr
        with (data / "postgresql.conf").open("a") as file:
            file.write(_SETTINGS.format(folder=self.folder, port=self.port))
        (data / "pg_hba.conf").write_text(_ACCESS)
        self.start()
        self.admin(f"CREATE ROLE {OWNER} LOGIN PASSWORD '{PASSWORD}'")


def find_programs() -> Path:
    """The folder with the newest server's programs. AssertionError if there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    on_path = shutil.which("postgres")
    assert found or on_path, "there is no PostgreSQL server for these tests: apt-get install -y postgresql"
    return found[-1].parent if found else Path(str(on_path)).resolve().parent


def free_port() -> int:
    """A TCP port that nobody has now, nor is given while the server is down: below those that the kernel gives away."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
