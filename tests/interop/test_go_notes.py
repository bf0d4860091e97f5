"""Keys, notes and checkpoints: golang.org/x/mod/sumdb/note and this project, in both directions.

Where the two differ it is Go that takes more: base64 with unused bits that are not zero, key ids in capitals, and what
follows a key's first signature.
"""

from __future__ import annotations

import random
from base64 import b64decode
from dataclasses import replace
from pathlib import Path

import pytest

from provenance.errors import ProvenanceError
from provenance.log import (
    Checkpoint,
    Cosigner,
    NoteSigner,
    add_signatures,
    encode_checkpoint,
    encode_vkey,
    open_checkpoint,
    open_note,
    parse_checkpoint,
    parse_vkey,
    sign_checkpoint,
    sign_note,
)
from provenance.log.note import encode_signature_line
from provenance.merkle import EMPTY_ROOT
from provenance.signers.note import load_note_key, new_note_key
from tests.interop.peer import Peer, Refused

SEED = 64
ORIGINS = ("go.example/log", "a", "журнал.example/ä", "例え.example/log/2026", "log.example/" + "n" * 200)
SUM_TREE = "go.sum database tree"


def _checkpoints() -> list[tuple[NoteSigner, Checkpoint]]:
    chance = random.Random(SEED)
    found = []
    for origin in ORIGINS:
        signer = NoteSigner(origin, chance.randbytes(32))
        found.append((signer, Checkpoint(origin, 0, EMPTY_ROOT)))
        for size in (1, 70_000, 2**63 - 1, 2**64 - 1):
            found.append((signer, Checkpoint(origin, size, chance.randbytes(32))))
    return found


def test_go_opens_our_checkpoints(go: Peer) -> None:
    for signer, checkpoint in _checkpoints():
        vkey = encode_vkey(signer.verifier)
        assert go.ask("read-key", vkey=vkey) == {"name": signer.name, "id": signer.verifier.key_id.hex()}
        opened = go.ask("open", note=sign_checkpoint(checkpoint, signer), vkeys=[vkey])
        assert opened["text"].encode() == encode_checkpoint(checkpoint)
        assert opened["verified"] == [{"name": signer.name, "id": signer.verifier.key_id.hex()}]
        assert opened["unverified"] == []


def test_go_has_the_same_key_of_a_seed(go: Peer) -> None:
    chance = random.Random(SEED)
    for origin in ORIGINS:
        seed = chance.randbytes(32)
        signer = NoteSigner(origin, seed)
        assert go.ask("new-key", name=origin, seed=seed)["vkey"] == encode_vkey(signer.verifier)


def test_go_signs_with_our_key_file_and_we_with_its_own(go: Peer, tmp_path: Path) -> None:
    """The file of a log's key is Go's form of a signer key, both ways; so are the signatures: Ed25519 has one."""
    text = encode_checkpoint(Checkpoint("keys.example/log", 7, bytes(range(32)))).decode()
    ours = new_note_key(tmp_path / "ours.key", "keys.example/log")
    assert isinstance(ours, NoteSigner)
    skey = (tmp_path / "ours.key").read_text("utf-8").removesuffix("\n")
    assert b64decode(go.ask("sign", skey=skey, text=text)) == sign_note(text.encode(), [ours])
    made = go.ask("new-key", name="keys.example/log")
    file = tmp_path / "theirs.key"
    file.touch(0o600)
    file.write_text(made["skey"] + "\n", "utf-8")
    theirs = load_note_key(file)
    assert isinstance(theirs, NoteSigner)
    assert encode_vkey(theirs.verifier) == made["vkey"]
    assert b64decode(go.ask("sign", skey=made["skey"], text=text)) == sign_note(text.encode(), [theirs])


def test_we_open_the_checkpoints_of_go(go: Peer) -> None:
    chance = random.Random(SEED)
    for origin in ORIGINS:
        key = go.ask("new-key", name=origin)
        verifier = parse_vkey(key["vkey"])
        assert encode_vkey(verifier) == key["vkey"]
        for size in (1, 70_000, 2**63 - 1):
            root = chance.randbytes(32)
            text = go.ask("format-tree", origin=origin, size=size, root=root)
            note = b64decode(go.ask("sign", skey=key["skey"], text=text))
            assert open_checkpoint(note, verifier) == Checkpoint(origin, size, root)


