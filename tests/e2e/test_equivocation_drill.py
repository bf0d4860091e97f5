"""The drill: an operator that misbehaves towards witnesses and readers, and witnesses that do towards an operator.

Operator, witnesses, web server and readers are processes; a witness that lies answers over a socket what it is told to.
Each row's outcome is its function's docstring, and docs/witnesses.md has the same table.
"""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from provenance.ledger import Ledger
from provenance.ledger.witness_folder import make_witness, open_witness_folder
from provenance.ledger.witness_policy import set_witness_policy
from provenance.ledger.witnessing import add_witness
from provenance.log import Cosigner, TlogPolicy, encode_vkey, open_checkpoint, parse_checkpoint, parse_note, parse_vkey
from provenance.log.note import encode_signature_line
from tests.e2e.witness_process import Answer, WitnessProcess, scripted
from tests.paths import PROJECT
from tests.sessions.session import Result, Session
from tests.simulators.static_server import static_server

PLAIN = "text/plain; charset=utf-8"
LIAR = Cosigner("liar.example/w", b"\x05" * 32)
DATABASE = ("ledger.db", "ledger.db-wal", "ledger.db-shm")


def _register(ledger: Ledger, *names: str) -> None:
    for name in names:
        path = ledger.layout.directory.parent / name
        path.write_text(name)
        ledger.register(path, f"w/{name}", "1", key="someone", origin="https://w.example/", anchor=False)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger of one entry, and two witnesses that watch it and have seen nothing."""
    folder = tmp_path_factory.mktemp("template")
    with Ledger.init(folder / "ledger", origin="watched.example/log") as ledger:
        ledger.keyring.new("someone", algorithm="ed25519")
        _register(ledger, "a")
        for name in ("w1", "w2"):
            make_witness(folder / name, f"witness.example/{name}")
            with open_witness_folder(folder / name) as witness:
                for vkey in ledger.keyring.vkeys:
                    witness.state.watch(vkey)
    return folder


class Stage:
    """What a row plays on: `ledger` is the operator's folder, `public` what it publishes, `reader` a stranger's."""

    def __init__(self, folder: Path, template: Path, stack: ExitStack) -> None:
        shutil.copytree(template, folder / "stage")
        self.folder, self._stack = folder / "stage", stack
        self.ledger, self.public, self.reader = (self.folder / name for name in ("ledger", "public", "reader"))
        self.reader.mkdir()
        with Ledger.open(self.ledger) as ledger:
            self.log_key = ledger.keyring.vkey

    def witnesses(self, *names: str) -> list[WitnessProcess]:
        """Start these witnesses, and have the operator ask them."""
        found = []
        for name in names:
            folder = self.folder / name
            with open_witness_folder(folder) as witness:
                vkeys = [own.vkey for own in witness.cosigner.listed()]
            one = WitnessProcess.at(folder, f"witness.example/{name}", vkeys)
            self._stack.callback(_stop, one)
            with Ledger.open(self.ledger) as ledger:
                add_witness(ledger, one.url, *one.vkeys)
            found.append(one)
        return found

    def liar(self, answer: Answer) -> str:
        """Have the operator ask a witness that answers so, at the address that this gives."""
        url = self._stack.enter_context(scripted(answer))
        with Ledger.open(self.ledger) as ledger:
            add_witness(ledger, url, encode_vkey(LIAR.verifier))
        return url

    def policy(self, quorum: str) -> None:
        """Ask for `2` or `all` of the witnesses who are asked; a reader has the same policy."""
        with Ledger.open(self.ledger) as ledger:
            lines = [f"log {vkey}" for vkey in ledger.keyring.vkeys]
            groups = []
            for place in json.loads((self.ledger / ".provenance" / "witnesses.json").read_bytes())["witnesses"]:
                vkeys = place.get("vkeys") or [place["vkey"]]
                name = vkeys[0].partition("+")[0]
                lines += [f"witness {name}+{number} {vkey}" for number, vkey in enumerate(vkeys)]
                lines.append(f"group {name} all {' '.join(f'{name}+{number}' for number in range(len(vkeys)))}")
                groups.append(name)
            lines += [f"group enough {quorum} {' '.join(groups)}", "quorum enough"]
            data = ("\n".join(lines) + "\n").encode()
            set_witness_policy(ledger, data)
        (self.reader / "policy").write_bytes(data)

    def log(self, *names: str, of: Path | None = None) -> None:
        """Register these in the operator's ledger, or in a copy of it."""
        with Ledger.open(of or self.ledger) as ledger:
            _register(ledger, *names)

    def twin(self) -> Path:
        """A copy of the operator's folder as it is."""
        folder = self.folder / "twin"
        shutil.copytree(self.ledger, folder)
        return folder

    def operator(self, *arguments: str, code: int = 0, of: Path | None = None) -> Result:
        """A verb of the operator."""
        return Session(of or self.ledger).run(*arguments, code=code)

    def publish(self, *, code: int = 0, of: Path | None = None) -> Result:
        """`log export` to the public folder."""
        return self.operator("log", "export", str(self.public), code=code, of=of)

    def read(self, *, code: int = 0, policy: bool = True) -> Any:
        """A reader's monitor, over a web server, which remembers what it saw: its document."""
        extra = ("--witness-policy", "policy") if policy else ()
        with static_server(self.public) as url:
            monitor = ("log", "monitor", url, "--vkey", self.log_key, "--state", "seen", "--timeout", "20")
            return Session(self.reader).json(*monitor, *extra, code=code)

    @property
    def published(self) -> int | None:
        """The size that is published."""
        path = self.public / "checkpoint"
        return parse_checkpoint(parse_note(path.read_bytes()).text).size if path.exists() else None


