"""Registration: idempotent, refusing what contradicts, writing nothing for what is refused."""

from __future__ import annotations

import json
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from provenance.encoding import Digest
from provenance.errors import (
    ConflictError,
    LimitError,
    MalformedError,
    NotFoundError,
    PolicyError,
    ProvenanceError,
    SignerError,
    SourceError,
    StoreError,
)
from provenance.ledger import Ledger, Receipt
from provenance.limits import MAX_ENTRY_BYTES, MAX_MATERIALS
from provenance.log import entry_leaf, parse_proof, parse_vkey, verify_proof
from provenance.merkle import root_of, verify_consistency
from provenance.signature import encode_envelope, parse_envelope, sign_envelope
from provenance.statement import PAYLOAD_TYPE, encode_statement, parse_statement
from tests.paths import PROJECT
from tests.unit.ledger.conftest import Write
from tests.unit.verify import forge


def _files_written(ledger: Ledger) -> dict[str, bytes]:
    """Every file of the ledger but locks and SQLite's shared memory."""
    ledger._store.close()
    return {
        str(path): path.read_bytes()
        for path in ledger.layout.directory.rglob("*")
        if path.is_file() and path.suffix != ".lock" and not path.name.endswith("-shm")
    }


# ---- idempotence ---------------------------------------------------------------------------------------------------


def test_the_same_again_is_the_same_receipt(ledger: Ledger, write: Write) -> None:
    folder = write("data", a="1", b="2")
    first = ledger.register(folder, "t/a", "1", license="MIT", origin="https://x.org", anchor=False)
    again = ledger.register(folder, "t/a", "1", license="MIT", origin="https://x.org", anchor=False)
    assert (first.created, again.created) == (True, False)
    assert first == replace(again, created=True)
    assert ledger.log.size() == 1
    assert ledger.receipt("t/a") == replace(again, notes=())
    assert (first.files, first.total_bytes) == (2, 2)


def test_the_same_bytes_from_another_place_are_the_same_and_the_place_is_remembered(
    ledger: Ledger, write: Write
) -> None:
    write("one", a="1")
    write("two", a="1")
    first = ledger.register(write("one"), "t/a", "1", anchor=False)
    assert ledger.register(write("two"), "t/a", "1", anchor=False).index == first.index
    (write("one") / "a").unlink()
    write("one").rmdir()
    report = ledger.verify("t/a")
    assert {c.where for c in report.checks if c.id == "content"} == {str(write("two"))}
    assert report.level is not None
    assert report.level.name == "D2"


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"path": "other"}, "digest"),
        ({"license": "MIT"}, "license"),
        ({"origin": "https://y.org"}, "origin"),
        ({"sensitivity": "public"}, "sensitivity"),
        ({"kind": "model"}, "kind"),
        ({"parents": ["t/p"]}, "list of parents"),
        ({"key": "another"}, "signer"),
    ],
)
def test_one_name_and_version_says_one_thing(ledger: Ledger, write: Write, change: dict[str, Any], what: str) -> None:
    ledger.keyring.new("another", algorithm="ed25519")
    write("other", a="2")
    given: dict[str, Any] = {"path": "data", "key": "someone", "origin": "https://x.org", "anchor": False}
    ledger.register(write("parent", p="p"), "t/p", "1", key="someone", anchor=False)
    write("data", a="1")
    ledger.register(write(given.pop("path")), "t/a", "1", **given)
    blobs = set(ledger.blobs)
    changed = {"path": "data", **given, **change}
    with pytest.raises(ConflictError, match=f"registered already with another {what}"):
        ledger.register(write(changed.pop("path")), "t/a", "1", **changed)
    assert ledger.log.size() == 2
    assert set(ledger.blobs) == blobs
    assert ledger.fsck().clean


def test_a_new_version_of_the_same_bytes_is_another_entry(ledger: Ledger, write: Write) -> None:
    folder = write("data", a="1")
    first = ledger.register(folder, "t/a", "1", anchor=False)
    second = ledger.register(folder, "t/a", "2", parents=["t/a@1"], anchor=False)
    assert (second.index, second.digest) == (1, first.digest)
    assert ledger.dataset("t/a").version == "2"
    assert [row.version for row in ledger.versions("t/a")] == ["1", "2"]


# ---- what is refused writes nothing --------------------------------------------------------------------------------