def _single_changes(data: bytes, chance: random.Random) -> list[bytes]:
    """The bytes with each of them changed in turn: its lowest bit, its highest, and to any other."""
    return [
        data[:at] + bytes([data[at] ^ change]) + data[at + 1 :]
        for at in range(len(data))
        for change in (0x01, 0x80, chance.randrange(1, 256))
    ]


def _reads_the_same(one: bytes, other: bytes) -> bool:
    """Whether two notes differ in bits of a signature's base64 that mean nothing."""
    text, _, line = one.rpartition(b" ")
    other_text, _, other_line = other.rpartition(b" ")
    if text != other_text or not line.endswith(b"=\n") or not other_line.endswith(b"=\n"):
        return False
    try:
        return b64decode(line, validate=False) == b64decode(other_line[:-1], validate=True)
    except ValueError:
        return False


def test_neither_opens_a_note_with_one_byte_changed(go: Peer) -> None:
    chance = random.Random(SEED)
    signer = NoteSigner("go.example/log", chance.randbytes(32))
    key = go.ask("new-key", name="go.example/log")
    theirs = b64decode(go.ask("sign", skey=key["skey"], text="go.example/log\n5\n" + "A" * 43 + "=\n"))
    ours = sign_checkpoint(Checkpoint(signer.name, 70_000, chance.randbytes(32)), signer)
    for note, vkey in ((ours, encode_vkey(signer.verifier)), (theirs, key["vkey"])):
        assert go.accepts("open", note=note, vkeys=[vkey])
        open_note(note, [parse_vkey(vkey)])
        taken = [bad for bad in _single_changes(note, chance) if go.accepts("open", note=bad, vkeys=[vkey])]
        assert all(_reads_the_same(note, bad) for bad in taken)
        for bad in (*_single_changes(note, chance), *taken):
            with pytest.raises(ProvenanceError):
                open_note(bad, [parse_vkey(vkey)])


def test_unused_bits_of_base64_are_taken_by_go_alone(go: Peer) -> None:
    """68 bytes leave two bits of the last character unused: four texts of one signature. Ours has one."""
    signer = NoteSigner("go.example/log", bytes(32))
    vkey = encode_vkey(signer.verifier)
    note = sign_checkpoint(Checkpoint(signer.name, 0, EMPTY_ROOT), signer)
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    assert note.endswith(b"=\n")
    last = alphabet.index(note[-3])
    for unused in range(1, 4):
        bad = note[:-3] + alphabet[last + unused : last + unused + 1] + b"=\n"
        assert go.accepts("open", note=bad, vkeys=[vkey])
        with pytest.raises(ProvenanceError):
            open_note(bad, [signer.verifier])


def test_neither_reads_a_verifier_key_with_one_character_changed(go: Peer) -> None:
    chance = random.Random(SEED)
    vkey = encode_vkey(NoteSigner("go.example/log", chance.randbytes(32)).verifier)
    for at, was in enumerate(vkey):
        for now in ("A", "a", "0", "+", " ", "~", "ä", chr(ord(was) ^ 1)):
            bad = vkey[:at] + now + vkey[at + 1 :]
            if now == was:
                continue
            with pytest.raises(ProvenanceError):
                parse_vkey(bad)
            assert not go.accepts("read-key", vkey=bad) or bad.lower() == vkey.lower(), bad
    upper = vkey.replace(vkey.split("+")[1], vkey.split("+")[1].upper())
    assert go.accepts("read-key", vkey=upper)
    with pytest.raises(ProvenanceError):
        parse_vkey(upper)