@pytest.fixture
def stage(tmp_path: Path, template: Path) -> Iterator[Stage]:
    with ExitStack() as stack:
        yield Stage(tmp_path, template, stack)


def _stop(one: WitnessProcess) -> None:
    if one.process.poll() is None:
        one.stop()


def words(result: Result) -> str:
    return " ".join((result.out + result.err).split())


# ---- an operator that misbehaves -----------------------------------------------------------------------------------


def two_trees(stage: Stage) -> None:
    """each cosigns one and refuses the other; neither has a quorum, neither is published, and both witnesses keep the
    proof: two signed roots of one size"""
    both = stage.witnesses("w1", "w2")
    stage.policy("all")
    stage.publish()
    twin = stage.twin()
    stage.log("b")
    stage.log("other", of=twin)
    for one, folder in zip(both, (stage.ledger, twin), strict=True):
        _show_only(folder, one.url)
        stage.operator("witness", "cosign", code=3, of=folder)
    for folder in (stage.ledger, twin):
        _show_only(folder, *(one.url for one in both))
        refused = words(stage.operator("witness", "cosign", code=3, of=folder))
        assert refused.count("witness saw another tree of this size") == 1
        assert "do not meet the witness policy, and it is not published" in words(stage.publish(code=3, of=folder))
    assert stage.published == 1
    verifier = parse_vkey(stage.log_key)
    for one in both:
        pairs = json.loads(one.get("/evidence?origin=watched.example/log")[1])["forks"]
        first, second = (open_checkpoint(note.encode(), verifier) for note in pairs[0])
        assert (first.size, first.root != second.root) == (second.size, True)


def a_tree_that_does_not_extend(stage: Stage) -> None:
    """the witness that saw the other tree refuses the proof; nothing is published"""
    stage.witnesses("w1", "w2")
    stage.policy("all")
    stage.publish()
    twin = stage.twin()
    stage.log("b")
    stage.publish()
    stage.log("other", "more", of=twin)
    refused = words(stage.operator("witness", "cosign", code=3, of=twin))
    assert refused.count("does not extend what it saw") == 2
    stage.publish(code=2, of=twin)  # the place holds the other history
    assert stage.published == 2


def rewinds_its_database(stage: Stage) -> None:
    """its own verbs refuse the ledger; `log evidence` writes both checkpoints"""
    stage.witnesses("w1", "w2")
    stage.policy("all")
    old = stage.twin()
    stage.log("b")
    stage.publish()
    for name in DATABASE:
        (stage.ledger / ".provenance" / name).unlink(missing_ok=True)
        if (old / ".provenance" / name).exists():
            shutil.copy2(old / ".provenance" / name, stage.ledger / ".provenance" / name)
    for verb in (("witness", "cosign"), ("anchor",), ("log", "export", str(stage.public))):
        assert "went back behind a checkpoint that others have" in words(stage.operator(*verb, code=1))
    stage.operator("log", "evidence", code=1)
    assert list(stage.ledger.glob("log.evidence-*.json"))
    assert stage.published == 2


