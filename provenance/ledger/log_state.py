"""What a monitor remembers of a log between runs, and the evidence it keeps of one that is at fault.

Invariants: the file is replaced whole and durably, 0600, and only by one process at a time; what it holds was verified
against the checkpoint in it when it was written, and is verified anew before it is relied on; evidence is named by its
own digest and never replaced.

    {"type":"urn:provenance-ledger:log-state:1","checkpoint":"<signed note>","seen":"70000","reached":"69888",
     "nodes":["<hex>", ...]}

`seen` entries were looked at; `nodes` are the perfect subtrees of the first `reached`, which end with a full bundle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from provenance.encoding import Fields, JsonValue, canonical_json, parse_json
from provenance.errors import ConflictError, MalformedError, StoreError
from provenance.ledger.layout import read_bounded, write_private
from provenance.limits import MAX_NOTE_BYTES
from provenance.log import parse_checkpoint, parse_note
from provenance.log.decimal import parse_decimal
from provenance.log.fault import LogFaultError, encode_evidence
from provenance.log.following import Head
from provenance.log.tile import TILE_WIDTH
from provenance.merkle import CompactRange

STATE_TYPE: Final = "urn:provenance-ledger:log-state:1"
_MAX_STATE_BYTES: Final = 6 * MAX_NOTE_BYTES
"""A note may be escaped in JSON, to six bytes a byte at worst; 64 hashes are little beside it."""
_MAX_NODES: Final = 64


@dataclass(frozen=True, slots=True)
class LogState:
    """The last checkpoint that was verified to extend those before, and how far its entries were looked at."""

    head: Head
    seen: int
    reached: CompactRange


def read_state(path: Path, origin: str) -> LogState | None:
    """What was remembered; None if nothing was yet. `StoreError` for a damaged file, `ConflictError` for that of
    another log."""
    try:
        data = read_bounded(path, "state of the monitor", max_bytes=_MAX_STATE_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError("cannot read the state of the monitor", got=error.strerror, where=path) from error
    try:
        state = _parse(data)
    except MalformedError as error:
        hint = "move it away to begin anew; what was seen before is then forgotten"
        raise StoreError(f"state of the monitor is damaged: {error.what}", where=path, hint=hint) from error
    if state.head.checkpoint.origin != origin:
        hint = "give each log a state file of its own"
        got = state.head.checkpoint.origin
        raise ConflictError("state is of another log", expected=origin, got=got, where=path, hint=hint)
    return state


def write_state(path: Path, state: LogState) -> None:
    """Remember this from now on."""
    nodes: list[JsonValue] = [root.hex() for _, root in state.reached.nodes]
    value: dict[str, JsonValue] = {
        "type": STATE_TYPE,
        "checkpoint": state.head.note.decode("utf-8"),
        "seen": str(state.seen),
        "reached": str(state.reached.size),
        "nodes": nodes,
    }
    write_private(path, canonical_json(value) + b"\n")


def write_evidence(base: Path, fault: LogFaultError) -> Path:
    """Write the evidence of a fault beside `base`, as `<base>.evidence-<digest>.json`; its path."""
    data = encode_evidence(fault)
    path = base.with_name(f"{base.name}.evidence-{sha256(data).hexdigest()[:16]}.json")
    write_private(path, data)
    return path


def _parse(data: bytes) -> LogState:
    fields = Fields(parse_json(data, what="state", max_bytes=_MAX_STATE_BYTES), "state")
    fields.constant("type", STATE_TYPE)
    note = fields.string("checkpoint", max_chars=MAX_NOTE_BYTES).encode("utf-8")
    seen = parse_decimal(fields.string("seen", max_chars=20), what="seen")
    reached = parse_decimal(fields.string("reached", max_chars=20), what="reached")
    nodes = fields.array("nodes", max_items=_MAX_NODES)
    fields.end()
    checkpoint = parse_checkpoint(parse_note(note).text)
    if not reached <= seen <= checkpoint.size or reached % TILE_WIDTH or seen - reached >= TILE_WIDTH:
        raise MalformedError("sizes do not fit one another", got=f"{reached}, {seen}, {checkpoint.size}")
    return LogState(Head(note, checkpoint), seen, _range(reached, nodes))


def _range(size: int, nodes: Sequence[JsonValue]) -> CompactRange:
    levels = [level for level in range(size.bit_length() - 1, -1, -1) if size >> level & 1]
    if len(levels) != len(nodes):
        raise MalformedError("hashes are missing", expected=f"{len(levels)} hashes", got=len(nodes))
    found = CompactRange()
    for level, node in zip(levels, nodes, strict=True):
        try:
            found.append_subtree(level, bytes.fromhex(node) if isinstance(node, str) else b"")
        except ValueError:
            raise MalformedError("a hash is none", expected="64 hex digits") from None
    return found
