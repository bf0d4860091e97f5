"""ML-DSA-44 (type 0x06): the message, key id and line as the specification has them, made with nothing of ours."""

from __future__ import annotations

import base64
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey

from provenance.errors import MalformedError, ProvenanceError, VerificationError
from provenance.limits import MAX_NOTE_BYTES, MAX_NOTE_SIGNATURES
from provenance.log import (
    Checkpoint,
    Cosigner,
    Cosigners,
    LogSigner,
    NoteSignature,
    NoteSigner,
    NoteVerifier,
    add_signatures,
    encode_checkpoint,
    encode_vkey,
    open_checkpoint,
    open_cosigned,
    open_note,
    parse_note,
    parse_vkey,
    sign_checkpoint,
    sign_note,
    verify_cosignature,
)
from provenance.log.algorithm import MAX_TIME_S, ML_DSA_44, subtree_message

ORIGIN, WITNESS_NAME = "ledger.example/main", "witness.example/w1"
LOG_SEED, WITNESS_SEED = bytes(range(100, 132)), bytes(range(132, 164))
HEAD = Checkpoint(ORIGIN, 70_000, bytes(range(100, 132)))
TIME_S = 1_679_315_147
CLASSIC = NoteSigner(ORIGIN, bytes(range(32)))
LOG = LogSigner((CLASSIC, Cosigner(ORIGIN, LOG_SEED, ML_DSA_44)))
WITNESS = Cosigner(WITNESS_NAME, WITNESS_SEED, ML_DSA_44)
DATA = add_signatures(sign_checkpoint(HEAD, LOG), [WITNESS.cosign(HEAD, TIME_S)])
PQ = LOG.verifiers[1]

MESSAGE_HEX = (
    "737562747265652f76310a00"  # "subtree/v1\n\0"
    "12" "7769746e6573732e6578616d706c652f7731"  # 18 bytes: witness.example/w1
    "00000000641850cb"  # 1679315147
    "13" "6c65646765722e6578616d706c652f6d61696e"  # 19 bytes: ledger.example/main
    "0000000000000000" "0000000000011170"  # start 0, end 70000
    "6465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f80818283"  # root
)  # fmt: skip


def _raw(seed: bytes) -> tuple[MLDSA44PrivateKey, bytes]:
    key = MLDSA44PrivateKey.from_seed_bytes(seed)
    return key, key.public_key().public_bytes_raw()


def test_the_signed_message_is_the_structure_of_the_specification_byte_for_byte() -> None:
    assert subtree_message(WITNESS_NAME, HEAD, TIME_S).hex() == MESSAGE_HEX


def test_a_line_made_by_hand_is_taken_and_ours_verifies_by_hand() -> None:
    key, public = _raw(WITNESS_SEED)
    key_id = sha256(WITNESS_NAME.encode() + b"\n\x06" + public).digest()[:4]
    blob = key_id + TIME_S.to_bytes(8, "big") + key.sign(bytes.fromhex(MESSAGE_HEX))
    assert len(blob) == 4 + 8 + 2_420
    line = b"\xe2\x80\x94 witness.example/w1 " + base64.b64encode(blob) + b"\n"
    vkey = f"{WITNESS_NAME}+{key_id.hex()}+{base64.b64encode(bytes([6]) + public).decode()}"
    assert encode_vkey(WITNESS.verifier) == vkey
    opened = open_cosigned(sign_checkpoint(HEAD, CLASSIC) + line, CLASSIC.verifier, [parse_vkey(vkey)])
    assert [(each.witness, each.time_s) for each in opened.cosignatures] == [(WITNESS.verifier, TIME_S)]
    ours = base64.b64decode(DATA.split(b"\n")[-2].split(b" ")[2])
    assert ours[:12] == blob[:12]
    MLDSA44PublicKey.from_public_bytes(public).verify(ours[12:], bytes.fromhex(MESSAGE_HEX))


def test_a_log_signs_under_its_origin_and_states_no_time() -> None:
    key, public = _raw(LOG_SEED)
    lines = sign_checkpoint(HEAD, LOG).decode().splitlines()[-2:]
    assert [line.split()[1] for line in lines] == [ORIGIN, ORIGIN]
    blob = base64.b64decode(lines[1].split()[2])
    assert blob[:4] == sha256(ORIGIN.encode() + b"\n\x06" + public).digest()[:4]
    assert blob[4:12] == bytes(8)
    name = bytes([len(ORIGIN)]) + ORIGIN.encode()
    size = (70_000).to_bytes(8, "big")
    key.public_key().verify(blob[12:], b"subtree/v1\n\0" + name + bytes(8) + name + bytes(8) + size + HEAD.root)
    assert open_checkpoint(sign_checkpoint(HEAD, LOG), PQ) == HEAD


