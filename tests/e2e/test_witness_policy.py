"""A log that publishes by a witness policy, and verifiers, monitors and mirrors who ask for one: real witnesses."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from provenance.errors import ConflictError, MalformedError, NotFoundError, WitnessError
from provenance.ledger import Ledger
from provenance.ledger.log_publisher import LogPublisher, publish_ledger
from provenance.ledger.witness_policy import remove_witness_policy, set_witness_policy, witness_state
from provenance.ledger.witnessing import (
    add_witness,
    collect,
    public_checkpoint,
    remove_witness,
    require_quorum,
    witnesses_of,
)
from provenance.log import Cosigner, NoteSigner, encode_vkey, parse_checkpoint, parse_note
from provenance.policy import Status
from provenance.publishers import open_publisher
from provenance.verify import verify_bundle
from tests.e2e.witness_process import WitnessProcess
from tests.sessions.session import Session

STRANGER = Cosigner("stranger.example/w", b"\x09" * 32)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.init(tmp_path / "ledger", origin="watched.example/log") as made:
        made.keyring.new("someone", algorithm="ed25519")
        yield made


@pytest.fixture
def witnesses(tmp_path: Path, ledger: Ledger) -> Iterator[list[WitnessProcess]]:
    made = [WitnessProcess(tmp_path / f"w{n}", f"witness.example/w{n}", ledger.keyring.vkey) for n in (1, 2, 3)]
    for one in made:
        add_witness(ledger, one.url, *one.vkeys)
    yield made
    for one in made:
        if one.process.poll() is None:
            one.stop()


def _register(ledger: Ledger, name: str) -> None:
    path = ledger.layout.directory.parent / name
    path.write_text(name)
    ledger.register(path, f"w/{name}", "1", key="someone", origin="https://w.example/", anchor=False)


def _policy(*witnesses: WitnessProcess, groups: str) -> bytes:
    """Each witness's two keys, both asked for, as a group `w1` and so on."""
    lines = []
    for number, one in enumerate(witnesses, 1):
        names = [f"w{number}-{key}" for key in range(len(one.vkeys))]
        lines += [f"witness {name} {vkey}" for name, vkey in zip(names, one.vkeys, strict=True)]
        lines.append(f"group w{number} all {' '.join(names)}")
    return ("\n".join(lines) + "\n" + groups).encode()


def _published(folder: Path) -> int:
    return parse_checkpoint(parse_note((folder / "checkpoint").read_bytes()).text).size


def test_a_log_publishes_by_a_policy(ledger: Ledger, witnesses: list[WitnessProcess], tmp_path: Path) -> None:
    """The first witness must have cosigned, and one of the other two: no number says that."""
    data = _policy(*witnesses, groups="group others any w2 w3\ngroup both all w1 others\nquorum both\n")
    assert set_witness_policy(ledger, data).words == "the log is empty"
    _register(ledger, "a")
    state = witness_state(ledger)
    assert (state.words, state.shown) == ("size 1 waits for cosignatures; nothing is published", None)
    with pytest.raises(WitnessError, match="do not meet the witness policy, and it is not published"):
        require_quorum(ledger, ledger.log.checkpoint())

    # Who publishes asks the witnesses. One of the two others may be down.
    witnesses[2].stop()
    with closing(open_publisher(f"file://{tmp_path / 'public'}")) as publisher:
        assert publish_ledger(ledger, publisher).size == 1
        assert (witness_state(ledger).words, _published(tmp_path / "public")) == ("size 1 is published", 1)
        report = ledger.verify_reference("w/a", ask_chain=False)
        (note,) = {check.note for check in report.checks if check.id == "log.witnesses"}
        assert report.sound
        assert note.startswith("the witness policy is met (all of (all of (w1-0, w1-1), any of (")
        trust, bundle = ledger.trust_roots(), ledger.bundle("w/a")
        assert trust.witness_policy is not None
        assert verify_bundle(bundle, trust).sound

        # Two of three, and not the one who must be among them: what was published before stays.
        witnesses[2].start()
        _ask_again(ledger, witnesses[2])
        witnesses[0].stop()
        _register(ledger, "b")
        with pytest.raises(WitnessError, match=r"do not meet the witness policy.*at size 2; http"):
            publish_ledger(ledger, publisher)
        assert _published(tmp_path / "public") == 1
        assert parse_checkpoint(parse_note(public_checkpoint(ledger)).text).size == 1
        state = witness_state(ledger)
        assert state.words == "size 2 waits for cosignatures; size 1 is published"
        assert state.finding is not None and state.finding.found == "w2-0, w2-1, w3-0, w3-1"
        with pytest.raises(WitnessError, match="do not meet the witness policy"):
            ledger.anchor()
        assert ledger.anchors() == []
        refused = verify_bundle(ledger.bundle("w/b"), trust)
        assert [check.status for check in refused.checks if check.id == "log.witnesses"] == [Status.FAILED]

        witnesses[0].start()
        _ask_again(ledger, witnesses[0])
        assert publish_ledger(ledger, publisher).size == 2
    assert ledger.verify_reference("w/b", ask_chain=False).sound
    assert remove_witness_policy(ledger).quorum == "both"
    assert witness_state(ledger).policy.requirement() == "no witness"
    with pytest.raises(NotFoundError):
        remove_witness_policy(ledger)


