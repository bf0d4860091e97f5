"""An attester as a process beside a log that is served: what it cosigns, what it refuses, and that it says which."""

from __future__ import annotations

import base64
import http.server
import json
import shutil
import signal
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from provenance.encoding import Digest
from provenance.errors import WitnessError
from provenance.ledger import Ledger
from provenance.ledger.witnessing import add_witness, collect
from provenance.log import parse_note
from provenance.log.add_checkpoint import AddCheckpoint, encode_add_checkpoint
from provenance.signature import encode_envelope, parse_envelope, sign_envelope
from provenance.statement import PAYLOAD_TYPE, PinnedName, encode_statement
from provenance.statement.checked_range import EntryCheck, SkipReason
from provenance.statement.finding import Finding, Severity
from provenance.statement.key_event import KeyAction, KeyEvent, KeyReason, NamedKey, encode_key_event
from provenance.verify.attestations import verify_attestation, verify_attestations
from provenance.witnesses.attested import AttestedState
from tests.e2e.attester_process import AttesterProcess, Process, append, stopping, write_policy
from tests.sessions.session import COMMAND, environment
from tests.unit.verify import forge

ORIGIN = "attested.example/log"


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.init(tmp_path / "ledger", origin=ORIGIN, post_quantum=False) as made:
        made.keyring.new("someone", algorithm="ed25519")
        made.keyring.trust_key("forge", forge.key(1).public)
        yield made


@pytest.fixture
def served(ledger: Ledger) -> Iterator[Process]:
    process = Process("--ledger", str(ledger.layout.directory.parent), "serve")
    with stopping([process]):
        yield process


Attest = Callable[..., AttesterProcess]


@pytest.fixture
def attest(tmp_path: Path, ledger: Ledger, served: Process) -> Iterator[Attest]:
    """Start an attester of the ledger's log; the log asks it, and needs it."""
    started: list[AttesterProcess] = []

    def start(*options: str, url: str | None = None, **policy: object) -> AttesterProcess:
        number = len(started)
        path = write_policy(tmp_path / f"policy-{number}.json", ledger, **policy)
        made = AttesterProcess(
            tmp_path / f"a{number}", f"attester.example/a{number}", ledger.keyring.vkey, url or served.url, path,
            *options,
        )  # fmt: skip
        started.append(made)
        add_witness(ledger, made.url, made.vkey, quorum=1)
        return made

    with stopping(started):
        yield start


def _register(ledger: Ledger, name: str, root: Path, *, files: int = 1) -> Path:
    """A dataset where an attester looks for it."""
    folder = root / "w" / name / "1"
    folder.mkdir(parents=True)
    for number in range(files):
        (folder / f"{number}.txt").write_text(f"{name} {number}")
    ledger.register(folder, f"w/{name}", "1", key="someone", origin="https://w.example/", anchor=False)
    return folder


def _asked(ledger: Ledger, name: str = "attester.example/a0") -> str | None:
    """What a witness says to the latest checkpoint; None if it cosigned."""
    problems = {one.place.name: one.problem for one in collect(ledger).outcomes}
    problem = problems[name]
    return None if problem is None else problem.what


