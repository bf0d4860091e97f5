"""PyPI's metamorphic-log (a Rust library behind Python): a verifier for C2SP checkpoints and RFC 9162 proofs.

It signs nothing and builds no tree, so that its direction is ours to it; all that it makes which a log takes is the
entries of a key history of its own format, and their leaf hashes. It reads no key of type 0x04: cosignatures are to it
lines of unknown keys.
"""

from __future__ import annotations

import random

import metamorphic_log as other
import pytest

from provenance.errors import ProvenanceError
from provenance.log import (
    Checkpoint,
    Cosigner,
    LogSigner,
    NoteSigner,
    add_signatures,
    encode_checkpoint,
    encode_vkey,
    entry_leaf,
    open_checkpoint,
    sign_checkpoint,
)
from provenance.log.algorithm import ML_DSA_44
from tests.interop.trees import LARGE, SMALL, changed, changed_proofs, largest, places

SEED = 6962
SIZES = (*SMALL[::3], *LARGE)
LOG = NoteSigner("metamorphic.example/log", bytes(range(32)))
VKEY = encode_vkey(LOG.verifier)


def _note(size: int) -> str:
    return sign_checkpoint(Checkpoint(LOG.name, size, largest().root(size)), LOG).decode()


def test_it_opens_our_checkpoints() -> None:
    for size in SIZES:
        head = other.checkpoint_verify(_note(size), [VKEY])
        assert (head.origin, head.size, head.root, head.extensions) == (LOG.name, size, largest().root(size), [])
    assert other.verify_signed_note(_note(7), [VKEY]) == 1


def test_it_refuses_our_checkpoint_with_one_byte_changed() -> None:
    note = _note(70)
    for at, was in enumerate(note):
        for now in (chr(ord(was) ^ 1), "A", "0"):
            bad = note[:at] + now + note[at + 1 :]
            if now == was:
                continue
            with pytest.raises(other.VerifyError):
                other.checkpoint_verify(bad, [VKEY])
            with pytest.raises(ProvenanceError):
                open_checkpoint(bad.encode(), LOG.verifier)


def test_it_refuses_a_key_that_is_not_the_log_s() -> None:
    stranger = NoteSigner(LOG.name, bytes(32))
    with pytest.raises(other.VerifyError):
        other.checkpoint_verify(_note(7), [encode_vkey(stranger.verifier)])
    for at in range(len(VKEY)):
        with pytest.raises(other.VerifyError):
            other.checkpoint_verify(_note(7), [VKEY[:at] + chr(ord(VKEY[at]) ^ 1) + VKEY[at + 1 :]])


def test_it_verifies_our_inclusion_proofs() -> None:
    chance, tree = random.Random(SEED), largest()
    for size in SIZES:
        note, root = _note(size), tree.root(size)
        for index in places(size, SEED):
            leaf, proof = tree.leaves[index], tree.inclusion(index, size)
            other.verify_inclusion(index, size, leaf, proof, root)
            bad = [(index, leaf, wrong, root) for wrong in changed_proofs(proof, chance)]
            bad += [(index, changed(leaf, chance), proof, root), (index, leaf, proof, changed(root, chance))]
            bad.append((index + 1, leaf, proof, root))
            for wrong in bad:
                with pytest.raises(other.VerifyError):
                    other.verify_inclusion(wrong[0], size, *wrong[1:])
        index = places(size, SEED)[-1]
        proof = tree.inclusion(index, size)
        other.checkpoint_verify_inclusion(note, [VKEY], index, tree.leaves[index], proof)
        with pytest.raises(other.VerifyError):
            other.checkpoint_verify_inclusion(note, [VKEY], index, changed(tree.leaves[index], chance), proof)


def test_it_verifies_our_consistency_proofs() -> None:
    chance, tree = random.Random(SEED), largest()
    for size in SIZES:
        for old_size in (place + 1 for place in places(size, SEED)):
            old, new, proof = tree.root(old_size), tree.root(size), tree.consistency(old_size, size)
            other.verify_consistency(old_size, size, proof, old, new)
            bad = [(wrong, old, new) for wrong in changed_proofs(proof, chance)]
            bad += [(proof, changed(old, chance), new), (proof, old, changed(new, chance))]
            for wrong in bad:
                with pytest.raises(other.VerifyError):
                    other.verify_consistency(old_size, size, *wrong)
    other.checkpoint_verify_consistency(_note(41), _note(70), [VKEY], tree.consistency(41, 70))
    for older, newer, proof in ((_note(40), _note(70), tree.consistency(41, 70)), (_note(70), _note(41), [])):
        with pytest.raises(other.VerifyError):
            other.checkpoint_verify_consistency(older, newer, [VKEY], proof)


def test_it_ignores_cosignatures_and_refuses_their_keys() -> None:
    witness = Cosigner("witness.example/w1", b"\x02" * 32)
    head = Checkpoint(LOG.name, 70, largest().root(70))
    note = add_signatures(sign_checkpoint(head, LOG), [witness.cosign(head, 1_700_000_000)]).decode()
    assert other.verify_signed_note(note, [VKEY]) == 1
    assert other.checkpoint_verify(note, [VKEY]).size == 70
    with pytest.raises(other.VerifyError, match="0x04"):
        other.checkpoint_verify(note, [VKEY, encode_vkey(witness.verifier)])


def test_it_ignores_ml_dsa_44_and_refuses_its_keys() -> None:
    head, second = Checkpoint(LOG.name, 70, largest().root(70)), Cosigner(LOG.name, b"\x05" * 32, ML_DSA_44)
    note = sign_checkpoint(head, LogSigner((LOG, second))).decode()
    assert other.verify_signed_note(note, [VKEY]) == 1
    assert other.checkpoint_verify(note, [VKEY]).size == 70
    with pytest.raises(other.VerifyError, match="0x06"):
        other.checkpoint_verify(note, [VKEY, encode_vkey(second.verifier)])


def test_bodies_are_read_as_we_read_them() -> None:
    for size in (0, 1, 2**63, 2**64 - 1):
        root = largest().root(size) if size < 2 else bytes(range(32))
        text = encode_checkpoint(Checkpoint("a.example/log", size, root, ("an extension",) if size > 1 else ()))
        head = other.checkpoint_parse(text.decode())
        again = Checkpoint(head.origin, head.size, head.root, tuple(head.extensions))
        assert encode_checkpoint(again) == text
    good = encode_checkpoint(Checkpoint("a.example/log", 5, bytes(32))).decode()
    for bad in ("", "a\n", good[:-1] + "x", good.replace("\n5\n", "\n05\n"), good.replace("\n5\n", "\n-5\n")):
        with pytest.raises(other.VerifyError):
            other.checkpoint_parse(bad)


def test_a_log_takes_the_entries_that_it_makes() -> None:
    chance = random.Random(SEED)
    for number in range(20):
        entry = (number, 1_700_000_000_000 + number, chance.randbytes(32), chance.randbytes(1184), chance.randbytes(32))
        previous = chance.randbytes(32) if number else None
        encoded = other.key_history_v1_canonical_bytes(*entry, previous)
        assert entry_leaf(encoded) == other.key_history_v1_rfc6962_leaf_hash(*entry, previous)