def _ask_again(ledger: Ledger, one: WitnessProcess) -> None:
    """Ask a witness at the address that it has now."""
    remove_witness(ledger, one.name)
    add_witness(ledger, one.url, *one.vkeys)


def test_a_server_that_publishes_waits_for_its_witnesses_and_says_so(
    ledger: Ledger, witnesses: list[WitnessProcess], tmp_path: Path
) -> None:
    set_witness_policy(ledger, _policy(*witnesses, groups="quorum w1\n"))
    _register(ledger, "a")
    witnesses[0].stop()
    told: list[object] = []
    heard, done = threading.Event(), threading.Event()

    def tell(outcome: object) -> None:
        told.append(outcome)
        (heard if isinstance(outcome, WitnessError) else done).set()

    with closing(LogPublisher(ledger, f"file://{tmp_path / 'public'}", tell=tell, first_wait_s=0.2)):
        assert heard.wait(60)
        assert not (tmp_path / "public" / "checkpoint").exists()
        witnesses[0].start()
        _ask_again(ledger, witnesses[0])
        assert done.wait(60)
    assert _published(tmp_path / "public") == 1
    assert "do not meet the witness policy" in str(told[0])


def test_what_cannot_be_met_is_not_set(ledger: Ledger, witnesses: list[WitnessProcess]) -> None:
    stranger = f"witness stranger {encode_vkey(STRANGER.verifier)}\n"
    with pytest.raises(ConflictError, match=r"cannot meet the policy.*stranger"):
        set_witness_policy(ledger, f"{stranger}quorum stranger\n".encode())
    with pytest.raises(ConflictError, match="not of this log's keys"):
        set_witness_policy(ledger, f"log {_other_log()}\nquorum none\n".encode())
    own = encode_vkey(Cosigner(ledger.config.origin, b"\x08" * 32).verifier)
    with pytest.raises(ConflictError, match="no witness of itself"):
        set_witness_policy(ledger, f"witness w {own}\nquorum none\n".encode())
    with pytest.raises(MalformedError, match="line 2"):
        set_witness_policy(ledger, b"\nquorum w\n")
    assert ledger.keyring.trust().witness_policy is None
    state = set_witness_policy(
        ledger,
        f"log {ledger.keyring.vkey}\n{stranger}".encode()
        + _policy(witnesses[0], groups="group g any stranger w1\nquorum g\n"),
    )
    assert state.unasked == ("stranger",)
    with pytest.raises(ConflictError, match="a witness policy says which are enough"):
        add_witness(ledger, "http://127.0.0.1:1", encode_vkey(STRANGER.verifier), quorum=1)
    assert len(witnesses_of(ledger)) == 3
    _register(ledger, "a")
    assert collect(ledger).is_met
    assert "any of (stranger, all of (w1-0, w1-1))" in collect(ledger).needed


def _other_log() -> str:
    return encode_vkey(NoteSigner("other.example/log", bytes(32)).verifier)


