"""Signed notes: the vectors of golang.org/x/mod/sumdb/note and c2sp.org/signed-note, strictness, and hostile notes."""

from __future__ import annotations

import base64
import copy
import pickle
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provenance.errors import LimitError, MalformedError, ProvenanceError, SignerError, VerificationError
from provenance.limits import MAX_NOTE_BYTES, MAX_NOTE_SIGNATURES
from provenance.log.algorithm import ALGORITHMS, ED25519, ED25519_COSIGNATURE, ML_DSA_44
from provenance.log.note import (
    NoteSignature,
    NoteSigner,
    NoteVerifier,
    add_signatures,
    encode_note,
    encode_vkey,
    open_note,
    parse_note,
    parse_signature_lines,
    parse_vkey,
    sign_note,
)

PETER_VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
PETER_SEED = base64.b64decode("AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz")[1:]
ENOCH_VKEY = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop"
TEXT = b"If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
PETER_LINE = (
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
).encode()
ENOCH_LINE = (
    "— EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n"
).encode()
PETER = parse_vkey(PETER_VKEY)
ENOCH = parse_vkey(ENOCH_VKEY)

FOREIGN_VKEYS = [
    PETER_VKEY,
    ENOCH_VKEY,
    "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
    "TEST+7997405c+AQcC+FTVKf0jlTdHDY3rbevmnKxxPjigCXlVtGe6RIr6",  # its base64 holds a plus
    "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2",  # type 0x04
]


def test_signing_gives_the_note_of_the_go_implementation() -> None:
    signer = NoteSigner("PeterNeumann", PETER_SEED)
    assert encode_vkey(signer.verifier) == PETER_VKEY
    assert sign_note(TEXT, [signer]) == TEXT + b"\n" + PETER_LINE


def test_the_example_of_the_specification_opens() -> None:
    verifier = parse_vkey("example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k")
    line = (
        "— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM="
    )
    note = open_note(f"This is an example message.\n\n{line}\n".encode(), [verifier])
    assert note.text == b"This is an example message.\n"


def test_a_text_may_hold_blank_lines_and_any_script() -> None:
    text = "Ognuno sta solo sul cuor della terra\ntrafitto da un raggio di sole:\n\ned è subito sera.\n".encode()
    signer = NoteSigner("例え/ключ", bytes(32))
    assert open_note(sign_note(text, [signer]), [signer.verifier]).text == text


def test_key_id_is_the_hash_written_by_hand() -> None:
    for vkey in FOREIGN_VKEYS:
        verifier = parse_vkey(vkey)
        by_hand = sha256(verifier.name.encode() + b"\x0a" + bytes([verifier.type_byte]) + verifier.public_key).digest()
        assert verifier.key_id == by_hand[:4] == bytes.fromhex(vkey.split("+")[1])


@pytest.mark.parametrize("vkey", FOREIGN_VKEYS)
def test_vkeys_round_trip(vkey: str) -> None:
    assert encode_vkey(parse_vkey(vkey)) == vkey


def test_every_part_and_every_changed_character_of_a_vkey_is_rejected() -> None:
    for start in range(len(PETER_VKEY)):
        for end in range(start, len(PETER_VKEY) + 1):
            if (start, end) != (0, len(PETER_VKEY)):
                with pytest.raises(MalformedError):
                    parse_vkey(PETER_VKEY[start:end])
    for at, character in enumerate(PETER_VKEY):
        with pytest.raises(MalformedError):
            parse_vkey(PETER_VKEY[:at] + chr(ord(character) + 1) + PETER_VKEY[at + 1 :])


@pytest.mark.parametrize(
    "vkey",
    [
        "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==",  # too long a key, its id right
        "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",  # unknown type, its id right
        "PeterNeumann+C74F20A3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        PETER_VKEY + "\n",
        " " + PETER_VKEY,
        "Peter Neumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "\ud800+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "x" * 20_000,
    ],
)
def test_malformed_vkeys_are_rejected(vkey: str) -> None:
    with pytest.raises(MalformedError):
        parse_vkey(vkey)


