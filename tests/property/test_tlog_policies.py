"""Random nested policies, judged by the code and by an oracle that reads the file's words and the specification."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from provenance.errors import MalformedError, ProvenanceError
from provenance.log import (
    Checkpoint,
    Cosigner,
    NoteSigner,
    add_signatures,
    encode_tlog_policy,
    encode_vkey,
    judge_checkpoint,
    parse_tlog_policy,
    sign_checkpoint,
)

LOG = NoteSigner("log.example", b"\x01" * 32)
CHECKPOINT = Checkpoint(LOG.name, 9, b"\x09" * 32)
NOTE = sign_checkpoint(CHECKPOINT, LOG)
COSIGNERS = [Cosigner(f"w{number // 2}.example", bytes([number + 1]) * 32) for number in range(16)]
"""Two keys a witness."""
LINES = [one.cosign(CHECKPOINT, 1) for one in COSIGNERS]


@st.composite
def policies(draw: st.DrawFn, *, one_key_each: bool) -> str:
    """A policy's text. With `one_key_each` no two keys are one witness's, and it is always a policy."""
    numbers = draw(st.lists(st.integers(0, 15), min_size=1, max_size=10, unique_by=lambda n: n // (1 + one_key_each)))
    text = [f"witness k{number} {encode_vkey(COSIGNERS[number].verifier)}" for number in numbers]
    free, names = [f"k{number}" for number in numbers], [f"k{number}" for number in numbers]
    for number in range(draw(st.integers(0, 6))):
        if not free:
            break
        members = draw(st.lists(st.sampled_from(free), min_size=1, max_size=len(free), unique=True))
        wanted = draw(st.sampled_from(["any", "all"]) | st.integers(1, len(members)).map(str))
        text.append(f"group g{number} {wanted} {' '.join(members)}")
        free = [*(name for name in free if name not in members), f"g{number}"]
        names.append(f"g{number}")
    return "".join(f"{line}\n" for line in [*text, f"quorum {draw(st.sampled_from([*names, 'none']))}"])


def _witnessed(text: str, name: str, signed: set[int]) -> bool:
    """The specification's recursion, over the file's own words."""
    (line,) = [line.split() for line in text.splitlines() if line.split()[1] == name and not line.startswith("quorum")]
    if line[0] == "witness":
        return int(name[1:]) in signed
    count = sum(_witnessed(text, member, signed) for member in line[3:])
    return count >= {"any": 1, "all": len(line[3:])}.get(line[2], int(line[2]) if line[2].isdigit() else 0)


def _oracle(text: str, signed: set[int]) -> bool:
    quorum = text.split()[-1]
    return quorum == "none" or _witnessed(text, quorum, signed)


@given(policies(one_key_each=True), st.sets(st.integers(0, 15)))
@settings(max_examples=400, deadline=None)
def test_a_verdict_is_the_specifications(text: str, signed: set[int]) -> None:
    policy = parse_tlog_policy(text.encode())
    note = add_signatures(NOTE, [LINES[number] for number in sorted(signed)])
    verdict = judge_checkpoint(note, policy)
    assert verdict.is_met == _oracle(text, signed)
    data = encode_tlog_policy(policy)
    assert (parse_tlog_policy(data), encode_tlog_policy(parse_tlog_policy(data))) == (policy, data)
    assert _oracle(data.decode(), signed) == verdict.is_met
    # More cosignatures never make it worse.
    more = add_signatures(note, LINES)
    assert judge_checkpoint(more, policy).is_met >= verdict.is_met


def _names_under(text: str, name: str) -> list[str]:
    """The key name of each key under a name, as often as it is there."""
    (line,) = [line.split() for line in text.splitlines() if line.split()[1] == name and not line.startswith("quorum")]
    if line[0] == "witness":
        return [line[2].partition("+")[0]]
    return [key for member in line[3:] for key in _names_under(text, member)]


@given(policies(one_key_each=False), st.sets(st.integers(0, 7)))
@settings(max_examples=400, deadline=None)
def test_a_witness_never_counts_twice(text: str, witnesses: set[int]) -> None:
    groups = [line.split() for line in text.splitlines() if line.startswith("group")]
    could = any(
        len(set(_names_under(text, group[1]))) > 1
        and sum(len(set(_names_under(text, member))) for member in group[3:]) > len(set(_names_under(text, group[1])))
        for group in groups
    )
    try:
        parse_tlog_policy(text.encode())
    except MalformedError as error:
        assert could
        assert "count twice" in error.what
        return
    assert not could
    signed = {key for number in witnesses for key in (2 * number, 2 * number + 1)}  # with all of their keys
    cosigning = {f"w{number}.example" for number in witnesses}
    for group in groups:
        under = set(_names_under(text, group[1]))
        if len(under) > 1:
            met = sum(_witnessed(text, member, signed) for member in group[3:])
            assert met <= len(under & cosigning)


@given(
    st.binary(max_size=200)
    | st.lists(st.sampled_from([*b"log witness group quorum none all any 1 2 a b\n\t#"])).map(bytes)
)
@settings(max_examples=300, deadline=None)
def test_anything_else_is_refused_in_our_words(data: bytes) -> None:
    try:
        policy = parse_tlog_policy(data)
    except ProvenanceError:
        return
    assert parse_tlog_policy(encode_tlog_policy(policy)) == policy
