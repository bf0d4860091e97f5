"""Cosignatures: a public witness's, the signed message word for word, and no confusion with log signatures."""

from __future__ import annotations

import base64
import copy
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from provenance.errors import MalformedError, ProvenanceError, SignerError, VerificationError
from provenance.log import (
    Checkpoint,
    Cosigner,
    NoteSignature,
    NoteSigner,
    NoteVerifier,
    add_signatures,
    encode_checkpoint,
    encode_vkey,
    open_cosigned,
    open_note,
    parse_note,
    parse_vkey,
    sign_checkpoint,
    sign_note,
    verify_cosignature,
)
from provenance.log.algorithm import MAX_TIME_S
from tests.unit.log.test_checkpoint import REAL_CHECKPOINT, REAL_VKEY

LOG = NoteSigner("ledger.example/main", bytes(range(32)))
WITNESS = Cosigner("witness.example/w1", bytes(range(32, 64)))
OTHER = Cosigner("witness.example/w2", bytes(range(64, 96)))
HEAD = Checkpoint("ledger.example/main", 70_000, bytes(range(100, 132)))
TIME_S = 1_679_315_147
DATA = add_signatures(sign_checkpoint(HEAD, LOG), [WITNESS.cosign(HEAD, TIME_S)])


def test_a_checkpoint_that_public_witnesses_cosigned_opens() -> None:
    witnesses = [
        parse_vkey("remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2"),
        parse_vkey("witness.stagemole.eu+67f7aea0+BEqSG3yu9YrmcM3BHvQYTxwFj3uSWakQepafafpUqklv"),
        parse_vkey("witness1.smartit.nu/witness1+a48c820f+BPSFWg9G6KPiO7QPryYO5Xq4oYJJ+kAvLKLSimDhoxMO"),
        parse_vkey("transparency.dev/DEV:witness-little-garden+d8042a87+BCtusOxINQNUTN5Oj8HObRkh2yHf/MwYaGX4CPdiVEPM"),
    ]
    opened = open_cosigned(REAL_CHECKPOINT, parse_vkey(REAL_VKEY), witnesses)
    assert {each.witness for each in opened.cosignatures} == set(witnesses)
    assert {each.time_s for each in opened.cosignatures} == {0x6A122120}


def test_the_signed_message_and_blob_are_the_ones_of_the_specification() -> None:
    message = b"cosignature/v1\ntime 1679315147\n" + encode_checkpoint(HEAD)
    raw = Ed25519PrivateKey.from_private_bytes(bytes(range(32, 64)))
    public = raw.public_key().public_bytes_raw()
    key_id = sha256(b"witness.example/w1\n\x04" + public).digest()[:4]
    blob = key_id + TIME_S.to_bytes(8, "big") + raw.sign(message)
    line = b"\xe2\x80\x94 witness.example/w1 " + base64.b64encode(blob) + b"\n"
    assert sign_checkpoint(HEAD, LOG) + line == DATA
    assert len(blob) == 4 + 8 + 64


def test_opening_gives_the_witness_and_its_time() -> None:
    opened = open_cosigned(DATA, LOG.verifier, [WITNESS.verifier, OTHER.verifier])
    assert opened.checkpoint == HEAD
    assert [(each.witness, each.time_s) for each in opened.cosignatures] == [(WITNESS.verifier, TIME_S)]
    assert open_cosigned(DATA, LOG.verifier, []).cosignatures == ()
    signature = parse_note(DATA).signatures[1]
    assert verify_cosignature(HEAD, signature, WITNESS.verifier).time_s == TIME_S


def test_one_witness_counts_once() -> None:
    again = add_signatures(DATA, [WITNESS.cosign(HEAD, TIME_S + 60), OTHER.cosign(HEAD, TIME_S + 5)])
    opened = open_cosigned(again, LOG.verifier, [WITNESS.verifier, OTHER.verifier, WITNESS.verifier])
    assert [(each.witness.name, each.time_s) for each in opened.cosignatures] == [
        ("witness.example/w1", TIME_S),
        ("witness.example/w2", TIME_S + 5),
    ]


def test_one_key_under_two_names_is_refused() -> None:
    alias = NoteVerifier("witness.example/alias", 0x04, WITNESS.verifier.public_key)
    with pytest.raises(MalformedError, match="share a public key"):
        open_cosigned(DATA, LOG.verifier, [WITNESS.verifier, alias])


