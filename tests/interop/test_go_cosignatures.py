"""Cosignatures of both types, and a log's ML-DSA-44 signature: this project and Go's crypto/ed25519 and crypto/mldsa.

Go's note package has neither type. The Go program adds them as a `note.Verifier` and a `note.Signer`, so that notes are
opened and signed by the package and signatures are Go's.
"""

from __future__ import annotations

import random
from base64 import b64decode
from pathlib import Path

import pytest

from provenance.errors import ProvenanceError
from provenance.log import (
    Checkpoint,
    Cosigner,
    LogSigner,
    NoteSigner,
    add_signatures,
    encode_vkey,
    open_cosigned,
    open_note,
    parse_vkey,
    sign_checkpoint,
)
from provenance.log.algorithm import ED25519_COSIGNATURE, ML_DSA_44
from tests.interop.peer import Peer, Refused

SEED = 6
TIME_S = 1_700_000_000
HEAD = Checkpoint("go.example/log", 70_000, b"\x07" * 32)
LOG = NoteSigner(HEAD.origin, bytes(32))
LOG_VKEY = encode_vkey(LOG.verifier)
BOTH = LogSigner((LOG, Cosigner(HEAD.origin, b"\x05" * 32, ML_DSA_44)))
KINDS = pytest.mark.parametrize("kind", [ED25519_COSIGNATURE, ML_DSA_44], ids=["Ed25519", "ML-DSA-44"])


def _witness(kind: int) -> Cosigner:
    return Cosigner("witness.example/w1", b"\x02" * 32, kind)


def test_the_package_itself_reads_no_such_key_and_passes_over_such_lines(go: Peer) -> None:
    lines = [_witness(kind).cosign(HEAD, TIME_S) for kind in (ED25519_COSIGNATURE, ML_DSA_44)]
    opened = go.ask("open", note=add_signatures(sign_checkpoint(HEAD, BOTH), lines), vkeys=[LOG_VKEY])
    assert [one["id"] for one in opened["verified"]] == [LOG.verifier.key_id.hex()]
    others = [BOTH.verifiers[1].key_id.hex(), *(line.key_id.hex() for line in lines)]
    assert [one["id"] for one in opened["unverified"]] == others
    for verifier in (BOTH.verifiers[1], *(_witness(kind).verifier for kind in (ED25519_COSIGNATURE, ML_DSA_44))):
        with pytest.raises(Refused, match="unknown verifier algorithm"):
            go.ask("read-key", vkey=encode_vkey(verifier))


@KINDS
def test_go_opens_our_cosigned_checkpoint(go: Peer, kind: int) -> None:
    witness = _witness(kind)
    for time_s in (0, 1, TIME_S, 2**63 - 1):
        for head in (HEAD, Checkpoint(HEAD.origin, 2**63 - 1, bytes(range(32)))):
            note = add_signatures(sign_checkpoint(head, LOG), [witness.cosign(head, time_s)])
            opened = go.ask("open", note=note, vkeys=[LOG_VKEY, encode_vkey(witness.verifier)])
            assert [one["name"] for one in opened["verified"]] == [LOG.name, witness.name]


@KINDS
def test_we_open_the_checkpoint_that_go_cosigned(go: Peer, kind: int) -> None:
    bare, witness = sign_checkpoint(HEAD, LOG), _witness(kind)
    for time_s in (0, 1, TIME_S, 2**63 - 1):
        asked = {"name": witness.name, "kind": kind, "seed": b"\x02" * 32, "time": time_s}
        made = go.ask("cosign", note=bare, vkeys=[LOG_VKEY], **asked)
        assert made["vkey"] == encode_vkey(witness.verifier)  # of the same seed, the same key
        found = open_cosigned(b64decode(made["note"]), LOG.verifier, [parse_vkey(made["vkey"])])
        assert [(one.witness, one.time_s) for one in found.cosignatures] == [(witness.verifier, time_s)]
        if kind == ED25519_COSIGNATURE:  # which has one signature of a message; those of ML-DSA-44 are hedged
            assert b64decode(made["note"]) == add_signatures(bare, [witness.cosign(HEAD, time_s)])


