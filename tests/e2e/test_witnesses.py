"""Witnesses as processes, and a log that shows them what it should and what it should not."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from provenance.errors import ConflictError, MalformedError, NotFoundError, StoreError, WitnessError
from provenance.ledger import Ledger, witnessing
from provenance.ledger.witness_folder import make_witness, open_witness_folder
from provenance.ledger.witnessing import (
    LogWentBackError,
    add_witness,
    collect,
    remove_witness,
    retire_witness_key,
    witnesses_of,
)
from provenance.log import (
    Checkpoint,
    Cosigner,
    NoteSigner,
    encode_vkey,
    open_cosigned,
    parse_checkpoint,
    parse_note,
    parse_vkey,
    sign_checkpoint,
)
from provenance.log.add_checkpoint import AddCheckpoint, encode_add_checkpoint
from provenance.log.algorithm import ML_DSA_44
from provenance.log.note import encode_signature_line
from provenance.policy import Status
from provenance.verify import encode_bundle, parse_bundle, verify_bundle
from provenance.witnesses import open_witness
from tests.e2e.witness_process import Answer, WitnessProcess, scripted
from tests.sessions.session import Session


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.init(tmp_path / "ledger", origin="watched.example/log") as made:
        made.keyring.new("someone", algorithm="ed25519")
        yield made


@pytest.fixture
def witnesses(tmp_path: Path, ledger: Ledger) -> Iterator[list[WitnessProcess]]:
    made = [WitnessProcess(tmp_path / f"w{n}", f"witness.example/w{n}", ledger.keyring.vkey) for n in (1, 2, 3)]
    yield made
    for one in made:
        if one.process.poll() is None:
            one.stop()


def _register(ledger: Ledger, name: str) -> None:
    path = ledger.layout.directory.parent / name
    path.write_text(name)
    ledger.register(path, f"w/{name}", "1", key="someone", origin="https://w.example/", anchor=False)


def test_a_quorum_cosigns_what_is_anchored_and_verifiers_ask_for_it(
    ledger: Ledger, witnesses: list[WitnessProcess]
) -> None:
    for number, one in enumerate(witnesses):
        add_witness(ledger, one.url, one.vkey, quorum=2 if number else None)
    _register(ledger, "a")
    assert not ledger.verify_reference("w/a").sound  # nobody has cosigned it yet
    ledger.anchor()
    report = ledger.verify_reference("w/a")
    checks = {check.note for check in report.checks if check.id == "log.witnesses"}
    assert (report.sound, checks) == (True, {"3 of 3 cosigned, 2 are needed"})
    trust, bundle = ledger.trust_roots(with_blocks=True), ledger.bundle("w/a")
    assert verify_bundle(bundle, trust).sound

    # One that is down stops nothing, two do.
    witnesses[0].stop()
    _register(ledger, "b")
    ledger.anchor()
    assert ledger.verify_reference("w/b").sound
    witnesses[1].stop()
    _register(ledger, "c")
    size = len(ledger.anchors())
    with pytest.raises(WitnessError, match="too few witnesses cosigned"):
        ledger.anchor()
    assert len(ledger.anchors()) == size
    assert not ledger.verify_reference("w/c").sound
    assert ledger.verify_reference("w/a").sound
    # One that comes back goes on where it was.
    witnesses[1].start()
    remove_witness(ledger, witnesses[1].name)
    add_witness(ledger, witnesses[1].url, witnesses[1].vkey)
    assert collect(ledger).cosigned == 2
    ledger.anchor()
    assert ledger.verify_reference("w/c").sound
    assert ledger.fsck().clean
    shown = json.loads(witnesses[1].get("/logs")[1])
    assert [(one["origin"], one["size"], one["forks"]) for one in shown["logs"]] == [("watched.example/log", 3, 0)]
    assert "watched.example/log" in witnesses[1].get("/")[1]


def test_nothing_gets_past_the_quorum(
    ledger: Ledger, witnesses: list[WitnessProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An entry that is logged between the round and the anchor, and a log whose last witness was removed."""
    add_witness(ledger, witnesses[0].url, witnesses[0].vkey, quorum=1)
    _register(ledger, "a")
    collected = witnessing.collect_for

    def collect_and_register(opened: Ledger) -> None:
        collected(opened)
        _register(ledger, "between")

    with monkeypatch.context() as patch:
        patch.setattr(witnessing, "collect_for", collect_and_register)
        with pytest.raises(WitnessError, match="too few"):
            ledger.anchor()
    assert ledger.anchors() == []
    remove_witness(ledger, witnesses[0].url)
    with pytest.raises(WitnessError, match="too few"):
        ledger.anchor()
    assert ledger.anchors() == []
    add_witness(ledger, witnesses[0].url, witnesses[0].vkey)
    ledger.anchor()
    assert [row.size for row in ledger.anchors()] == [2]
    # Again and again on one checkpoint: a note has room for a hundred lines.
    for _ in range(3):
        collect(ledger)
    lines = [(line.name, line.key_id) for line in parse_note(ledger.log.checkpoint().note).signatures]
    assert len(lines) == len(set(lines)) == 3  # two of the log's, one of the witness's that is asked for


