"""Trust roots: read back as written, every mutation another trust or an error."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from provenance.encoding import canonical_json
from provenance.errors import LimitError, MalformedError
from provenance.log import Cosigner, NoteSigner, TlogPolicy, encode_vkey, parse_tlog_policy
from provenance.log.algorithm import ML_DSA_44
from provenance.policy import (
    SizeSpan,
    TimeSpan,
    TrustedAnchor,
    TrustedBlock,
    TrustedSource,
    TrustRoots,
    encode_trust,
    parse_trust,
)
from provenance.statement.key_event import KeyReason
from tests.unit.signature.keys_for_tests import ed25519, p256, pair

VKEY = encode_vkey(NoteSigner("museum.example/log", b"\x01" * 32).verifier)
WITNESSES = tuple(encode_vkey(Cosigner(f"w{number}.example", bytes([number]) * 32).verifier) for number in (1, 2))
FULL = TrustRoots(
    sources=(
        TrustedSource("museum", p256().public, namespaces=("titanic", "other")),
        TrustedSource("harbour", ed25519().public, revoked=True),
    ),
    logs=(VKEY,),
    anchors=(TrustedAnchor(1, "0x" + "ab" * 20, "0x" + "cd" * 20),),
    blocks=(TrustedBlock(1, 7, b"\x07" * 32), TrustedBlock(2**53 - 1, 0, b"\x08" * 32)),
    witnesses=WITNESSES,
    quorum=2,
    log_spans=(SizeSpan(VKEY, 3, 70_000),),
    witness_spans=(TimeSpan(WITNESSES[1], "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"),),
)
POLICY = parse_tlog_policy(f"log {VKEY}\nwitness é {WITNESSES[1]}\nquorum é\n".encode())
LATER = encode_vkey(Cosigner("museum.example/log", b"\x02" * 32, ML_DSA_44).verifier)
LATER_WITNESS = encode_vkey(Cosigner("w1.example", b"\x03" * 32, ML_DSA_44).verifier)


@pytest.mark.parametrize(
    "trust",
    [
        TrustRoots(),
        FULL,
        replace(FULL, sources=()),
        replace(FULL, logs=(), log_spans=()),
        replace(FULL, quorum=0),
        replace(FULL, quorum=0, witness_policy=POLICY),
        TrustRoots(witness_policy=POLICY),
        TrustRoots(witness_policy=TlogPolicy()),
        replace(
            FULL, sources=(TrustedSource("museum", pair().public), TrustedSource("x", pair(of=p256()).public, True))
        ),
        replace(FULL, logs=(VKEY, LATER), log_spans=(SizeSpan(LATER, 5),)),
        replace(FULL, log_spans=(SizeSpan(VKEY, 0, 0),), witness_spans=()),
        replace(
            FULL,
            witnesses=(*WITNESSES, LATER_WITNESS),
            witness_spans=(TimeSpan(LATER_WITNESS, None, "2027-01-01T00:00:00Z"),),
        ),
    ],
)
def test_it_is_read_back(trust: TrustRoots) -> None:
    data = encode_trust(trust)
    assert parse_trust(data) == trust
    assert data.endswith(b"\n")
    assert canonical_json(json.loads(data)) + b"\n" == data
    assert parse_trust(json.dumps(json.loads(data), indent=1).encode()) == trust  # a person may edit it


@pytest.mark.parametrize(
    "witnesses",
    [
        {"keys": [], "quorum": 1},
        {"keys": list(WITNESSES), "quorum": 1, "policy": "quorum none\n"},
        {"keys": [], "quorum": 0, "policy": "quorum none"},
        {"keys": [], "quorum": 0, "policy": "quorum w\n"},
        {"keys": [], "quorum": 0, "policy": ""},
        {"keys": [], "quorum": 0, "policy": 1},
        {"keys": [], "quorum": 0, "policy": "# \ud800\nquorum none\n"},
        {"keys": list(WITNESSES), "quorum": 3},
        {"keys": list(WITNESSES), "quorum": -1},
        {"keys": [WITNESSES[0], WITNESSES[0]], "quorum": 2},
        {"keys": [VKEY], "quorum": 1},
        {"keys": [1], "quorum": 1},
        {"keys": list(WITNESSES)},
        {"keys": list(WITNESSES), "quorum": 1, "more": 1},
        [],
    ],
)
def test_a_quorum_that_means_nothing_is_refused(witnesses: Any) -> None:
    with pytest.raises(MalformedError):
        parse_trust(json.dumps({**json.loads(encode_trust(TrustRoots())), "witnesses": witnesses}).encode())


def test_keys_without_a_span_are_written_as_they_always_were() -> None:
    value = json.loads(encode_trust(replace(FULL, log_spans=(), witness_spans=())))
    assert (value["logs"], value["witnesses"]) == ([VKEY], {"keys": list(WITNESSES), "quorum": 2})
    value = json.loads(encode_trust(FULL))
    assert value["logs"] == [{"fromSize": 3, "key": VKEY, "untilSize": 70_000}]
    until = {"fromTime": "2026-01-01T00:00:00Z", "key": WITNESSES[1], "untilTime": "2027-01-01T00:00:00Z"}
    assert value["witnesses"]["keys"] == [WITNESSES[0], until]


def test_spans_become_sizes_and_seconds() -> None:
    assert [(key.from_size, key.until_size) for key in FULL.log_keys()] == [(3, 70_000)]
    first, second = FULL.witness_keys()
    assert (first.from_s, first.until_s) == (0, 2**63 - 1)
    assert (second.from_s, second.until_s) == (1_767_225_600, 1_798_761_600)


@pytest.mark.parametrize(
    "item",
    [
        {"key": VKEY, "fromSize": 5, "untilSize": 4},
        {"key": VKEY, "fromSize": -1},
        {"key": VKEY, "fromSize": "1"},
        {"key": VKEY, "untilSize": 1.5},
        {"key": VKEY, "fromTime": "2026-01-01T00:00:00Z"},
        {"key": VKEY, "more": 1},
        {"fromSize": 5},
        {"key": WITNESSES[0]},
        WITNESSES[0],
        [],
        None,
    ],
)
def test_a_log_key_of_no_sense_is_refused(item: Any) -> None:
    with pytest.raises(MalformedError):
        parse_trust(_changed(lambda v: v.update(logs=[item])))


@pytest.mark.parametrize(
    "item",
    [
        {"key": WITNESSES[0], "fromTime": "2026-01-02T00:00:00Z", "untilTime": "2026-01-01T00:00:00Z"},
        {"key": WITNESSES[0], "untilTime": "1969-12-31T23:59:59Z"},
        {"key": WITNESSES[0], "fromTime": "2026-01-02"},
        {"key": WITNESSES[0], "fromTime": 5},
        {"key": WITNESSES[0], "fromSize": 5},
        {"fromTime": "2026-01-02T00:00:00Z"},
        {"key": VKEY},
    ],
)
def test_a_witness_key_of_no_sense_is_refused(item: Any) -> None:
    with pytest.raises(MalformedError):
        parse_trust(_changed(lambda v: v.update(witnesses={"keys": [item], "quorum": 0})))


def test_two_words_on_one_key_are_refused() -> None:
    spanned = {"key": VKEY, "fromSize": 5}
    for items in ([VKEY, spanned], [spanned, spanned], [spanned, {"key": VKEY}]):
        with pytest.raises(MalformedError, match="listed twice"):
            parse_trust(_changed(lambda v, items=items: v.update(logs=items)))  # type: ignore[misc]
    assert parse_trust(_changed(lambda v: v.update(logs=[VKEY, VKEY]))).logs == (VKEY, VKEY)  # as it ever was
    with pytest.raises(MalformedError):
        TrustRoots(logs=(VKEY,), log_spans=(SizeSpan(LATER, 5),))


def test_a_witness_with_two_keys_is_one_of_the_quorum() -> None:
    both = TrustRoots(witnesses=(WITNESSES[0], LATER_WITNESS), quorum=1)
    assert both.witness_count == 1
    with pytest.raises(MalformedError, match="cannot be met"):
        replace(both, quorum=2)


def test_later_words_on_keys_take_the_place_of_earlier_ones() -> None:
    changed = FULL.with_log_keys([SizeSpan(VKEY, 3, 50), SizeSpan(LATER, 40)])
    assert changed.logs == (VKEY, LATER)
    assert changed.log_spans == (SizeSpan(VKEY, 3, 50), SizeSpan(LATER, 40))
    assert changed.with_log_keys([SizeSpan(VKEY)]).log_spans == (SizeSpan(LATER, 40),)
    ended = FULL.with_witness_key(TimeSpan(WITNESSES[1]))
    assert (ended.witnesses, ended.witness_spans) == (WITNESSES, ())
    more = FULL.with_witness_key(TimeSpan(LATER_WITNESS, "2026-01-01T00:00:00Z"))
    assert parse_trust(encode_trust(more)) == more


def test_every_mutation_is_another_trust_or_an_error() -> None:
    data = encode_trust(FULL)
    for position in range(len(data) - 1):
        for bit in (1, 4, 32):
            mutated = bytearray(data)
            mutated[position] ^= bit
            try:
                assert parse_trust(bytes(mutated)) != FULL, data[max(0, position - 20) : position + 20]
            except MalformedError:
                continue
    for end in range(0, len(data) - 1, 3):
        with pytest.raises(MalformedError):
            parse_trust(data[:end])


def _changed(change: Callable[[Any], object]) -> bytes:
    value = json.loads(encode_trust(FULL))
    change(value)
    return canonical_json(value)


@pytest.mark.parametrize(
    "change",
    [
        lambda v: v.update(format="urn:provenance-ledger:trust:2"),
        lambda v: v.pop("format"),
        lambda v: v.update(more=[]),
        lambda v: v.pop("sources"),
        lambda v: v.pop("logs"),
        lambda v: v.pop("anchors"),
        lambda v: v.pop("blocks"),
        lambda v: v.update(sources={}),
        lambda v: v.update(sources=[1]),
        lambda v: v["sources"][0].update(status="Trusted"),
        lambda v: v["sources"][0].update(status=None),
        lambda v: v["sources"][0].pop("status"),
        lambda v: v["sources"][0].update(pem="-----BEGIN PUBLIC KEY-----"),
        lambda v: v["sources"][0].update(pem=""),
        lambda v: v["sources"][0].update(name=""),
        lambda v: v["sources"][0].update(namespaces="titanic"),
        lambda v: v["sources"][0].update(namespaces=[""]),
        lambda v: v["sources"][0].update(namespaces=[1]),
        lambda v: v["sources"][0].update(namespaces=["n" * 65]),
        lambda v: v["sources"][0].update(more=1),
        lambda v: v.update(logs=[1]),
        lambda v: v.update(logs=[VKEY[:-1]]),
        lambda v: v.update(logs=[VKEY + " "]),
        lambda v: v["anchors"][0].update(chainId=0),
        lambda v: v["anchors"][0].update(chainId="1"),
        lambda v: v["anchors"][0].update(contract="0x" + "AB" * 20),
        lambda v: v["anchors"][0].update(contract="0x" + "ab" * 19),
        lambda v: v["anchors"][0].update(contract="ab" * 20),
        lambda v: v["anchors"][0].update(publisher=""),
        lambda v: v["anchors"][0].update(more=1),
        lambda v: v["blocks"][0].update(number=-1),
        lambda v: v["blocks"][0].update(number=2**53),
        lambda v: v["blocks"][0].update(hash="07" * 32),
        lambda v: v["blocks"][0].update(hash="0x" + "07" * 31),
        lambda v: v["blocks"][0].update(hash="0x" + "0A" * 32),
        lambda v: v["blocks"][0].update(more=1),
        lambda v: v.update(blocks=[None]),
    ],
)
def test_malformed_trust(change: Callable[[Any], object]) -> None:
    with pytest.raises(MalformedError):
        parse_trust(_changed(change))


def test_limits() -> None:
    with pytest.raises(LimitError):
        parse_trust(b" " * (16 * 2**20 + 1))
    with pytest.raises(LimitError):
        parse_trust(_changed(lambda v: v.update(logs=[VKEY] * 10_001)))
    for garbage in (b"", b"null", b"[]", b"\xff", b"[" * 100_000):
        with pytest.raises(MalformedError):
            parse_trust(garbage)


def test_the_word_on_a_key() -> None:
    key, other = p256().public, ed25519().public
    trusted, revoked = TrustedSource("m", key), TrustedSource("m", key, revoked=True)
    a, b = TrustedSource("m", key, namespaces=("a",)), TrustedSource("m", key, namespaces=("b", "a"))

    def word(*sources: TrustedSource) -> TrustedSource | None:
        return TrustRoots(sources=sources).source(key.keyid)

    assert word() is None
    assert word(TrustedSource("m", other)) is None
    assert word(trusted) == trusted
    for sources in ((trusted, revoked), (revoked, trusted)):
        assert word(*sources) == revoked
    assert word(a, revoked, b) == replace(revoked, namespaces=("a", "b"))
    # A revoked listing confines the key no less than the others do.
    since = replace(revoked, since="2026-01-01T00:00:00Z")
    assert word(a, since) == replace(since, namespaces=("a",))
    assert word(b, replace(since, namespaces=("a", "c"))) == replace(since, namespaces=("a",))
    assert word(a, replace(since, namespaces=("c",))) == replace(since, namespaces=("c",), since=None)
    assert TrustRoots((a,)).with_revoked(TrustRoots((since,))).source(key.keyid) == replace(
        a, revoked=True, since=since.since
    )
    both = TrustRoots((a, TrustedSource("m", key, namespaces=("b",)))).revoking(key.keyid, since.since)
    assert both.source(key.keyid) == replace(since, namespaces=("a", "b"))  # each is ended, and no more than that
    assert TrustRoots(()).with_revoked(TrustRoots((since,))) == TrustRoots(())
    assert TrustRoots((since,)).revoking(key.keyid, "2025-01-01T00:00:00Z").sources[0].since == "2025-01-01T00:00:00Z"
    assert TrustRoots((since,)).revoking(key.keyid, "2027-01-01T00:00:00Z").sources[0] == since
    assert TrustRoots((since,)).revoking(key.keyid, None).sources[0].since is None
    assert word(a, b) == replace(a, namespaces=("a", "b"))
    assert word(a, trusted) == replace(a, namespaces=())
    assert TrustRoots(sources=(trusted, a)).with_source(revoked).sources == (revoked,)
    assert TrustRoots(sources=(TrustedSource("x", other),)).with_source(a).sources == (TrustedSource("x", other), a)


def test_the_worst_reason_wins_and_none_is_worse_than_that_it_was_retired() -> None:
    key = ed25519().public
    retired, stolen, unsaid = (
        TrustedSource("m", key, revoked=True, reason=reason)
        for reason in (KeyReason.RETIRED, KeyReason.COMPROMISED, None)
    )
    for sources, reason in (
        ((retired,), KeyReason.RETIRED),
        ((retired, stolen), KeyReason.COMPROMISED),
        ((stolen, unsaid), KeyReason.COMPROMISED),
        ((unsaid, retired), None),
    ):
        for order in (sources, sources[::-1]):
            found = TrustRoots(order).source(key.keyid)
            assert found is not None
            assert found.reason is reason
    in_force = TrustRoots((TrustedSource("m", key),))
    assert in_force.revoking(key.keyid, None, KeyReason.RETIRED).sources == (retired,)
    assert in_force.with_revoked(TrustRoots((retired,))).sources == (retired,)
    assert TrustRoots((unsaid,)).revoking(key.keyid, None, KeyReason.RETIRED).sources == (unsaid,)
    assert TrustRoots((retired,)).revoking(key.keyid, None, KeyReason.COMPROMISED).sources == (stolen,)
    assert parse_trust(encode_trust(TrustRoots((retired, unsaid)))).sources == (retired, unsaid)
    with pytest.raises(MalformedError, match="a key in force has a reason"):
        TrustedSource("m", key, reason=KeyReason.RETIRED)


def test_a_revoked_key_may_have_a_time_and_the_strictest_listing_wins() -> None:
    key = ed25519().public
    early, late = (TrustedSource("m", key, revoked=True, since=f"202{year}-01-01T00:00:00Z") for year in (5, 6))
    never = TrustedSource("m", key, revoked=True)
    assert TrustRoots((late, early)).source(key.keyid) == early
    assert TrustRoots((early, never, late)).source(key.keyid) == never
    roots = TrustRoots((early,))
    assert parse_trust(encode_trust(roots)) == roots
    with pytest.raises(MalformedError, match="a key in force is revoked since some time"):
        TrustedSource("m", key, since="2026-01-01T00:00:00Z")
    with pytest.raises(MalformedError, match="not a time"):
        TrustedSource("m", key, revoked=True, since="2026")


def test_a_policy_takes_the_place_of_a_number_and_its_logs_of_none() -> None:
    assert FULL.with_witness_policy(POLICY) == replace(FULL, quorum=0, witness_policy=POLICY)
    assert TrustRoots().with_witness_policy(POLICY) == TrustRoots(logs=(VKEY,), witness_policy=POLICY)
    with pytest.raises(MalformedError, match="quorum 0 beside a policy"):
        replace(FULL, witness_policy=POLICY)
    octets = parse_tlog_policy(
        f"witness x {WITNESSES[0]}\nquorum x\n".encode().replace(b" x ", b" \xff ", 1).replace(b"x\n", b"\xff\n")
    )
    with pytest.raises(MalformedError, match="not UTF-8"):
        encode_trust(TrustRoots(witness_policy=octets))


def test_a_source_without_an_ml_dsa_key_is_written_as_it_always_was() -> None:
    plain, both = (
        json.loads(encode_trust(TrustRoots(sources=(TrustedSource("a", key.public),)))) for key in (ed25519(), pair())
    )
    (old,), (new,), beside = plain["sources"], both["sources"], pair().public.ml_dsa
    assert beside is not None
    assert new == {**old, "mlDsa44": beside.pem}


def test_of_two_listings_the_one_with_an_ml_dsa_key_is_owed_and_two_such_keys_are_refused() -> None:
    plain, both = TrustedSource("a", ed25519().public, namespaces=("x",)), TrustedSource("a", pair().public)
    for sources in (
        (plain, both),
        (both, plain),
        (replace(plain, revoked=True), both),
        (both, replace(plain, revoked=True)),
    ):
        found = parse_trust(encode_trust(TrustRoots(sources=sources))).source(ed25519().public.keyid)
        assert found is not None
        assert found.key == pair().public
        assert found.revoked == any(source.revoked for source in sources)
    with pytest.raises(MalformedError, match="two ML-DSA-44 keys"):
        TrustRoots(sources=(both, TrustedSource("a", pair(1).public)))
    TrustRoots(sources=(both, both, TrustedSource("b", pair(1, of=p256()).public)))


def test_an_ml_dsa_key_of_no_sense_is_refused() -> None:
    value = json.loads(encode_trust(TrustRoots(sources=(TrustedSource("a", pair().public),))))
    pem = value["sources"][0]["mlDsa44"]
    for wrong in (ed25519().public.pem, "", None, 1, pem + pem, pem[:-30], pem.replace("A", "B", 1), [pem]):
        value["sources"][0]["mlDsa44"] = wrong
        data = json.dumps(value).encode()
        try:
            found = parse_trust(data)
        except MalformedError:
            continue
        assert found.sources[0].key.ml_dsa is not None  # the changed letter gave another key
        assert found.sources[0].key != pair().public
