"""`run`, `replay` and `quality` as a user types them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.paths import PROJECT, SHARED
from tests.sessions.session import Session

SCRIPT = "import sys\nopen(sys.argv[2], 'w').write(open(sys.argv[1]).read().upper())\nprint('said by the program')\n"


@pytest.fixture
def session(tmp_path: Path) -> Session:
    made = Session(tmp_path)
    made.run("init", "--origin", "ledger.example/runs")
    made.run("keys", "new", "lab")
    made.run("keys", "new", "other")
    (made.folder / "raw.txt").write_text("words")
    (made.folder / "upper.py").write_text(SCRIPT)
    made.run("register", "raw.txt", "--name", "s/raw", "--version", "1", "--key", "lab", "--no-anchor")
    return made


RUN = (
    "run",
    "--input",
    "raw.txt=s/raw@1",
    "--output",
    "big.txt=s/big@1",
    "--code",
    "upper.py",
    "--step",
    "upper",
    "--key",
    "lab",
)
COMMAND = ("--", "python", "upper.py", "raw.txt", "big.txt")


def test_a_command_is_run_recorded_and_replayed(session: Session) -> None:
    outcome = session.run(*RUN, *COMMAND)
    assert "registered   s/big@1" in outcome.out
    assert "said by the program" not in outcome.out
    assert (session.folder / "big.txt").read_text() == "WORDS"
    checks = session.json("verify", "big.txt")["checks"]
    assert [(c["status"], c["note"]) for c in checks if c["check"] == "run"] == [
        ("passed", "made by python in step upper")
    ]
    assert "REPRODUCED  s/big@1" in session.run("replay", "s/big", "--key", "other").out
    shown = session.run("events", "s/big").out
    assert "step upper: python upper.py raw.txt big.txt" in shown and " replay " in shown
    checks = session.json("verify", "big.txt")["checks"]
    assert [c["status"] for c in checks if c["check"] == "agreement"] == ["passed"]
    # What follows -- is the command's.
    out = session.run("run", "--json", "--output", "o=s/o@1", "--key", "lab", "--", "touch", "o").out
    document = json.loads(out)
    assert document["made"][0]["output"]["name"] == "s/o@1"


def test_a_sample_of_records_is_replayed(session: Session) -> None:
    (session.folder / "raw.csv").write_text("word\n" + "".join(f"w{number}\n" for number in range(2_000)))
    session.run("register", "raw.csv", "--name", "s/words", "--version", "1", "--key", "lab", "--no-anchor")
    (session.folder / "inputs.txt").write_text("# what it reads\nraw.csv=s/words@1\n\n")
    (session.folder / "upper.py").write_text(SCRIPT.replace(".upper()", ".upper().replace('WORD', 'word')"))
    session.run(
        "run", "--inputs-from", "inputs.txt", "--output", "big.csv=s/bigs@1", "--code", "upper.py", "--records",
        "--row-wise", "raw.csv", "--key", "lab", "--", "python", "upper.py", "raw.csv", "big.csv",
    )  # fmt: skip
    out = session.run("replay", "s/bigs", "--sample", "688", "--key", "other").out
    assert "REPRODUCED  s/bigs@1" in out
    assert "688 of 2,000 records, 688 came out" in out
    assert "1 wrong record in 100 with 99.9 %" in out
    again = ("replay", "s/bigs", "--sample", "5", "--seed", "07" * 32, "--key", "other", "--json")
    document = json.loads(session.run(*again).out)
    assert document["sample"] == {"records": 5, "of": 2_000, "seed": "07" * 32, "found": 5, "missing": 0}
    for wrong in ("0", "x", "9999999"):
        session.run("replay", "s/bigs", "--sample", wrong, code=2)
    session.run("replay", "s/bigs", "--sample", "5", "--seed", "zz", code=2)
    shown = session.run("events", "s/bigs").out
    assert "a sample of 5 of 2000" in shown and "a sample of 688" in shown


def test_a_run_as_readme_has_it_can_be_replayed(session: Session) -> None:
    (text,) = re.findall(r"`(provenance run --input [^`]*)`", (PROJECT / "README.md").read_text("utf-8"))
    (session.folder / "clean.py").write_text("open('out', 'w').write(open('raw/a').read().upper())\n")
    (session.folder / "raw").mkdir()
    (session.folder / "raw" / "a").write_text("words")
    session.run("register", "raw", "--name", "s/folder", "--version", "1", "--key", "lab", "--no-anchor")
    words = [word.replace("REF", "s/folder@1") for word in text.split()[1:]]
    at = words.index("--")
    for given, name in (
        (words[:at], "ns/name"),
        ([w for w in words[:at] if w not in ("--code", "clean.py")], "ns/bare"),
    ):
        named = [word.replace("ns/name", name) for word in given]
        out = session.run(*named, "--key", "lab", *words[at:]).out
        assert ("clean.py, as the command names it" in out) == (name == "ns/bare")
        assert "REPRODUCED" in session.run("replay", name, "--key", "other").out
        (session.folder / "out").unlink()


def test_what_came_out_otherwise_is_named(session: Session) -> None:
    (session.folder / "upper.py").write_text(SCRIPT + "import os\nopen(sys.argv[2], 'a').write(str(os.getpid()))\n")
    session.run(*RUN, *COMMAND)
    outcome = session.run("replay", "s/big", "--key", "other", code=1)
    assert "DIFFERS  s/big@1" in outcome.out and "big.txt" in outcome.out
    assert "agreement" in session.run("verify", "big.txt", code=1).out


def test_quality_counts_and_a_failed_test_fails(session: Session) -> None:
    (session.folder / "rules.json").write_text(json.dumps({"rows": 1}))
    said = session.json("quality", "s/raw", "--passed", "not empty", "--rules", "rules.json", "--key", "other")
    assert said["says"]["configuration"][0]["name"] == "rules.json"
    assert "1 tests passed, 0 warned" in session.run("verify", "raw.txt").out
    session.run("quality", "s/raw", "--failed", "unique ids", "--rules", "rules.json", "--key", "other")
    assert "tests failed: unique ids" in session.run("verify", "raw.txt", code=1).out
    session.run("quality", "s/raw", "--key", "other", code=2)


@pytest.mark.parametrize(
    "words",
    [
        ("run", "--output", "big.txt", "--key", "lab", *COMMAND),
        ("run", "--output", "big.txt=s/big", "--key", "lab", *COMMAND),
        ("run", "--output", "big.txt=s/big@1", "--input", "=x", "--key", "lab", *COMMAND),
        ("run", "--output", "../x=s/big@1", "--key", "lab", *COMMAND),
        ("run", "--output", "raw.txt=s/big@1", "--key", "lab", *COMMAND),
        ("run", "--output", "big.txt=s/big@1", "--key", "lab"),
        ("run", "--key", "lab", *COMMAND),
        (*RUN, "--", "nothing-of-this-name"),
        ("replay", "s/raw", "--key", "other"),
    ],
)
def test_what_cannot_be_is_refused(session: Session, words: tuple[str, ...]) -> None:
    before = session.json("log", "checkpoint")
    session.run(*words, code=2)
    assert session.json("log", "checkpoint") == before


def test_a_command_that_fails_is_no_malformed_input(session: Session) -> None:
    before = session.json("log", "checkpoint")
    outcome = session.run(*RUN, "--", "sh", "-c", "exit 3", code=1)
    assert "the command failed" in outcome.err and "exit status 3" in outcome.err and "--record-failure" in outcome.err
    assert session.json("log", "checkpoint") == before
    document = json.loads(session.run(*RUN, "--json", "--", "sh", "-c", "exit 3", code=1).out)
    error = document["error"]
    assert (error["kind"], error["status"], error["exitCode"], document["recorded"]) == ("command", 3, 1, [])
    outcome = session.run(*RUN, "--record-failure", "--", "sh", "-c", "kill -9 $$", code=1)
    assert "signal 9" in outcome.err and "s/raw@1, log entry 1" in outcome.out
    document = json.loads(session.run(*RUN, "--record-failure", "--json", "--", "false", code=1).out)
    assert document["recorded"] == [{"about": "s/raw@1", "index": 2}]
    shown = session.run("events", "s/raw").out
    assert "failed-run" in shown and "step upper, exit status 137: sh -c" in shown
    assert "failed-run of s/raw@1" in session.run("log", "show").out
    session.run("verify", "raw.txt")
    session.run(*RUN, *COMMAND)


def test_a_croissant_description_declares_digests(session: Session) -> None:
    source = SHARED / "data" / "titanic"
    words = ("--declared-by", "mlcommons", "--sums", source / "metadata.json", "--no-cache")
    found = session.json("fingerprint", source, *words)
    assert found["parameters"]["declared"] == {"by": "mlcommons", "files": 3}
    assert found["notes"] == []
    assert found["digest"] == session.json("fingerprint", source)["digest"]


def test_an_audit_and_a_gate_for_an_auditor_with_a_file_alone(
    session: Session, tmp_path_factory: pytest.TempPathFactory
) -> None:
    session.run(*RUN, *COMMAND)
    session.run("anchor")
    shown = session.run("audit", "s/big", "--html", "audit.html", "--evidence", "evidence.json").out
    assert "VERIFIED  s/big@1" in shown and "53(1)(d)" in shown
    assert "s/raw@1" in (session.folder / "audit.html").read_text()
    session.run("keys", "export", "-o", "trust.json")
    auditor = Session(tmp_path_factory.mktemp("auditor"))
    given = ("--bundle", session.folder / "evidence.json", "--trust", session.folder / "trust.json")
    document = auditor.json("audit", *given, "--data", f"s/big@1={session.folder / 'big.txt'}")
    assert (document["verdict"], [item["name"] for item in document["items"]]) == ("verified", ["s/big@1", "s/raw@1"])
    assert auditor.json("audit", *given, code=1)["verdict"] == "incomplete"
    untrusted = auditor.json("audit", "--bundle", session.folder / "evidence.json", code=1)
    assert untrusted["verdict"] == "failed"
    for words in (("audit",), ("audit", "s/big", *given), ("audit", "s/big", "--trust", session.folder / "trust.json")):
        auditor.run(*words, code=2)
    (session.folder / "p.yaml").write_text(
        "format: urn:provenance-ledger:policy:1\nname: p\nforbiddenAncestors: [s/raw]\n"
    )
    denied = session.run("gate", "--policy", "p.yaml", "big.txt", "--junit", "j.xml", "--sarif", "s.json", code=1)
    assert "DENIED  s/big@1" in denied.out and "ancestor: s/raw@1: s/raw is forbidden" in denied.out
    assert json.loads((session.folder / "s.json").read_bytes())["runs"][0]["results"][0]["ruleId"] == "ancestor"
    (session.folder / "p.yaml").write_text("format: urn:provenance-ledger:policy:1\nname: p\n")
    assert "ALLOWED  s/big@1" in session.run("gate", "--policy", "p.yaml", "s/big").out
    for form, word in (
        ("mermaid", "flowchart LR"),
        ("dot", "digraph"),
        ("svg", "<svg"),
        ("prov-json", "wasDerivedFrom"),
    ):
        assert word in session.run("lineage", "s/big", "--format", form).out
    session.run("lineage", "s/big", "--format", "svg", "-o", "l.svg")
    assert (session.folder / "l.svg").read_text().startswith("<svg")
    assert session.json("lineage", "s/big", "--format", "json")["target"] == "s/big@1"
    session.run("lineage", "s/big", "--format", "png", code=2)


def test_the_log_shows_every_kind_of_entry(session: Session) -> None:
    session.run(*RUN, *COMMAND)
    key = ("--key", "other")
    session.run("replay", "s/big", *key)
    session.run("quality", "s/big", "--passed", "x", *key)
    session.run("review", "s/big", "--decision", "approved", *key)
    session.run("finding", "s/big", "--id", "f", "--title", "odd", *key)
    session.run("use", "s/big", "--purpose", "training", *key)
    session.run("supersede", "s/raw", "--by", "s/big", *key)
    session.run("revoke", "s/raw", "--reason", "other", *key)
    shown = session.run("log", "show").out
    for kind in ("run", "replay", "quality", "review", "finding", "usage", "supersession", "revocation"):
        assert f"{kind} of s/" in shown
    assert len(session.json("log", "show")["entries"]) == 10
    assert session.run("log", "fsck").code == 0