def test_a_witness_that_lost_what_it_saw_signs_nothing(tmp_path: Path) -> None:
    make_witness(tmp_path / "w", "witness.example/w")
    for path in (tmp_path / "w").glob("witness.db*"):
        path.unlink()
    with pytest.raises(StoreError, match="is gone"), open_witness_folder(tmp_path / "w"):
        raise AssertionError("it was opened")


def test_forged_requests_use_up_nobodys_share(ledger: Ledger, witnesses: list[WitnessProcess]) -> None:
    _register(ledger, "a")
    forger = NoteSigner("watched.example/log", bytes(32))
    forged = sign_checkpoint(Checkpoint(forger.name, 2, bytes(32)), forger)
    answers = {witnesses[0].post(encode_add_checkpoint(AddCheckpoint(1, (), forged)))[0] for _ in range(60)}
    assert answers == {403}
    own = encode_add_checkpoint(AddCheckpoint(0, (), ledger.log.checkpoint().note))
    assert witnesses[0].post(own)[0] == 200
    assert 429 in {witnesses[0].post(own)[0] for _ in range(60)}


def test_a_witness_that_drips_is_left_to_itself(ledger: Ledger) -> None:
    _register(ledger, "a")
    stop = threading.Event()
    with socket.socket() as slow:
        slow.bind(("127.0.0.1", 0))
        slow.listen()

        def drip() -> None:
            connection, _ = slow.accept()
            with connection, contextlib.suppress(OSError):
                connection.sendall(b"HTTP/1.1 200 OK\r\n")
                while not stop.wait(0.2):
                    connection.sendall(b"X-A: b\r\n")

        thread = threading.Thread(target=drip)
        thread.start()
        add_witness(ledger, f"http://127.0.0.1:{slow.getsockname()[1]}", encode_vkey(COSIGNER.verifier))
        started = time.monotonic()
        (outcome,) = collect(ledger, timeout_s=1).outcomes
        assert time.monotonic() - started < 6
        assert outcome.problem is not None
        stop.set()
        thread.join()