def test_unknown_keys_are_ignored_and_known_ones_counted_once() -> None:
    data = TEXT + b"\n" + PETER_LINE + ENOCH_LINE
    peter, enoch = parse_signature_lines(PETER_LINE + ENOCH_LINE)
    assert open_note(data, [PETER]).verified == (peter,)
    assert open_note(data, [ENOCH, PETER]).verified == (peter, enoch)
    twice = open_note(TEXT + b"\n" + PETER_LINE * 2 + ENOCH_LINE * 2, [PETER, PETER])
    assert twice.verified == (peter,)
    assert twice.signatures == (peter, peter, enoch, enoch)


def test_a_note_without_a_known_key_is_rejected() -> None:
    for verifiers in ([], [ENOCH], [NoteVerifier("Peter", ED25519, PETER.public_key)]):
        with pytest.raises(VerificationError, match="not signed by a known key"):
            open_note(TEXT + b"\n" + PETER_LINE, verifiers)


def test_a_known_key_that_fails_rejects_the_note_wherever_it_stands() -> None:
    peter, enoch = parse_signature_lines(PETER_LINE + ENOCH_LINE)
    forged = NoteSignature(enoch.name, enoch.key_id, bytes(64))
    short = NoteSignature(enoch.name, enoch.key_id, enoch.signature[:-1])
    for bad in (forged, short):
        for signatures in ([peter, bad], [bad, peter], [peter, enoch, bad]):
            with pytest.raises(VerificationError, match="EnochRoot"):
                open_note(encode_note(TEXT, signatures), [PETER, ENOCH])
        assert open_note(encode_note(TEXT, [peter, bad]), [PETER]).verified == (peter,)


def test_two_keys_with_one_name_and_id_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("provenance.log.note.key_id", lambda *_: b"same")
    with pytest.raises(MalformedError, match="share a name and a key id"):
        open_note(TEXT + b"\n" + PETER_LINE, [PETER, NoteVerifier("PeterNeumann", ED25519, bytes(32))])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"\n\n",
        TEXT,
        TEXT + b"\n",
        TEXT + PETER_LINE,
        TEXT + b"\n" + PETER_LINE[:-1],
        TEXT + b"\n" + PETER_LINE + b"\n",
        TEXT + b"\n" + PETER_LINE.replace(b"\n", b"\r\n"),
        b"\x01" + TEXT + b"\n" + PETER_LINE,
        b"\t" + TEXT + b"\n" + PETER_LINE,
        b"\xff" + TEXT + b"\n" + PETER_LINE,
        b"\xed\xa0\x80" + TEXT + b"\n" + PETER_LINE,
        b"\xef\xbb\xbf" + TEXT + b"\n" + b"\xef\xbb\xbf" + PETER_LINE,
        TEXT + b"\n" + PETER_LINE.replace(b"PeterNeumann", b"Bad Name"),
        TEXT + b"\n" + PETER_LINE.replace(b"PeterNeumann", b""),
        TEXT + b"\n" + PETER_LINE.replace(b"PeterNeumann", b"a+b"),
        TEXT + b"\n" + PETER_LINE.replace(b"PeterNeumann", "a\u2003b".encode()),
        TEXT + b"\n" + PETER_LINE.replace("— ".encode(), b"-- "),
        TEXT + b"\n" + PETER_LINE.replace("— ".encode(), "—  ".encode()),
        TEXT + b"\n" + PETER_LINE.replace(b"AM=\n", b"AN=\n"),  # spare bits set
        TEXT + b"\n" + PETER_LINE.replace(b"AM=\n", b"AM\n"),
        TEXT + b"\n" + PETER_LINE.replace(b"/", b"_"),
        TEXT + b"\n" + b"Unexpected line.\n" + PETER_LINE,
        TEXT + b"\n" + PETER_LINE + b"Unexpected line.\n",
        TEXT + b"\n" + "— PeterNeumann \n".encode(),
        TEXT + b"\n" + "— PeterNeumann x08gow==\n".encode(),  # a key id and nothing more
        TEXT + b"\n" + PETER_LINE * (MAX_NOTE_SIGNATURES + 1),
        b"a" * MAX_NOTE_BYTES + b"\n\n" + PETER_LINE,
    ],
)
def test_malformed_notes_are_rejected(data: bytes) -> None:
    with pytest.raises(MalformedError):
        open_note(data, [PETER])