def test_a_reader_who_knows_only_one_of_the_keys_reads_the_same_checkpoint() -> None:
    for verifier in LOG.verifiers:
        assert open_checkpoint(DATA, verifier) == HEAD
    assert open_cosigned(DATA, CLASSIC.verifier, []).cosignatures == ()


def test_every_changed_byte_of_a_signature_is_rejected() -> None:
    """A changed name or key id makes the key unknown: then its signature is missing, never wrong."""
    line = DATA.index(b"\xe2\x80\x94 witness")
    for at in [*range(line, line + 60), *range(line + 60, len(DATA), 53), len(DATA) - 2, len(DATA) - 1]:
        for value in {DATA[at] ^ 1, DATA[at] ^ 16, 10, 32} - {DATA[at]}:
            changed = DATA[:at] + bytes([value]) + DATA[at + 1 :]
            try:
                opened = open_cosigned(changed, PQ, [WITNESS.verifier])
            except ProvenanceError:
                continue
            assert opened.checkpoint == HEAD
            assert opened.cosignatures == ()


def test_every_changed_byte_of_the_raw_signature_and_time_is_rejected() -> None:
    text, whole = encode_checkpoint(HEAD), WITNESS.cosign(HEAD, TIME_S).signature
    WITNESS.verifier.verify(text, whole)
    for at in [*range(16), *range(16, len(whole), 97), len(whole) - 1]:
        with pytest.raises(VerificationError):
            WITNESS.verifier.verify(text, whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])


def test_cut_and_grown_signatures_are_rejected() -> None:
    text, whole = encode_checkpoint(HEAD), WITNESS.cosign(HEAD, TIME_S).signature
    for wrong in (whole[:-1], whole[:8], whole[8:], whole[:72], whole + b"\0", b"\0" + whole, whole * 2):
        with pytest.raises(VerificationError, match="wrong length"):
            WITNESS.verifier.verify(text, wrong)


def test_every_changed_byte_of_the_text_is_rejected() -> None:
    for at in range(len(encode_checkpoint(HEAD))):
        changed = DATA[:at] + bytes([DATA[at] ^ 1]) + DATA[at + 1 :]
        with pytest.raises(ProvenanceError):
            open_checkpoint(changed, PQ)


def test_a_signature_is_of_one_name_one_log_one_size_one_root_and_one_time() -> None:
    line = WITNESS.cosign(HEAD, TIME_S)
    later = NoteSignature(line.name, line.key_id, (TIME_S + 1).to_bytes(8, "big") + line.signature[8:])
    for signature, head in (
        (later, HEAD),
        (line, Checkpoint("ledger.example/other", HEAD.size, HEAD.root)),
        (line, Checkpoint(HEAD.origin, HEAD.size + 1, HEAD.root)),
        (line, Checkpoint(HEAD.origin, HEAD.size, bytes(32))),
    ):
        with pytest.raises(VerificationError):
            verify_cosignature(head, signature, WITNESS.verifier)
    # The message binds the name: the same key under another name did not sign this, unlike with Ed25519.
    alias = NoteVerifier("witness.example/alias", ML_DSA_44, WITNESS.verifier.public_key)
    with pytest.raises(VerificationError):
        alias.verify(encode_checkpoint(HEAD), line.signature)


@pytest.mark.parametrize("time_s", [0, 1, TIME_S, MAX_TIME_S])
def test_every_allowed_time_round_trips(time_s: int) -> None:
    assert verify_cosignature(HEAD, WITNESS.cosign(HEAD, time_s), WITNESS.verifier).time_s == time_s


def test_times_beyond_the_specification_are_neither_signed_nor_taken() -> None:
    for time_s in (-1, MAX_TIME_S + 1):
        with pytest.raises(MalformedError):
            WITNESS.cosign(HEAD, time_s)
    key, _ = _raw(WITNESS_SEED)
    message = bytes.fromhex(MESSAGE_HEX.replace("00000000641850cb", "8000000000000000"))
    forged = (2**63).to_bytes(8, "big") + key.sign(message)
    with pytest.raises(VerificationError, match="no valid time"):
        WITNESS.verifier.verify(encode_checkpoint(HEAD), forged)


def test_a_context_string_of_fips_204_is_not_taken() -> None:
    key, _ = _raw(WITNESS_SEED)
    forged = TIME_S.to_bytes(8, "big") + key.sign(bytes.fromhex(MESSAGE_HEX), b"subtree/v1")
    with pytest.raises(VerificationError, match="does not verify"):
        WITNESS.verifier.verify(encode_checkpoint(HEAD), forged)


def test_a_subtree_that_does_not_begin_at_the_start_is_no_checkpoint() -> None:
    key, _ = _raw(WITNESS_SEED)
    message = bytes.fromhex(
        MESSAGE_HEX.replace("0000000000000000" + "0000000000011170", "00" * 7 + "01" + "0" * 11 + "11170")
    )
    assert len(message) == len(bytes.fromhex(MESSAGE_HEX))
    with pytest.raises(VerificationError):
        WITNESS.verifier.verify(encode_checkpoint(HEAD), TIME_S.to_bytes(8, "big") + key.sign(message))


