"""Events at the command line: said, shown, and what they do to those concerned."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sessions.session import Session


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    made = Session(tmp_path_factory.mktemp("events"))
    made.run("init", "--origin", "ledger.example/events")
    made.run("keys", "new", "lab")
    made.run("keys", "new", "reviewer")
    for name, parents in (("raw", []), ("clean", ["s/raw@1"]), ("model", ["s/clean@1"])):
        (made.folder / name).mkdir()
        (made.folder / name / "data").write_text(name)
        given = [word for parent in parents for word in ("--parent", parent)]
        made.run("register", name, "--name", f"s/{name}", "--version", "1", "--key", "lab", "--no-anchor", *given)
    return made


def test_a_review_by_somebody_else_counts(session: Session) -> None:
    session.run("review", "s/model", "--decision", "approved", "--key", "lab")
    checks = session.json("verify", "s/model")["checks"]
    assert [check["status"] for check in checks if check["check"] == "review"] == ["not performed"]
    said = session.json("review", "s/model", "--decision", "approved", "--scope", "labels", "--key", "reviewer")
    assert (said["about"]["name"], said["says"]["scope"]) == ("s/model@1", ["labels"])
    checks = session.json("verify", "s/model")["checks"]
    assert [check["status"] for check in checks if check["check"] == "review"] == ["passed"]


def test_a_finding_is_open_then_confirmed_then_resolved(session: Session) -> None:
    arguments = ("finding", "s/model", "--id", "f1", "--title", "odd rows", "--key", "reviewer")
    session.run(*arguments)
    session.run("verify", "s/model")
    session.run(*arguments, "--state", "confirmed", "--severity", "high")
    assert "confirmed finding f1 (high): odd rows" in session.run("verify", "s/model", code=1).out
    session.run(*arguments, "--state", "resolved")
    session.run("verify", "s/model")


def test_a_revocation_reaches_what_was_made_from_it_offline_too(session: Session, tmp_path: Path) -> None:
    assert "clean@1 -> s/model@1" in session.run("impact", "s/raw").out
    assert session.run("impact", "s/raw", "--to", "s/model").out.startswith("s/clean@1 -> s/model@1\nconcerned ")
    way = session.json("impact", "s/raw", "--to", "s/model")
    assert way["path"] == ["s/raw@1", "s/clean@1", "s/model@1"]
    assert [one["via"] for one in way["affected"]] == ["s/clean@1"]
    session.run("use", "s/raw", "--purpose", "training", "--key", "lab")
    session.run("bundle", "s/model@1", "-o", "before.json")
    shown = session.run(
        "revoke", "s/raw", "--reason", "consent withdrawn", "--key", "lab", "--note", "by its giver"
    ).out
    assert "2 datasets made from it" in shown
    assert "revoked: consent withdrawn" in session.run("verify", "s/model", code=1).out
    assert session.json("verify", "s/model", code=1)["affected"] == ["s/clean@1", "s/model@1"]
    session.run("bundle", "s/model@1", "-o", "after.json")
    session.run("keys", "export", "-o", "trust.json")
    stranger = Session(tmp_path)
    for name, code in (("before.json", 0), ("after.json", 1)):
        arguments = ("--bundle", session.folder / name, "--trust", session.folder / "trust.json")
        stranger.run("verify", *arguments, session.folder / "model", code=code)
    events = session.json("events", "s/raw")["events"]
    assert [event["type"].split(":")[2] for event in events] == ["usage", "revocation"]
    assert "consent withdrawn" in session.run("events", "s/raw").out
    assert "revocation of s/raw@1" in session.run("log", "show").out
    assert session.json("log", "show", "--limit", "1", "--after", "2")["entries"][0]["type"].endswith(":review:1")
    assert session.run("events", "s/clean").out == "nothing was said about s/clean@1\n"


def test_what_takes_its_place(session: Session) -> None:
    said = session.json("supersede", "s/raw", "--by", "s/clean", "--key", "lab")
    assert said["says"]["by"]["name"] == "s/clean@1"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("revoke", "s/raw", "--reason", "because"), "consent withdrawn | license withdrawn"),
        (("revoke", "s/raw", "--reason", "other", "--since", "yesterday"), "RFC 3339"),
        (("review", "s/raw", "--decision", "fine"), "approved | rejected | changes requested"),
        (("finding", "s/raw", "--id", "A b", "--title", "x"), "not a word"),
        (("finding", "s/raw", "--id", "f", "--title", " "), "no title"),
        (("use", "s/raw", "--purpose", "Training run"), "not a word"),
        (("use", "s/none", "--purpose", "training"), "s/none"),
        (("supersede", "s/raw", "--by", "s/raw"), "its own place"),
        (("impact", "s/none"), "s/none"),
        (("events", "s/none"), "s/none"),
    ],
)
def test_what_cannot_be_said(session: Session, arguments: tuple[str, ...], said: str) -> None:
    key = () if arguments[0] in ("impact", "events") else ("--key", "lab")
    assert said in session.run(*arguments, *key, code=2).err


def test_keys_speak_for_themselves(tmp_path: Path) -> None:
    session = Session(tmp_path)
    session.run("init", "--origin", "ledger.example/keys")
    for name in ("old", "new"):
        session.run("keys", "new", name)
    (tmp_path / "a").write_text("a")
    session.run("register", "a", "--name", "k/a", "--version", "1", "--key", "old", "--no-anchor")
    assert "nothing was said about old" in session.run("keys", "events", "old").out
    assert "introduced" in session.run("keys", "announce", "old").out
    new = session.json("keys", "show", "new")["keyid"]
    assert f"by {new[:16]}" in session.run("keys", "rotate", "old", "new").out
    assert "VERIFIED" in session.run("verify", "a").out
    out = session.run("keys", "revoke", "old", "--log", "--reason", "superseded", "--since", "2026-01-01T00:00:00Z").out
    assert "superseded, since 2026-01-01T00:00:00Z" in out
    said = session.json("keys", "events", "old")["events"]
    assert [one["says"]["action"] for one in said] == ["introduced", "rotated", "revoked"]
    assert "revoked key" in session.run("verify", "a", code=1).out
    assert "revoked since" in session.run("keys", "list").out
    for wrong in (
        ("revoke", "new", "--log", "--reason", "tired"),
        ("revoke", "new", "--reason", "tired"),
        ("rotate", "new", "new"),
    ):
        assert "error:" in session.run("keys", *wrong, code=2).err
    # Without the log, the reason is for this ledger's own trust roots.
    session.run("keys", "revoke", "new", "--reason", "retired")
    assert '"reason":"retired"' in (tmp_path / ".provenance" / "trust.json").read_text()
