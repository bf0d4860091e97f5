"""Witness policies: the specification's rules by hand, every error with its line, limits, mutations, and verdicts."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest

from provenance.errors import LimitError, MalformedError, ProvenanceError, VerificationError
from provenance.limits import MAX_TLOG_POLICY_BYTES, MAX_TLOG_POLICY_ITEMS
from provenance.log import (
    Checkpoint,
    Cosigner,
    NoteSigner,
    PolicyGroup,
    PolicyLog,
    PolicyWitness,
    TlogPolicy,
    WitnessKey,
    add_signatures,
    encode_tlog_policy,
    encode_vkey,
    judge_checkpoint,
    parse_tlog_policy,
    sign_checkpoint,
)
from provenance.log.algorithm import ML_DSA_44
from provenance.log.note import NoteVerifier

LOG = NoteSigner("log.example/a", b"\x01" * 32)
OTHER_LOG = NoteSigner("log.example/b", b"\x02" * 32)
W = [Cosigner(f"w{number}.example", bytes([16 + number]) * 32) for number in range(7)]
SECOND = Cosigner(W[0].name, b"\x77" * 32, ML_DSA_44)
NOTE = sign_checkpoint(Checkpoint(LOG.name, 5, b"\x05" * 32), LOG)
KEYS = [encode_vkey(one.verifier) for one in W]
LOG_KEY = encode_vkey(LOG.verifier)

SPEC = f"""log {LOG_KEY}

witness X1 {KEYS[1]}
witness X2 {KEYS[2]}
witness X3 {KEYS[3]}
group X-witnesses 2 X1 X2 X3

witness Y1 {KEYS[4]}
witness Y2 {KEYS[5]}
witness Y3 {KEYS[6]}
group Y-witnesses any Y1 Y2 Y3

