"""tlog-proofs: bytes of the specification, round trips, and every changed byte rejected."""

from __future__ import annotations

import base64
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provenance.errors import LimitError, MalformedError, ProvenanceError, VerificationError
from provenance.limits import MAX_PROOF_HASHES
from provenance.log import (
    Checkpoint,
    Cosigner,
    NoteSigner,
    TileReader,
    TlogProof,
    add_signatures,
    encode_proof,
    entry_leaf,
    integrate,
    parse_proof,
    sign_checkpoint,
    verify_proof,
)
from provenance.merkle import prove_inclusion

LOG = NoteSigner("ledger.example/main", bytes(range(32)))
WITNESS = Cosigner("witness.example/w1", bytes(range(32, 64)))
ENTRIES = [b"entry %d" % number for number in range(300)]


@cache
def proof_of(index: int, size: int, extra: bytes | None = None) -> TlogProof:
    tree = integrate(lambda _level, _index: b"", 0, [entry_leaf(entry) for entry in ENTRIES[:size]])
    reader = TileReader(lambda level, place: tree.tiles[level, place], size)
    checkpoint = sign_checkpoint(Checkpoint(LOG.name, size, tree.root), LOG)
    return TlogProof(index, tuple(prove_inclusion(index, size, reader.read)), checkpoint, extra)


def test_the_text_is_the_one_of_the_specification() -> None:
    proof = proof_of(1, 3, b"hello")
    hashes = [base64.b64encode(value).decode() for value in proof.hashes]
    head = f"c2sp.org/tlog-proof@v1\nextra aGVsbG8=\nindex 1\n{hashes[0]}\n{hashes[1]}\n\n"
    assert encode_proof(proof) == head.encode() + proof.checkpoint
    assert encode_proof(proof_of(0, 1)) == b"c2sp.org/tlog-proof@v1\nindex 0\n\n" + proof_of(0, 1).checkpoint


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 255, 256, 257, 300])
def test_every_entry_is_proven_and_no_other(size: int) -> None:
    for index in range(0, size, max(1, size // 9)):
        proof = parse_proof(encode_proof(proof_of(index, size)))
        assert verify_proof(proof, entry_leaf(ENTRIES[index]), LOG.verifier).checkpoint.size == size
        with pytest.raises(VerificationError):
            verify_proof(proof, entry_leaf(b"another entry"), LOG.verifier)


def test_cosignatures_are_verified_with_the_checkpoint() -> None:
    proof = proof_of(5, 9)
    head = proof.head
    cosigned = TlogProof(5, proof.hashes, add_signatures(proof.checkpoint, [WITNESS.cosign(head, 1_700_000_000)]))
    parsed = parse_proof(encode_proof(cosigned))
    opened = verify_proof(parsed, entry_leaf(ENTRIES[5]), LOG.verifier, witnesses=[WITNESS.verifier])
    assert [each.time_s for each in opened.cosignatures] == [1_700_000_000]
    bad = WITNESS.cosign(Checkpoint(LOG.name, 10, head.root), 1)
    forged = TlogProof(5, proof.hashes, add_signatures(proof.checkpoint, [bad]))
    with pytest.raises(VerificationError):
        verify_proof(forged, entry_leaf(ENTRIES[5]), LOG.verifier, witnesses=[WITNESS.verifier])


def test_other_keys_and_origins_are_rejected() -> None:
    proof = proof_of(5, 9)
    leaf = entry_leaf(ENTRIES[5])
    with pytest.raises(VerificationError):
        verify_proof(proof, leaf, NoteSigner(LOG.name, bytes(32)).verifier)
    with pytest.raises(VerificationError, match="another log"):
        verify_proof(proof, leaf, LOG.verifier, origin="ledger.example/other")
    with pytest.raises(MalformedError):
        verify_proof(proof, leaf[:-1], LOG.verifier)


def test_every_changed_byte_and_every_truncation_is_rejected() -> None:
    data = encode_proof(proof_of(5, 9))
    leaf = entry_leaf(ENTRIES[5])
    verify_proof(parse_proof(data), leaf, LOG.verifier)
    for at in range(len(data)):
        for changed in [
            data[:at],
            data[:at] + data[at + 1 :],
            *(
                data[:at] + bytes([value]) + data[at + 1 :]
                for value in {*(data[at] ^ (1 << bit) for bit in range(8)), 0, 10, 32, 48, 61} - {data[at]}
            ),
        ]:
            with pytest.raises(ProvenanceError):
                verify_proof(parse_proof(changed), leaf, LOG.verifier)


def test_a_changed_extra_changes_nothing_else() -> None:
    data = encode_proof(proof_of(5, 9, b"context"))
    leaf = entry_leaf(ENTRIES[5])
    start = data.index(b"extra ") + len(b"extra ")
    end = data.index(b"\n", start)
    for at in range(len(data)):
        changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        if not start <= at < end:
            with pytest.raises(ProvenanceError):
                verify_proof(parse_proof(changed), leaf, LOG.verifier)
            continue
        try:
            parsed = parse_proof(changed)
        except MalformedError:
            continue
        assert parsed.extra != b"context"
        assert TlogProof(parsed.index, parsed.hashes, parsed.checkpoint) == proof_of(5, 9)


HEAD = b"c2sp.org/tlog-proof@v1\n"
NOTE = proof_of(0, 1).checkpoint
HASH = base64.b64encode(bytes(32)) + b"\n"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        HEAD,
        HEAD + b"index 0\n",
        HEAD + b"index 0\n\n",
        HEAD + b"index 0\n" + NOTE,
        HEAD + b"\nindex 0\n\n" + NOTE,
        HEAD + b"index 0\n\n\n" + NOTE,
        HEAD + b"index 0\r\n\r\n" + NOTE,
        HEAD + b"index 0\n\n" + NOTE[:-1],
        HEAD + b"index 0\n\n" + NOTE + b"\n",
        HEAD + b"index 1\n\n" + NOTE,  # outside a tree of one
        HEAD + b"index 00\n\n" + NOTE,
        HEAD + b"index -0\n\n" + NOTE,
        HEAD + b"index  0\n\n" + NOTE,
        HEAD + b"index 0 \n\n" + NOTE,
        HEAD + b"index\n\n" + NOTE,
        HEAD + b"index 18446744073709551616\n\n" + NOTE,
        HEAD + b"Index 0\n\n" + NOTE,
        HEAD + b"extra \nindex 0\n\n" + NOTE,
        HEAD + b"extra\nindex 0\n\n" + NOTE,
        HEAD + b"extra YQ\nindex 0\n\n" + NOTE,
        HEAD + b"extra YR==\nindex 0\n\n" + NOTE,
        HEAD + b"extra YQ==\nextra YQ==\nindex 0\n\n" + NOTE,
        HEAD + b"extra YQ==\n\n" + NOTE,
        HEAD + b"index 0\nextra YQ==\n\n" + NOTE,
        HEAD + b"index 0\n" + HASH[:-2] + b"\n\n" + NOTE,
        HEAD + b"index 0\n" + HASH.replace(b"A=", b"B=") + b"\n" + NOTE,
        HEAD + b"index 0\n" + base64.b64encode(bytes(31)) + b"\n\n" + NOTE,
        HEAD + b"index 0\n" + base64.b64encode(bytes(33)) + b"\n\n" + NOTE,
        HEAD + b"index 0\n" + HASH * (MAX_PROOF_HASHES + 1) + b"\n" + NOTE,
        HEAD + b"index \xd9\xa1\n\n" + NOTE,
        HEAD.replace(b"v1", b"v2") + b"index 0\n\n" + NOTE,
        HEAD + b"index 0\n\n" + b"not a checkpoint\n\n" + NOTE.split(b"\n\n")[1],
        b"\xef\xbb\xbf" + HEAD + b"index 0\n\n" + NOTE,
        HEAD + b"index 0\n\n" + bytes(1_000_000),
    ],
)
def test_malformed_proofs_are_rejected(data: bytes) -> None:
    with pytest.raises(MalformedError):
        parse_proof(data)