def test_what_a_witness_answers(ledger: Ledger, witnesses: list[WitnessProcess]) -> None:
    one = witnesses[0]
    _register(ledger, "a")
    note = ledger.log.checkpoint().note
    status, text = one.post(encode_add_checkpoint(AddCheckpoint(0, (), note)))
    assert (status, one.type) == (200, "text/plain; charset=utf-8")
    opened = open_cosigned(note + text.encode(), parse_vkey(ledger.keyring.vkey), [parse_vkey(one.vkey)])
    assert len(opened.cosignatures) == 1
    status, text = one.post(encode_add_checkpoint(AddCheckpoint(0, (), note)))
    assert (status, text, one.type) == (409, "1\n", "text/x.tlog.size")
    stranger = NoteSigner("other.example/log", bytes(32))
    other = sign_checkpoint(Checkpoint(stranger.name, 1, bytes(32)), stranger)
    assert one.post(encode_add_checkpoint(AddCheckpoint(0, (), other)))[0] == 404
    forger = NoteSigner("watched.example/log", bytes(32))
    forged = sign_checkpoint(Checkpoint(forger.name, 2, bytes(32)), forger)
    assert one.post(encode_add_checkpoint(AddCheckpoint(1, (), forged)))[0] == 403
    for body in (b"", b"old 1\n", b"old 9\n\n" + note, b"\xff" * 100):
        assert one.post(body)[0] == 400
    assert one.post(b"old 1\n\n" + b"x" * 10_000_000)[0] in (400, 413)
    _register(ledger, "b")
    grown = AddCheckpoint(1, (bytes(32),), ledger.log.checkpoint().note)
    assert one.post(encode_add_checkpoint(grown))[0] == 422
    assert one.get("/none")[0] == 404
    assert one._ask("GET", "/add-checkpoint", None)[0] == 405


def test_a_log_that_shows_two_faces_is_caught(ledger: Ledger, witnesses: list[WitnessProcess], tmp_path: Path) -> None:
    """The operator keeps two copies of the ledger and shows each to other witnesses."""
    for one in witnesses:
        add_witness(ledger, one.url, one.vkey, quorum=None)
    _register(ledger, "a")
    assert collect(ledger).cosigned == 3
    shutil.copytree(ledger.layout.directory.parent, tmp_path / "twin")
    _register(ledger, "b")
    assert collect(ledger).cosigned == 3
    with Ledger.open(tmp_path / "twin") as twin:
        _register(twin, "other")
        found = collect(twin)
        assert found.cosigned == 0
        assert {str(one.problem.what) for one in found.outcomes if one.problem} == {
            "witness saw another tree of this size"
        }
        # Whoever asks for one witness does not believe it.
        trust = twin.trust_roots()
        strict = trust.__class__(trust.sources, trust.logs, (), (), trust.witnesses, 1)
        report = verify_bundle(twin.bundle("w/other"), strict)
        assert [check.status for check in report.checks if check.id == "log.witnesses"] == [Status.FAILED]
    (pair,) = json.loads(witnesses[0].get("/evidence?origin=watched.example/log")[1])["forks"]
    first, second = (parse_checkpoint(parse_note(note.encode()).text) for note in pair)
    assert first.size == second.size == 2
    assert first.root != second.root


def test_a_log_that_was_rewound_is_told(ledger: Ledger, witnesses: list[WitnessProcess], tmp_path: Path) -> None:
    add_witness(ledger, witnesses[0].url, witnesses[0].vkey)
    _register(ledger, "a")
    shutil.copytree(ledger.layout.directory.parent, tmp_path / "old")
    _register(ledger, "b")
    _register(ledger, "c")
    collect(ledger)
    with Ledger.open(tmp_path / "old") as old:
        with pytest.raises(LogWentBackError, match="saw more of this log"):
            old.anchor()
        _register(old, "x")
        with pytest.raises(LogWentBackError):
            collect(old)


COSIGNER = Cosigner("liar.example/w", b"\x05" * 32)
PLAIN = "text/plain; charset=utf-8"


def _line(cosigner: Cosigner, note: bytes) -> bytes:
    return encode_signature_line(cosigner.cosign(parse_checkpoint(parse_note(note).text), 1))