REFUSALS: list[tuple[dict[str, Any], type[ProvenanceError]]] = [
    ({"name": "T/a"}, MalformedError),
    ({"name": "../../etc"}, MalformedError),
    ({"version": "1/2"}, MalformedError),
    ({"license": "MIT\x1b"}, MalformedError),
    ({"license": "M" * 300}, LimitError),
    ({"origin": "https://user:hunter2@x.org"}, MalformedError),
    ({"origin": "https://x.org?token=hunter2"}, MalformedError),
    ({"origin": "https://x.org/" + "a" * 3_000}, LimitError),
    ({"sensitivity": "secret"}, MalformedError),
    ({"kind": "table"}, MalformedError),
    ({"parents": ["t/missing"]}, NotFoundError),
    ({"parents": ["t/a@1@2"]}, MalformedError),
    ({"parents": ["0" * 64]}, NotFoundError),
    ({"parents": ["x"] * (MAX_MATERIALS + 1)}, LimitError),
    ({"path": "missing"}, SourceError),
    ({"path": "empty"}, SourceError),
    ({"path": "link"}, SourceError),
    ({"key": "nobody"}, SignerError),
    ({"key": "../log"}, MalformedError),
    ({"key": "revoked"}, PolicyError),
    ({"key": "confined"}, PolicyError),
]


@pytest.mark.parametrize(("change", "error"), REFUSALS)
def test_what_is_refused_writes_nothing(
    ledger: Ledger, write: Write, change: dict[str, Any], error: type[ProvenanceError]
) -> None:
    ledger.keyring.new("revoked", algorithm="ed25519")
    ledger.keyring.revoke("revoked")
    ledger.keyring.new("confined", namespaces=("elsewhere",))
    write("empty").mkdir()
    write("link", a="1").joinpath("l").symlink_to("a")
    write("data", a="1")
    before = _files_written(ledger)
    given = {"path": "data", "name": "t/a", "version": "1", "key": "someone", **change}
    place = write(given.pop("path"))
    with Ledger.open(ledger.layout.directory) as opened:
        with pytest.raises(error) as raised:
            opened.register(place, **given)
        assert raised.type is error
        assert "hunter2" not in f"{raised.value!r}{raised.value}"
        assert _files_written(opened) == before


def test_the_description_is_judged_before_a_byte_is_read(
    ledger: Ledger, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*_: object) -> None:
        raise AssertionError("read")

    monkeypatch.setattr("provenance.ledger.ledger.open_source", read)
    with pytest.raises(NotFoundError):
        ledger.register(write("data", a="1"), "t/a", "1", parents=["t/missing"])


def test_a_dataset_is_not_made_from_itself(ledger: Ledger, write: Write) -> None:
    ledger.register(write("data", a="1"), "t/a", "1", anchor=False)
    with pytest.raises(MalformedError, match="its own parent"):
        ledger.register(write("data"), "t/a", "1", parents=["t/a"])


# ---- parents and sizes ---------------------------------------------------------------------------------------------


def test_parents_are_pinned_by_envelope_and_each_once(ledger: Ledger, write: Write) -> None:
    receipts = [ledger.register(write(f"p{n}", a=str(n)), f"t/p{n}", "1", anchor=False) for n in range(2)]
    parents = ["t/p0", "t/p1@1", "t/p0@1", receipts[1].digest[:12]]
    child = ledger.register(write("data", a="1"), "t/a", "1", parents=parents, anchor=False)
    statement = parse_statement(parse_envelope(ledger.log.entry(child.index).envelope).payload)
    assert [(str(p.name), p.digest.hex, p.envelope.hex) for p in statement.parents] == [
        (r.name, r.digest, r.envelope) for r in receipts
    ]


def test_as_many_parents_as_an_entry_holds_and_a_clear_word_beyond(ledger: Ledger, write: Write) -> None:
    names = [f"t/p{n:03}" for n in range(200)]
    place = write("parents", **{f"{number}": str(number) for number in range(200)})
    for number, name in enumerate(names):
        ledger.register(place / str(number), name, "1", anchor=False)
    most = 0
    for count in (100, 150, 175, 200):
        try:
            ledger.register(write("data", a="1"), f"t/child{count}", "1", parents=names[:count], anchor=False)
            most = count
        except LimitError as error:
            assert "too large for a log entry" in error.message
            assert f"{count} parents" in error.message
            assert error.hint is not None
            assert "fewer parents" in error.hint
            break
    assert most >= 150
    assert max(len(row.envelope) for row in ledger.log.entries(200, 10)) <= MAX_ENTRY_BYTES
    assert ledger.fsck().clean