def test_go_ignores_signatures_that_it_does_not_know_as_we_do(go: Peer) -> None:
    """A checkpoint with our cosignature, and with another log's signature: the known key counts, the rest does not."""
    log, other = NoteSigner("go.example/log", bytes(32)), NoteSigner("other.example/log", b"\x01" * 32)
    cosigner = Cosigner("witness.example/w1", b"\x02" * 32)
    head = Checkpoint(log.name, 0, EMPTY_ROOT)
    line = cosigner.cosign(head, 1_700_000_000)
    note = add_signatures(sign_checkpoint(head, log), [line, other.sign(encode_checkpoint(head))])
    opened = go.ask("open", note=note, vkeys=[encode_vkey(log.verifier)])
    assert [one["name"] for one in opened["verified"]] == [log.name]
    assert [one["name"] for one in opened["unverified"]] == [cosigner.name, other.name]
    assert opened["unverified"][0]["id"] == cosigner.verifier.key_id.hex()
    for stranger in (NoteSigner(log.name, b"\x03" * 32), NoteSigner("go.example/logs", bytes(32))):
        with pytest.raises(Refused, match="no verifiable signatures"):
            go.ask("open", note=note, vkeys=[encode_vkey(stranger.verifier)])
        with pytest.raises(ProvenanceError, match="not signed by a known key"):
            open_note(note, [stranger.verifier])


def test_two_lines_of_one_key(go: Peer) -> None:
    """Go judges the first of a key's lines alone; we judge each, and refuse the note for either."""
    signer = NoteSigner("go.example/log", bytes(32))
    vkey, other = encode_vkey(signer.verifier), NoteSigner("go.example/log", b"\x01" * 32)
    good = sign_note(b"a\n", [signer])[3:]
    bad = encode_signature_line(replace(other.sign(b"a\n"), key_id=signer.verifier.key_id))
    assert go.accepts("open", note=b"a\n\n" + good + bad, vkeys=[vkey])
    assert not go.accepts("open", note=b"a\n\n" + bad + good, vkeys=[vkey])
    for lines in (good + bad, bad + good):
        with pytest.raises(ProvenanceError, match="does not verify"):
            open_note(b"a\n\n" + lines, [signer.verifier])


def test_trees_of_the_checksum_database(go: Peer) -> None:
    """`tlog.ParseTree` and `tlog.FormatTree` have a fixed first line; to us it is an origin."""
    chance = random.Random(SEED)
    for size in (1, 20_852_163, 2**63 - 1):
        head = Checkpoint(SUM_TREE, size, chance.randbytes(32))
        text = encode_checkpoint(head).decode()
        assert go.ask("format-tree", size=size, root=head.root) == text
        parsed = go.ask("parse-tree", text=text)
        assert (parsed["size"], b64decode(parsed["root"])) == (size, head.root)
        assert parse_checkpoint(text.encode()) == head
    good = encode_checkpoint(Checkpoint(SUM_TREE, 5, bytes(32))).decode()
    bad_sizes = [good.replace("\n5\n", f"\n{size}\n") for size in ("05", "-5", "+5", "", "5 ", "٥", "0x5", "5.0")]
    for bad in (*bad_sizes, good.replace("=", ""), good[:-2], "", SUM_TREE + "\n", good.replace("AA", "A", 1)):
        assert not go.accepts("parse-tree", text=bad), bad
        with pytest.raises(ProvenanceError):
            parse_checkpoint(bad.encode())


def test_notes_that_are_none(go: Peer) -> None:
    """What the format forbids, both refuse."""
    signer = NoteSigner("go.example/log", bytes(32))
    vkey = encode_vkey(signer.verifier)
    note = sign_note(b"a\n", [signer])
    line = note[3:]
    for bad in (
        b"",
        b"\n",
        b"a\n",
        line,
        note[:-1],
        note + b"\n",
        note + b"x",
        b"a\r\n\n" + line,
        b"\x00" + note,
        b"\xff" + note,
        b"a\n" + line,
        b"a\n\n" + line.replace("—".encode(), b"-"),
        b"a\n\n" + line.replace(b" ", b"  "),
        b"a\n\n" + line * 101,
        b"a\n\n" + line + "— go.example/log AAAA\n".encode(),
        b"a\n\n" + "— go.example/log \n".encode() + line,
    ):
        assert not go.accepts("open", note=bad, vkeys=[vkey]), bad
        with pytest.raises(ProvenanceError):
            open_note(bad, [signer.verifier])
    for good in (note, b"a\n\nb\n\n" + sign_note(b"a\n\nb\n", [signer])[6:], b"a\n\n" + line * 100):
        assert go.ask("open", note=good, vkeys=[vkey])["text"].encode() == open_note(good, [signer.verifier]).text