group X-and-Y all X-witnesses Y-witnesses
quorum X-and-Y
""".encode()
"""The example of the specification."""


def cosigned(*cosigners: Cosigner, time_s: int = 100) -> bytes:
    checkpoint = Checkpoint(LOG.name, 5, b"\x05" * 32)
    return add_signatures(NOTE, [one.cosign(checkpoint, time_s) for one in cosigners])


@pytest.mark.parametrize(
    ("who", "is_met"),
    [
        ((), False),
        ((1, 2), False),
        ((4, 5, 6), False),
        ((1, 4), False),
        ((1, 2, 4), True),
        ((2, 3, 6), True),
        ((1, 2, 3, 4, 5, 6), True),
    ],
)
def test_the_example_of_the_specification(who: Sequence[int], is_met: bool) -> None:
    policy = parse_tlog_policy(SPEC)
    verdict = judge_checkpoint(cosigned(*(W[number] for number in who)), policy)
    assert (verdict.is_met, verdict.checkpoint.size) == (is_met, 5)
    assert len(verdict.cosigned) == len(who)
    assert len(verdict.cosigned) + len(verdict.lacking) == 6
    assert policy.requirement() == "all of (2 of (X1, X2, X3), any of (Y1, Y2, Y3))"
    if not is_met:
        with pytest.raises(VerificationError, match="do not meet the witness policy; expected all of"):
            verdict.require()
    else:
        verdict.require()


def test_it_is_written_as_it_is_read() -> None:
    policy = parse_tlog_policy(SPEC)
    data = encode_tlog_policy(policy)
    assert parse_tlog_policy(data) == policy
    assert encode_tlog_policy(parse_tlog_policy(data)) == data
    assert [line for line in data.split(b"\n") if line.startswith(b"group")] == [
        line for line in SPEC.split(b"\n") if line.startswith(b"group")
    ]
    assert policy.groups == (
        PolicyGroup("X-witnesses", 2, ("X1", "X2", "X3")),
        PolicyGroup("Y-witnesses", 1, ("Y1", "Y2", "Y3")),
        PolicyGroup("X-and-Y", 2, ("X-witnesses", "Y-witnesses")),
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"quorum none\n", TlogPolicy()),
        (b"\n# words\n\t # more \xff words\n \t\n  quorum\tnone \n", TlogPolicy()),
        (
            f"\twitness \t a  {KEYS[0]}   https://a.example/x  \n quorum  a\n".encode(),
            TlogPolicy(witnesses=(PolicyWitness("a", W[0].verifier, "https://a.example/x"),), quorum="a"),
        ),
        (
            f"witness all {KEYS[0]}\nwitness any {KEYS[1]}\ngroup group 2 all any\nquorum group\n".encode(),
            TlogPolicy(
                witnesses=(PolicyWitness("all", W[0].verifier), PolicyWitness("any", W[1].verifier)),
                groups=(PolicyGroup("group", 2, ("all", "any")),),
                quorum="group",
            ),
        ),
        (
            b"witness \xe2\x84\xaa\xff %b\nwitness K\xff %b\nquorum \xe2\x84\xaa\xff\n"
            % (KEYS[0].encode(), KEYS[1].encode()),
            TlogPolicy(
                witnesses=(
                    PolicyWitness("\N{KELVIN SIGN}\udcff", W[0].verifier),
                    PolicyWitness("K\udcff", W[1].verifier),
                ),
                quorum="\N{KELVIN SIGN}\udcff",
            ),
        ),
        (
            f"log {LOG_KEY} https://log.example/\nquorum none\n".encode(),
            TlogPolicy(logs=(PolicyLog(LOG.verifier, "https://log.example/"),)),
        ),
    ],
)
def test_what_is_read(text: bytes, expected: TlogPolicy) -> None:
    assert parse_tlog_policy(text) == expected
    assert parse_tlog_policy(encode_tlog_policy(expected)) == expected


def lines(*these: str) -> str:
    return "".join(f"{line}\n" for line in these)


A, B, C = (f"witness {name} {KEYS[number]}" for number, name in enumerate("abc"))
SAME_KEY = encode_vkey(NoteVerifier("other.example", W[0].verifier.type_byte, W[0].verifier.public_key))
A_PQ = f"witness a-pq {encode_vkey(SECOND.verifier)}"


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("", None, "has no quorum"),
        (lines(A), None, "has no quorum"),
        ("quorum none", 1, "last line is cut"),
        (lines(A, "group g12 any a") + "quorum g1", 3, "last line is cut"),
        ("quorum none\r\n", 1, "control character; .*got 0x0d"),
        ("quorum none\n# \x00\n", 2, "control character; .*got 0x00"),
        ("quorum none\x7f\n", 1, "control character; .*got 0x7f"),
        ("quorum none\nquorum none\n", 2, "quorum is there twice"),
        ("quorum\n", 1, "quorum line is out of form; expected quorum <name>|none; got quorum"),
        ("quorum none none\n", 1, "quorum line is out of form"),
        ("Quorum none\n", 1, "unknown keyword; expected log | witness"),
        (lines("", "#", "quorum a", A), 3, "quorum is not defined"),
        (lines(A + " http://a.example # words", "quorum a"), 1, "witness line is out of form"),
        (lines("witness a", "quorum none"), 1, "witness line is out of form"),
        (lines("log", "quorum none"), 1, "log line is out of form"),
        (lines("log nothing", "quorum none"), 1, "verifier key is out of form"),
        (lines(f"log {LOG_KEY} http://a b", "quorum none"), 1, "log line is out of form"),
        (lines(f"log {KEYS[0]}", "quorum none"), 1, "key is not a log's; expected type 0x01 or 0x06"),
        (lines(f"witness a {LOG_KEY}", "quorum a"), 1, "key is not a witness's; expected type 0x04 or 0x06"),
        (lines(f"log {LOG_KEY}", f"log {LOG_KEY} http://a", "quorum none"), 2, "key is in the policy already"),
        (lines(A, f"witness b {SAME_KEY}", "quorum a"), 2, "key is in the policy already"),
        (lines(A, f"witness a {KEYS[1]}", "quorum a"), 2, "name is defined already"),
        (lines(A, "group a any a", "quorum a"), 2, "name is defined already"),
        (lines(f"witness none {KEYS[0]}", "quorum none"), 1, "name means no witness"),
        (lines(A, "group none any a", "quorum none"), 2, "name means no witness"),
        (lines(A, "group g any", "quorum a"), 2, "group line is out of form"),
        (lines(A, "group g 0 a", "quorum g"), 2, "threshold cannot be met; expected 1 to 1"),
        (lines(A, "group g 2 a", "quorum g"), 2, "threshold cannot be met; expected 1 to 1"),
        (lines(A, "group g 01 a", "quorum g"), 2, "threshold is out of form"),
        (lines(A, "group g -1 a", "quorum g"), 2, "threshold is out of form"),
        (lines(A, "group g +1 a", "quorum g"), 2, "threshold is out of form"),
        (lines(A, "group g \N{ARABIC-INDIC DIGIT ONE} a", "quorum g"), 2, "threshold is out of form"),
        (lines(A, "group g ANY a", "quorum g"), 2, "threshold is out of form"),
        (lines(A, "group g any b", "quorum g"), 2, "member that is not defined"),
        (lines(A, "group g any none a", "quorum g"), 2, "member that is not defined"),
        (lines(A, "group g any g", "quorum g"), 2, "member that is not defined"),
        (lines("group g any a", A, "quorum g"), 1, "member that is not defined"),
        (lines(A, "group g all a a", "quorum g"), 2, "member twice"),
        (lines(A, B, "group g any a b", "group h any a", "quorum h"), 4, "member twice"),
        (lines(A, A_PQ, B, "group g 2 a a-pq b", "quorum g"), 4, "keys of one witness would count twice"),
        (lines(A, A_PQ, B, "group g any a b", "group h 2 g a-pq", "quorum h"), 5, "one witness would count twice"),
    ],
)
def test_what_is_no_policy(text: str, line: int | None, what: str) -> None:
    with pytest.raises(MalformedError, match=what) as refused:
        parse_tlog_policy(text.encode())
    assert refused.value.where == (None if line is None else f"line {line}")
    assert (refused.value.expected, refused.value.got) != (None, None)


def test_a_witness_with_two_keys_counts_once() -> None:
    both = parse_tlog_policy(lines(A, A_PQ, B, "group w all a a-pq", "group g 2 w b", "quorum g").encode())
    either = parse_tlog_policy(lines(A, A_PQ, B, "group w any a a-pq", "group g 2 w b", "quorum g").encode())
    for note, by_both, by_either in (
        (cosigned(W[0], SECOND), False, False),
        (cosigned(W[0], W[1]), False, True),
        (cosigned(SECOND, W[1]), False, True),
        (cosigned(W[0], SECOND, W[1]), True, True),
    ):
        assert (judge_checkpoint(note, both).is_met, judge_checkpoint(note, either).is_met) == (by_both, by_either)
    # Two cosignatures by one key, of two times, are one.
    checkpoint = Checkpoint(LOG.name, 5, b"\x05" * 32)
    twice = add_signatures(NOTE, [W[0].cosign(checkpoint, 1), W[0].cosign(checkpoint, 2)])
    assert not judge_checkpoint(twice, parse_tlog_policy(lines(A, B, "group g 2 a b", "quorum g").encode())).is_met


def test_the_logs_of_a_policy() -> None:
    of_a = parse_tlog_policy(lines(f"log {LOG_KEY}", "quorum none").encode())
    of_b = parse_tlog_policy(lines(f"log {encode_vkey(OTHER_LOG.verifier)}", "quorum none").encode())
    assert judge_checkpoint(NOTE, of_a).is_met
    assert judge_checkpoint(NOTE, TlogPolicy()).is_met
    with pytest.raises(VerificationError, match="not signed by a log of the witness policy"):
        judge_checkpoint(NOTE, of_b)
    # The other log's signature under this one's checkpoint does not make it the other's.
    both = add_signatures(NOTE, [OTHER_LOG.sign(b"log.example/a\n5\n" + NOTE.split(b"\n")[2] + b"\n")])
    with pytest.raises(VerificationError, match="not signed by a log"):
        judge_checkpoint(both, of_b)
    assert judge_checkpoint(both, TlogPolicy(logs=(*of_b.logs, *of_a.logs))).is_met


def test_a_known_key_whose_signature_fails_rejects_all() -> None:
    policy = parse_tlog_policy(lines(A, B, "group g any a b", "quorum g").encode())
    forged = Cosigner(W[1].name, W[1].verifier.public_key).cosign(Checkpoint(LOG.name, 5, b"\x05" * 32), 1)
    line = type(forged)(forged.name, W[1].verifier.key_id, forged.signature)
    with pytest.raises(VerificationError, match="does not verify"):
        judge_checkpoint(add_signatures(cosigned(W[0]), [line]), policy)
    # Of a key that the policy does not know it says nothing.
    assert judge_checkpoint(
        add_signatures(cosigned(W[0]), [line]), parse_tlog_policy(lines(A, "quorum a").encode())
    ).is_met


def test_a_key_counts_for_its_times_alone() -> None:
    policy = parse_tlog_policy(lines(A, "quorum a").encode())
    key = WitnessKey(W[0].verifier, 50, 150)
    verdicts = [judge_checkpoint(cosigned(W[0], time_s=at), policy, [key]) for at in (49, 50, 150, 151)]
    assert [verdict.is_met for verdict in verdicts] == [False, True, True, False]
    assert [verdict.lacking for verdict in verdicts] == [("a",), (), (), ("a",)]


def test_limits() -> None:
    many = [f"witness w{number} {encode_vkey(_key(number))}" for number in range(MAX_TLOG_POLICY_ITEMS + 1)]
    parse_tlog_policy(lines(*many[:-1], "quorum w0").encode())
    with pytest.raises(LimitError, match="too many witnesses"):
        parse_tlog_policy(lines(*many, "quorum w0").encode())
    groups = [f"group g{number} any {f'g{number - 1}' if number else 'w0'}" for number in range(257)]
    deep = parse_tlog_policy(lines(many[0], *groups[:-1], "quorum g255").encode())
    assert deep.is_met({"w0"})
    assert not deep.is_met({"g1", "w1"})
    assert deep.requirement().count("(") == 256
    with pytest.raises(LimitError, match="too many groups"):
        parse_tlog_policy(lines(many[0], *groups, "quorum g256").encode())
    logs = [f"log {encode_vkey(NoteSigner('l.example', number.to_bytes(32, 'big')).verifier)}" for number in range(257)]
    with pytest.raises(LimitError, match="too many logs"):
        parse_tlog_policy(lines(*logs, "quorum none").encode())
    with pytest.raises(LimitError, match="name is too large"):
        parse_tlog_policy(lines(f"witness {'n' * 1_025} {KEYS[0]}", "quorum none").encode())
    with pytest.raises(LimitError, match="URL is too large"):
        parse_tlog_policy(lines(f"{A} http://{'u' * 2_048}", "quorum none").encode())
    with pytest.raises(LimitError, match="witness policy is too large"):
        parse_tlog_policy(b"#" * MAX_TLOG_POLICY_BYTES + b"\n")


def _key(number: int) -> NoteVerifier:
    return NoteVerifier(f"w{number}.example", 4, number.to_bytes(32, "big"))


@pytest.mark.parametrize("name", ["", "a b", "a\tb", "a\nb", "a\x00", "none", "x" * 1_025])
def test_what_no_file_could_say_is_no_policy_either(name: str) -> None:
    with pytest.raises(MalformedError):
        TlogPolicy(witnesses=(PolicyWitness(name, W[0].verifier),))
    with pytest.raises(MalformedError):
        TlogPolicy(witnesses=(PolicyWitness("a", W[0].verifier),), groups=(PolicyGroup(name, 1, ("a",)),))
    for wrong in (PolicyGroup("g", 1, ()), PolicyGroup("g", 2, ("a",)), PolicyGroup("g", 1, ("b",))):
        with pytest.raises(MalformedError):
            TlogPolicy(witnesses=(PolicyWitness("a", W[0].verifier),), groups=(wrong,))
    with pytest.raises(MalformedError):
        TlogPolicy(quorum="a")
    with pytest.raises(MalformedError):
        TlogPolicy(logs=(PolicyLog(LOG.verifier, "http://a b"),))


def test_every_prefix_is_refused() -> None:
    for size in range(len(SPEC)):
        with pytest.raises(MalformedError):
            parse_tlog_policy(SPEC[:size])


def test_one_changed_byte_is_another_policy_or_none() -> None:
    def items(data: bytes) -> list[list[bytes]]:
        return [line for line in (re.findall(rb"[^ \t]+", one) for one in data.split(b"\n")) if line]

    policy, accepted = parse_tlog_policy(SPEC), 0
    for at in range(len(SPEC)):
        for byte in {SPEC[at] ^ 1, SPEC[at] ^ 0x80, 0x20, 0x0A} - {SPEC[at]}:
            changed = SPEC[:at] + bytes([byte]) + SPEC[at + 1 :]
            try:
                found = parse_tlog_policy(changed)
            except ProvenanceError:
                continue
            accepted += 1
            assert found != policy or items(changed) == items(SPEC)
    assert accepted  # a name that is used nowhere else, a threshold