def test_extension_lines_are_not_in_what_is_signed() -> None:
    """As the specification says; a log of ours writes none."""
    extended = Checkpoint(HEAD.origin, HEAD.size, HEAD.root, ("more",))
    line = WITNESS.cosign(HEAD, TIME_S)
    assert verify_cosignature(extended, line, WITNESS.verifier).time_s == TIME_S
    with pytest.raises(MalformedError, match="no extension lines"):
        sign_checkpoint(extended, LOG)


def test_only_checkpoints_are_signed_with_it() -> None:
    note = sign_note(b"just text\n", [CLASSIC])
    line = NoteSignature(ORIGIN, PQ.key_id, bytes(8 + 2_420))
    with pytest.raises(VerificationError, match="signs checkpoints only"):
        open_note(add_signatures(note, [line]), [PQ])


def test_types_do_not_stand_in_for_each_other() -> None:
    seed = bytes(32)
    ed25519, ml_dsa = Cosigner("w", seed), Cosigner("w", seed, ML_DSA_44)
    assert ed25519.verifier.key_id != ml_dsa.verifier.key_id
    with pytest.raises(VerificationError, match="wrong length"):
        ed25519.verifier.verify(encode_checkpoint(HEAD), ml_dsa.cosign(HEAD, TIME_S).signature)
    with pytest.raises(MalformedError, match="wrong length"):
        NoteVerifier("w", ML_DSA_44, ed25519.verifier.public_key)
    with pytest.raises(MalformedError, match="not a witness's"):
        Cosigner("w", seed, 0x01)
    with pytest.raises(MalformedError, match="not a log's"):
        LogSigner((ed25519,))


def test_names_that_the_message_cannot_hold_are_refused() -> None:
    assert Cosigner("w" * 255, bytes(32), ML_DSA_44).cosign(HEAD, 0)
    with pytest.raises(MalformedError, match="too long"):
        Cosigner("w" * 256, bytes(32), ML_DSA_44)
    far = Checkpoint("o" * 256, 1, bytes(32))
    with pytest.raises(MalformedError, match="does not fit"):
        WITNESS.cosign(far, 0)
    both = Cosigners((Cosigner(WITNESS_NAME, bytes(32)), WITNESS))
    assert [line.key_id for line in both.cosign_lines(far, 1)] == [both.verifier.key_id]
    assert len(both.cosign_lines(HEAD, 1)) == 2
    with pytest.raises(MalformedError, match="too long"):
        Cosigners((WITNESS,)).cosign_lines(far, 1)
    with pytest.raises(VerificationError, match="signs checkpoints only"):
        WITNESS.verifier.verify(encode_checkpoint(far), WITNESS.cosign(HEAD, 0).signature)


def test_keys_of_several_names_are_no_signer() -> None:
    with pytest.raises(MalformedError, match="named after its origin"):
        LogSigner((CLASSIC, Cosigner("other.example/log", bytes(32), ML_DSA_44)))
    with pytest.raises(MalformedError, match="one name"):
        Cosigners((WITNESS, Cosigner("witness.example/w2", bytes(32))))
    for empty in (LogSigner, Cosigners):
        with pytest.raises(MalformedError):
            empty(())
    with pytest.raises(MalformedError, match="wrong length") as refused:
        Cosigner("w", b"secret" * 5, ML_DSA_44)
    assert "secret" not in str(refused.value)


def test_a_verifier_key_that_is_cut_or_changed_is_refused() -> None:
    vkey = encode_vkey(WITNESS.verifier)
    assert parse_vkey(vkey) == WITNESS.verifier
    for at in range(0, len(vkey), 41):
        with pytest.raises(MalformedError):
            parse_vkey(vkey[:at])
        with pytest.raises(MalformedError):
            parse_vkey(vkey[:at] + chr(ord(vkey[at]) + 1) + vkey[at + 1 :])


def test_as_many_of_them_as_a_note_may_hold_fit_into_its_size() -> None:
    line = WITNESS.cosign(HEAD, TIME_S)
    lines = [
        NoteSignature(line.name, number.to_bytes(4, "big"), line.signature) for number in range(MAX_NOTE_SIGNATURES)
    ]
    data = add_signatures(sign_checkpoint(HEAD, CLASSIC), lines[1:])
    assert len(data) < MAX_NOTE_BYTES // 2
    assert len(parse_note(data).signatures) == MAX_NOTE_SIGNATURES


def test_opening_gives_the_same_whatever_the_order_of_the_lines() -> None:
    text, _, lines = DATA.partition(b"\n\n")
    turned = text + b"\n\n" + b"".join(reversed(lines.splitlines(keepends=True)))
    assert open_cosigned(turned, PQ, [WITNESS.verifier]) == open_cosigned(DATA, PQ, [WITNESS.verifier])
