"""Which way to hash is the fastest on this processor: timed once, then remembered by the processor's name.

Invariants: the choice changes how long hashing takes and never what it gives; a cache that cannot be read or written,
or holds anything unexpected, costs one more timing and nothing else.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Final

from provenance.errors import MalformedError
from provenance.machine.folders import cache_folder
from provenance.merkle import compiled
from provenance.merkle.compiled import STREAMS, extensions, extensions_or_error
from provenance.merkle.lists import hash_messages
from provenance.merkle.tier import HashTier

ENVIRONMENT: Final = "PROVENANCE_HASH_TIER"
LANES: Final = 16
"""So many whole files are hashed side by side by lanes."""
_NEVER: Final = 1 << 30
_ROUNDS: Final = 3
_MAX_CACHE_BYTES: Final = 4_096
_MAX_PROCESSORS: Final = 16


@dataclass(frozen=True, slots=True)
class Choice:
    """The fastest way, from `fewest` messages on."""

    tier: HashTier
    fewest: int


class Kind(StrEnum):
    """What is hashed: many messages of about a hundred bytes, many whole small files, or large ones piece by piece."""

    MESSAGES = "messages"
    CONTENTS = "contents"
    STREAMS = "streams"


_SIZES: Final = {Kind.MESSAGES: (4_096, 120), Kind.CONTENTS: (128, 8_192), Kind.STREAMS: (48, 128 * 1024)}
"""How many messages are timed, and their bytes."""


def hash_tier() -> HashTier:
    """Who hashes messages of about a hundred bytes. `PROVENANCE_HASH_TIER` overrides."""
    return choice(Kind.MESSAGES).tier


@functools.cache
def choice(kind: Kind) -> Choice:
    """Who hashes messages of this kind. `PROVENANCE_HASH_TIER` overrides; `MalformedError` if it names what is not
    there."""
    named = os.environ.get(ENVIRONMENT)
    if named:
        try:
            tier = HashTier(named)
        except ValueError:
            raise MalformedError(f"{ENVIRONMENT} is unknown", expected=" | ".join(HashTier), got=ascii(named)) from None
        if tier is HashTier.EXTENSIONS:
            extensions_or_error()
        return Choice(tier, _NEVER if tier is HashTier.HASHLIB else 1)
    processor = _processor()
    remembered = _read().get(processor, {})
    known = remembered.get(kind)
    if known is not None and (known.tier is not HashTier.EXTENSIONS or extensions() is not None):
        return known
    chosen = _fastest(kind)
    _write(processor, {**remembered, kind: chosen})
    return chosen


def _fastest(kind: Kind) -> Choice:
    count, size = _SIZES[kind]
    messages = [os.urandom(size) for _ in range(count)]
    ways: dict[HashTier, Callable[[], object]] = {
        tier: partial(hash_messages, messages, tier=tier)
        for tier in HashTier
        if tier is not HashTier.EXTENSIONS or extensions() is not None
    }
    if kind is Kind.STREAMS:  # so many at a time as have room
        ways[HashTier.LANES] = partial(_in_lanes, messages)
    times = {tier: _best(way) / count for tier, way in ways.items()}
    tier = min(times, key=lambda tier: times[tier])
    if tier is HashTier.HASHLIB:
        return Choice(tier, _NEVER)
    # Side by side it takes as long for one as for all that have room.
    room = LANES if tier is HashTier.LANES else STREAMS
    return Choice(tier, 1 + int(room * times[tier] / times[HashTier.HASHLIB]) if kind is Kind.STREAMS else 1)


def _in_lanes(messages: Sequence[bytes]) -> None:
    import stringzilla

    for start in range(0, len(messages), LANES):
        stringzilla.Sha256s(LANES).update(messages[start : start + LANES]).digest()


def _best(action: Callable[[], object]) -> float:
    figures = []
    for _ in range(_ROUNDS):
        started = time.perf_counter()
        action()
        figures.append(time.perf_counter() - started)
    return min(figures)


def _processor() -> str:
    name = platform.machine()  # platform.processor() would start a program
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as file:
            lines = [
                line.partition(":")[2].strip() for line in file if line.startswith(("model name", "flags", "Features"))
            ]
    except OSError:
        return name
    # Two processors of one name may differ in what a hypervisor lets through, and two of us in how we were built.
    return hashlib.sha256("\n".join([name, *lines[:2], str(_is_built())]).encode()).hexdigest()


def _is_built() -> bool:
    """Whether there is compiled hashing, of whatever worth; to load it would cost more than what is asked."""
    return Path(compiled.__file__).with_name(compiled.LIBRARY).exists()


def _file() -> Path:
    return cache_folder() / "hash-tiers.json"


def _read() -> dict[str, dict[Kind, Choice]]:
    try:
        with _file().open("rb") as file:
            value = json.loads(file.read(_MAX_CACHE_BYTES))
        return {
            processor: {
                Kind(kind): Choice(HashTier(tier), min(_NEVER, max(1, int(fewest))))
                for kind, (tier, fewest) in choices.items()
            }
            for processor, choices in value.items()
        }
    except (OSError, MalformedError, ValueError, TypeError, AttributeError, RecursionError):
        return {}


def _write(processor: str, choices: dict[Kind, Choice]) -> None:
    import tempfile

    others = {name: chosen for name, chosen in _read().items() if name != processor}
    # A home that many machines share keeps what was found on the last of them.
    found = dict([*others.items(), (processor, choices)][-_MAX_PROCESSORS:])
    draft: Path | None = None
    try:
        path = _file()
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=".hash-tier-", dir=path.parent)
        draft = Path(name)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            json.dump(
                {name: {kind: astuple(one) for kind, one in known.items()} for name, known in found.items()}, file
            )
        draft.replace(path)
    except (OSError, MalformedError):  # timed again the next time
        if draft is not None:
            draft.unlink(missing_ok=True)
