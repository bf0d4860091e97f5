"""Which cosignatures trust roots ask for: a number is short for a policy, and keys count for their times."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provenance.log import (
    Checkpoint,
    Cosigner,
    LogKey,
    NoteSigner,
    add_signatures,
    encode_tlog_policy,
    encode_vkey,
    judge_checkpoint,
    open_counted,
    parse_tlog_policy,
    sign_checkpoint,
)
from provenance.log.algorithm import ML_DSA_44
from provenance.policy import TimeSpan, TrustRoots, find_quorum, policy_of

LOG = NoteSigner("log.example", b"\x01" * 32)
CHECKPOINT = Checkpoint(LOG.name, 9, b"\x09" * 32)
NOTE = sign_checkpoint(CHECKPOINT, LOG)
KEYS = [
    Cosigner(f"w{number}.example", bytes([number + 2, kind]) * 16, kind)
    for number, kind in itertools.product(range(3), (4, ML_DSA_44))
] + [Cosigner("w0.example", b"\x50" * 32)]
LINES = [key.cosign(CHECKPOINT, 100) for key in KEYS]


@given(st.sets(st.integers(0, 6), min_size=1), st.sets(st.integers(0, 6)), st.integers(0, 3))
@settings(max_examples=300, deadline=None)
def test_a_number_of_witnesses_is_short_for_a_policy(listed: set[int], signed: set[int], quorum: int) -> None:
    vkeys = tuple(encode_vkey(KEYS[number].verifier) for number in sorted(listed))
    count = len({vkey.partition("+")[0] for vkey in vkeys})
    trust = TrustRoots(logs=(encode_vkey(LOG.verifier),), witnesses=vkeys, quorum=min(quorum, count))
    note = add_signatures(NOTE, [LINES[number] for number in sorted(signed)])
    counted = open_counted(note, [LogKey(LOG.verifier)], trust.witness_keys())
    found = find_quorum(trust, note, len(counted.witnesses))
    policy = policy_of(trust)
    assert parse_tlog_policy(encode_tlog_policy(policy)) == policy
    assert judge_checkpoint(note, policy).is_met == found.is_met
    assert find_quorum(trust.with_witness_policy(policy), note, 0).is_met == found.is_met


def test_the_words() -> None:
    vkeys = tuple(encode_vkey(key.verifier) for key in KEYS[:3])
    trust = TrustRoots(logs=(encode_vkey(LOG.verifier),), witnesses=vkeys, quorum=1)
    first, second = (f"w0.example+{KEYS[number].verifier.key_id.hex()}" for number in (0, 1))
    third = f"w1.example+{KEYS[2].verifier.key_id.hex()}"
    policy = policy_of(trust)
    assert policy.requirement() == f"any of (all of ({first}, {second}), {third})"
    by_policy = trust.with_witness_policy(policy)
    bad = find_quorum(by_policy, NOTE, 0)
    assert (bad.is_met, bad.expected, bad.found) == (False, policy.requirement(), "none")
    good = find_quorum(by_policy, add_signatures(NOTE, LINES[2:3]), 0)
    assert (good.is_met, good.note) == (True, f"the witness policy is met ({policy.requirement()}): {third} cosigned")
    spoilt = type(LINES[2])(LINES[2].name, LINES[2].key_id, bytes(72))
    assert not find_quorum(by_policy, add_signatures(NOTE, [spoilt]), 0).is_met
    assert "malformed" in find_quorum(by_policy, b"", 0).note
    assert policy_of(TrustRoots()).quorum is None


@pytest.mark.parametrize(("time_s", "is_met"), [(99, False), (100, True), (200, True), (201, False)])
def test_a_policys_keys_are_confined_by_the_trust_roots(time_s: int, is_met: bool) -> None:
    vkey = encode_vkey(KEYS[0].verifier)
    policy = parse_tlog_policy(f"witness w {vkey}\nquorum w\n".encode())
    span = TimeSpan(vkey, "1970-01-01T00:01:40Z", "1970-01-01T00:03:20Z")
    trust = TrustRoots(witnesses=(vkey,), witness_spans=(span,), witness_policy=policy)
    note = add_signatures(NOTE, [KEYS[0].cosign(CHECKPOINT, time_s)])
    assert find_quorum(trust, note, 0).is_met is is_met


def test_a_key_that_has_an_end_is_not_in_what_a_number_is_short_for() -> None:
    old, new = (encode_vkey(KEYS[number].verifier) for number in (0, 6))
    trust = TrustRoots(witnesses=(old, new), quorum=1, witness_spans=(TimeSpan(old, None, "2026-01-01T00:00:00Z"),))
    assert [encode_vkey(one.verifier) for one in policy_of(trust).witnesses] == [new]