def rewinds_its_folder(stage: Stage) -> None:
    """a witness states the larger size it saw: nothing is anchored or published, whatever the quorum"""
    stage.witnesses("w1", "w2")
    stage.policy("all")
    old = stage.twin()
    stage.log("b", "c")
    stage.publish()
    stage.log("x", of=old)
    for verb in (("witness", "cosign"), ("anchor",), ("log", "export", str(stage.public))):
        assert "witness saw more of this log than there is" in words(stage.operator(*verb, code=1, of=old))
    assert stage.published == 3


def rewinds_and_writes_on(stage: Stage) -> None:
    """no witness cosigns the other history, however long it is; nothing is published"""
    stage.witnesses("w1", "w2")
    stage.policy("all")
    old = stage.twin()
    stage.log("b", "c")
    stage.publish()
    stage.log("x", "y", of=old)
    same = words(stage.operator("witness", "cosign", code=3, of=old))
    assert same.count("witness saw another tree of this size") == 2
    stage.log("z", of=old)
    longer = words(stage.operator("witness", "cosign", code=3, of=old))
    assert longer.count("does not extend what it saw") == 2
    stage.publish(code=3, of=old)
    assert stage.published == 3


def _reader_finds(stage: Stage, spoil: Callable[[Path], None], kind: str) -> None:
    """A reader who saw size 1 comes back after something happened to what is public of size 3."""
    stage.witnesses("w1", "w2")
    stage.policy("all")
    stage.publish()
    assert stage.read()["size"] == 1
    stage.log("b", "c")
    stage.publish()
    spoil(stage.public)
    found = stage.read(code=1)
    assert (found["fault"], set(found["checkpoints"])) == (kind, {"earlier", "later"})
    assert list(stage.reader.glob("seen.evidence-*.json"))
    copied = Session(stage.reader).run(
        "log", "mirror", str(stage.public), "copy", "--tiles", "--vkey", stage.log_key, code=1
    )
    assert "error" in copied.err
    assert not (stage.reader / "copy" / "checkpoint").exists()


def withholds_a_tile(stage: Stage) -> None:
    """witnesses do not notice, for they look at no tile; a reader is told `withheld`, keeps both checkpoints, and
    copies nothing"""
    _reader_finds(stage, lambda public: shutil.rmtree(public / "tile" / "0"), "withheld")


def withholds_entries(stage: Stage) -> None:
    """the same"""
    _reader_finds(stage, lambda public: shutil.rmtree(public / "tile" / "entries"), "withheld")


def gives_other_entries(stage: Stage) -> None:
    """a reader is told `mismatch`, keeps both checkpoints, and copies nothing"""

    def spoil(public: Path) -> None:
        (bundle,) = (public / "tile" / "entries").rglob("3")
        data = bytearray(bundle.read_bytes())
        data[-10] ^= 1
        bundle.write_bytes(data)

    _reader_finds(stage, spoil, "mismatch")


def withholds_its_checkpoint(stage: Stage) -> None:
    """a reader is told that the log cannot be read (exit code 3), and remembers what it saw"""
    stage.witnesses("w1", "w2")
    stage.policy("all")
    stage.publish()
    stage.read()
    (stage.public / "checkpoint").rename(stage.folder / "withheld")
    stage.read(code=3)
    (stage.folder / "withheld").rename(stage.public / "checkpoint")
    assert stage.read()["since"] == 1


def rewinds_what_is_public(stage: Stage) -> None:
    """a reader is told `went back`, and keeps both checkpoints"""
    stage.witnesses("w1", "w2")
    stage.policy("all")
    stage.publish()
    before = (stage.public / "checkpoint").read_bytes()
    stage.log("b")
    stage.publish()
    assert stage.read()["size"] == 2
    (stage.public / "checkpoint").write_bytes(before)
    assert stage.read(code=1)["fault"] == "went back"


def publishes_without_witnesses(stage: Stage) -> None:
    """a reader with a witness policy refuses it (exit code 1)"""
    stage.witnesses("w1", "w2")
    stage.policy("all")
    stage.publish()
    stage.read()
    stage.log("b")
    with Ledger.open(stage.ledger) as ledger:
        ledger.keyring.write_trust(ledger.keyring.trust().with_witness_policy(TlogPolicy()))
    stage.publish()
    assert stage.published == 2
    assert "do not meet the witness policy" in stage.read(code=1)["error"]["what"]
    assert stage.read(policy=False)["size"] == 2


