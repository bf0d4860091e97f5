"""Events: written and read back, held against their JSON Schemas, and everything else refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from provenance.encoding import Digest, canonical_json
from provenance.errors import MalformedError
from provenance.statement.events import EVENT_TYPES, Body, Event, encode_event, parse_event
from provenance.statement.failed_run import FailedRun
from provenance.statement.finding import Finding, FindingState, Severity
from provenance.statement.frame import BlockReference, Pin, Subject
from provenance.statement.names import PinnedName
from provenance.statement.quality import Quality, QualityResult
from provenance.statement.replay import Replay, ReplayResult, Sample
from provenance.statement.review import Decision, Review
from provenance.statement.revocation import Revocation, RevocationReason
from provenance.statement.run import CodeFile, Input, Observed, Revision, Run, list_inputs
from provenance.statement.supersession import Supersession
from provenance.statement.usage import Usage
from provenance.statement.verdict import Verdict, VerdictResult
from tests.paths import PROJECT

ABOUT = Pin(PinnedName.parse("titanic/passengers@1"), Digest.of(b"dataset"), Digest.of(b"envelope"))
OTHER = Pin(PinnedName.parse("titanic/passengers@2"), Digest.of(b"second"), Digest.of(b"its envelope"))
CREATED = "2026-11-20T12:00:00Z"
BODIES: list[Body] = [
    Usage("training"),
    Usage("evaluation", Digest.of(b"actor"), 3, Digest.of(b"read"), Digest.of(b"run")),
    Review(Decision.APPROVED),
    Review(Decision.CHANGES_REQUESTED, ("labels", "balance"), "see the report", Digest.of(b"report")),
    Finding("f1", Severity.HIGH, "duplicate rows"),
    Finding("f1", Severity.INFO, "duplicate rows", FindingState.RESOLVED, "duplicates", Digest.of(b"report")),
    Revocation(RevocationReason.CONSENT_WITHDRAWN),
    Revocation(RevocationReason.OTHER, "2026-11-01T00:00:00Z", "é"),
    Supersession(OTHER),
    Supersession(OTHER, "labels mended"),
    Quality(QualityResult.PASSED, passed=("no nulls",)),
    Quality(
        QualityResult.FAILED,
        (Subject("rules.yaml", Digest.of(b"rules")),),
        ("no nulls",),
        ("few rows",),
        ("unique ids",),
        "https://ci.example/7",
    ),
    Replay(Digest.of(b"run"), ReplayResult.REPRODUCED, Digest.of(b"root")),
    Run("clean", (), "out/", CREATED, CREATED, "0123"),
    Run(
        "train",
        (Input(OTHER, "raw.csv"), Input(replace(OTHER, name=PinnedName.parse("h/b@1")))),
        "model.json",
        CREATED,
        CREATED,
        "0123",
        ("python", "train.py", "--rate=0.5", "é"),
        (CodeFile("train.py", Digest.of(b"code")), CodeFile("more.py", Digest.of(b"more"), named=False)),
        Revision("a" * 40, True, "https://git.example/x"),
        {"rate": 0.5, "seed": 1, "name": "x", "fast": True, "none": None},
        {"python": "3.11.2"},
        row_wise="raw.csv",
        observed=Observed(3, Digest.of(b"usage"), 1, True),
    ),
    FailedRun(
        "train",
        (Input(ABOUT, "raw.csv"), Input(OTHER)),
        CREATED,
        CREATED,
        "0123",
        ("python", "train.py"),
        137,
        (CodeFile("train.py", Digest.of(b"code"), named=False),),
        Revision("a" * 40, True, "https://git.example/x"),
        {"rate": 0.5},
        {"python": "3.11.2"},
        Observed(3, Digest.of(b"usage"), 1, True, 2),
    ),
    FailedRun("train", (Input(ABOUT),), CREATED, CREATED, "0123", ("false",), 1),
    Run("join", (), "out/", CREATED, CREATED, "0123", listed=list_inputs([Input(OTHER, "raw.csv")])[2]),
    Run(
        "clean",
        (),
        "out/",
        CREATED,
        CREATED,
        "0123",
        ("true",),
        observed=Observed(0, Digest.of(b""), 0, True, 3),
        exit_code=0,
    ),
]
BODIES += [
    Replay(Digest.of(b"run"), ReplayResult.DIFFERS, Digest.of(b"root"), Sample(7, 9, Digest.of(b"seed"), 8, 1)),
    Verdict(VerdictResult.FAILED, Digest.of(b"policy"), ABOUT.digest, CREATED),
    Verdict(
        VerdictResult.PASSED, Digest.of(b"policy"), ABOUT.digest, CREATED, ("PROVENANCE_D2",), (Digest.of(b"envelope"),)
    ),
]
EVENTS = [Event(ABOUT, body, CREATED) for body in BODIES]
EVENTS.append(replace(EVENTS[0], not_before=BlockReference(1, 2, bytes(32))))


def _validator(predicate_type: str) -> Any:
    names = {Quality.TYPE: "test-result-0.1", Run.TYPE: "slsa-provenance-1", Verdict.TYPE: "verification-summary-1"}
    kind = names.get(predicate_type) or predicate_type.removeprefix("urn:provenance-ledger:").replace(":", "-")
    schema = json.loads((PROJECT / "docs" / "schemas" / f"{kind}.json").read_bytes())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


VALIDATORS = {name: _validator(name) for name in EVENT_TYPES}


@pytest.mark.parametrize("event", EVENTS)
def test_what_is_written_is_read_back_and_is_what_the_schema_says(event: Event) -> None:
    data = encode_event(event)
    assert parse_event(data, strict=True) == event
    assert canonical_json(json.loads(data)) == data
    VALIDATORS[event.type].validate(json.loads(data))


def test_every_kind_has_an_event_here() -> None:
    assert {event.type for event in EVENTS} == set(EVENT_TYPES)


@given(
    st.builds(
        Event,
        st.just(ABOUT),
        st.one_of(
            st.builds(Usage, st.from_regex(r"[a-z0-9](?:[a-z0-9._-]{0,60}[a-z0-9])?", fullmatch=True)),
            st.builds(Review, st.sampled_from(Decision), note=st.text(min_size=1, max_size=50).filter(str.strip)),
            st.builds(
                Finding, st.just("x"), st.sampled_from(Severity), st.text(min_size=1, max_size=99).filter(str.strip)
            ),
            st.builds(Revocation, st.sampled_from(RevocationReason), st.none() | st.just(CREATED)),
        ),
        st.just(CREATED),
    )
)
def test_any_event_comes_back(event: Event) -> None:
    data = encode_event(event)
    assert parse_event(data, strict=True) == event
    VALIDATORS[event.type].validate(json.loads(data))


Edit = Callable[[dict[str, Any]], object]
WRONG: list[Edit] = [
    lambda s: s.update(_type="https://in-toto.io/Statement/v0.1"),
    lambda s: s.update(predicateType="urn:provenance-ledger:usage:2"),
    lambda s: s["subject"].clear(),
    lambda s: s["subject"].append(s["subject"][0]),
    lambda s: s["subject"][0].update(name="titanic/passengers"),
    lambda s: s["subject"][0]["digest"].update(sha512="00"),
    lambda s: s["subject"][0].update(uri="x"),
    lambda s: s.update(more=1),
    lambda s: s["predicate"].pop("created"),
    lambda s: s["predicate"].update(created="2026-11-20 12:00:00"),
    lambda s: s["predicate"].pop("statement"),
    lambda s: s["predicate"].update(statement={"sha256": "ab"}),
    lambda s: s["predicate"].update(notBefore={"chainId": 0, "number": 1, "hash": "0x" + "00" * 32}),
    lambda s: s["predicate"].update(notBefore={"chainId": 1, "number": 1, "hash": "00" * 33}),
]
WRONG_BODIES: list[tuple[Body, Edit]] = [
    (BODIES[0], lambda p: p.update(purpose="Training")),
    (BODIES[0], lambda p: p.update(purpose="")),
    (BODIES[0], lambda p: p.update(purpose="x" * 65)),
    (BODIES[0], lambda p: p.update(read={"files": 1})),
    (BODIES[0], lambda p: p.update(read={"files": -1, "root": "00" * 32})),
    (BODIES[0], lambda p: p.update(actor="somebody")),
    (BODIES[2], lambda p: p.update(decision="fine")),
    (BODIES[2], lambda p: p.update(scope=["labels", "labels"])),
    (BODIES[2], lambda p: p.update(scope=[1])),
    (BODIES[2], lambda p: p.update(note=" ")),
    (BODIES[2], lambda p: p.update(note="x" * 2_001)),
    (BODIES[4], lambda p: p.update(severity="bad")),
    (BODIES[4], lambda p: p.pop("state")),
    (BODIES[4], lambda p: p.update(title="\t")),
    (BODIES[4], lambda p: p.update(id="../x")),
    (BODIES[6], lambda p: p.update(reason="because")),
    (BODIES[6], lambda p: p.update(since="yesterday")),
    (BODIES[8], lambda p: p["by"].pop("envelope")),
    (BODIES[8], lambda p: p["by"].update(name="titanic/passengers")),
    (BODIES[10], lambda p: p.pop("configuration")),
    (BODIES[10], lambda p: p.update(result="passed")),
    (BODIES[10], lambda p: p.update(passedTests=[])),
    (BODIES[10], lambda p: p.update(passedTests=["a", "a"])),
    (BODIES[10], lambda p: p.update(passedTests=[" "])),
    (BODIES[10], lambda p: p.update(url="no")),
    (BODIES[11], lambda p: p["configuration"][0].pop("digest")),
    (BODIES[12], lambda p: p.update(result="same")),
    (BODIES[12], lambda p: p.pop("run")),
    (BODIES[13], lambda p: p["buildDefinition"].update(buildType="https://slsa.dev/container-based-build/v0.1")),
    (BODIES[13], lambda p: p["buildDefinition"].update(more=1)),
    (BODIES[13], lambda p: p["buildDefinition"]["externalParameters"].update(output="/etc/passwd")),
    (BODIES[13], lambda p: p["buildDefinition"]["externalParameters"].update(output="a/../../b")),
    (BODIES[13], lambda p: p["buildDefinition"]["externalParameters"].update(command=["x"])),
    (BODIES[13], lambda p: p["runDetails"]["metadata"].pop("finishedOn")),
    (BODIES[13], lambda p: p["runDetails"]["builder"].update(id="https://github.com/")),
    (BODIES[14], lambda p: p["buildDefinition"]["externalParameters"].update(command=[])),
    (BODIES[14], lambda p: p["buildDefinition"]["externalParameters"].update(parameters={"a": []})),
    (BODIES[14], lambda p: p["buildDefinition"]["internalParameters"].update(environment={"a": 1})),
    (BODIES[14], lambda p: p["buildDefinition"]["resolvedDependencies"][0]["annotations"].update(role="parent")),
    (BODIES[14], lambda p: p["buildDefinition"]["resolvedDependencies"][0]["annotations"].update(path="../x")),
    (BODIES[14], lambda p: p["buildDefinition"]["resolvedDependencies"][0].update(name="h/b")),
    (BODIES[14], lambda p: p["buildDefinition"]["resolvedDependencies"][3]["digest"].update(gitCommit="main")),
]


@pytest.mark.parametrize("number", range(len(WRONG)))
@pytest.mark.parametrize("event", [EVENTS[0], EVENTS[8]])
def test_a_frame_that_is_wrong_is_refused_by_reader_and_schema(event: Event, number: int) -> None:
    value = json.loads(encode_event(event))
    WRONG[number](value)
    with pytest.raises(MalformedError):
        parse_event(canonical_json(value))
    with pytest.raises(jsonschema.ValidationError):
        VALIDATORS[event.type].validate(value)


@pytest.mark.parametrize("number", range(len(WRONG_BODIES)))
def test_a_predicate_that_is_wrong_is_refused_by_reader_and_schema(number: int) -> None:
    body, edit = WRONG_BODIES[number]
    event = Event(ABOUT, body, CREATED)
    value = json.loads(encode_event(event))
    edit(value["predicate"])
    with pytest.raises(MalformedError):
        parse_event(canonical_json(value))
    with pytest.raises(jsonschema.ValidationError):
        VALIDATORS[event.type].validate(value)


def test_unknown_fields_are_refused_only_of_what_is_yet_to_be_logged() -> None:
    value = json.loads(encode_event(EVENTS[0]))
    value["predicate"]["more"] = 1
    data = canonical_json(value)
    assert parse_event(data) == EVENTS[0]
    with pytest.raises(MalformedError, match="unknown field"):
        parse_event(data, strict=True)


def test_nothing_takes_its_own_place() -> None:
    with pytest.raises(MalformedError, match="takes its own place"):
        Event(ABOUT, Supersession(ABOUT), CREATED)


@pytest.mark.parametrize("event", EVENTS)
def test_every_cut_is_refused(event: Event) -> None:
    data = encode_event(event)
    for length in range(len(data)):
        with pytest.raises(MalformedError):
            parse_event(data[:length])


def test_a_failed_test_is_a_failed_result() -> None:
    cases: list[tuple[QualityResult, dict[str, Any]]] = [
        (QualityResult.PASSED, {"failed": ("x",)}),
        (QualityResult.PASSED, {"warned": ("x",)}),
        (QualityResult.WARNED, {"failed": ("x",)}),
    ]
    for result, tests in cases:
        with pytest.raises(MalformedError, match="result is not what its tests say"):
            Quality(result, **tests)


@pytest.mark.parametrize(
    "word", ["--password=x", "--token", "--db-password", "-secret", "--api-key=1", "https://h/?sig=1&x"]
)
def test_a_command_that_seems_to_hold_a_secret_is_refused_before_it_is_signed_or_logged(word: str) -> None:
    body = Run("clean", (), "out", CREATED, CREATED, "x", ("python", word, "hunter2"))
    event = Event(ABOUT, body, CREATED)
    with pytest.raises(MalformedError, match="secret") as caught:
        parse_event(encode_event(event), strict=True)
    assert "hunter2" not in f"{caught.value!r}{caught.value}{caught.value.got}"
    assert parse_event(encode_event(event)) == event  # what is in a log stays readable
    words = ("python", "--tokenizer", "bert", "--passwords-file-free", "x")
    parse_event(encode_event(Event(ABOUT, replace(body, command=words), CREATED)), strict=True)


def test_a_result_that_names_no_test_is_read_and_not_made() -> None:
    for result in QualityResult:
        event = Event(ABOUT, Quality(result), CREATED)
        assert parse_event(encode_event(event)) == event
        with pytest.raises(MalformedError, match="result names no test"):
            parse_event(encode_event(event), strict=True)


def test_other_texts_of_an_event_hold_no_secret_either() -> None:
    run, url = Run("clean", (), "out", CREATED, CREATED, "x"), "https://h.example/x?clientSecret=hunter2"
    for body in (
        replace(run, parameters={"apiKey": "hunter2"}),
        replace(run, revision=Revision("ab" * 20, False, url)),
        Quality(QualityResult.PASSED, passed=("x",), url=url),
    ):
        event = Event(ABOUT, body, CREATED)
        with pytest.raises(MalformedError, match="secret") as caught:
            parse_event(encode_event(event), strict=True)
        assert "hunter2" not in f"{caught.value!r}{caught.value}{caught.value.got}"
        assert parse_event(encode_event(event)) == event


@pytest.mark.parametrize(("command", "code"), [(("true",), 3), (("true",), -9), ((), 0)])
def test_a_run_that_failed_made_nothing(command: tuple[str, ...], code: int) -> None:
    with pytest.raises(MalformedError, match="not how a run of a command ends"):
        Run("clean", (), "out", CREATED, CREATED, "x", command, exit_code=code)


def test_listed_inputs_come_back_from_their_own_lists_only() -> None:
    inputs = [Input(OTHER, "é.csv"), Input(replace(OTHER, name=PinnedName.parse("h/a@1")))]
    materials, paths, listed = list_inputs(inputs)
    run = Run("join", (), "out/", CREATED, CREATED, "0123", listed=listed)
    assert run.with_listed(materials, paths).inputs == (inputs[1], inputs[0])
    for place in range(len(materials)):
        with pytest.raises(MalformedError):
            run.with_listed(materials[:place] + bytes([materials[place] ^ 1]) + materials[place + 1 :], paths)
    for place in range(len(paths)):
        with pytest.raises(MalformedError):
            run.with_listed(materials, paths[:place] + bytes([paths[place] ^ 1]) + paths[place + 1 :])
    for other in (b"[]", b"{}", b"[1,2]", b'["../x",null]', b'["a","b","c"]'):
        with pytest.raises(MalformedError):
            replace(run, listed=replace(listed, paths=Digest.of(other))).with_listed(materials, other)


def test_inputs_are_named_or_listed_and_never_both() -> None:
    runs = [body for body in BODIES if isinstance(body, Run)]
    with_list, with_names = next(run for run in runs if run.listed), next(run for run in runs if run.inputs)
    data = json.loads(encode_event(Event(ABOUT, with_list, CREATED)))
    listed = data["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert listed[0]["annotations"]["role"] == "inputs"
    named = json.loads(encode_event(Event(ABOUT, with_names, CREATED)))["predicate"]["buildDefinition"]
    for materials in (
        [*listed, *listed],
        [*listed, named["resolvedDependencies"][0]],
        [named["resolvedDependencies"][0], *listed],
    ):
        data["predicate"]["buildDefinition"]["resolvedDependencies"] = materials
        with pytest.raises(MalformedError):
            parse_event(canonical_json(data), strict=True)


@pytest.mark.parametrize("numbers", [(0, 9, 1, 0), (10, 9, 1, 0), (1, 9, 1, 2), (1, 9, 0, 0), (1, 9, 1, -1)])
def test_a_sample_that_cannot_be_is_none(numbers: tuple[int, int, int, int]) -> None:
    with pytest.raises(MalformedError):
        Sample(numbers[0], numbers[1], Digest.of(b"seed"), *numbers[2:])


def test_what_a_sample_says_is_what_a_replay_says() -> None:
    for result, missing in ((ReplayResult.REPRODUCED, 1), (ReplayResult.DIFFERS, 0)):
        with pytest.raises(MalformedError, match="not the sample's"):
            Replay(Digest.of(b"run"), result, Digest.of(b"root"), Sample(7, 9, Digest.of(b"seed"), 8, missing))


def test_a_run_works_by_the_rows_of_an_input() -> None:
    inputs = (Input(OTHER, "raw/"),)
    Run("clean", inputs, "out", CREATED, CREATED, "x", row_wise="raw/a.csv")
    for path in ("raws/a.csv", "out", "../raw/a.csv"):
        with pytest.raises(MalformedError):
            Run("clean", inputs, "out", CREATED, CREATED, "x", row_wise=path)


def test_nothing_is_made_from_itself() -> None:
    with pytest.raises(MalformedError, match="made from itself"):
        Event(ABOUT, Run("clean", (Input(ABOUT),), "out", CREATED, CREATED, "x"), CREATED)


@pytest.mark.parametrize(
    "body",
    [
        Review(Decision.REJECTED, note="the key is hf_abcdefghijklmnopqrstuvwx"),
        Finding("f", Severity.LOW, "password=hunter2hunter2"),
        Revocation(RevocationReason.ERRONEOUS, note="AKIAIOSFODNN7EXAMPLE was in it"),
    ],
)
def test_what_looks_like_a_secret_in_words_is_refused_before_it_is_logged(body: Body) -> None:
    event = encode_event(Event(ABOUT, body, "2026-01-01T00:00:00Z"))
    with pytest.raises(MalformedError) as caught:
        parse_event(event, strict=True)
    assert "hunter2" not in str(caught.value)
    assert parse_event(event).body == body


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, True),
        ({"inputs": (), "listed": list_inputs([Input(OTHER, "raw.csv")])[2]}, True),
        ({"inputs": ()}, False),
        ({"inputs": (Input(OTHER),)}, False),
        ({"observed": None}, False),
        ({"observed": Observed(1, Digest.of(b"usage"), 0, True)}, False),
        ({"observed": Observed(0, Digest.of(b"usage"), 0, False)}, False),
    ],
)
def test_a_run_read_nothing_only_if_all_was_told_of(changes: dict[str, Any], expected: bool) -> None:
    observed = Observed(0, Digest.of(b"usage"), 0, True)
    run = Run("clean", (Input(OTHER, "raw.csv"),), "out", CREATED, CREATED, "0123", observed=observed)
    assert replace(run, **changes).read_nothing is expected


FAILED = FailedRun("train", (Input(ABOUT),), CREATED, CREATED, "0123", ("false",), 1)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"exit_code": 0}, "not how a command fails"),
        ({"exit_code": 256}, "not how a command fails"),
        ({"exit_code": -9}, "not how a command fails"),
        ({"command": ()}, "no command or no inputs"),
        ({"inputs": ()}, "no command or no inputs"),
        ({"inputs": (Input(ABOUT), Input(ABOUT))}, "input is named twice"),
        ({"inputs": (Input(ABOUT, "../x"),)}, "path"),
        ({"step": "Two words"}, "step"),
        ({"started": "now"}, "time"),
        ({"command": ("a\0",)}, "no text"),
        ({"parameters": {"a": [1]}}, "no plain value"),
    ],
)
def test_a_failed_run_says_what_failed_and_how(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(MalformedError, match=said):
        replace(FAILED, **changes)


def test_a_failed_run_is_about_one_of_its_inputs() -> None:
    with pytest.raises(MalformedError, match="did not read what it is about"):
        Event(OTHER, FAILED, CREATED)


def test_a_failed_run_holds_no_secret_and_no_list_of_inputs() -> None:
    event = Event(ABOUT, replace(FAILED, command=("x", "--password", "hunter2")), CREATED)
    assert parse_event(encode_event(event)) == event
    with pytest.raises(MalformedError, match="secret"):
        parse_event(encode_event(event), strict=True)
    stated = json.loads(encode_event(Event(ABOUT, FAILED, CREATED)))
    listed = Run("join", (), "out/", CREATED, CREATED, "0123", listed=list_inputs([Input(OTHER, "raw.csv")])[2])
    stated["predicate"]["resolvedDependencies"] = listed.to_json()["buildDefinition"]["resolvedDependencies"]  # type: ignore[index,call-overload]
    with pytest.raises(MalformedError, match="by a list"):
        parse_event(canonical_json(stated))