# ---- submitted envelopes -------------------------------------------------------------------------------------------


def _envelope(text: str = "a", signer: int = 1, **changes: Any) -> bytes:
    return forge.sign(forge.statement(text, **changes), forge.key(signer))


def test_a_submitted_envelope_is_logged_as_it_is_and_once(ledger: Ledger) -> None:
    ledger.keyring.trust_key("stranger", forge.key(1).public, namespaces=("forge",))
    receipt = ledger.submit(_envelope())
    assert ledger.log.entry(receipt.index).envelope == _envelope()
    assert (receipt.created, ledger.submit(_envelope()).created) == (True, False)
    assert ledger.log.size() == 1
    assert ledger.fsck().clean


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: _envelope(signer=2), PolicyError),
        (lambda: _envelope(signer=3), PolicyError),
        (lambda: _envelope(signer=4), PolicyError),
        (lambda: b"", MalformedError),
        (lambda: b"{}", MalformedError),
        (lambda: _envelope()[:-1], MalformedError),
        (lambda: _envelope() + b"\n", MalformedError),
        (lambda: b"x" * (MAX_ENTRY_BYTES + 1), LimitError),
        (lambda: encode_envelope(sign_envelope(b"{}", PAYLOAD_TYPE, forge.key(1))), MalformedError),
        (lambda: encode_envelope(sign_envelope(b"{}", "text/plain", forge.key(1))), MalformedError),
        (lambda: _envelope(origin="https://x.org?sig=hunter2"), MalformedError),
        (lambda: _envelope("b", parents=[forge.pin(forge.statement("a"), b"x")]), NotFoundError),
    ],
)
def test_what_is_submitted_and_refused_writes_nothing(
    ledger: Ledger, make: Callable[[], bytes], error: type[ProvenanceError]
) -> None:
    ledger.keyring.trust_key("stranger", forge.key(1).public)
    ledger.keyring.trust_key("revoked", forge.key(2).public, revoked=True)
    ledger.keyring.trust_key("confined", forge.key(3).public, namespaces=("elsewhere",))
    before = _files_written(ledger)
    with Ledger.open(ledger.layout.directory) as opened:
        with pytest.raises(error) as raised:
            opened.submit(make())
        assert raised.type is error
        assert _files_written(opened) == before


def test_a_submitted_envelope_must_pin_its_parents_exactly(ledger: Ledger) -> None:
    ledger.keyring.trust_key("stranger", forge.key(1).public)
    parent = forge.statement("a")
    ledger.submit(_envelope())
    pin = forge.pin(parent, _envelope())
    for wrong in (
        type(pin)(pin.name, Digest.of(b"x"), pin.envelope),
        type(pin)(pin.name, pin.digest, Digest.of(b"x")),
    ):
        with pytest.raises(PolicyError):
            ledger.submit(_envelope("b", parents=[wrong]))
    assert ledger.submit(_envelope("b", parents=[pin])).index == 1


def test_a_forged_signature_is_not_logged(ledger: Ledger) -> None:
    ledger.keyring.trust_key("stranger", forge.key(1).public)
    genuine, other = parse_envelope(_envelope("a")), parse_envelope(_envelope("b"))
    forged = encode_envelope(type(genuine)(genuine.payload, genuine.payload_type, other.signatures))
    with pytest.raises(ProvenanceError, match="signature does not verify"):
        ledger.submit(forged)
    assert ledger.log.size() == 0


# ---- keys ----------------------------------------------------------------------------------------------------------


def test_a_key_this_ledger_does_not_trust_may_sign_and_the_receipt_says_so(ledger: Ledger, write: Write) -> None:
    ledger.keyring.new("loner", algorithm="ed25519", trust=False)
    receipt = ledger.register(write("data", a="1"), "t/a", "1", key="loner", anchor=False)
    assert any("does not trust" in note for note in receipt.notes)
    assert not ledger.verify("t/a").sound


def test_without_a_name_the_only_key_signs(ledger: Ledger, write: Write) -> None:
    ledger.register(write("data", a="1"), "t/a", "1", anchor=False)
    ledger.keyring.new("second")
    with pytest.raises(SignerError, match="cannot choose"):
        ledger.register(write("data"), "t/a", "2")