def shows_a_reader_a_fork(stage: Stage) -> None:
    """a reader who saw the other tree is told `forked`, and `log check-evidence` proves it to anybody; one with a
    witness policy refuses the tree before that"""
    stage.witnesses("w1", "w2")
    stage.policy("all")
    stage.publish()
    twin = stage.twin()
    stage.log("b")
    stage.publish()
    assert stage.read()["size"] == 2
    stage.log("other", "more", of=twin)
    with Ledger.open(twin) as ledger:
        ledger.keyring.write_trust(ledger.keyring.trust().with_witness_policy(TlogPolicy()))
    shutil.rmtree(stage.public)
    stage.publish(of=twin)
    assert "do not meet the witness policy" in stage.read(code=1)["error"]["what"]
    assert stage.read(code=1, policy=False)["fault"] == "forked"
    (evidence,) = stage.reader.glob("seen.evidence-*.json")
    proven = Session(stage.reader).json("log", "check-evidence", evidence.name, "--vkey", stage.log_key)
    assert (proven["earlier"]["size"], proven["later"]["size"]) == (2, 3)


def _show_only(folder: Path, *urls: str) -> None:
    """Have a ledger ask these of its witnesses."""
    path = folder / ".provenance" / "witnesses.json"
    kept = path.with_suffix(".all")
    if not kept.exists():
        shutil.copy2(path, kept)
    places = [one for one in json.loads(kept.read_bytes())["witnesses"] if one["url"] in urls]
    path.write_text(json.dumps({"witnesses": places}))


# ---- witnesses that misbehave --------------------------------------------------------------------------------------


def _third(stage: Stage, answer: Answer, says: str) -> None:
    """A third witness that answers so: it stops no quorum of two, in bounded time, and is none of three."""
    stage.witnesses("w1", "w2")
    stage.liar(answer)
    stage.policy("all")
    started = time.monotonic()
    refused = words(stage.operator("witness", "cosign", "--timeout", "1", code=3))
    assert time.monotonic() - started < 30
    assert says in refused
    assert "waits for cosignatures; nothing is published" in words(stage.operator("witness", "policy", "show"))
    stage.policy("2")
    assert says in words(stage.operator("witness", "cosign", "--timeout", "1"))
    stage.publish()
    assert stage.read()["size"] == 1


def _line(cosigner: Cosigner, note: bytes) -> bytes:
    return encode_signature_line(cosigner.cosign(parse_checkpoint(parse_note(note).text), 1))


def down(stage: Stage) -> None:
    """it is not counted and stops no other: with a quorum of two of three it is published; while two are
    down, it waits and says so, what was published before stays, and the rest is when one is back"""
    _, second = stage.witnesses("w1", "w2")
    with Ledger.open(stage.ledger) as ledger:
        add_witness(ledger, "http://127.0.0.1:1", encode_vkey(LIAR.verifier))
    stage.policy("2")
    assert "witness cannot be asked" in words(stage.operator("witness", "cosign", "--timeout", "1"))
    stage.publish()
    stage.log("b")
    second.stop()
    assert "do not meet the witness policy" in words(stage.publish(code=3))
    state = words(stage.operator("witness", "policy", "show"))
    assert "size 2 waits for cosignatures; size 1 is published" in state
    assert stage.read()["size"] == 1
    stage.operator("witness", "remove", second.name)
    stage.witnesses("w2")
    stage.publish()
    assert stage.read()["size"] == 2


def slow(stage: Stage) -> None:
    """the same, after its time: three tries of 10 s, for all witnesses at once"""

    def answer(_: object) -> tuple[int, str, bytes]:
        time.sleep(8)
        return 200, PLAIN, b""

    _third(stage, answer, "witness cannot be asked")


def says_rubbish(stage: Stage) -> None:
    """the same"""
    _third(stage, lambda _: (200, PLAIN, b"\xff" * 100), "gave an answer that makes no sense")


def signs_with_another_key(stage: Stage) -> None:
    """the same: every line is verified"""
    other = Cosigner(LIAR.name, bytes(32))
    _third(stage, lambda asked: (200, PLAIN, _line(other, asked.note)), "answered with another key's cosignature")


def replays(stage: Stage) -> None:
    """the same: an old cosignature is of another checkpoint, and does not verify for this one"""
    with Ledger.open(stage.ledger) as ledger:
        replayed = _line(LIAR, ledger.log.checkpoint().note)
        _register(ledger, "b")
    stage.witnesses("w1", "w2")
    stage.liar(lambda _: (200, PLAIN, replayed))
    stage.policy("all")
    assert "signature does not verify" in words(stage.operator("witness", "cosign", "--timeout", "1", code=3))
    stage.policy("2")
    stage.publish()
    assert stage.read()["size"] == 2