def _lies(ledger: Ledger) -> dict[str, Answer]:
    _register(ledger, "old")
    replayed = _line(COSIGNER, ledger.log.checkpoint().note)
    _register(ledger, "new")
    return {
        "replays": lambda asked: (200, PLAIN, replayed),
        "signs with another key": lambda asked: (200, PLAIN, _line(Cosigner("liar.example/w", bytes(32)), asked.note)),
        "says nothing": lambda asked: (200, PLAIN, b""),
        "says rubbish": lambda asked: (200, PLAIN, b"\xff" * 100),
        "says too much": lambda asked: (200, PLAIN, b"x" * 10_000_000),
        "sees another size each time": lambda asked: (409, "text/x.tlog.size", b"%d\n" % (1 if asked.old != 1 else 2)),
        "states no size": lambda asked: (409, "text/x.tlog.size", b"many\n"),
        "fails": lambda asked: (500, PLAIN, b"oh"),
        "knows no log": lambda asked: (404, PLAIN, b""),
        "moves": lambda asked: (301, PLAIN, b""),
    }


def test_a_witness_that_lies_is_not_counted_and_stops_no_other(ledger: Ledger, witnesses: list[WitnessProcess]) -> None:
    add_witness(ledger, witnesses[0].url, witnesses[0].vkey, quorum=1)
    for what, answer in _lies(ledger).items():
        with scripted(answer) as url:
            place = add_witness(ledger, url, encode_vkey(COSIGNER.verifier))
            found = collect(ledger)
            problems = [one.problem for one in found.outcomes if one.place == place]
            assert problems[0] is not None, what
            assert (found.cosigned, found.is_met) == (1, True), what
            remove_witness(ledger, url)
    assert ledger.verify_reference("w/new").sound
    honest: Answer = lambda asked: (200, PLAIN, _line(COSIGNER, asked.note))  # noqa: E731 - one of the answers
    with scripted(honest) as url:
        add_witness(ledger, url, encode_vkey(COSIGNER.verifier))
        assert collect(ledger).cosigned == 2


def test_a_witness_that_is_slow_is_not_waited_for(ledger: Ledger, witnesses: list[WitnessProcess]) -> None:
    _register(ledger, "a")
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        add_witness(ledger, f"http://127.0.0.1:{silent.getsockname()[1]}", encode_vkey(COSIGNER.verifier))
        add_witness(ledger, witnesses[0].url, witnesses[0].vkey, quorum=1)
        started = time.monotonic()
        found = collect(ledger, timeout_s=1)
        assert time.monotonic() - started < 5
        assert (found.cosigned, found.is_met) == (1, True)


