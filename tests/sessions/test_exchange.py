"""Lineages seen in part and as of a time, exports, imports and proofs of inputs, as a user types them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.sessions.session import Session

DVC = Path(__file__).parents[1] / "compat" / "dvc_3_67"


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    made = Session(tmp_path_factory.mktemp("exchange"))
    made.run("init", "--origin", "ledger.example/exchange")
    made.run("keys", "new", "lab")
    for name, *parents in (("a",), ("b", "x/a"), ("c", "x/b"), ("d", "x/c")):
        (made.folder / name).write_text(name)
        words = [word for parent in parents for word in ("--parent", parent)]
        origin = [] if parents else ["--origin", "https://x.example/a"]
        made.run("register", name, "--name", f"x/{name}", "--version", "1", *words, *origin, "--no-anchor")
    made.run("anchor")
    return made


def test_so_many_steps_of_a_lineage(session: Session) -> None:
    out = session.run("lineage", "x/c", "--depth", "1").out
    assert "x/b@1" in out
    assert "x/a@1" not in out
    assert "made from 1 input" in out
    assert "x/d@1" in out
    up = session.run("lineage", "x/c", "--direction", "up").out
    assert "x/a@1" in up
    assert "x/d@1" not in up
    down = session.json("lineage", "x/b", "--direction", "down", "--depth", "1")
    assert ([node["name"] for node in down["nodes"]], down["descendants"]) == (["x/b@1"], ["x/c@1"])
    drawn = session.run("lineage", "x/c", "--depth", "1", "--format", "dot").out
    assert "x/b@1" in drawn
    for wrong in (("--depth", "x"), ("--depth", "-1"), ("--direction", "left"), ("--as-of", "now")):
        assert "error:" in session.run("lineage", "x/c", *wrong, code=2).err


def test_a_lineage_as_of_a_time(session: Session) -> None:
    out = session.run("lineage", "x/c", "--as-of", "2999-01-01T00:00:00Z").out
    assert "the first 4 log entries" in out
    assert (
        "nothing was anchored by then" in session.run("lineage", "x/c", "--as-of", "2001-01-01T00:00:00Z", code=2).err
    )


def test_exports(session: Session) -> None:
    assert json.loads(session.run("export", "x/b").out)["@type"] == "sc:Dataset"
    session.run("export", "x/d", "--format", "spdx", "-o", "d.spdx.json")
    assert json.loads((session.folder / "d.spdx.json").read_bytes())["@graph"]
    assert len(session.run("export", "x/d", "--format", "in-toto").out.splitlines()) == 4
    document = session.json("export", "x/d", "--format", "cyclonedx")["document"]
    session.run("bundle", "x/d", "-o", "d.bundle.json")
    offline = json.loads(session.run("export", "--bundle", "d.bundle.json", "--format", "cyclonedx", code=0).out)
    assert offline["components"] == document["components"]
    assert "unknown format" in session.run("export", "x/d", "--format", "prov", code=2).err
    assert "nothing is named" in session.run("export", code=2).err
    (session.folder / "d").write_text("other")
    assert session.run("export", "x/d", "--format", "spdx", code=1).out
    (session.folder / "d").write_text("d")


def test_imports(session: Session) -> None:
    first = session.run("import", str(DVC / "dvc.lock"), str(DVC / "raw.dvc"))
    assert "2 steps, 2 new" in first.out
    assert "nothing of it was verified" in first.out
    assert "all of it was here" in session.run("import", str(DVC / "dvc.lock")).out
    shown = session.run("import", "--show", "dataset:dvc:clean.csv", "--depth", "1").out
    assert "job:dvc:clean" in shown
    assert "job:dvc:train" in shown
    nodes = session.json("import", "--show", "dataset:dvc:clean.csv", "--depth", "0")["nodes"]
    assert [node["version"] for node in nodes] == ["md5:e5ebd4c02cefbe7955977c67ada242b7"]
    for words in ((), ("--show", "x"), ("--show", "dataset:dvc:raw", "--depth", "-2"), ("raw",)):
        assert "error:" in session.run("import", *words, code=2).err


def test_the_proof_of_an_input(session: Session) -> None:
    session.run("prove", "x/c", "--input", "x/b", "-o", "p.json")
    assert "HOLDS" in session.run("verify", "--proof", "p.json").out
    assert "VERIFIED" in session.run("verify", "--proof", "p.json", "--as", "x/c").out
    assert "another log entry" in session.run("verify", "--proof", "p.json", "--as", "x/b", code=1).err
    assert "not among the inputs" in session.run("prove", "x/c", "--input", "x/a", code=2).err


def test_parents_out_of_a_file(session: Session) -> None:
    (session.folder / "list").write_text("# what it was made from\nx/a\n\nx/b@1\n")
    (session.folder / "e").write_text("e")
    words = ("register", "e", "--name", "x/e", "--no-anchor", "--version")
    session.run(*words, "1", "--parents-from", "list")
    assert "x/a@1" in session.run("lineage", "x/e").out
    assert "cannot read the list" in session.run(*words, "2", "--parents-from", "none", code=2).err


def test_a_verdict_is_logged(session: Session) -> None:
    policy = session.folder / "policy.yaml"
    policy.write_text("format: urn:provenance-ledger:policy:1\nname: p\nminimumLevel: D2\n")
    out = session.run("gate", "--policy", "policy.yaml", "--log", "x/a").out
    assert "logged as entry" in out
    assert "verdict" in session.run("events", "x/a").out


def test_a_card_is_taken_over_and_written(session: Session) -> None:
    (session.folder / "card.md").write_text("---\nlicense: mit\npretty_name: Rides\n---\n\nAll rides.\n")
    (session.folder / "more.json").write_text('{"title":"All rides","issuer":"City Museum"}')
    (session.folder / "carded").write_text("e")
    words = ("register", "carded", "--name", "x/card", "--version", "1", "--no-anchor", "--describe", "card.md")
    session.run(*words, "--standards", "more.json")
    card = session.run("export", "x/card", "--format", "card").out
    assert card.startswith('---\nlicense: "mit"\npretty_name: "All rides"\n')
    assert "All rides\\." not in card and "All rides." in card
    assert session.json("export", "x/card", "--format", "card")
    (session.folder / "none.md").write_text("# text")
    assert "not a" in session.run(*words[:-1], "none.md", code=2).err
    session.run("import", "card.md", "--namespace", "hub")
    assert "dataset:hub:Rides" in session.run("import", "--show", "dataset:hub:Rides").out
