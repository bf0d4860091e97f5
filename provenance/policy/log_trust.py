"""The keys of logs and witnesses in trust roots, with the sizes and times they hold for.

Invariants: a key is listed once; a key that holds for ever is a verifier key's text and nothing else, as it was before
keys had spans, so that files of then read and are written as they were.

Bytes, as items of `logs` and of `witnesses.keys`:

    "<vkey>"
    {"fromSize":10,"key":"<vkey>","untilSize":500}
    {"fromTime":"2027-01-01T00:00:00Z","key":"<vkey>","untilTime":"2028-01-01T00:00:00Z"}

Either end may be left out. Both ends are included.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from provenance.encoding import Fields, JsonValue
from provenance.errors import MalformedError
from provenance.limits import MAX_KEY_BYTES
from provenance.log import LogKey, WitnessKey, check_witnesses, encode_vkey, parse_vkey
from provenance.statement.frame import check_time

_MAX_ITEMS = 10_000
_TIME_CHARS = 20


@dataclass(frozen=True, slots=True)
class SizeSpan:
    """The tree sizes that a log's key (`vkey`) holds for, both included; None: no end."""

    vkey: str
    from_size: int = 0
    until_size: int | None = None


@dataclass(frozen=True, slots=True)
class TimeSpan:
    """The times (RFC 3339 in UTC) of cosignatures that a witness's key (`vkey`) holds for, both included."""

    vkey: str
    from_time: str | None = None
    until_time: str | None = None


def log_keys(vkeys: Iterable[str], spans: Iterable[SizeSpan]) -> tuple[LogKey, ...]:
    """The keys with their spans; `MalformedError` for what cannot be a log's key."""
    by_key = {span.vkey: span for span in spans}
    found = []
    for vkey in dict.fromkeys(vkeys):
        span = by_key.get(vkey, SizeSpan(vkey))
        found.append(LogKey(parse_vkey(vkey), span.from_size, span.until_size))
    return tuple(found)


def witness_keys(vkeys: Iterable[str], spans: Iterable[TimeSpan]) -> tuple[WitnessKey, ...]:
    """The keys with their spans; `MalformedError` for what cannot be a witness's key."""
    by_key = {span.vkey: span for span in spans}
    found = []
    for vkey in dict.fromkeys(vkeys):
        span = by_key.get(vkey, TimeSpan(vkey))
        known = WitnessKey(parse_vkey(vkey), from_s=_seconds(span.from_time) or 0)
        until_s = _seconds(span.until_time)
        found.append(known if until_s is None else WitnessKey(known.verifier, known.from_s, until_s))
    return tuple(found)


def check_spans(vkeys: Iterable[str], spans: Iterable[SizeSpan | TimeSpan]) -> None:
    """Return if every span is of a listed key, one a key; otherwise `MalformedError`."""
    listed, seen = set(vkeys), set[str]()
    for span in spans:
        if span.vkey not in listed or span.vkey in seen:
            got = span.vkey.partition("+")[0]
            raise MalformedError("key's span is of no listed key, or there twice", expected="one a key", got=got)
        seen.add(span.vkey)


def encode_logs(vkeys: Iterable[str], spans: Iterable[SizeSpan]) -> list[JsonValue]:
    """The items of `logs`."""
    by_key = {span.vkey: span for span in spans}
    return [_size_item(by_key.get(vkey, SizeSpan(vkey))) for vkey in vkeys]


def encode_witnesses(vkeys: Iterable[str], spans: Iterable[TimeSpan]) -> list[JsonValue]:
    """The items of `witnesses.keys`."""
    by_key = {span.vkey: span for span in spans}
    return [_time_item(by_key.get(vkey, TimeSpan(vkey))) for vkey in vkeys]


def read_logs(fields: Fields, name: str) -> tuple[tuple[str, ...], tuple[SizeSpan, ...]]:
    """The keys in a list and those spans that are not for ever."""
    where = f"trust roots.{name}"
    vkeys, spans = list[str](), list[SizeSpan]()
    for item in fields.array(name, max_items=_MAX_ITEMS):
        span = SizeSpan(_vkey(item, where)) if isinstance(item, str) else _read_sizes(item, where)
        vkeys.append(span.vkey)
        if span != SizeSpan(span.vkey):
            spans.append(span)
    _check_once(vkeys, spans, where)
    log_keys(vkeys, spans)
    return tuple(vkeys), tuple(spans)


def read_witnesses(fields: Fields, name: str) -> tuple[tuple[str, ...], tuple[TimeSpan, ...]]:
    """The keys in a list and those spans that are not for ever."""
    where = f"trust roots.witnesses.{name}"
    vkeys, spans = list[str](), list[TimeSpan]()
    for item in fields.array(name, max_items=_MAX_ITEMS):
        span = TimeSpan(_vkey(item, where)) if isinstance(item, str) else _read_times(item, where)
        vkeys.append(span.vkey)
        if span != TimeSpan(span.vkey):
            spans.append(span)
    _check_once(vkeys, spans, where)
    check_witnesses([parse_vkey(vkey) for vkey in vkeys])
    witness_keys(vkeys, spans)
    return tuple(vkeys), tuple(spans)


def _read_sizes(item: JsonValue, where: str) -> SizeSpan:
    fields = Fields(item, where)
    span = SizeSpan(
        _vkey(fields.string("key", max_chars=MAX_KEY_BYTES), where),
        fields.integer("fromSize") if fields.has("fromSize") else 0,
        fields.integer("untilSize") if fields.has("untilSize") else None,
    )
    fields.skip("fromSize")
    fields.skip("untilSize")
    fields.end()
    return span


def _read_times(item: JsonValue, where: str) -> TimeSpan:
    fields = Fields(item, where)
    vkey = _vkey(fields.string("key", max_chars=MAX_KEY_BYTES), where)
    ends = [fields.optional_string(name, max_chars=_TIME_CHARS) for name in ("fromTime", "untilTime")]
    for end in ends:
        if end is not None:
            check_time(end)
    fields.end()
    return TimeSpan(vkey, *ends)


def _check_once(vkeys: list[str], spans: Iterable[SizeSpan | TimeSpan], where: str) -> None:
    """A key with a span is there once: two words on it would leave open which one counts."""
    for span in spans:
        if vkeys.count(span.vkey) != 1:
            got = span.vkey.partition("+")[0]
            raise MalformedError("key is listed twice", expected="once", got=got, where=where)


def _vkey(item: JsonValue, where: str) -> str:
    if not isinstance(item, str):
        raise MalformedError("key is not text", expected="a verifier key", where=where)
    return encode_vkey(parse_vkey(item))


def _size_item(span: SizeSpan) -> JsonValue:
    value: dict[str, JsonValue] = {"key": span.vkey}
    if span.from_size:
        value["fromSize"] = span.from_size
    if span.until_size is not None:
        value["untilSize"] = span.until_size
    return value if len(value) > 1 else span.vkey


def _time_item(span: TimeSpan) -> JsonValue:
    value: dict[str, JsonValue] = {"key": span.vkey}
    if span.from_time is not None:
        value["fromTime"] = span.from_time
    if span.until_time is not None:
        value["untilTime"] = span.until_time
    return value if len(value) > 1 else span.vkey


def _seconds(text: str | None) -> int | None:
    return None if text is None else int(datetime.fromisoformat(text).timestamp())
