"""Key ids, verifier keys, checkpoints and cosignatures against bytes made here with SHA-256 and Ed25519 alone.

The functions between the two rules use nothing of this project: they follow the text of c2sp.org/signed-note,
tlog-checkpoint and tlog-cosignature. Ed25519 signatures are deterministic, so that whole notes must be equal.
"""

from __future__ import annotations

import hashlib
import random
from base64 import b64encode

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from provenance.errors import ProvenanceError, VerificationError
from provenance.log import (
    Checkpoint,
    Cosigner,
    NoteSigner,
    add_signatures,
    encode_vkey,
    open_cosigned,
    open_note,
    parse_note,
    parse_vkey,
    sign_checkpoint,
    verify_cosignature,
)
from provenance.log.note import encode_signature_line

SEED = 4
NAMES = ("a", "example.com/behind-the-sofa", "журнал.example/ä", "log.example/" + "n" * 300)
TIMES = (0, 1, 1_679_315_147, 2**32, 2**63 - 1)

# ------------------------------------------------------------------------------------------------------------ by hand


def _key_id(name: str, kind: int, public: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + bytes([kind]) + public).digest()[:4]


def _vkey(name: str, kind: int, public: bytes) -> str:
    return name + "+" + _key_id(name, kind, public).hex() + "+" + b64encode(bytes([kind]) + public).decode()


def _line(name: str, key_id: bytes, signature: bytes) -> bytes:
    return b"\xe2\x80\x94 " + name.encode() + b" " + b64encode(key_id + signature) + b"\n"


def _text(origin: str, size: int, root: bytes) -> bytes:
    return origin.encode() + b"\n" + str(size).encode() + b"\n" + b64encode(root) + b"\n"


def _cosigned(time_s: int, text: bytes) -> bytes:
    return b"cosignature/v1\ntime " + str(time_s).encode() + b"\n" + text


def _public(seed: bytes) -> bytes:
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


def _sign(seed: bytes, message: bytes) -> bytes:
    return Ed25519PrivateKey.from_private_bytes(seed).sign(message)


# --------------------------------------------------------------------------------------------------------------- ours


def test_key_ids_and_verifier_keys() -> None:
    chance = random.Random(SEED)
    for name in NAMES:
        seed = chance.randbytes(32)
        for kind, verifier in ((1, NoteSigner(name, seed).verifier), (4, Cosigner(name, seed).verifier)):
            assert verifier.key_id == _key_id(name, kind, _public(seed))
            vkey = _vkey(name, kind, _public(seed))
            assert encode_vkey(verifier) == vkey
            assert parse_vkey(vkey) == verifier
        # One key under two types, and under two names, has other ids.
        ids = {_key_id(one, kind, _public(seed)) for one in (name, name + "x") for kind in (1, 4)}
        assert len(ids) == 4


def test_checkpoints() -> None:
    chance = random.Random(SEED)
    for name in NAMES:
        seed = chance.randbytes(32)
        for size in (1, 9, 10, 20_852_163, 2**64 - 1):
            root = chance.randbytes(32)
            text = _text(name, size, root)
            expected = text + b"\n" + _line(name, _key_id(name, 1, _public(seed)), _sign(seed, text))
            assert sign_checkpoint(Checkpoint(name, size, root), NoteSigner(name, seed)) == expected
            assert open_note(expected, [parse_vkey(_vkey(name, 1, _public(seed)))]).text == text


def test_the_empty_tree() -> None:
    """Its root is the SHA-256 of nothing."""
    seed, text = bytes(32), b"a\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"
    expected = text + b"\n" + _line("a", _key_id("a", 1, _public(seed)), _sign(seed, text))
    assert sign_checkpoint(Checkpoint("a", 0, hashlib.sha256().digest()), NoteSigner("a", seed)) == expected


@pytest.mark.parametrize("time_s", TIMES)
def test_cosignatures(time_s: int) -> None:
    chance = random.Random(SEED)
    for name in NAMES:
        log_seed, seed, root = chance.randbytes(32), chance.randbytes(32), chance.randbytes(32)
        text = _text("log.example/x", 70_000, root)
        signature = time_s.to_bytes(8, "big") + _sign(seed, _cosigned(time_s, text))
        line = _line(name, _key_id(name, 4, _public(seed)), signature)
        head = Checkpoint("log.example/x", 70_000, root)
        assert encode_signature_line(Cosigner(name, seed).cosign(head, time_s)) == line
        log = NoteSigner("log.example/x", log_seed)
        note = sign_checkpoint(head, log) + line
        assert add_signatures(sign_checkpoint(head, log), [Cosigner(name, seed).cosign(head, time_s)]) == note
        witness = parse_vkey(_vkey(name, 4, _public(seed)))
        found = open_cosigned(note, log.verifier, [witness])
        assert [(one.witness, one.time_s) for one in found.cosignatures] == [(witness, time_s)]


def test_cosignatures_that_were_made_otherwise() -> None:
    """Of another time, without the header, over less or more than the text: each is what somebody could get wrong."""
    seed, time_s = b"\x01" * 32, 1_679_315_147
    head = Checkpoint("log.example/x", 7, bytes(32))
    text, stamp = _text(head.origin, head.size, head.root), time_s.to_bytes(8, "big")
    witness = parse_vkey(_vkey("w", 4, _public(seed)))

    def judged(signature: bytes, *, kind: int = 4) -> None:
        note = text + b"\n" + _line("w", _key_id("w", kind, _public(seed)), signature)
        verify_cosignature(head, parse_note(note).signatures[0], witness)

    judged(stamp + _sign(seed, _cosigned(time_s, text)))
    good = _sign(seed, _cosigned(time_s, text))
    for wrong in (
        (time_s + 1).to_bytes(8, "big") + good,
        time_s.to_bytes(8, "little") + good,
        time_s.to_bytes(4, "big") + good,
        good,
        good + stamp,
        stamp + good + b"\0",
        stamp + good[:-1],
        stamp + _sign(seed, text),
        stamp + _sign(seed, _cosigned(time_s, text[:-1])),
        stamp + _sign(seed, _cosigned(time_s, text + b"\n")),
        stamp + _sign(seed, _cosigned(time_s, text).replace(b"v1", b"v2")),
        stamp + _sign(seed, _cosigned(time_s, text).replace(b"time 1", b"time 01")),
        (2**63).to_bytes(8, "big") + _sign(seed, _cosigned(2**63, text)),
    ):
        with pytest.raises(VerificationError):
            judged(wrong)
    with pytest.raises(VerificationError):
        judged(stamp + good, kind=1)


def test_a_signature_of_one_type_is_none_of_the_other() -> None:
    seed, head = b"\x01" * 32, Checkpoint("x", 7, bytes(32))
    text, stamp = _text("x", 7, bytes(32)), (9).to_bytes(8, "big")
    log, witness = parse_vkey(_vkey("x", 1, _public(seed))), parse_vkey(_vkey("x", 4, _public(seed)))
    for verifier, signature in ((log, stamp + _sign(seed, _cosigned(9, text))), (witness, _sign(seed, text))):
        note = text + b"\n" + _line("x", verifier.key_id, signature)
        with pytest.raises(ProvenanceError):
            open_note(note, [verifier])
    assert sign_checkpoint(head, NoteSigner("x", seed)) == text + b"\n" + _line("x", log.key_id, _sign(seed, text))