def test_as_a_user_types_it(tmp_path: Path) -> None:
    """From the policy file to a stranger who has a bundle, a proof, or the published folder, and that file."""
    session = Session(tmp_path)
    session.run("init", "--origin", "typed.example/log")
    session.run("keys", "new", "lab")
    log_keys = [key["vkey"] for key in session.json("log", "keys", "list")["keys"]]
    made = [WitnessProcess(tmp_path / f"w{number}", f"witness.example/w{number}", log_keys[0]) for number in (1, 2)]
    try:
        for one in made:
            session.run("witness", "add", one.url, *one.vkeys)
        assert "quorum none" in session.run("witness", "policy", "show").out
        (tmp_path / "policy").write_bytes(
            f"# The log, and both witnesses.\nlog {log_keys[0]}\n".encode()
            + _policy(*made, groups="group both all w1 w2\nquorum both\n")
        )
        assert "the log is empty" in session.run("witness", "policy", "set", "policy").out
        (tmp_path / "broken").write_bytes((tmp_path / "policy").read_bytes()[:-1])
        assert "last line is cut" in session.run("witness", "policy", "set", "broken", code=2).err
        assert (
            "a witness policy says which are enough"
            in session.run(
                "witness", "add", "http://127.0.0.1:1", encode_vkey(STRANGER.verifier), "--quorum", "1", code=2
            ).err
        )
        (tmp_path / "a").write_text("a")
        session.run("register", "a", "--name", "t/a", "--version", "1", "--no-anchor", "--origin", "https://t.example/")
        made[1].stop()
        failed = session.run("log", "export", "public", code=3).err
        assert "do not meet the witness policy, and it is not published" in " ".join(failed.split())
        assert not (tmp_path / "public" / "checkpoint").exists()
        assert "waits for cosignatures" in session.run("witness", "policy", "show").out
        before = session.run("log", "inclusion", "0").out
        made[1].start()
        session.run("witness", "remove", made[1].name)
        session.run("witness", "add", made[1].url, *made[1].vkeys)
        cosigned = session.run("witness", "cosign").out
        assert "the policy asks for all of" in " ".join(cosigned.split())
        session.run("log", "export", "public")
        shown = session.json("witness", "policy", "show", "--output", "shown")
        assert (shown["met"], shown["set"], shown["size"], shown["published"]) == (True, True, 1, 1)
        typed, written = (sorted((tmp_path / file).read_text().splitlines()) for file in ("policy", "shown"))
        assert [line for line in typed if line[0] != "#"] == written
        session.run("bundle", "t/a", "-o", "a.bundle")
        (tmp_path / "new.tlog-proof").write_text(session.run("log", "inclusion", "0").out)
        (tmp_path / "old.tlog-proof").write_text(before)
        session.run("keys", "export", "-o", "trust.json")
        roots = json.loads((tmp_path / "trust.json").read_bytes())
        assert "quorum both" in roots["witnesses"]["policy"]

        # Elsewhere, with no ledger.
        stranger = tmp_path / "stranger"
        stranger.mkdir()
        entry = json.loads((tmp_path / "a.bundle").read_bytes())["entries"][0]
        envelope = base64.b64decode(entry["envelope"])
        (stranger / "entry").write_bytes(envelope)
        alone = Session(stranger)
        verified = alone.run(
            "verify", "--bundle", "../a.bundle", "--trust", "../trust.json", "--require", "D0", "a", code=2
        )
        assert verified.code == 2  # there is no such file here
        for extra in ((), ("--witness-policy", "../policy")):
            found = alone.json("verify", "--bundle", "../a.bundle", "--trust", "../trust.json", *extra, code=1)
            (check,) = [one for one in found["checks"] if one["check"] == "log.witnesses"]
            assert (check["status"], found["verdict"]) == ("passed", "incomplete")
        only = alone.json("verify", "--bundle", "../a.bundle", "--witness-policy", "../policy", code=1)
        assert {one["check"]: one["status"] for one in only["checks"]}["log.witnesses"] == "passed"
        strict = (tmp_path / "policy").read_text().replace("quorum both", "group more all both x\nquorum more")
        (stranger / "strict").write_text(f"witness x {encode_vkey(STRANGER.verifier)}\n{strict}")
        for verb in (("verify",), ("audit",)):
            found = alone.json(
                *verb, "--bundle", "../a.bundle", "--trust", "../trust.json", "--witness-policy", "strict", code=1
            )
            checks = found["checks"] if "checks" in found else found["report"]["checks"]
            assert [one["status"] for one in checks if one["check"] == "log.witnesses"] == ["failed"]

        proof = ("verify", "--proof", "../new.tlog-proof", "entry", "--witness-policy")
        assert "VERIFIED" in alone.run(*proof, "../policy").out
        assert "do not meet" in alone.run(*proof, "strict", code=1).err
        assert (
            "do not meet"
            in alone.run("verify", "--proof", "../old.tlog-proof", "entry", *proof[-1:], "../policy", code=1).err
        )
        (stranger / "other").write_bytes(envelope + b" ")
        alone.run("verify", "--proof", "../new.tlog-proof", "other", "--witness-policy", "../policy", code=1)
        alone.run("verify", "--proof", "../new.tlog-proof", "entry", code=2)
        (stranger / "no-log").write_text((tmp_path / "policy").read_text().replace("log ", "# log "))
        assert "lists no log" in alone.run(*proof, "no-log", code=2).err

        monitor = ("log", "monitor", "../public", "--vkey", log_keys[0], "--witness-policy")
        assert alone.json(*monitor, "../policy")["size"] == 1
        assert "do not meet" in alone.run(*monitor, "strict", code=1).err
        mirror = ("log", "mirror", "../public", "copy", "--vkey", log_keys[0], "--witness-policy")
        alone.run(*mirror, "strict", code=1)
        assert not (stranger / "copy" / "checkpoint").exists()
        alone.run(*mirror, "../policy")
        session.run("witness", "policy", "remove")
        session.run("witness", "policy", "remove", code=2)
    finally:
        for one in made:
            if one.process.poll() is None:
                one.stop()