def test_cosignatures_do_not_stand_in_for_the_log() -> None:
    unsigned = sign_note(encode_checkpoint(HEAD), [NoteSigner("someone.example", bytes(32))])
    data = add_signatures(unsigned, [WITNESS.cosign(HEAD, TIME_S)])
    with pytest.raises(VerificationError, match="not signed by its log"):
        open_cosigned(data, LOG.verifier, [WITNESS.verifier])


def test_log_and_witness_keys_are_not_interchangeable() -> None:
    with pytest.raises(MalformedError, match="not a log's"):
        open_cosigned(DATA, WITNESS.verifier, [])
    with pytest.raises(MalformedError, match="not a witness's"):
        open_cosigned(DATA, LOG.verifier, [LOG.verifier])
    with pytest.raises(MalformedError, match="not a witness's"):
        verify_cosignature(HEAD, parse_note(DATA).signatures[0], LOG.verifier)
    seed = bytes(32)  # the same key and name in both roles: their key ids and messages differ
    log, witness = NoteSigner("both", seed), Cosigner("both", seed)
    assert log.verifier.key_id != witness.verifier.key_id
    signature = log.sign(encode_checkpoint(HEAD)).signature
    with pytest.raises(VerificationError):
        witness.verifier.verify(encode_checkpoint(HEAD), signature)
    with pytest.raises(VerificationError):
        witness.verifier.verify(encode_checkpoint(HEAD), TIME_S.to_bytes(8, "big") + signature)
    with pytest.raises(VerificationError):
        log.verifier.verify(encode_checkpoint(HEAD), witness.cosign(HEAD, TIME_S).signature[8:])


def test_a_cosignature_is_of_one_checkpoint_one_time_and_one_witness() -> None:
    signature = WITNESS.cosign(HEAD, TIME_S)
    other_time = NoteSignature(
        signature.name, signature.key_id, (TIME_S + 1).to_bytes(8, "big") + signature.signature[8:]
    )
    for bad, head in (
        (other_time, HEAD),
        (signature, Checkpoint(HEAD.origin, HEAD.size + 1, HEAD.root)),
        (signature, Checkpoint("ledger.example/other", HEAD.size, HEAD.root)),
        (signature, Checkpoint(HEAD.origin, HEAD.size, bytes(32))),
        (OTHER.cosign(HEAD, TIME_S), HEAD),
    ):
        with pytest.raises(VerificationError):
            verify_cosignature(head, bad, WITNESS.verifier)


@pytest.mark.parametrize("time_s", [0, 1, TIME_S, MAX_TIME_S])
def test_every_allowed_time_round_trips(time_s: int) -> None:
    assert verify_cosignature(HEAD, WITNESS.cosign(HEAD, time_s), WITNESS.verifier).time_s == time_s


@pytest.mark.parametrize("time_s", [-1, MAX_TIME_S + 1, 2**64])
def test_other_times_are_not_signed(time_s: int) -> None:
    with pytest.raises(MalformedError):
        WITNESS.cosign(HEAD, time_s)


def test_a_time_beyond_the_specification_is_rejected() -> None:
    raw = Ed25519PrivateKey.from_private_bytes(bytes(range(32, 64)))
    signature = raw.sign(b"cosignature/v1\ntime %d\n" % 2**63 + encode_checkpoint(HEAD))
    forged = NoteSignature(WITNESS.name, WITNESS.verifier.key_id, (2**63).to_bytes(8, "big") + signature)
    with pytest.raises(VerificationError, match="no valid time"):
        open_cosigned(add_signatures(sign_checkpoint(HEAD, LOG), [forged]), LOG.verifier, [WITNESS.verifier])


def test_every_changed_byte_of_either_signature_is_rejected() -> None:
    """A changed name or key id makes the witness unknown: then its cosignature is missing, never wrong."""
    for at in range(len(DATA)):
        for value in {data_bit ^ DATA[at] for data_bit in (1, 2, 16, 64, 128)} | {10, 32}:
            if value == DATA[at]:
                continue
            changed = DATA[:at] + bytes([value]) + DATA[at + 1 :]
            try:
                opened = open_cosigned(changed, LOG.verifier, [WITNESS.verifier])
            except ProvenanceError:
                continue
            assert opened.checkpoint == HEAD
            assert opened.cosignatures == ()


def test_the_seed_is_never_shown() -> None:
    assert repr(WITNESS) == f"Cosigner('{encode_vkey(WITNESS.verifier)}')"
    with pytest.raises(SignerError):
        copy.copy(WITNESS)
    with pytest.raises(MalformedError):
        Cosigner("w", bytes(31))


def test_a_note_may_be_opened_by_its_witness_alone() -> None:
    assert open_note(DATA, [WITNESS.verifier]).verified[0].name == WITNESS.name