def test_a_proof_of_a_wrong_length_is_rejected() -> None:
    good = proof_of(5, 9)
    for hashes in ((), good.hashes[:-1], (*good.hashes, bytes(32)), good.hashes * 2):
        proof = parse_proof(encode_proof(TlogProof(5, hashes, good.checkpoint)))
        with pytest.raises(MalformedError):
            verify_proof(proof, entry_leaf(ENTRIES[5]), LOG.verifier)


def test_what_cannot_be_encoded_is_refused() -> None:
    for index, hashes, checkpoint, extra in (
        (-1, (), NOTE, None),
        (2**64, (), NOTE, None),
        (1, (), NOTE, None),
        (0, (b"x",), NOTE, None),
        (0, (), NOTE, b""),
        (0, (), b"no note", None),
        (0, (), NOTE[:-1], None),
    ):
        with pytest.raises(MalformedError):
            TlogProof(index, hashes, checkpoint, extra)
    with pytest.raises(LimitError):
        TlogProof(0, (bytes(32),) * (MAX_PROOF_HASHES + 1), NOTE)
    with pytest.raises(LimitError):
        encode_proof(TlogProof(0, (), NOTE, bytes(1_000_000)))


@settings(max_examples=40, deadline=None)
@given(
    size=st.integers(1, 40),
    index=st.integers(0, 39),
    hashes=st.lists(st.binary(min_size=32, max_size=32), max_size=MAX_PROOF_HASHES),
    extra=st.none() | st.binary(min_size=1, max_size=99),
)
def test_any_proof_round_trips(size: int, index: int, hashes: list[bytes], extra: bytes | None) -> None:
    proof = TlogProof(index % size, tuple(hashes), proof_of(0, size).checkpoint, extra)
    assert parse_proof(encode_proof(proof)) == proof


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from([b"extra ", b"YQ==", b"index ", b"0", b"\n", HASH, NOTE]), max_size=8).map(b"".join))
def test_any_text_is_refused_in_the_error_tree_or_re_encodes(body: bytes) -> None:
    try:
        proof = parse_proof(HEAD + body)
    except MalformedError:
        return
    assert encode_proof(proof) == HEAD + body
