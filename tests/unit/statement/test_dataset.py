"""The dataset statement: read back as written, strict where it is submitted, and free of secrets."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provenance.encoding import Digest, canonical_json
from provenance.errors import LimitError, MalformedError
from provenance.fingerprint import FileEntry, fingerprint_files
from provenance.limits import MAX_INPUTS
from provenance.statement import (
    BlockReference,
    DatasetName,
    DatasetStatement,
    Kind,
    OmsReference,
    Pin,
    PinnedName,
    Sensitivity,
    encode_statement,
    parse_kind,
    parse_sensitivity,
    parse_statement,
)

NAME = PinnedName(DatasetName("museum", "titanic"), "1")
DIGESTS = st.binary(min_size=32, max_size=32).map(Digest)
SMALL = DatasetStatement(
    name=NAME,
    fingerprint=fingerprint_files([FileEntry("a.csv", 3, Digest.of(b"abc"))]).document,
    manifest=Digest.of(b"manifest"),
    created="2026-01-02T03:04:05Z",
)
FULL = replace(
    SMALL,
    kind=Kind.MODEL,
    sensitivity=Sensitivity.RESTRICTED,
    license="CC-BY-4.0 AND (MIT OR Apache-2.0+)",
    origin="https://example.org/data?year=2020&page=2#table",
    parents=tuple(
        Pin(PinnedName(DatasetName("a", f"p{n}"), "1"), Digest.of(b"%d" % n), Digest.of(b"e%d" % n)) for n in range(3)
    ),
    oms=OmsReference(Digest.of(b"payload"), Digest.of(b"bundle")),
    not_before=BlockReference(1, 7, b"\x0b" * 32),
)


@pytest.mark.parametrize("statement", [SMALL, FULL])
@pytest.mark.parametrize("strict", [False, True])
def test_it_is_read_back_and_is_an_in_toto_statement(statement: DatasetStatement, strict: bool) -> None:
    payload = encode_statement(statement)
    assert parse_statement(payload, strict=strict) == statement
    value = json.loads(payload)
    assert value["_type"] == "https://in-toto.io/Statement/v1"
    assert value["predicateType"] == "urn:provenance-ledger:dataset:1"
    assert value["subject"] == [{"name": str(statement.name), "digest": {"sha256": statement.digest.hex}}]
    assert canonical_json(value) == payload


LICENSES = st.from_regex(r"[a-z0-9.-]{1,9}\+?( (AND|OR) \(?[a-z0-9.-]{1,9}\)?)?", fullmatch=True).filter(
    lambda text: text.count("(") == text.count(")")
)
PARENTS = st.lists(
    st.builds(Pin, st.integers(0, 10**6).map(lambda n: PinnedName(DatasetName("p", f"n{n}"), "1")), DIGESTS, DIGESTS),
    max_size=5,
    unique_by=lambda parent: parent.name,
)


@settings(max_examples=200, deadline=None)
@given(
    manifest=DIGESTS,
    kind=st.sampled_from(Kind),
    sensitivity=st.sampled_from(Sensitivity),
    license=st.none() | LICENSES,
    origin=st.none() | st.sampled_from(["https://x.org", "urn:x", "s3://b/k@v", "doi:10.1/x"]),
    parents=PARENTS.map(tuple),
    oms=st.none() | st.builds(OmsReference, DIGESTS, DIGESTS),
    not_before=st.none()
    | st.builds(
        BlockReference, st.integers(1, 2**53 - 1), st.integers(0, 2**53 - 1), st.binary(min_size=32, max_size=32)
    ),
)
def test_any_statement_is_read_back(**fields: Any) -> None:
    statement = replace(SMALL, **fields)
    assert parse_statement(encode_statement(statement), strict=True) == statement


def test_no_byte_of_a_statement_changes_and_leaves_it_the_same() -> None:
    payload = encode_statement(FULL)
    for position in range(len(payload)):
        for bit in (1, 2, 32):
            mutated = bytearray(payload)
            mutated[position] ^= bit
            try:
                assert parse_statement(bytes(mutated)) != FULL, payload[position - 20 : position + 20]
            except MalformedError:
                continue
    for end in range(0, len(payload), 7):
        with pytest.raises(MalformedError):
            parse_statement(payload[:end])


# ---- strict and lenient --------------------------------------------------------------------------------------------


def _changed(change: Callable[[Any], object], statement: DatasetStatement = FULL) -> bytes:
    value = json.loads(encode_statement(statement))
    change(value)
    return canonical_json(value)


def test_unknown_fields_of_the_predicate_are_ignored_when_read_and_refused_when_submitted() -> None:
    payload = _changed(lambda v: v["predicate"].update(later="a field of a later release"))
    assert parse_statement(payload) == FULL
    with pytest.raises(MalformedError, match="unknown field"):
        parse_statement(payload, strict=True)


@pytest.mark.parametrize(
    "change",
    [
        lambda v: v.update(more=1),
        lambda v: v.update(_type="https://in-toto.io/Statement/v0.1"),
        lambda v: v.update(predicateType="urn:provenance-ledger:dataset:2"),
        lambda v: v.update(subject=[]),
        lambda v: v.update(subject=v["subject"] * 2),
        lambda v: v.update(subject={}),
        lambda v: v.update(predicate=[]),
        lambda v: v.pop("predicate"),
        lambda v: v["subject"][0].update(more=1),
        lambda v: v["subject"][0].update(name="museum/titanic"),
        lambda v: v["subject"][0].update(name=""),
        lambda v: v["subject"][0].update(name=1),
        lambda v: v["subject"][0]["digest"].update(sha256="0" * 64),
        lambda v: v["subject"][0]["digest"].update(sha512="0" * 128),
        lambda v: v["subject"][0].update(digest={}),
        lambda v: v["predicate"].pop("fingerprint"),
        lambda v: v["predicate"].pop("manifest"),
        lambda v: v["predicate"].pop("parents"),
        lambda v: v["predicate"].pop("created"),
        lambda v: v["predicate"].update(kind="Dataset"),
        lambda v: v["predicate"].update(kind=None),
        lambda v: v["predicate"].update(sensitivity="secret"),
        lambda v: v["predicate"].update(license=""),
        lambda v: v["predicate"].update(license="MIT\n"),
        lambda v: v["predicate"].update(license="my own"),
        lambda v: v["predicate"].update(license="MIT AND ("),
        lambda v: v["predicate"].update(license=["MIT"]),
        lambda v: v["predicate"].update(license="M" * 257),
        lambda v: v["predicate"].update(origin="no uri"),
        lambda v: v["predicate"].update(origin="https://x.org/" + "a" * 2_048),
        lambda v: v["predicate"].update(parents=None),
        lambda v: v["predicate"].update(parents=v["predicate"]["parents"] * 100),
        lambda v: v["predicate"].update(parents=[v["predicate"]["parents"][0]] * 2),
        lambda v: v["predicate"]["parents"][0].update(name="museum/titanic@1"),
        lambda v: v["predicate"]["parents"][0].update(more=1),
        lambda v: v["predicate"]["parents"][0].pop("envelope"),
        lambda v: v["predicate"].update(oms={}),
        lambda v: v["predicate"]["oms"].update(more=1),
        lambda v: v["predicate"].update(notBefore=7),
        lambda v: v["predicate"]["notBefore"].update(hash="0x0b"),
        lambda v: v["predicate"]["notBefore"].update(hash="0b" * 32),
        lambda v: v["predicate"]["notBefore"].update(chainId=0),
        lambda v: v["predicate"]["notBefore"].update(number=-1),
        lambda v: v["predicate"]["notBefore"].update(more=1),
        lambda v: v["predicate"]["fingerprint"].update(totalBytes=4),
    ],
)
def test_malformed_statements(change: Callable[[Any], object]) -> None:
    for strict in (False, True):
        with pytest.raises(MalformedError):
            parse_statement(_changed(change), strict=strict)


@pytest.mark.parametrize(
    "payload",
    [b"", b"{}", b"[]", b"null", b"\xff", b"{" * 100_000, b'{"_type":1,"_type":1}', b'"' + b"a" * 70_000 + b'"'],
)
def test_garbage_is_malformed(payload: bytes) -> None:
    with pytest.raises(MalformedError):
        parse_statement(payload)


# ---- times ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("created", ["2024-02-29T23:59:59Z", "0001-01-01T00:00:00Z", "9999-12-31T00:00:00Z"])
def test_times(created: str) -> None:
    assert replace(SMALL, created=created).created == created


@pytest.mark.parametrize(
    "created",
    [
        "",
        "2026-01-02",
        "2026-01-02T03:04:05",
        "2026-01-02T03:04:05+00:00",
        "2026-01-02t03:04:05z",
        "2026-01-02 03:04:05Z",
        "2026-01-02T03:04:05.0Z",
        "2026-1-2T03:04:05Z",
        "2026-02-29T00:00:00Z",
        "2026-04-31T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T00:60:00Z",
        "2026-01-01T00:00:60Z",
        "0000-01-01T00:00:00Z",
        "٢٠٢٦-01-02T03:04:05Z",
        "2026-01-02T03:04:05Z\n",
    ],
)
def test_what_is_no_time(created: str) -> None:
    with pytest.raises(MalformedError):
        replace(SMALL, created=created)


# ---- origins -------------------------------------------------------------------------------------------------------

SECRET = "hunter2"


@pytest.mark.parametrize(
    "origin",
    [
        f"https://user:{SECRET}@example.org/x",
        f"https://{SECRET}@example.org",
        f"https://user:{SECRET}@example.org with a space",
        f"https:user:{SECRET}@example.org",
        f"https:/user:{SECRET}@example.org",
        f"https:///user:{SECRET}@example.org",
        f"https:\\\\user:{SECRET}@example.org",
        f"jdbc:mysql://user:{SECRET}@example.org/db",
        f"https://proxy.example/?to=https://user:{SECRET}@example.org",
        f"user:{SECRET}@example.org",
        f"ftp://{SECRET}@example.org?x#y",
        f"//user:{SECRET}@example.org",
        f"mailto:{SECRET}@example.org",
        f"{SECRET}",
        f"https://example.org/\u00e9{SECRET}",
    ],
)
def test_an_origin_with_user_or_password_is_refused_and_not_echoed(origin: str) -> None:
    with pytest.raises(MalformedError) as raised:
        replace(SMALL, origin=origin)
    assert SECRET not in f"{raised.value!r}{raised.value}{raised.value.got}"
    payload = _changed(lambda v: v["predicate"].update(origin=origin))
    with pytest.raises(MalformedError) as raised:
        parse_statement(payload)
    assert SECRET not in f"{raised.value!r}{raised.value}{raised.value.got}"


@pytest.mark.parametrize(
    "query",
    ["X-Amz-Signature", "x-goog-credential", "sig", "token", "access_token", "AWSAccessKeyId", "api_key", "PASSWORD"],
)
def test_a_signed_link_is_refused_before_it_is_signed_or_logged_and_not_echoed(query: str) -> None:
    for form in (
        f"https://x.org/a?{query}={SECRET}",
        f"https://x.org/a?b=1&{query}={SECRET}",
        f"https://x.org#{query}={SECRET}",
    ):
        statement = replace(SMALL, origin=form)
        with pytest.raises(MalformedError) as raised:
            parse_statement(encode_statement(statement), strict=True)
        assert SECRET not in f"{raised.value!r}{raised.value}"
        assert parse_statement(encode_statement(statement)) == statement  # what is in a log stays readable


@pytest.mark.parametrize(
    "origin",
    [
        "https://example.org",
        "https://example.org/a@b",
        "https://example.org/?design=1&tokenizer=bert&keyword=sig",
        "s3://bucket/key@version",
        "pkg:pypi/django@1.0",
        "doi:10.1000/182",
        "urn:isbn:0451450523",
        "file:///data",
    ],
)
def test_origins(origin: str) -> None:
    statement = replace(SMALL, origin=origin)
    assert parse_statement(encode_statement(statement), strict=True).origin == origin


# ---- parents -------------------------------------------------------------------------------------------------------


def _parents(count: int) -> tuple[Pin, ...]:
    return tuple(
        Pin(PinnedName(DatasetName("p", f"n{n}"), "1"), Digest.of(b"d%d" % n), Digest.of(b"e%d" % n))
        for n in range(count)
    )


def test_parents_up_to_the_limit_and_no_more() -> None:
    assert len(replace(SMALL, parents=_parents(MAX_INPUTS)).parents) == MAX_INPUTS
    with pytest.raises(LimitError, match="parents"):
        replace(SMALL, parents=_parents(MAX_INPUTS + 1))
    payload = _changed(lambda v: v["predicate"].update(parents=[{}] * (MAX_INPUTS + 1)))
    with pytest.raises(LimitError):
        parse_statement(payload)


def test_a_dataset_is_not_made_from_itself_nor_twice_from_one() -> None:
    (parent,) = _parents(1)
    with pytest.raises(MalformedError, match="its own parent"):
        replace(SMALL, parents=(replace(parent, name=NAME),))
    with pytest.raises(MalformedError, match="twice"):
        replace(SMALL, parents=(parent, *_parents(2)[1:], replace(parent, digest=Digest.of(b"x"))))


def test_words_are_listed_when_one_is_wrong() -> None:
    for parse, words in ((parse_kind, Kind), (parse_sensitivity, Sensitivity)):
        for word in words:
            assert parse(word.value) is word
        for text in ("", "Public", "dataset ", "public\n", "x" * 1_000):
            with pytest.raises(MalformedError) as raised:
                parse(text)
            assert raised.value.expected == " | ".join(words)