def test_a_late_witness_that_saw_more_stops_the_anchor_and_reasons_are_told(
    ledger: Ledger, witnesses: list[WitnessProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    _register(ledger, "a")
    release = threading.Event()

    def late(_: AddCheckpoint) -> tuple[int, str, bytes]:
        assert release.wait(30)
        return 409, "text/x.tlog.size", b"9\n"

    with scripted(lambda _: (403, PLAIN, b"no\n")) as refusing, scripted(late) as slow:
        add_witness(ledger, refusing, encode_vkey(COSIGNER.verifier), quorum=1)
        with pytest.raises(WitnessError, match="too few") as caught:
            ledger.anchor()
        assert f"{refusing}: " in str(caught.value.got)
        remove_witness(ledger, refusing)
        add_witness(ledger, witnesses[0].url, witnesses[0].vkey)
        add_witness(ledger, slow, encode_vkey(COSIGNER.verifier))

        def round_and_wait(opened: Ledger) -> witnessing.Cosigning:
            # Its tries are over: the round has ended without it, with the quorum met; then it answers.
            found = collect(opened, timeout_s=0.3)
            assert found.is_met
            assert [one.problem.what for one in found.problems if one.problem] == ["witness answered too slowly"]
            release.set()
            deadline = time.monotonic() + 20
            while len(found.answers) < 2 and time.monotonic() < deadline:
                time.sleep(0.01)
            return found

        # The round's patience ends before that of the connection.
        patient: Callable[..., object] = lambda url, timeout_s: open_witness(url, timeout_s=20)  # noqa: E731
        monkeypatch.setattr("provenance.ledger.witnessing.open_witness", patient)
        monkeypatch.setattr(witnessing, "collect_for", round_and_wait)
        with pytest.raises(witnessing.LogWentBackError, match="saw more of this log"):
            ledger.anchor()
    assert ledger.anchors() == []


def test_a_witness_with_two_keys_is_one_witness(ledger: Ledger, witnesses: list[WitnessProcess]) -> None:
    first, second, _ = witnesses
    add_witness(ledger, first.url, *first.vkeys, quorum=1)
    with pytest.raises(MalformedError, match="cannot be met"):
        add_witness(ledger, "http://127.0.0.1:1", encode_vkey(COSIGNER.verifier), quorum=3)
    _register(ledger, "a")
    assert collect(ledger).cosigned == 1
    assert len(parse_note(ledger.log.checkpoint().note).signatures) == 4
    assert ledger.verify_reference("w/a").sound
    trust = ledger.trust_roots()
    assert (len(trust.witnesses), trust.witness_count) == (2, 1)
    # Without its ML-DSA-44 line the witness does not count: whoever can forge Ed25519 gains nothing.
    evidence, second_id = parse_bundle(ledger.bundle("w/a")), parse_vkey(first.vkeys[1]).key_id
    lines = parse_note(ledger.log.checkpoint().note).signatures
    (line,) = [encode_signature_line(one) for one in lines if one.key_id == second_id]
    (entry,) = evidence.entries
    assert line in entry.proof
    bare = replace(evidence, entries=(replace(entry, proof=entry.proof.replace(line, b"")),))
    report = verify_bundle(encode_bundle(bare), trust)
    assert [check.status for check in report.checks if check.id == "log.witnesses"] == [Status.FAILED]
    add_witness(ledger, second.url, *second.vkeys, quorum=2)
    assert collect(ledger).is_met


def test_a_witness_that_leaves_its_second_key_out_is_told_apart(ledger: Ledger) -> None:
    _register(ledger, "a")
    second = Cosigner(COSIGNER.name, b"\x77" * 32, ML_DSA_44)
    honest: Answer = lambda asked: (200, PLAIN, _line(COSIGNER, asked.note))  # noqa: E731 - one of the answers
    with scripted(honest) as url:
        add_witness(ledger, url, encode_vkey(COSIGNER.verifier), encode_vkey(second.verifier), quorum=1)
        found = collect(ledger)
        assert "without its ML-DSA-44 key" in str(found.outcomes[0].problem)
        assert (found.cosigned, found.is_met) == (0, False)
        with pytest.raises(WitnessError, match="too few"):
            ledger.anchor()
    both: Answer = lambda asked: (200, PLAIN, _line(COSIGNER, asked.note) + _line(second, asked.note))  # noqa: E731
    with scripted(both) as url:
        remove_witness(ledger, COSIGNER.name)
        add_witness(ledger, url, encode_vkey(COSIGNER.verifier), encode_vkey(second.verifier))
        assert collect(ledger).is_met


def test_a_witness_changes_its_keys_while_it_serves(ledger: Ledger, witnesses: list[WitnessProcess]) -> None:
    one = witnesses[0]
    add_witness(ledger, one.url, *one.vkeys, quorum=1)
    _register(ledger, "a")
    assert collect(ledger).is_met
    old_trust, before = ledger.trust_roots(), ledger.bundle("w/a")
    with open_witness_folder(one.folder) as folder:
        made = [own.vkey for own in folder.cosigner.rotate("2026-01-01T00:00:00Z")]
    _register(ledger, "b")
    assert collect(ledger).is_met  # the new lines are an unknown key's still
    place = add_witness(ledger, one.url, *made)
    assert place.vkeys == (*one.vkeys, *made)
    _register(ledger, "c")
    assert collect(ledger).cosigned == 1
    lines = parse_note(ledger.log.checkpoint().note).signatures
    assert [line.name for line in lines].count(one.name) == 4
    assert verify_bundle(ledger.bundle("w/c"), old_trust).sound  # who has the old trust roots goes on
    time.sleep(1.1)  # times are to the second, and the key holds to the end of the one it was retired in
    for vkey in one.vkeys:
        retire_witness_key(ledger, vkey)
    with open_witness_folder(one.folder) as folder:
        for vkey in one.vkeys:
            folder.cosigner.retire(vkey, "2026-01-02T00:00:00Z")
    with pytest.raises(ConflictError, match="last of its type"):
        retire_witness_key(ledger, parse_vkey(made[0]).key_id.hex())
    time.sleep(1.1)
    _register(ledger, "d")
    assert collect(ledger).is_met
    lines = parse_note(ledger.log.checkpoint().note).signatures
    assert {line.key_id for line in lines if line.name == one.name} == {parse_vkey(vkey).key_id for vkey in made}
    trust = ledger.trust_roots()
    for bundle in (before, ledger.bundle("w/d")):
        assert verify_bundle(bundle, trust).sound
    assert not verify_bundle(ledger.bundle("w/d"), old_trust).sound
    assert json.loads(one.get("/logs")[1])["keys"] == made


def test_a_log_changes_its_keys_under_its_witnesses_eyes(ledger: Ledger, witnesses: list[WitnessProcess]) -> None:
    one = witnesses[0]
    add_witness(ledger, one.url, *one.vkeys, quorum=1)
    _register(ledger, "a")
    assert collect(ledger).is_met
    old = [own.vkey for own in ledger.keyring.log_keys.listed()]
    ledger.rotate_log_keys()
    _register(ledger, "b")
    assert collect(ledger).is_met  # the witness knows the old key, which signs beside the new one
    with open_witness_folder(one.folder) as folder:
        for vkey in ledger.keyring.vkeys:
            folder.state.watch(vkey)
    for vkey in old:
        ledger.retire_log_key(vkey)
    _register(ledger, "c")
    assert collect(ledger).is_met
    assert ledger.verify_reference("w/c", ask_chain=False).sound
    assert ledger.fsck().clean


def test_witnesses_from_before_there_were_several_keys_are_read(ledger: Ledger, tmp_path: Path) -> None:
    vkey = encode_vkey(COSIGNER.verifier)
    path = ledger.layout.directory / "witnesses.json"
    path.write_text(json.dumps({"witnesses": [{"url": "http://127.0.0.1:1", "vkey": vkey}]}))
    assert [place.vkeys for place in witnesses_of(ledger)] == [(vkey,)]
    for wrong in ({"url": "http://w", "vkeys": []}, {"url": "http://w", "vkeys": [1]}, {"url": "http://w"}):
        path.write_text(json.dumps({"witnesses": [wrong]}))
        with pytest.raises(MalformedError):
            witnesses_of(ledger)
    make_witness(tmp_path / "old", "witness.example/old", post_quantum=False)
    (tmp_path / "old" / "keys.json").unlink()
    with open_witness_folder(tmp_path / "old") as witness:
        assert [own.file for own in witness.cosigner.listed()] == ["witness.key"]
        assert witness.cosigner.add_ml_dsa("2026-01-01T00:00:00Z").verifier.type_byte == ML_DSA_44
        assert len(witness.cosigner.verifiers) == 2


def test_what_is_no_witness_is_not_added(ledger: Ledger) -> None:
    vkey = encode_vkey(COSIGNER.verifier)
    for url in ("ftp://w.example", "http://", "http://ada:hunter2@w.example", "http://w.example/?token=x", "w.example"):
        with pytest.raises(MalformedError) as refused:
            add_witness(ledger, url, vkey)
        assert "hunter2" not in str(refused.value)
    with pytest.raises(MalformedError):
        add_witness(ledger, "http://127.0.0.1:1", ledger.keyring.vkey)  # a log's key is no witness's
    for keys in ((), ledger.keyring.vkeys[1:], (vkey, encode_vkey(Cosigner("other.example/w", bytes(32)).verifier))):
        with pytest.raises(MalformedError):
            add_witness(ledger, "http://127.0.0.1:1", *keys)
    with pytest.raises(MalformedError):
        add_witness(ledger, "http://127.0.0.1:1", vkey, quorum=2)
    assert witnesses_of(ledger) == ()
    with pytest.raises(NotFoundError, match="no witness"):
        _register(ledger, "a")
        collect(ledger)
    add_witness(ledger, "http://127.0.0.1:1", vkey)
    with pytest.raises(ConflictError):
        add_witness(ledger, "http://127.0.0.1:1", vkey)
    with pytest.raises(NotFoundError):
        remove_witness(ledger, "nobody")


def test_as_a_user_types_it(tmp_path: Path) -> None:
    session = Session(tmp_path)
    session.run("init", "--origin", "typed.example/log")
    session.run("keys", "new", "lab")
    (tmp_path / "a").write_text("a")
    session.run("register", "a", "--name", "t/a", "--version", "1", "--no-anchor")
    log_keys = session.json("log", "checkpoint")["logKeys"]
    assert [key["vkey"] for key in session.json("log", "keys", "list")["keys"]] == log_keys
    made = session.json("witness", "init", "w", "witness.example/w1")
    session.run("witness", "watch", "w", *log_keys)
    for file in ("witness.key", "witness-ml-dsa-44.key", "keys.json"):
        assert oct((tmp_path / "w" / file).stat().st_mode & 0o777) == "0o600"
    session.run("witness", "init", "w", "again", code=2)
    one = WitnessProcess.__new__(WitnessProcess)
    one.folder, one.name = tmp_path / "w", "witness.example/w1"
    one.start()
    try:
        assert "no witnesses yet" in session.run("witness", "list").out
        session.run("witness", "add", one.url, *made["vkeys"], "--quorum", "1")
        assert "too few witnesses" in session.run("verify", "a", code=1).out
        assert "1 of 1 witnesses, 1 needed" in session.run("witness", "cosign").out
        session.run("anchor")
        assert "VERIFIED" in session.run("verify", "a").out
        assert one.name in session.run("witness", "list").out
        assert "ML-DSA-44" in session.run("witness", "keys", "list", "w").out
        turned = session.json("witness", "keys", "rotate", "w")["keys"]
        session.run("witness", "keys", "rotate", "w", code=2)
        session.run("witness", "add", one.url, *[key["vkey"] for key in turned])
        old = parse_vkey(made["vkey"]).key_id.hex()
        assert "ML-DSA-44" in session.run("witness", "retire", old).out
        assert old not in session.run("witness", "list").out
        assert old in session.run("witness", "keys", "retire", "w", old).out
        session.run("witness", "keys", "add", "w", code=2)
        assert "1 of 1 witnesses" in session.run("witness", "cosign").out
        before = session.json("log", "keys", "list")["keys"]
        session.run("log", "keys", "add", code=2)
        assert "keys export" in session.run("log", "keys", "rotate").out
        session.run("log", "keys", "rotate", code=2)
        for key in before:
            assert key["keyId"] in session.run("log", "keys", "retire", key["keyId"]).out
        session.run("log", "keys", "retire", "00000000", code=2)
        assert session.run("log", "keys", "list").out.count("in force") == 2
    finally:
        one.stop()
    (tmp_path / "b").write_text("b")
    session.run("register", "b", "--name", "t/b", "--version", "1", "--no-anchor")
    assert "failed" in session.run("witness", "cosign", "--timeout", "2", code=3).out
    assert "too few witnesses cosigned" in session.run("anchor", code=3).err
    session.run("witness", "remove", one.url)
    session.run("witness", "watch", "w", *log_keys, "--forget")