def test_good_entries_are_cosigned_and_what_was_checked_is_signed(
    ledger: Ledger, attest: Attest, tmp_path: Path
) -> None:
    attester = attest("--data-root", str(tmp_path / "data"), "--sample", "3")
    _register(ledger, "few", tmp_path / "data", files=2)
    _register(ledger, "many", tmp_path / "data", files=40)
    shutil.rmtree(_register(ledger, "gone", tmp_path / "data"))
    ledger.state("w/few", Finding("leak", Severity.LOW, "a column"), key="someone")
    ledger.anchor()
    assert ledger.verify_reference("w/few").sound
    size = ledger.log.size()
    data = attester.attestation(ORIGIN, size)
    assert data is not None
    found = verify_attestation(data, attester.key)
    assert (found.origin, found.size, found.entries.begin, found.is_accepted) == (ORIGIN, size, 0, True)
    assert found.root.raw == ledger.log.checkpoint().root
    for check in (EntryCheck.ENVELOPE, EntryCheck.STATEMENT, EntryCheck.SIGNATURE, EntryCheck.POLICY):
        assert found.entries.checked(check) == size
    assert [(one.entry, one.files, one.of) for one in found.entries.samples] == [(0, 2, 2), (1, 3, 40)]
    skipped = found.entries.covers(EntryCheck.DATA)
    assert [skipped.reason(entry) for entry in range(size)] == [
        None,
        None,
        SkipReason.NO_PLACE,
        SkipReason.INAPPLICABLE,
    ]
    assert attester.attestation(ORIGIN, size + 1) is None
    assert attester.findings(ORIGIN) == []
    assert "Attester" in attester.ask("GET", "/")[1]
    # Offline, with the public key alone.
    (tmp_path / "att.json").write_bytes(data)
    (tmp_path / "key.pem").write_text(attester.key.pem)
    (tmp_path / "checkpoint").write_bytes(ledger.log.checkpoint().note)
    done = _verb("check-attestation", "att.json", "--key", "key.pem", "--checkpoint", "checkpoint", "--log-key",
                 ledger.keyring.vkey, folder=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stdout
    # The next range follows this one.
    _register(ledger, "next", tmp_path / "data")
    assert _asked(ledger) is None
    after = attester.attestation(ORIGIN, size + 1)
    assert after is not None
    _, second = verify_attestations([data, after], attester.key)
    assert (second.entries.begin, second.entries.end, second.previous is not None) == (size, size + 1, True)


def _verb(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, "witness", *arguments, "--json"]
    return subprocess.run(
        command, cwd=folder, env=environment(None), check=False, capture_output=True, text=True, timeout=60
    )


def _unknown_key(_: Ledger) -> bytes:
    return forge.sign(forge.statement("a"), forge.key(2))


def _bad_signature(_: Ledger) -> bytes:
    envelope = parse_envelope(forge.sign(forge.statement("a"), forge.key(1)))
    return encode_envelope(type(envelope)(envelope.payload.replace(b"2026-01-02", b"2026-01-03"), PAYLOAD_TYPE,
                                          envelope.signatures))  # fmt: skip


def _schema(_: Ledger) -> bytes:
    payload = encode_statement(forge.statement("a")).replace(b'"kind":"dataset"', b'"kind":"dataset","more":1')
    return encode_envelope(sign_envelope(payload, PAYLOAD_TYPE, forge.key(1)))


def _kind(_: Ledger) -> bytes:
    payload = encode_statement(forge.statement("a")).replace(b"ledger:dataset:1", b"ledger:datasets:1")
    return encode_envelope(sign_envelope(payload, PAYLOAD_TYPE, forge.key(1)))


def _no_envelope(_: Ledger) -> bytes:
    return b"whatever"


def _missing_parent(_: Ledger) -> bytes:
    absent = forge.statement("absent")
    pin = forge.pin(absent, forge.sign(absent, forge.key(1)))
    return forge.sign(forge.statement("a", [pin]), forge.key(1))


def _forbidden(_: Ledger) -> bytes:
    return forge.sign(forge.statement("pirated"), forge.key(1))


def _other_namespace(ledger: Ledger) -> bytes:
    return forge.sign(forge.statement("a"), forge.key(3))


BAD: dict[str, list[Callable[[Ledger], bytes]]] = {
    "envelope": [_no_envelope],
    "statement": [_schema, _kind],
    "signature": [_unknown_key, _bad_signature, _other_namespace],
    "references": [_missing_parent],
    "policy": [_forbidden],
}


@pytest.mark.parametrize(
    ("check", "make"), [(check, make) for check, makers in BAD.items() for make in makers],
    ids=lambda one: one if isinstance(one, str) else one.__name__,
)  # fmt: skip
def test_an_entry_that_should_not_be_there_is_refused_and_nothing_is_published(
    ledger: Ledger, attest: Attest, served: Process, tmp_path: Path, check: str, make: Callable[[Ledger], bytes]
) -> None:
    """The operator signs whatever it likes: without the attester nobody takes it."""
    ledger.keyring.trust_key("narrow", forge.key(3).public, namespaces=("elsewhere",))
    attester = attest(forbiddenAncestors=["forge/pirated"])
    _register(ledger, "good", tmp_path / "data")
    ledger.anchor()
    anchors, shown = len(ledger.anchors()), served.ask("GET", "/checkpoint")[1]
    append(ledger, make(ledger))
    said = _asked(ledger)
    assert said is not None and said.startswith(f"attester refused entry 1: {check}: "), said
    with pytest.raises(WitnessError, match="too few witnesses cosigned"):
        ledger.anchor()
    assert len(ledger.anchors()) == anchors
    assert served.ask("GET", "/checkpoint") == (200, shown)  # the server shows the checkpoint before
    (finding,) = attester.findings(ORIGIN)
    assert (finding["entry"], finding["check"]) == (1, check)
    refused = verify_attestation(finding["evidence"].encode(), attester.key)
    assert (refused.is_accepted, refused.entries.end, refused.entries.failed) == (False, 2, check)
    assert attester.attestation(ORIGIN, 2) is None
    assert check in attester.ask("GET", "/")[1]
    # The answer is for programs, too.
    proof = tuple(ledger.log.consistency(1, 2)[4])
    body = encode_add_checkpoint(AddCheckpoint(1, proof, ledger.log.checkpoint().note))
    status, text = attester.ask("POST", "/add-checkpoint", body)
    assert (status, text.split("\n")[:3]) == (422, ["attester refused", f"check: {check}", "entry: 1"])


def test_data_that_differs_is_refused_until_it_is_put_right(ledger: Ledger, attest: Attest, tmp_path: Path) -> None:
    attester = attest("--data-root", str(tmp_path / "data"), "--sample", "all")
    folder = _register(ledger, "a", tmp_path / "data", files=3)
    (folder / "1.txt").write_text("a ?")
    said = _asked(ledger)
    assert said is not None and said.startswith("attester refused entry 0: data: its data is not what was"), said
    with pytest.raises(WitnessError, match="too few"):
        ledger.anchor()
    (folder / "1.txt").write_text("a 1")
    time.sleep(1.1)  # it is not looked at again at once
    assert _asked(ledger) is None
    ledger.anchor()
    assert [one["check"] for one in attester.findings(ORIGIN)] == ["data"]  # what was found stays


def test_a_sample_finds_what_differs_everywhere(ledger: Ledger, attest: Attest, tmp_path: Path) -> None:
    attest("--data-root", str(tmp_path / "data"), "--sample", "2")
    folder = _register(ledger, "a", tmp_path / "data", files=9)
    for path in folder.iterdir():
        path.write_text("?")
    said = _asked(ledger)
    assert said is not None and said.startswith("attester refused entry 0: data: file "), said


def test_data_that_must_be_there(ledger: Ledger, attest: Attest, tmp_path: Path) -> None:
    attest("--data-root", str(tmp_path / "data"), "--require-data")
    shutil.rmtree(_register(ledger, "a", tmp_path / "data"))
    said = _asked(ledger)
    assert said is not None and "its data is at no place that is known here" in said, said


def test_a_key_that_was_revoked_signs_nothing_more(ledger: Ledger, attest: Attest) -> None:
    """Whatever the operator takes in all the same."""
    attest()
    append(ledger, forge.sign(forge.statement("a"), forge.key(1)))
    end = KeyEvent(NamedKey.of(forge.key(1).public.pem), KeyAction.REVOKED, forge.CREATED, reason=KeyReason.COMPROMISED)
    append(ledger, encode_envelope(sign_envelope(encode_key_event(end), PAYLOAD_TYPE, forge.key(1))))
    assert _asked(ledger) is None
    append(ledger, forge.sign(forge.statement("b"), forge.key(1)))
    said = _asked(ledger)
    assert said is not None and "signature: key was revoked by entry 1" in said, said


def test_an_entry_is_waived_by_the_attester_alone(ledger: Ledger, attest: Attest, tmp_path: Path) -> None:
    attester = attest()
    append(ledger, b"whatever")
    assert _asked(ledger) is not None
    refused = _verb("waive", str(attester.folder), ORIGIN, "1", "--reason", "a mistake", folder=tmp_path)
    assert refused.returncode == 2  # there was nothing wrong with that one
    done = _verb("waive", str(attester.folder), ORIGIN, "0", "--reason", "a mistake", folder=tmp_path)
    assert done.returncode == 0, done.stdout
    _register(ledger, "a", tmp_path / "data")
    assert _asked(ledger) is None
    data = attester.attestation(ORIGIN, 2)
    assert data is not None
    found = verify_attestation(data, attester.key)
    assert found.is_accepted
    assert all(one.reason(0) is SkipReason.WAIVED for one in found.entries.coverage)
    assert json.loads(attester.ask("GET", f"/findings?origin={ORIGIN}")[1])["waived"][0]["reason"] == "a mistake"


Change = Callable[[str, bytes], tuple[int, bytes]]


@contextmanager
def _between(url: str, change: Change) -> Iterator[str]:
    """The log as its operator shows it to one reader: what it answers, changed."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            try:
                with urllib.request.urlopen(url + self.path, timeout=20) as answer:
                    status, data = change(self.path, answer.read())
            except OSError:
                status, data = 404, b""
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *arguments: object) -> None:
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_log_that_withholds_or_exchanges_entries_is_refused(
    ledger: Ledger, attest: Attest, served: Process, tmp_path: Path
) -> None:
    mode = "withheld"
    other = forge.sign(forge.statement("other"), forge.key(1))

    def change(path: str, data: bytes) -> tuple[int, bytes]:
        if "/tile/entries" not in path or mode == "good":
            return 200, data
        if mode == "withheld":
            return 404, b""
        return 200, len(other).to_bytes(2, "big") + other

    with _between(served.url, change) as url:
        attester = attest(url=url)
        _register(ledger, "a", tmp_path / "data")
        said = _asked(ledger)
        assert said is not None and said.startswith("attester refused: withheld: log withholds a file"), said
        mode = "exchanged"
        time.sleep(1.1)
        said = _asked(ledger)
        assert said is not None and said.startswith("attester refused: mismatch: "), said
        with pytest.raises(WitnessError, match="too few"):
            ledger.anchor()
        assert {one["check"] for one in attester.findings(ORIGIN)} == {"withheld", "mismatch"}
        mode = "good"
        time.sleep(1.1)
        assert _asked(ledger) is None


def test_a_slow_log_is_not_waited_for_and_checked_in_the_end(
    ledger: Ledger, attest: Attest, served: Process, tmp_path: Path
) -> None:
    release = threading.Event()

    def change(path: str, data: bytes) -> tuple[int, bytes]:
        if "/tile/entries" in path:
            assert release.wait(60)
        return 200, data

    with _between(served.url, change) as url:
        attest(url=url)
        _register(ledger, "a", tmp_path / "data")
        started = time.monotonic()
        said = _asked(ledger)
        assert 5 < time.monotonic() - started < 12
        assert said == "attester checking: entries: 0 of 1 entries are checked"
        release.set()
        assert _asked(ledger) is None


def test_killed_in_the_middle_it_goes_on_where_it_was(
    ledger: Ledger, attest: Attest, served: Process, tmp_path: Path
) -> None:
    """600 entries, three bundles: it is killed once the first is attested, while the second is read."""
    append(ledger, *(forge.sign(forge.statement(f"s{number}"), forge.key(1)) for number in range(600)))
    fetched: list[str] = []
    release = threading.Event()

    def change(path: str, data: bytes) -> tuple[int, bytes]:
        if "/tile/entries" in path:
            fetched.append(path)
            if "/001" in path and not release.is_set():
                release.wait(30)
        return 200, data

    with _between(served.url, change) as url:
        attester = attest(url=url)
        asking = threading.Thread(target=collect, args=(ledger,))
        asking.start()
        deadline = time.monotonic() + 30
        while attester.attestation(ORIGIN, 256) is None:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        attester.stop(signal.SIGKILL)
        asking.join()
        release.set()
        assert not any(
            line.name.startswith("attester.") for line in parse_note(ledger.log.checkpoint().note).signatures
        )
        fetched.clear()
        attester.start()
        _moved(ledger, attester)
        assert _asked(ledger) is None
        assert "/tile/entries/000" not in fetched
        sizes = json.loads(attester.ask("GET", f"/attestations?origin={ORIGIN}")[1])["sizes"]
        assert sizes == [128, 256, 384, 512, 600]
        chain = [attester.attestation(ORIGIN, size) or b"" for size in sizes]
        found = verify_attestations(chain, attester.key)
        assert sum(one.entries.checked(EntryCheck.SIGNATURE) for one in found) == 600
        assert len({one.seed for one in found}) == 5


def _moved(ledger: Ledger, attester: AttesterProcess) -> None:
    """It is at another port after it was started again."""
    path = ledger.layout.directory / "witnesses.json"
    path.write_text(json.dumps({"witnesses": [{"url": attester.url, "vkey": attester.vkey}]}))


def test_an_attester_is_no_plain_witness_any_more(ledger: Ledger, attest: Attest, tmp_path: Path) -> None:
    attester = attest()
    attester.stop()
    done = _verb("serve", str(attester.folder), "--port", "0", folder=tmp_path)
    assert (done.returncode, "this witness is an attester" in done.stdout) == (2, True)
    done = _verb("serve", str(attester.folder), "--attest", "--port", "0", folder=tmp_path)
    assert (done.returncode, "--policy FILE" in done.stdout) == (2, True)
    (tmp_path / "empty.yaml").write_text("{format: 'urn:provenance-ledger:policy:1', name: none}")
    done = _verb("serve", str(attester.folder), "--attest", "--policy", "empty.yaml", folder=tmp_path)
    assert (done.returncode, "trusts no key" in done.stdout) == (2, True)


def test_an_attestation_with_any_change_is_nobodys(ledger: Ledger, attest: Attest, tmp_path: Path) -> None:
    """What was skipped cannot be made to look checked: not by others, and not by its signer either."""
    attester = attest()
    _register(ledger, "a", tmp_path / "data")
    assert _asked(ledger) is None
    data = attester.attestation(ORIGIN, 1)
    assert data is not None
    envelope = json.loads(data)
    payload = base64.b64decode(envelope["payload"])
    assert b'{"check":"data","checked":0,"skipped":[{"begin":0,"end":1,"reason":"no place"}]}' in payload
    changed = payload.replace(b'"check":"data","checked":0', b'"check":"data","checked":1')
    envelope["payload"] = base64.b64encode(changed).decode()
    (tmp_path / "att.json").write_text(json.dumps(envelope, separators=(",", ":"), sort_keys=True))
    (tmp_path / "key.pem").write_text(attester.key.pem)
    done = _verb("check-attestation", "att.json", "--key", "key.pem", folder=tmp_path)
    assert (done.returncode, "signature does not verify" in done.stdout) == (1, True)
    with closing(AttestedState(attester.folder / "witness.db")) as state:
        progress = state.progress(ORIGIN)
    assert progress is not None and progress.attestation == Digest.of(data)


def test_a_name_that_is_taken_is_refused(ledger: Ledger, attest: Attest) -> None:
    attest()
    append(ledger, forge.sign(forge.statement("a"), forge.key(1)))
    assert _asked(ledger) is None
    append(ledger, forge.sign(forge.statement("a", content="another"), forge.key(1)))
    said = _asked(ledger)
    assert said is not None and "references: name and version are registered already" in said, said
    assert PinnedName.parse("forge/a@1") == forge.name("a")
