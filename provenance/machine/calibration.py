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
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from provenance.errors import MalformedError
from provenance.machine.folders import cache_folder
from provenance.merkle.tier import HashTier

ENVIRONMENT: Final = "PROVENANCE_HASH_TIER"
_MESSAGES: Final = 4_096
_MESSAGE_BYTES: Final = 120
LANES: Final = 16
"""So many whole files are hashed side by side."""
_NEVER: Final = 1 << 30
_STREAM_BYTES: Final = 256 * 1024
_ROUNDS: Final = 3
_MAX_CACHE_BYTES: Final = 4_096
_MAX_PROCESSORS: Final = 16


def hash_tier() -> HashTier:
    """Who hashes messages of about a hundred bytes. `PROVENANCE_HASH_TIER` overrides."""
    return HashTier.LANES if _fewest("messages") <= _MESSAGES else HashTier.HASHLIB


def fewest_streams() -> int:
    """From how many whole files on, read side by side, lanes are faster; more than `LANES` if they never are."""
    return _fewest("streams")


@functools.cache
def _fewest(kind: str) -> int:
    """From how many on lanes are faster."""
    named = os.environ.get(ENVIRONMENT)
    if named:
        try:
            return 1 if HashTier(named) is HashTier.LANES else _NEVER
        except ValueError:
            raise MalformedError(f"{ENVIRONMENT} is unknown", expected=" | ".join(HashTier), got=ascii(named)) from None
    processor = _processor()
    remembered = _read().get(processor, {})
    if kind in remembered:
        return remembered[kind]
    chosen = _time_messages() if kind == "messages" else _time_streams()
    _write(processor, {**remembered, kind: chosen})
    return chosen


def _time_messages() -> int:
    import stringzilla

    messages = [os.urandom(_MESSAGE_BYTES) for _ in range(_MESSAGES)]
    lanes = _best(lambda: stringzilla.Sha256s(_MESSAGES).update(messages).digest())
    alone = _best(lambda: [hashlib.sha256(message).digest() for message in messages])
    return 1 if lanes < alone else _NEVER


def _time_streams() -> int:
    import stringzilla

    chunks = [os.urandom(_STREAM_BYTES) for _ in range(LANES)]
    lanes = _best(lambda: stringzilla.Sha256s(LANES).update(chunks).digest())
    alone = _best(lambda: [hashlib.sha256(chunk).digest() for chunk in chunks])
    # Lanes take as long for one file as for sixteen.
    return 1 + int(LANES * lanes / alone) if lanes < alone else _NEVER


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
    # Two processors of one name may differ in what a hypervisor lets through.
    return hashlib.sha256("\n".join([name, *lines[:2]]).encode()).hexdigest()


def _file() -> Path:
    return cache_folder() / "hash-tier.json"


def _read() -> dict[str, dict[str, int]]:
    try:
        with _file().open("rb") as file:
            value = json.loads(file.read(_MAX_CACHE_BYTES))
        return {
            processor: {kind: min(_NEVER, max(1, int(fewest))) for kind, fewest in choices.items()}
            for processor, choices in value.items()
        }
    except (OSError, MalformedError, ValueError, TypeError, AttributeError, RecursionError):
        return {}


def _write(processor: str, choices: dict[str, int]) -> None:
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
            json.dump(found, file)
        draft.replace(path)
    except (OSError, MalformedError):  # timed again the next time
        if draft is not None:
            draft.unlink(missing_ok=True)