def test_a_log_of_two_keys_both_ways(go: Peer) -> None:
    """Ours to Go; and Go's, whose second line states no time."""
    vkeys = [encode_vkey(verifier) for verifier in BOTH.verifiers]
    opened = go.ask("open", note=sign_checkpoint(HEAD, BOTH), vkeys=vkeys)
    assert [one["id"] for one in opened["verified"]] == [verifier.key_id.hex() for verifier in BOTH.verifiers]
    assert go.ask("open", note=sign_checkpoint(HEAD, BOTH), vkeys=vkeys[1:])["verified"] == opened["verified"][1:]
    bare = sign_checkpoint(HEAD, LOG)
    asked = {"name": HEAD.origin, "kind": ML_DSA_44, "seed": b"\x05" * 32, "time": 0}
    made = go.ask("cosign", note=bare, vkeys=vkeys[:1], **asked)
    assert made["vkey"] == vkeys[1]
    for verifiers in (BOTH.verifiers, BOTH.verifiers[1:]):
        assert len(open_note(b64decode(made["note"]), verifiers).verified) == len(verifiers)


@KINDS
def test_neither_takes_one_with_one_byte_changed(go: Peer, kind: int) -> None:
    chance, witness = random.Random(SEED), _witness(kind)
    vkey = encode_vkey(witness.verifier)
    ours = add_signatures(sign_checkpoint(HEAD, LOG), [witness.cosign(HEAD, TIME_S)])
    asked = {"name": witness.name, "kind": kind, "seed": b"\x02" * 32, "time": TIME_S}
    theirs = b64decode(go.ask("cosign", note=sign_checkpoint(HEAD, LOG), vkeys=[LOG_VKEY], **asked)["note"])
    for note in (ours, theirs):
        assert go.accepts("open", note=note, vkeys=[vkey])
        start = note.rindex("— ".encode())
        # The last characters of base64 are tests/interop/test_go_notes' matter.
        signed = [*range(note.rindex(b"\n\n")), *range(start, len(note) - 4)]
        for at in chance.sample(signed, 150):
            bad = note[:at] + bytes([note[at] ^ chance.randrange(1, 256)]) + note[at + 1 :]
            assert not go.accepts("open", note=bad, vkeys=[vkey]), at
            with pytest.raises(ProvenanceError):
                open_note(bad, [witness.verifier])


def test_names_that_do_not_fit_ml_dsa_44(go: Peer) -> None:
    """A cosigner's name and an origin have 255 bytes at most in the message; at 255 both sides agree."""
    for length in (255, 256):
        origin = "o" * length
        log, head = NoteSigner(origin, bytes(32)), Checkpoint(origin, 7, bytes(32))
        asked = {"name": "w", "kind": ML_DSA_44, "seed": b"\x02" * 32, "time": TIME_S}
        note = sign_checkpoint(head, log)
        if length == 255:
            made = go.ask("cosign", note=note, vkeys=[encode_vkey(log.verifier)], **asked)
            assert (
                len(open_cosigned(b64decode(made["note"]), log.verifier, [parse_vkey(made["vkey"])]).cosignatures) == 1
            )
            continue
        assert not go.accepts("cosign", note=note, vkeys=[encode_vkey(log.verifier)], **asked)
        with pytest.raises(ProvenanceError, match="does not fit"):
            Cosigner("w", b"\x02" * 32, ML_DSA_44).cosign(head, TIME_S)


def test_go_opens_a_public_log_s_checkpoint_with_both_keys_of_a_witness(go: Peer) -> None:
    """As we do in tests/interop/test_public_logs: three implementations agree, the witness's own among them."""
    published = Path(__file__).resolve().parent / "published"
    vkeys = (published / "witnesses.vkeys").read_text("ascii").splitlines()
    opened = go.ask("open", note=(published / "coachandhorses2026h1.note").read_bytes(), vkeys=vkeys)
    assert [one["id"] for one in opened["verified"]] == [vkey.split("+")[1] for vkey in vkeys]
