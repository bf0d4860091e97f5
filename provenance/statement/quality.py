"""What tests of an artefact came to, as an in-toto test result.

Bytes of its predicate (canonical JSON, with what every event has; its own fields are those of the specification):
`{"configuration":[{"digest":{"sha256":"<64 hex>"},"name":"rules.yaml"}],"created":"..","failedTests":["unique ids"],
"passedTests":["no nulls"],"result":"FAILED","statement":{..}}`

Source: in-toto attestation, predicate test-result v0.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Final

from provenance.encoding import Fields, JsonValue
from provenance.errors import MalformedError
from provenance.limits import MAX_URI_CHARS, check_size
from provenance.statement.credentials import check_no_secret
from provenance.statement.frame import Subject, check_uri, parse_choice
from provenance.statement.text import MAX_TITLE_CHARS, MAX_WORD_CHARS

MAX_TESTS: Final = 256
_LISTS: Final = ("passedTests", "warnedTests", "failedTests")


class QualityResult(StrEnum):
    """What all the tests together came to."""

    PASSED = "PASSED"
    WARNED = "WARNED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Quality:
    """What the tests named came to. `configuration` are files that say what was tested, by name and SHA-256; `url` is
    where the run can be looked at. A failed test is a failed result, and a warning at least a warned one."""

    TYPE: ClassVar[str] = "https://in-toto.io/attestation/test-result/v0.1"

    result: QualityResult
    configuration: tuple[Subject, ...] = ()
    passed: tuple[str, ...] = ()
    warned: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    url: str | None = None

    def __post_init__(self) -> None:
        names = [*self.passed, *self.warned, *self.failed]
        check_size("tests", len(names), MAX_TESTS, "tests")
        check_size("configuration", len(self.configuration), MAX_TESTS, "files")
        for name in [*names, *(one.name for one in self.configuration)]:
            check_size("name", len(name), MAX_TITLE_CHARS, "characters")
            if not name.strip():
                raise MalformedError("test or its configuration has no name", expected="a line of text")
        if len(set(names)) != len(names):
            raise MalformedError("test is named twice", got=max(names, key=names.count))
        if self.failed and self.result is not QualityResult.FAILED:
            raise MalformedError("result is not what its tests say", expected="FAILED", got=self.result)
        if self.warned and self.result is QualityResult.PASSED:
            raise MalformedError("result is not what its tests say", expected="WARNED", got=self.result)
        if self.url is not None:
            check_uri(self.url, "url")

    @property
    def counts(self) -> bool:
        """Whether it says anything: a result of no test at all is no pass, and a failure is one whatever it names."""
        return bool(self.passed or self.warned) or self.result is QualityResult.FAILED

    def check_new(self) -> None:
        """Raise `MalformedError` for what is read in a log and must not be signed or logged any more: a result that
        names no test, and an address that holds a secret."""
        if not (self.passed or self.warned or self.failed):
            raise MalformedError("result names no test", expected="one at least", got=self.result)
        if self.url is not None:
            check_no_secret(self.url, "url")

    def to_json(self) -> dict[str, JsonValue]:
        """The fields of its own."""
        value: dict[str, JsonValue] = {
            "result": str(self.result),
            "configuration": [{"name": one.name, "digest": {"sha256": one.digest.hex}} for one in self.configuration],
        }
        for name, tests in zip(_LISTS, (self.passed, self.warned, self.failed), strict=True):
            if tests:
                value[name] = list(tests)
        if self.url is not None:
            value["url"] = self.url
        return value


def read_quality(fields: Fields) -> Quality:
    """The test result in a predicate; its other fields are read by `events`."""
    configuration = []
    for item in fields.array("configuration", max_items=MAX_TESTS):
        one = Fields(item, "statement.predicate.configuration")
        configuration.append(Subject(one.string("name", max_chars=MAX_TITLE_CHARS), one.digest_set("digest")))
        one.end()
    passed, warned, failed = (_names(fields, name) for name in _LISTS)
    return Quality(
        result=parse_choice(QualityResult, fields.string("result", max_chars=MAX_WORD_CHARS), "result"),
        configuration=tuple(configuration),
        passed=passed,
        warned=warned,
        failed=failed,
        url=fields.optional_string("url", max_chars=MAX_URI_CHARS),
    )


def _names(fields: Fields, name: str) -> tuple[str, ...]:
    if not fields.has(name):
        fields.skip(name)
        return ()
    names = []
    for text in fields.array(name, max_items=MAX_TESTS):
        if not isinstance(text, str):
            raise MalformedError(f"{name} holds something that is no name", expected="text")
        names.append(text)
    if not names:
        raise MalformedError(f"{name} is empty", expected="a name at least, or no such field")
    return tuple(names)
