"""A checkpoint that a log and a witness signed with both types, written once: it verifies for ever.

The seeds were SHA-256 of b"log ed25519", b"log ml-dsa-44", b"witness ed25519" and b"witness ml-dsa-44".
"""

from __future__ import annotations

import base64
from hashlib import sha256
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey

from provenance.log import LogKey, NoteVerifier, WitnessKey, encode_vkey, open_counted, parse_vkey

FOLDER = Path(__file__).parent / "ml_dsa"
ORIGIN, WITNESS, TIME_S = "vector.example/log", "vector.example/witness", 1_679_315_147


def _vkeys(name: str) -> list[NoteVerifier]:
    return [parse_vkey(line) for line in (FOLDER / name).read_text("utf-8").splitlines()]


def test_it_opens_with_all_its_keys() -> None:
    logs = [LogKey(verifier) for verifier in _vkeys("log.vkeys")]
    witnesses = [WitnessKey(verifier) for verifier in _vkeys("witness.vkeys")]
    opened = open_counted((FOLDER / "checkpoint.txt").read_bytes(), logs, witnesses)
    assert (opened.checkpoint.origin, opened.checkpoint.size) == (ORIGIN, 5)
    assert opened.witnesses == (WITNESS,)


def test_it_verifies_with_the_specifications_bytes_and_a_library_alone() -> None:
    text, _, block = (FOLDER / "checkpoint.txt").read_bytes().partition(b"\n\n")
    text += b"\n"
    origin, size, root = text.decode().splitlines()
    tail = bytes([len(origin)]) + origin.encode() + bytes(8) + int(size).to_bytes(8, "big") + base64.b64decode(root)
    keys = [line.split("+", 2) for name in ("log", "witness") for line in _lines(f"{name}.vkeys")]
    lines = block.decode().splitlines()
    assert len(lines) == len(keys) == 4
    for line, (name, shown_id, encoded) in zip(lines, keys, strict=True):
        material, blob = base64.b64decode(encoded), base64.b64decode(line.split(" ")[2])
        assert line.split(" ")[:2] == ["\N{EM DASH}", name]
        assert blob[:4].hex() == shown_id == sha256(name.encode() + b"\n" + material).hexdigest()[:8]
        stated = blob[4:12]
        if material[0] == 0x01:
            Ed25519PublicKey.from_public_bytes(material[1:]).verify(blob[4:], text)
        elif material[0] == 0x04:
            message = b"cosignature/v1\ntime %d\n" % TIME_S + text
            Ed25519PublicKey.from_public_bytes(material[1:]).verify(blob[12:], message)
            assert int.from_bytes(stated, "big") == TIME_S
        else:
            message = b"subtree/v1\n\0" + bytes([len(name)]) + name.encode() + stated + tail
            MLDSA44PublicKey.from_public_bytes(material[1:]).verify(blob[12:], message)
            assert int.from_bytes(stated, "big") == (0 if name == ORIGIN else TIME_S)


def test_the_keys_are_those_of_their_seeds() -> None:
    for name, word in (("log", b"log ml-dsa-44"), ("witness", b"witness ml-dsa-44")):
        public = MLDSA44PrivateKey.from_seed_bytes(sha256(word).digest()).public_key().public_bytes_raw()
        assert _vkeys(f"{name}.vkeys")[1].public_key == public
        assert encode_vkey(_vkeys(f"{name}.vkeys")[1]) == _lines(f"{name}.vkeys")[1]


def _lines(name: str) -> list[str]:
    return (FOLDER / name).read_text("utf-8").splitlines()