# ---- a chain that fails --------------------------------------------------------------------------------------------


def test_a_failing_chain_fails_no_registration(tmp_path: Path, write: Write) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with Ledger.init(tmp_path / "l", chain=f"http://127.0.0.1:{port}") as ledger:
        ledger.keyring.new("someone", algorithm="ed25519")
        receipt = ledger.register(write("data", a="1"), "t/a", "1")
        assert (receipt.created, receipt.anchor) == (True, None)
        assert receipt.anchor_problem
        again = ledger.register(write("data"), "t/a", "1")
        assert (again.created, again.index, bool(again.anchor_problem)) == (False, 0, True)
        report = ledger.verify("t/a")
        assert report.sound
        assert json.dumps(receipt.to_json())
        with pytest.raises(ProvenanceError):
            ledger.anchor()
        assert ledger.fsck().clean


# ---- damage in the way ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE tiles SET data = zeroblob(length(data))",
        "UPDATE checkpoint SET root = zeroblob(32)",
        "DELETE FROM segments WHERE first = 2",
        "DELETE FROM checkpoint",
        "DELETE FROM tiles",
    ],
)
def test_nothing_is_signed_on_top_of_damage(ledger: Ledger, write: Write, damage: str) -> None:
    for number in range(3):
        ledger.register(write("data", **{f"{number}": "x"}) / str(number), f"t/a{number}", "1", anchor=False)
    ledger.close()
    with closing(sqlite3.connect(ledger.layout.database)) as database:
        database.execute("PRAGMA foreign_keys = OFF")
        database.execute(damage)
        database.commit()
    with Ledger.open(ledger.layout.directory) as opened:
        with pytest.raises(StoreError) as raised:
            opened.register(write("data", z="x") / "z", "t/z", "1", anchor=False)
        assert raised.value.hint is not None
        assert "fsck" in raised.value.hint
        assert opened.log.size() <= 3


# ---- across a tile's edge ------------------------------------------------------------------------------------------


def test_proofs_hold_across_the_edge_of_a_tile(ledger: Ledger, write: Write) -> None:
    """Every receipt's proof, as it was handed out at sizes 1 to 300, against a root written from RFC 9162."""
    for number in range(300):
        write("data", **{f"{number}": str(number)})
    receipts = [
        ledger.register(write("data") / str(number), f"t/n{number}", "1", anchor=False) for number in range(300)
    ]
    leaves = [entry_leaf(row.envelope) for row in ledger.log.entries(0, 300)]
    verifier = parse_vkey(ledger.keyring.vkey)
    for receipt in receipts:
        checkpoint = verify_proof(parse_proof(receipt.proof), leaves[receipt.index], verifier).checkpoint
        assert (checkpoint.size, checkpoint.root) == (receipt.index + 1, root_of(leaves[: checkpoint.size]))
    sizes = (1, 2, 255, 256, 257, 299, 300)
    for size1 in sizes:
        for size2 in sizes:
            if size1 <= size2:
                found1, root1, found2, root2, hashes = ledger.log.consistency(size1, size2)
                assert (found1, found2) == (size1, size2)
                assert (root1, root2) == (root_of(leaves[:size1]), root_of(leaves[:size2]))
                verify_consistency(size1, size2, root1, root2, hashes)
    for index in (0, 127, 254, 255, 256, 257, 299):
        proof = parse_proof(ledger.log.inclusion(index))
        assert verify_proof(proof, leaves[index], verifier).checkpoint.size == 300
        assert ledger.verify(f"t/n{index}").sound
    for wrong in (-1, 300, 2**63, 2**70):
        with pytest.raises(MalformedError):
            ledger.log.inclusion(wrong)
    for size in (0, 301, -1):
        with pytest.raises(MalformedError):
            ledger.log.consistency(size)
    assert ledger.fsck(independent=True).clean


# ---- many processes ------------------------------------------------------------------------------------------------

PROCESSES, EACH = 8, 20
WRITER = """
import json, sys
from pathlib import Path
from provenance.ledger import Ledger
ledger, data, own, each = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
with Ledger.open(ledger) as opened:
    for number in range(each):
        mine = opened.register(data / f"{own}-{number}", f"p{own}/n{number}", "1", anchor=False)
        all_s = opened.register(data / f"s-{number}", f"shared/n{number}", "1", anchor=False)
        print(json.dumps([mine.to_json(), all_s.to_json()]), flush=True)
"""