def signs_what_it_was_not_shown(stage: Stage) -> None:
    """the same"""
    with Ledger.open(stage.ledger) as ledger:
        row = ledger.log.checkpoint()
    foreign = encode_signature_line(
        LIAR.cosign(parse_checkpoint(b"watched.example/log\n%d\n" % row.size + b"A" * 43 + b"=\n"), 1)
    )
    _third(stage, lambda _: (200, PLAIN, foreign), "signature does not verify")


def states_a_size_each_time(stage: Stage) -> None:
    """the same, after three tries"""
    _third(stage, lambda asked: (409, "text/x.tlog.size", b"0\n"), "witness sees another size each time")


def claims_to_have_seen_more(stage: Stage) -> None:
    """nothing is anchored or published, whatever the quorum: a ledger that was restored from an old copy looks the
    same. The operator decides, and `witness remove` ends it"""
    stage.witnesses("w1", "w2")
    url = stage.liar(lambda _: (409, "text/x.tlog.size", b"9\n"))
    stage.policy("2")
    assert "witness saw more of this log than there is" in words(stage.operator("witness", "cosign", code=1))
    assert stage.published is None
    stage.operator("witness", "remove", url)
    stage.publish()
    assert stage.read()["size"] == 1


def cosigns_both_trees(stage: Stage) -> None:
    """one of three that does so gives both trees two of three: a quorum has to be more than half of the honest and all
    of the dishonest, here three of three, and then neither tree is published. Where it was not, a reader who sees
    both is told `forked`"""
    both = stage.witnesses("w1", "w2")
    url = stage.liar(lambda asked: (200, PLAIN, _line(LIAR, asked.note)))
    stage.policy("2")
    twin = stage.twin()
    stage.log("b")
    stage.log("other", of=twin)
    for one, folder in zip(both, (stage.ledger, twin), strict=True):
        _show_only(folder, one.url, url)
        stage.operator("witness", "cosign", of=folder)
    stage.publish()
    assert stage.read()["size"] == 2
    shutil.rmtree(stage.public)
    stage.publish(of=twin)
    assert stage.read(code=1)["fault"] == "forked"
    enough = (stage.reader / "policy").read_text().replace("group enough 2", "group enough all")
    (stage.reader / "policy").write_text(enough)
    assert "do not meet the witness policy" in stage.read(code=1)["error"]["what"]


OPERATOR: dict[str, Callable[[Stage], None]] = {
    "shows two witnesses two trees of one size": two_trees,
    "shows a witness a tree that does not extend the one it saw": a_tree_that_does_not_extend,
    "rewinds its database": rewinds_its_database,
    "rewinds its whole folder": rewinds_its_folder,
    "rewinds, and writes another history up to the size that was seen and beyond": rewinds_and_writes_on,
    "withholds a tile": withholds_a_tile,
    "withholds entries": withholds_entries,
    "gives other entries than it signed": gives_other_entries,
    "withholds its checkpoint": withholds_its_checkpoint,
    "shows a reader an older checkpoint than before": rewinds_what_is_public,
    "publishes a tree that its witnesses did not cosign": publishes_without_witnesses,
    "shows a reader a fork": shows_a_reader_a_fork,
}
WITNESS: dict[str, Callable[[Stage], None]] = {
    "is down": down,
    "is slow": slow,
    "answers nonsense": says_rubbish,
    "signs with another key": signs_with_another_key,
    "replays an old cosignature": replays,
    "signs another tree than it was shown": signs_what_it_was_not_shown,
    "states another size each time": states_a_size_each_time,
    "claims to have seen more than there is": claims_to_have_seen_more,
    "cosigns both trees of a fork": cosigns_both_trees,
}
ROWS = [(f"operator {name}", drill) for name, drill in OPERATOR.items()]
ROWS += [(f"witness {name}", drill) for name, drill in WITNESS.items()]


@pytest.mark.parametrize("drill", [drill for _, drill in ROWS], ids=[name for name, _ in ROWS])
def test_drill(stage: Stage, drill: Callable[[Stage], None]) -> None:
    drill(stage)


def test_the_table_of_the_docs_is_the_drill() -> None:
    text = (PROJECT / "docs" / "witnesses.md").read_text("utf-8")
    drilled = text.partition("<!-- drill -->")[2].partition("<!-- end of drill -->")[0]
    rows = re.findall(r"^\| ((?:operator|witness) [^|]+) \| ([^|]+) \|$", drilled, re.MULTILINE)
    assert rows == [(name, " ".join((drill.__doc__ or "").split())) for name, drill in ROWS]
