"""A ledger's log over HTTP, from its server to each of the others: checkpoint, tiles, entries and tlog-proofs.

Go asks for the tiles by its own paths. A tlog-proof is taken apart here by the text of c2sp.org/tlog-proof, since none
of the others reads one.
"""

from __future__ import annotations

from base64 import b64decode
from dataclasses import dataclass
from pathlib import Path

import metamorphic_log
import pytest

from provenance import Ledger
from provenance.errors import ProvenanceError
from provenance.log import NoteVerifier, entry_leaf, parse_proof, parse_vkey, verify_proof
from provenance.merkle import leaf_hash
from tests.e2e.server.process import ServerProcess, running_server
from tests.e2e.server.statements import envelope_of, source_key
from tests.interop.peer import Peer, hashes
from tests.interop.trees import write_files
from tests.interop.trusted import trusted_log

ORIGIN = "served.example/log"
SIZE = 260
PROVEN = (0, 1, 128, 255, 256, SIZE - 1)


@dataclass(frozen=True, slots=True)
class Proof:
    """A tlog-proof, taken apart."""

    index: int
    hashes: list[bytes]
    checkpoint: bytes


@dataclass(frozen=True, slots=True)
class Served:
    """What was fetched of a log. `mirror` holds its tiles at Go's paths for them."""

    verifier: NoteVerifier
    vkey: str
    note: bytes
    entries: list[bytes]
    mirror: Path
    bundles: list[bytes]
    proofs: dict[int, Proof]


def _by_hand(text: str) -> Proof:
    head, _, checkpoint = text.partition("\n\n")
    first, index, *lines = head.split("\n")
    assert first == "c2sp.org/tlog-proof@v1" and index.startswith("index ")
    number = index.removeprefix("index ")
    assert number.isdecimal() and (number == "0" or number[0] != "0"), number
    return Proof(int(number), [b64decode(line) for line in lines], checkpoint.encode())


@pytest.fixture(scope="module")
def served(go: Peer, tmp_path_factory: pytest.TempPathFactory) -> Served:
    place, source = tmp_path_factory.mktemp("served"), source_key(1)
    entries = [envelope_of(source, f"harbour/served@{number}", b"%d" % number) for number in range(SIZE)]
    with Ledger.init(place / "ledger", origin=ORIGIN) as ledger:
        vkey = ledger.keyring.vkey
        ledger.keyring.trust_key("harbour", source.public, namespaces=("harbour",))
        for entry in entries:
            ledger.submit(entry)

    def get(server: ServerProcess, path: str) -> bytes:
        return server.client.get(path).raise_for_status().content

    with running_server(place / "ledger", place / "server.log") as server:
        tiles = {f"/{path}": get(server, f"/{path}") for path in go.ask("tile-paths", size=SIZE)}
        write_files(place / "mirror", tiles)
        bundles = [get(server, "/tile/entries/000"), get(server, f"/tile/entries/001.p/{SIZE - 256}")]
        proofs = {index: _by_hand(server.client.get(f"/v1/entries/{index}").json()["proof"]) for index in PROVEN}
        note = get(server, "/checkpoint")
    return Served(parse_vkey(vkey), vkey, note, entries, place / "mirror", bundles, proofs)


def test_entry_bundles_by_hand(served: Served) -> None:
    """Each entry after its length, two bytes, the most significant first."""
    encoded = [len(entry).to_bytes(2, "big") + entry for entry in served.entries]
    assert served.bundles == [b"".join(encoded[:256]), b"".join(encoded[256:])]


def test_go_derives_the_signed_root_from_the_tiles(go: Peer, served: Served) -> None:
    opened = go.ask("open", note=served.note, vkeys=[served.vkey])
    origin, size, root_line = opened["text"].splitlines()
    assert (origin, size) == (ORIGIN, str(SIZE))
    root = b64decode(root_line)
    assert b64decode(go.ask("read-tiles", tree="served", folder=served.mirror, size=SIZE, root=root)) == root
    found = hashes(go.ask("record-hashes", tree="served", indexes=list(range(SIZE))))
    assert found == [leaf_hash(entry) for entry in served.entries]


def test_all_verify_the_proofs_that_are_served(go: Peer, sigstore: Peer, served: Served) -> None:
    for index, proof in served.proofs.items():
        assert (proof.index, proof.checkpoint) == (index, served.note)
        entry, root = served.entries[index], b64decode(served.note.split(b"\n")[2])
        asked = {"proof": proof.hashes, "size": SIZE, "root": root, "index": index}
        assert go.ask("check-record", **asked, leaf=leaf_hash(entry))
        metamorphic_log.checkpoint_verify_inclusion(
            served.note.decode(), [served.vkey], index, leaf_hash(entry), proof.hashes
        )
        logged = {"log": trusted_log(served.verifier), "note": served.note, "index": index, "hashes": proof.hashes}
        assert sigstore.ask("inclusion", **logged, entry=entry)
        # And one byte of the entry changed, by each.
        bad = bytes([entry[0] ^ 1]) + entry[1:]
        assert not go.accepts("check-record", **asked, leaf=leaf_hash(bad))
        assert not sigstore.accepts("inclusion", **logged, entry=bad)
        with pytest.raises(metamorphic_log.VerifyError):
            metamorphic_log.checkpoint_verify_inclusion(
                served.note.decode(), [served.vkey], index, leaf_hash(bad), proof.hashes
            )


def test_a_proof_of_go_s_parts_is_a_tlog_proof_to_us(go: Peer) -> None:
    """Key, checkpoint, hashes: all Go's; the text around them is made by hand."""
    key = go.ask("new-key", name="go.example/log")
    root = b64decode(go.ask("grow", tree="proven", prefix="entry ", size=SIZE))
    text = go.ask("format-tree", origin="go.example/log", size=SIZE, root=root)
    note = b64decode(go.ask("sign", skey=key["skey"], text=text))
    for index in PROVEN:
        lines = go.ask("prove-record", tree="proven", size=SIZE, index=index)
        made = "\n".join(["c2sp.org/tlog-proof@v1", f"index {index}", *lines, "", ""]).encode() + note
        proof = parse_proof(made)
        assert proof.hashes == tuple(hashes(lines))
        verified = verify_proof(proof, entry_leaf(b"entry %d" % index), parse_vkey(key["vkey"]))
        assert (verified.checkpoint.size, verified.checkpoint.root) == (SIZE, root)
        with pytest.raises(ProvenanceError):
            verify_proof(proof, entry_leaf(b"entry %d" % (index + 1)), parse_vkey(key["vkey"]))