def test_limits_are_named() -> None:
    assert len(parse_note(TEXT + b"\n" + PETER_LINE * MAX_NOTE_SIGNATURES).signatures) == MAX_NOTE_SIGNATURES
    for data in (TEXT + b"\n" + PETER_LINE * (MAX_NOTE_SIGNATURES + 1), bytes(MAX_NOTE_BYTES + 1)):
        with pytest.raises(LimitError):
            parse_note(data)


def test_every_changed_byte_and_every_truncation_is_rejected() -> None:
    data = TEXT + b"\n" + PETER_LINE
    for at in range(len(data)):
        with pytest.raises(ProvenanceError):
            open_note(data[:at], [PETER])
        for value in {0, 10, 32, 43, data[at] ^ 1, data[at] ^ 0x20, data[at] ^ 0x80, 255} - {data[at]}:
            with pytest.raises(ProvenanceError):
                open_note(data[:at] + bytes([value]) + data[at + 1 :], [PETER])


def test_signatures_are_added_after_the_others_and_never_twice() -> None:
    enoch = parse_signature_lines(ENOCH_LINE)
    data = add_signatures(TEXT + b"\n" + PETER_LINE, enoch)
    assert data == TEXT + b"\n" + PETER_LINE + ENOCH_LINE
    assert add_signatures(data, enoch) == data


def test_what_cannot_be_parsed_is_not_encoded() -> None:
    signer = NoteSigner("log", bytes(32))
    for text in (b"", b"no newline", b"\x00\n", b"\xff\n", b"a" * MAX_NOTE_BYTES + b"\n"):
        with pytest.raises(MalformedError):
            sign_note(text, [signer])
    with pytest.raises(MalformedError):
        sign_note(TEXT, [])
    for name in ("", "a b", "a+b", "a\n", "a\u00a0b", "a\x7f\x00", "\ud800"):
        with pytest.raises(MalformedError):
            NoteSigner(name, bytes(32))


def test_a_seed_is_32_bytes_and_never_shown() -> None:
    for seed in (b"", bytes(31), bytes(33), bytes(64), bytearray(32), "x" * 32):
        with pytest.raises(MalformedError) as caught:
            NoteSigner("log", seed)  # type: ignore[arg-type]
        assert "00" not in str(caught.value) and "xx" not in str(caught.value)
    signer = NoteSigner("log", PETER_SEED)
    for shown in (repr(signer), str(signer), f"{signer!r:}"):
        assert PETER_SEED.hex() not in shown and repr(PETER_SEED) not in shown
        assert base64.b64encode(PETER_SEED).decode() not in shown
        assert encode_vkey(signer.verifier) in shown
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(SignerError):
            attempt(signer)
    with pytest.raises(AttributeError):
        _ = signer.__dict__


def test_the_algorithm_table_has_its_rows_under_their_type_byte() -> None:
    assert set(ALGORITHMS) == {ED25519, ED25519_COSIGNATURE, ML_DSA_44} == {0x01, 0x04, 0x06}
    assert all(type_byte == row.type_byte for type_byte, row in ALGORITHMS.items())


NAMES = st.text(st.characters(exclude_categories=("Cs", "Cc", "Z"), exclude_characters="+"), min_size=1, max_size=20)
TEXTS = st.text(st.characters(exclude_categories=("Cs", "Cc")) | st.just("\n"), max_size=200)


@settings(max_examples=60, deadline=None)
@given(text=TEXTS, names=st.lists(NAMES, min_size=1, max_size=4), seed=st.binary(min_size=32, max_size=32))
def test_any_text_and_names_round_trip(text: str, names: list[str], seed: bytes) -> None:
    signers = [NoteSigner(name, seed) for name in names]
    body = text.encode() + b"\n"
    note = open_note(sign_note(body, signers), [signer.verifier for signer in signers])
    assert note.text == body
    assert {each.name for each in note.verified} == set(names)
    assert encode_note(note.text, note.signatures) == sign_note(body, signers)
    assert all(parse_vkey(encode_vkey(signer.verifier)) == signer.verifier for signer in signers)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200) | TEXTS.map(str.encode))
def test_any_bytes_are_refused_in_the_error_tree_or_re_encode(data: bytes) -> None:
    for candidate in (data, data + b"\n\n" + PETER_LINE):
        try:
            note = parse_note(candidate)
        except MalformedError:
            continue
        assert encode_note(note.text, note.signatures) == candidate
