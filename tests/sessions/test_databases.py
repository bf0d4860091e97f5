"""A ledger whose log is in a PostgreSQL database, from the command line."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

from tests.postgresql import PASSWORD, PostgresServer
from tests.sessions.session import Session


def test_init_with_a_database_and_what_follows(tmp_path: Path, database: str, postgres: PostgresServer) -> None:
    session = Session(tmp_path)
    made = session.run("init", "--database", database, "--origin", "replicas.example/log")
    assert database in made.out
    folder = tmp_path / ".provenance"
    assert tomllib.loads((folder / "config.toml").read_text())["database"] == database
    assert not (folder / "ledger.db").exists()
    session.run("keys", "new", "someone", "--algorithm", "ed25519")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "rows.csv").write_text("a,b\n1,2\n")
    register = ("register", "data", "--name", "weather/rows", "--version", "1", "--key", "someone", "--no-anchor")
    assert session.json(*register)["index"] == 0
    assert session.json("log", "fsck")["clean"] is True
    session.run("verify", "data")

    second = session.run("init", "other", "--database", database, code=2)
    assert "holds a ledger already" in second.err and "replica" in second.err
    assert not (tmp_path / "other" / ".provenance" / "config.toml").exists()

    with postgres.down():
        down = session.run("log", "show", code=3)
        assert "cannot be reached" in down.err
    session.run("log", "show")


def test_a_password_is_taken_from_the_environment_only(tmp_path: Path, database: str, postgres: PostgresServer) -> None:
    session = Session(tmp_path)
    url = postgres.tcp_url(database.split("@/")[1].split("?")[0])
    nowhere = {"PGPASSFILE": os.devnull}
    refused = session.run("init", "--database", url.replace("ledger@", "ledger:s3cret@"), code=2)
    assert "s3cret" not in refused.out + refused.err
    assert "PGPASSWORD" in refused.err and ".pgpass" in refused.err
    assert not (tmp_path / ".provenance").exists()
    without = session.run("init", "--database", url, code=3, env=nowhere)
    assert "refuses this user" in without.err
    session.run("init", "--database", url, env={"PGPASSWORD": PASSWORD})
    session.run("log", "show", env={"PGPASSWORD": PASSWORD})
    passfile = tmp_path / "pgpass"
    passfile.write_text(f"127.0.0.1:*:*:ledger:{PASSWORD}\n")
    passfile.chmod(0o600)
    session.run("log", "show", env={"PGPASSFILE": str(passfile)})
    kept = [path.read_bytes() for path in (tmp_path / ".provenance").rglob("*") if path.is_file()]
    assert all(PASSWORD.encode() not in data for data in kept)


def test_a_setting_that_holds_a_password_is_refused(tmp_path: Path) -> None:
    session = Session(tmp_path)
    session.run("init")
    config = tmp_path / ".provenance" / "config.toml"
    for setting in ("'postgresql://u:s3cret@h/db'", "5", "'s3cret.db'"):
        config.write_text(f"database = {setting}\n[log]\norigin = 'a.example'\n")
        refused = session.run("log", "show", code=2)
        assert "s3cret" not in refused.out + refused.err
