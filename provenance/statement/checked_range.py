"""What was checked of a range of log entries: for each check on which entries it was performed, and on which it was
skipped and why.

Invariants: every check has a word on every entry of the range: it was performed, or it was skipped for a stated reason;
both together are all entries, so that what was skipped cannot be counted as checked; a check is skipped for the reasons
of `SKIPPABLE` alone; an entry is in `samples` exactly if its data was read, but for one that failed there; records were
read only where all files were. A range is made of the outcomes of its entries (`CheckedRange.of`), or read back.

Bytes (canonical JSON): `{"check":"data","checked":1,"skipped":[{"begin":1,"end":3,"reason":"inapplicable"}]}` and
`{"bytes":3,"entry":0,"files":1,"of":1}`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from provenance.encoding import Fields, JsonValue
from provenance.errors import MalformedError
from provenance.limits import MAX_FILES
from provenance.statement.frame import parse_choice
from provenance.statement.text import MAX_WORD_CHARS

MAX_ATTESTED_ENTRIES: Final = 128
"""Entries in a range, so that what is said of it fits a log entry; more of them are several ranges."""


class EntryCheck(StrEnum):
    """What an attester checks of an entry, in this order."""

    ENVELOPE = "envelope"
    STATEMENT = "statement"
    SIGNATURE = "signature"
    REFERENCES = "references"
    POLICY = "policy"
    DATA = "data"
    RECORDS = "records"


class SkipReason(StrEnum):
    """Why a check of an entry was not performed. `INAPPLICABLE`: the entry has nothing that it is about."""

    INAPPLICABLE = "inapplicable"
    WAIVED = "waived"
    UNSEEN = "before the first entry"
    UNREAD_LIST = "list not at hand"
    NO_PLACE = "no place"
    UNREACHABLE = "unreachable"
    TOO_LARGE = "too large"
    SAMPLED = "read in part"
    NO_SCHEMA = "schema not at hand"
    REFUSED = "refused before"


_ALWAYS: Final = frozenset({SkipReason.WAIVED, SkipReason.REFUSED})
_DATA: Final = _ALWAYS | {
    SkipReason.INAPPLICABLE,
    SkipReason.NO_PLACE,
    SkipReason.UNREACHABLE,
    SkipReason.TOO_LARGE,
}
SKIPPABLE: Final[Mapping[EntryCheck, frozenset[SkipReason]]] = {
    EntryCheck.ENVELOPE: _ALWAYS,
    EntryCheck.STATEMENT: _ALWAYS,
    EntryCheck.SIGNATURE: _ALWAYS,
    EntryCheck.REFERENCES: _ALWAYS | {SkipReason.INAPPLICABLE, SkipReason.UNSEEN, SkipReason.UNREAD_LIST},
    EntryCheck.POLICY: _ALWAYS,
    EntryCheck.DATA: _DATA,
    EntryCheck.RECORDS: _DATA | {SkipReason.SAMPLED, SkipReason.NO_SCHEMA},
}
"""The reasons for which each check may be skipped."""


@dataclass(frozen=True, slots=True)
class DataSample:
    """How much of a dataset's data was read again and is what its fingerprint says: so many `files` `of` so many, and
    their `bytes`."""

    entry: int
    files: int
    of: int
    bytes: int

    def __post_init__(self) -> None:
        if not 1 <= self.files <= self.of <= MAX_FILES or self.bytes < 0:
            raise MalformedError("sample is of no such size", expected="1 <= files <= of", got=self)

    def to_json(self) -> JsonValue:
        """The sample as a JSON object."""
        return {"entry": self.entry, "files": self.files, "of": self.of, "bytes": self.bytes}


@dataclass(frozen=True, slots=True)
class EntryOutcome:
    """What came of the checks of one entry, every one of which is in `skipped` or was performed."""

    entry: int
    skipped: Mapping[EntryCheck, SkipReason]
    sample: DataSample | None = None


@dataclass(frozen=True, slots=True)
class SkippedRange:
    """The entries [begin, end) of which a check was skipped, for one reason."""

    begin: int
    end: int
    reason: SkipReason


@dataclass(frozen=True, slots=True)
class Coverage:
    """A check and the entries that it was skipped for, in ranges that ascend and do not touch with one reason; it was
    performed on all others of the range."""

    check: EntryCheck
    skipped: tuple[SkippedRange, ...] = ()

    def checked(self, begin: int, end: int) -> int:
        """On how many entries of [begin, end) it was performed."""
        return end - begin - sum(one.end - one.begin for one in self.skipped)

    def reason(self, entry: int) -> SkipReason | None:
        """Why it was skipped for an entry; None if it was performed."""
        return next((one.reason for one in self.skipped if one.begin <= entry < one.end), None)


@dataclass(frozen=True, slots=True)
class CheckedRange:
    """The entries [begin, end), what became of every check of `EntryCheck`, in that order, and what data was read.

    `failed` is the check that the last entry failed, if one did: none after it was performed on that entry.
    """

    begin: int
    end: int
    coverage: tuple[Coverage, ...]
    samples: tuple[DataSample, ...]
    failed: EntryCheck | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.begin < self.end or self.end - self.begin > MAX_ATTESTED_ENTRIES:
            expected = f"1 to {MAX_ATTESTED_ENTRIES} entries"
            raise MalformedError("range is of no such entries", expected=expected, got=f"{self.begin} to {self.end}")
        if tuple(one.check for one in self.coverage) != tuple(EntryCheck):
            raise MalformedError("checks are not all there", expected=", ".join(EntryCheck))
        for coverage in self.coverage:
            _check_ranges(coverage, self.begin, self.end)
        _check_samples(self)
        _check_failure(self)

    @classmethod
    def of(cls, outcomes: Sequence[EntryOutcome], failed: EntryCheck | None = None) -> CheckedRange:
        """The range of entries that follow one another; the last one failed, if a check is named."""
        if not outcomes or [one.entry for one in outcomes] != list(
            range(outcomes[0].entry, outcomes[0].entry + len(outcomes))
        ):
            raise MalformedError("outcomes are not of entries that follow one another", expected="one an entry")
        samples = tuple(one.sample for one in outcomes if one.sample is not None)
        coverage = tuple(_coverage(check, outcomes) for check in EntryCheck)
        return cls(outcomes[0].entry, outcomes[-1].entry + 1, coverage, samples, failed)

    def covers(self, check: EntryCheck) -> Coverage:
        """What became of a check."""
        return next(one for one in self.coverage if one.check is check)

    def checked(self, check: EntryCheck) -> int:
        """On how many entries a check was performed."""
        return self.covers(check).checked(self.begin, self.end)


def outcome_of(
    entry: int, results: Iterable[tuple[EntryCheck, SkipReason | None]], sample: DataSample | None = None
) -> EntryOutcome:
    """The outcome of an entry whose checks gave these results, in order: None where one was performed.

    `MalformedError` unless there is a result of every check: none is taken for performed because nobody spoke of it.
    """
    given = list(results)
    if [check for check, _ in given] != list(EntryCheck):
        raise MalformedError("checks are not all there", expected=", ".join(EntryCheck), where=f"entry {entry}")
    return EntryOutcome(entry, {check: reason for check, reason in given if reason is not None}, sample)


def encode_coverage(checked: CheckedRange) -> list[JsonValue]:
    """What became of every check."""
    return [
        {
            "check": str(one.check),
            "checked": one.checked(checked.begin, checked.end),
            "skipped": [{"begin": each.begin, "end": each.end, "reason": str(each.reason)} for each in one.skipped],
        }
        for one in checked.coverage
    ]


def read_coverage(value: JsonValue, begin: int, end: int) -> Coverage:
    """What became of one check on the entries [begin, end)."""
    fields = Fields(value, "statement.predicate.checks")
    check = parse_choice(EntryCheck, fields.string("check", max_chars=MAX_WORD_CHARS), "check of an entry")
    coverage = Coverage(check, tuple(map(_read_range, fields.array("skipped", max_items=MAX_ATTESTED_ENTRIES))))
    stated = fields.integer("checked", maximum=MAX_ATTESTED_ENTRIES)
    fields.end()
    if stated != coverage.checked(begin, end):
        expected = f"{coverage.checked(begin, end)}: all that were not skipped"
        raise MalformedError("another number of entries is said to be checked", expected=expected, got=stated)
    return coverage


def read_sample(value: JsonValue) -> DataSample:
    """The sample in a JSON object."""
    fields = Fields(value, "statement.predicate.samples")
    found = DataSample(*(fields.integer(name) for name in ("entry", "files", "of", "bytes")))
    fields.end()
    return found


def _coverage(check: EntryCheck, outcomes: Sequence[EntryOutcome]) -> Coverage:
    ranges: list[SkippedRange] = []
    for one in outcomes:
        reason = one.skipped.get(check)
        if reason is None:
            continue
        begin = one.entry
        if ranges and ranges[-1].end == begin and ranges[-1].reason is reason:
            begin = ranges.pop().begin
        ranges.append(SkippedRange(begin, one.entry + 1, reason))
    return Coverage(check, tuple(ranges))


def _check_ranges(coverage: Coverage, begin: int, end: int) -> None:
    place, before = begin, None
    for one in coverage.skipped:
        if not place <= one.begin < one.end <= end or (one.begin == place and before is one.reason):
            got = f"{one.begin} to {one.end}"
            raise MalformedError("skipped entries are out of order", expected="ranges that ascend", got=got)
        if one.reason not in SKIPPABLE[coverage.check]:
            expected = " | ".join(sorted(SKIPPABLE[coverage.check]))
            raise MalformedError(f"check is never skipped so: {coverage.check}", expected=expected, got=one.reason)
        place, before = one.end, one.reason


def _check_samples(one: CheckedRange) -> None:
    data, records = one.covers(EntryCheck.DATA), one.covers(EntryCheck.RECORDS)
    failed = one.end - 1 if one.failed is not None else None
    sampled = {sample.entry: sample for sample in one.samples}
    if [sample.entry for sample in one.samples] != sorted(sampled):
        raise MalformedError("samples are out of order", expected="ascending entries, each once")
    if any(not one.begin <= entry < one.end for entry in sampled):
        raise MalformedError("sample is of another entry", expected=f"{one.begin} to {one.end - 1}")
    for entry in range(one.begin, one.end):
        is_read = data.reason(entry) is None
        if (entry in sampled and not is_read) or (is_read and entry not in sampled and entry != failed):
            raise MalformedError("samples are not those of the data that was read", where=f"entry {entry}")
        if records.reason(entry) is not None or entry == failed:
            continue
        if entry not in sampled or sampled[entry].files != sampled[entry].of:
            raise MalformedError("records were read where not all files were", where=f"entry {entry}")


def _check_failure(one: CheckedRange) -> None:
    """None but the last entry has checks that were not performed because one failed, and those are all after it."""
    last, has_failed = one.end - 1, False
    for coverage in one.coverage:
        refused = [entry for entry in range(one.begin, one.end) if coverage.reason(entry) is SkipReason.REFUSED]
        if refused != ([last] if has_failed else []):
            raise MalformedError("checks were left out after a failure that is not there", where=coverage.check)
        if coverage.check is one.failed:
            has_failed = True
            if coverage.reason(last) is not None:
                raise MalformedError("check that failed was not performed", where=coverage.check)


def _read_range(value: JsonValue) -> SkippedRange:
    fields = Fields(value, "statement.predicate.checks.skipped")
    reason = parse_choice(SkipReason, fields.string("reason", max_chars=MAX_WORD_CHARS), "reason")
    found = SkippedRange(fields.integer("begin"), fields.integer("end"), reason)
    fields.end()
    return found
