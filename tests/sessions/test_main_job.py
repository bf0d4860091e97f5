"""The main job at the command line: from nothing to a bundle in a stranger's hands, and a changed byte."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from tests.paths import PROJECT
from tests.sessions.session import Session

TITANIC = PROJECT / "examples" / "data" / "titanic"
DEVELOPMENT = "single-operator development chain"


def test_the_main_job(tmp_path: Path) -> None:
    session = Session(tmp_path)
    for folder, name in (("museum", "titanic.csv"), ("harbour", "embarkation_ports.csv"), ("clean", "genders.csv")):
        (tmp_path / folder).mkdir()
        shutil.copy(TITANIC / name, tmp_path / folder)
    prepare(session)
    receipts = register(session)
    anchor(session)
    verify(session, receipts)
    hand_over(session)
    tamper(session)
    revoke(session)


def prepare(session: Session) -> None:
    made = session.run("init", "--origin", "ledger.example/main")
    assert DEVELOPMENT in made.out
    session.run("keys", "new", "museum")
    session.run("keys", "new", "harbour", "--algorithm", "ed25519", "--namespace", "titanic")
    (session.folder / "passphrase").write_text("open sesame\n")
    session.run("keys", "new", "lab", "--passphrase-file", "passphrase")
    listed = session.json("keys", "list")["keys"]
    assert [(key["name"], key["private"]) for key in listed] == [
        ("harbour", "not encrypted"), ("lab", "encrypted"), ("museum", "not encrypted"),
    ]  # fmt: skip


def register(session: Session) -> list[dict[str, object]]:
    source = ("--version", "1", "--origin", "https://example.com/titanic", "--license", "CC0-1.0", "--no-anchor")
    first = session.run("register", "museum", "--name", "titanic/passengers", "--key", "museum", *source)
    assert first.out.startswith("registered   titanic/passengers@1\n")
    second = session.json("register", "harbour", "--name", "titanic/ports", "--key", "harbour", *source)
    assert second["notes"] == ["no OMS bundle: that format needs a P-256 key, and this key is Ed25519"]
    third = session.run(
        "register", "clean", "--name", "titanic/clean", "--version", "1", "--key", "lab", "--receipt", "receipt.json",
        "--parent", "titanic/passengers", "--parent", "titanic/ports@1", "--no-anchor",
        env={"PROVENANCE_PASSPHRASE": "open sesame"},
    )  # fmt: skip
    assert "receipt      receipt.json" in third.out
    kept = json.loads((session.folder / "receipt.json").read_text())
    assert (kept["index"], kept["anchor"]) == (2, None)
    model = session.json(
        "register", "receipt.json", "--name", "titanic/model", "--version", "1", "--key", "museum", "--kind", "model",
        "--parent", kept["digest"]["sha256"][:12], "--sensitivity", "public",
    )  # fmt: skip
    assert (model["anchor"]["status"], model["anchor"]["covered"]) == ("anchored", 4)
    assert model["anchor"]["receipt"]["development"] is True
    return [second, kept, model]


def anchor(session: Session) -> None:
    again = session.run("anchor")
    assert "anchored     before: this anchor covers all 4 log entries" in again.out
    assert DEVELOPMENT in again.out
    status = session.json("chain", "status")
    assert (status["development"], status["pending"]) == (True, [])
    assert session.json("chain", "deploy")["gasUsed"] == 0


def verify(session: Session, receipts: list[dict[str, object]]) -> None:
    report = session.run("verify", "titanic/model", "--deep", "--require", "D2")
    assert report.out.startswith("VERIFIED  titanic/model@1\n")
    assert "development chain" in report.out
    assert "4 statements with its ancestors: 4 passed" in report.out
    everything = session.json("verify", "--all")
    assert (everything["verified"], everything["datasets"]) == (True, 4)
    tree = session.run("lineage", "titanic/model").out
    assert tree.splitlines()[:4] == [
        line for line in tree.splitlines() if "passed" in line and "titanic/" in line
    ]  # fmt: skip
    assert session.json("lineage", "titanic/ports")["descendants"] == ["titanic/clean@1", "titanic/model@1"]
    assert session.json("log", "inclusion", "2")["proof"].startswith("c2sp.org/tlog-proof@v1\nindex 2\n")
    assert session.json("log", "consistency", "1")["size2"] == 4
    assert session.json("log", "fsck", "--independent")["independentProofs"] == 4
    digest = session.json("fingerprint", "harbour")["digest"]
    assert digest == receipts[0]["digest"]
    assert session.run("verify", digest["sha256"][:16]).out.startswith("VERIFIED  titanic/ports@1\n")


def hand_over(session: Session) -> None:
    stranger = session.folder.parent / "stranger"
    stranger.mkdir()
    session.run("bundle", "titanic/clean", "-o", stranger / "bundle.json")
    session.run("keys", "export", "-o", stranger / "trust.json")
    shutil.copytree(session.folder / "clean", stranger / "clean")
    whole = ("verify", "--bundle", "bundle.json", "--trust", "trust.json", "--data", "titanic/clean=clean")
    report = session.run(*whole, "--require", "D2", folder=stranger)
    assert "VERIFIED  titanic/clean@1" in report.out
    assert "development chain" in report.out
    outcome = session.run("verify", "--bundle", "bundle.json", folder=stranger, code=1)
    assert "signed but not trusted" in outcome.out
    (stranger / "clean" / "genders.csv").write_bytes(b"x")
    outcome = session.run(*whole, folder=stranger, code=1)
    assert "changed: genders.csv" in outcome.out
    session.run("bundle", "titanic/clean", "-o", stranger / "oms.json", "--oms")
    assert json.loads((stranger / "oms.json").read_text())["verificationMaterial"]["publicKey"]["hint"]


def tamper(session: Session) -> None:
    file = session.folder / "museum" / "titanic.csv"
    content = file.read_bytes()
    file.write_bytes(content[:1000] + bytes([content[1000] ^ 1]) + content[1001:])
    outcome = session.run("verify", "museum", code=1)
    assert outcome.out.startswith("FAILED  titanic/passengers@1\n")
    assert "changed: titanic.csv" in outcome.out
    assert "affected     titanic/clean@1\n             titanic/model@1\n" in outcome.out
    document = session.json("verify", "--all", code=1)
    assert (document["counts"]["failed"], document["affected"]) == (1, ["titanic/clean@1", "titanic/model@1"])
    assert session.json("verify", "titanic/model", "--deep", code=1)["verified"] is False
    file.write_bytes(content)
    session.run("verify", "museum")


def revoke(session: Session) -> None:
    assert session.json("keys", "revoke", "harbour")["trust"] == "revoked"
    outcome = session.run("lineage", "titanic/model", code=1)
    assert "signed by a revoked key" in outcome.out
    assert session.json("verify", "titanic/clean", code=1)["verified"] is False
    session.run("verify", "titanic/passengers")