def test_many_processes_register_at_once(ledger: Ledger, write: Write) -> None:
    """Each registers its own datasets and, in a race with all others, the shared ones."""
    names = [f"{who}-{number}" for who in [*range(PROCESSES), "s"] for number in range(EACH)]
    data = write("data", **{name: name for name in names})
    running = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(ledger.layout.directory), str(data), str(own), str(EACH)],
            stdout=subprocess.PIPE,
            cwd=PROJECT,
        )
        for own in range(PROCESSES)
    ]
    receipts = []
    for process in running:
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 0
        receipts += [receipt for line in output.splitlines() for receipt in json.loads(line)]
    assert ledger.log.size() == PROCESSES * EACH + EACH
    created = [receipt["index"] for receipt in receipts if receipt["created"]]
    assert sorted(created) == list(range(ledger.log.size()))
    places: dict[str, set[int]] = {}
    for receipt in receipts:
        places.setdefault(receipt["name"], set()).add(receipt["index"])
    assert all(len(indexes) == 1 for indexes in places.values())
    report = ledger.fsck(independent=True)
    assert report.clean, report.findings
    verifier = parse_vkey(ledger.keyring.vkey)
    for receipt in receipts:
        leaf = entry_leaf(ledger.log.entry(receipt["index"]).envelope)
        checkpoint = verify_proof(parse_proof(receipt["proof"].encode()), leaf, verifier).checkpoint
        size1, root1, size2, root2, hashes = ledger.log.consistency(checkpoint.size)
        assert root1 == checkpoint.root
        verify_consistency(size1, size2, root1, root2, hashes)


# ---- the index -----------------------------------------------------------------------------------------------------


def _index_of(folder: Path) -> list[list[tuple[Any, ...]]]:
    with closing(sqlite3.connect(folder / ".provenance" / "ledger.db")) as database:
        tables = ("datasets", "parents", "files", "index_state", "locations")
        return [sorted(database.execute(f"SELECT * FROM {table}"), key=repr) for table in tables]


def test_a_lost_index_is_rebuilt_when_the_ledger_is_opened(copy: Path) -> None:
    before = _index_of(copy)
    with closing(sqlite3.connect(copy / ".provenance" / "ledger.db")) as database:
        for table in ("files", "parents", "datasets"):
            database.execute(f"DELETE FROM {table}")
        database.execute("UPDATE index_state SET size = 0")
        database.commit()
    Ledger.open(copy).close()
    assert _index_of(copy) == before


@pytest.mark.parametrize(
    "damage", ["DELETE FROM parents", "DELETE FROM files", "UPDATE datasets SET name = name || 'x'"]
)
def test_a_damaged_index_can_be_rebuilt(copy: Path, damage: str) -> None:
    before = _index_of(copy)
    with closing(sqlite3.connect(copy / ".provenance" / "ledger.db")) as database:
        database.execute(damage)
        database.commit()
    with Ledger.open(copy) as ledger:
        assert not ledger.fsck().clean
        ledger.rebuild_index()
        assert ledger.fsck().clean
    assert _index_of(copy) == before


def test_what_is_not_in_the_log_is_not_in_the_index_after_a_rebuild(copy: Path) -> None:
    with Ledger.open(copy) as ledger:
        ledger.blobs.remove(ledger.datasets()[0].manifest or Digest.of(b""))
        ledger.rebuild_index()  # a manifest that was erased lists no files any more, and that stops nothing
        assert ledger.fsck().clean
        with pytest.raises(NotFoundError):
            ledger.verify_digest(Digest.of(b"1"))


def test_a_receipt_is_json_with_its_proof(ledger: Ledger, write: Write) -> None:
    receipt: Receipt = ledger.register(write("data", a="1"), "t/a", "1", anchor=False)
    value = json.loads(json.dumps(receipt.to_json()))
    assert value["proof"].startswith("c2sp.org/tlog-proof@v1\nindex 0\n")
    assert (value["created"], value["anchor"], value["anchorProblem"]) == (True, None, None)
    assert any("Ed25519" in note for note in value["notes"])
    assert encode_statement(parse_statement(parse_envelope(ledger.log.entry(0).envelope).payload))
