"""Collecting cosignatures: this log's checkpoint, shown to its witnesses.

Steps: 1 the latest checkpoint; 2 each witness is sent it, with the proof from the size it saw last, all at once; 3 one
that saw another size says which, and is sent another proof; 4 lines that verify are added to the checkpoint, if it is
still the latest. Invariants: all of it ends within a stated time; a witness that fails stops no other; a witness that
saw more than there is proves that this log went back, and nothing is published then.

`.provenance/witnesses.json` (canonical JSON): `{"witnesses":[{"url":"https://..","vkeys":["..",".."]}]}`; with one key,
and in files from before a witness had several, `"vkey":".."`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from provenance.encoding import Fields, JsonValue, canonical_json, parse_json
from provenance.errors import (
    ConflictError,
    MalformedError,
    NotFoundError,
    ProvenanceError,
    StoreError,
    VerificationError,
    WitnessError,
)
from provenance.ledger.layout import read_bounded, write_private
from provenance.ledger.mapping import wanted_checkpoint
from provenance.ledger.rollback import FILE, PUBLISHED, remember_shown, shown_checkpoint
from provenance.limits import MAX_CONFIG_BYTES, MAX_KEY_BYTES, MAX_URI_CHARS
from provenance.log import (
    NoteSignature,
    TlogPolicy,
    check_witnesses,
    describe,
    encode_vkey,
    open_counted,
    parse_checkpoint,
    parse_note,
    parse_vkey,
    renew_signatures,
    verify_cosignature,
)
from provenance.log.add_checkpoint import AddCheckpoint
from provenance.log.algorithm import ALGORITHMS
from provenance.policy import QuorumFinding, TimeSpan, find_quorum
from provenance.stores import CheckpointRow
from provenance.witnesses import Outgrown, open_witness

if TYPE_CHECKING:
    from provenance.ledger.ledger import Ledger

MAX_WITNESSES: Final = 64
DEFAULT_TIMEOUT_S: Final = 10.0
_TRIES: Final = 3
_MAX_REASONS: Final = 8
_Answer: TypeAlias = tuple[tuple[NoteSignature, ...], ProvenanceError | None]
"""The verified lines of a witness, and what was wrong."""


@dataclass(frozen=True, slots=True)
class WitnessPlace:
    """Where a witness is, and the keys, all of its name, that its cosignatures must verify under."""

    url: str
    vkeys: tuple[str, ...]

    @property
    def vkey(self) -> str:
        """Its first key."""
        return self.vkeys[0]

    @property
    def name(self) -> str:
        """The name of the witness."""
        return self.vkey.partition("+")[0]

    def to_json(self) -> dict[str, JsonValue]:
        """The place as a JSON value."""
        return {"url": self.url, "vkey": self.vkey, "vkeys": list(self.vkeys)}


@dataclass(frozen=True, slots=True)
class WitnessOutcome:
    """What came of one witness: None, or why it did not cosign."""

    place: WitnessPlace
    problem: ProvenanceError | None


@dataclass(frozen=True, slots=True)
class Cosigning:
    """What came of a round: of which checkpoint, what each witness did, whether those who cosigned it are enough, and
    how many or which are. `answers` also takes what comes after the round has ended."""

    size: int
    outcomes: tuple[WitnessOutcome, ...]
    finding: QuorumFinding
    quorum: int
    policy: TlogPolicy | None = None
    answers: Mapping[int, _Answer] = field(default_factory=dict, repr=False, compare=False)

    @property
    def problems(self) -> tuple[WitnessOutcome, ...]:
        """The witnesses that failed and why, by what is known now: a late one tells its reason in the end."""
        known = dict(self.answers)
        latest = [
            WitnessOutcome(one.place, known[number][1]) if number in known and one.problem is not None else one
            for number, one in enumerate(self.outcomes)
        ]
        return tuple(
            one if one.problem is not None else before
            for one, before in zip(latest, self.outcomes, strict=True)
            if before.problem is not None
        )

    @property
    def cosigned(self) -> int:
        """How many cosigned."""
        return sum(one.problem is None for one in self.outcomes)

    @property
    def is_met(self) -> bool:
        """Whether all who cosigned the checkpoint, now or before, are enough."""
        return self.finding.is_met

    @property
    def needed(self) -> str:
        """What is asked for, in words."""
        return f"{self.quorum} needed" if self.policy is None else f"the policy asks for {self.policy.requirement()}"

    def to_json(self) -> dict[str, JsonValue]:
        """The round as a JSON value."""
        return {
            "size": self.size,
            "quorum": self.quorum,
            "policy": self.policy.requirement() if self.policy is not None else None,
            "met": self.is_met,
            "witnesses": [
                {**one.place.to_json(), "problem": one.problem.what if one.problem is not None else None}
                for one in self.outcomes
            ],
        }


def witnesses_of(ledger: Ledger) -> tuple[WitnessPlace, ...]:
    """The witnesses that this ledger asks."""
    path = _path(ledger)
    try:
        data = read_bounded(path, "witnesses", max_bytes=MAX_CONFIG_BYTES)
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise StoreError("cannot read the witnesses", got=error.strerror, where=path) from error
    fields = Fields(parse_json(data, what="witnesses", max_bytes=MAX_CONFIG_BYTES), "witnesses")
    found = tuple(_parse_place(item) for item in fields.array("witnesses", max_items=MAX_WITNESSES))
    fields.end()
    return found


def add_witness(ledger: Ledger, url: str, *vkeys: str, quorum: int | None = None) -> WitnessPlace:
    """Ask one more witness from now on, and trust its keys; or trust more keys of one that is asked there already, from
    now on. `quorum`: how many must cosign from now on.

    `ConflictError` if there is nothing new in it, or another witness is asked there, or a quorum is given where a
    witness policy is in force; `MalformedError` for keys that are not one witness's.
    """
    verifiers = [parse_vkey(vkey) for vkey in vkeys]
    if len({verifier.name for verifier in verifiers}) != 1 or ledger.config.origin == verifiers[0].name:
        names = ", ".join(sorted({verifier.name for verifier in verifiers})) or "none"
        raise MalformedError("keys are not one witness's", expected="one name, not the log's", got=names)
    wanted = WitnessPlace(url, tuple(dict.fromkeys(map(encode_vkey, verifiers))))
    open_witness(url, timeout_s=DEFAULT_TIMEOUT_S)
    known = witnesses_of(ledger)
    place = next((one for one in known if one.url == url and one.name == wanted.name), None)
    asked = {vkey for one in known for vkey in one.vkeys}
    new = [vkey for vkey in wanted.vkeys if vkey not in asked]
    if (place is None and (len(new) < len(wanted.vkeys) or any(one.url == url for one in known))) or not new:
        raise ConflictError("witness is asked already", got=url)
    if place is None and len(known) >= MAX_WITNESSES:
        raise ConflictError("too many witnesses", expected=f"at most {MAX_WITNESSES}")
    since = None if place is None else _now()
    with ledger.keyring.editing_trust():
        trust = ledger.keyring.trust()
        if quorum is not None and trust.witness_policy is not None:
            hint = "`provenance witness policy remove` first, or write the policy anew and set it"
            raise ConflictError("a witness policy says which are enough", expected="no number", got=quorum, hint=hint)
        for vkey in new:
            trust = trust.with_witness_key(TimeSpan(vkey, since))
        check_witnesses([parse_vkey(one) for one in trust.witnesses])
        ledger.keyring.write_trust(replace(trust, quorum=trust.quorum if quorum is None else quorum))
    made = wanted if place is None else WitnessPlace(url, (*place.vkeys, *new))
    _write(ledger, [*(one for one in known if one != place), made])
    return made


def retire_witness_key(ledger: Ledger, name: str) -> WitnessPlace:
    """Count no cosignature of a witness's key, by its key id or verifier key, from now on; what it cosigned counts.

    `NotFoundError` if no witness that is asked has it, `ConflictError` if it is the witness's last of its type.
    """
    known = witnesses_of(ledger)
    held = [(place, parse_vkey(vkey)) for place in known for vkey in place.vkeys]
    found = [(place, key) for place, key in held if name in (key.key_id.hex(), encode_vkey(key))]
    if len(found) != 1:
        raise NotFoundError("no such key of a witness", got=name, hint="`provenance witness list --json` shows them")
    place, key = found[0]
    vkey = encode_vkey(key)
    others = tuple(one for one in place.vkeys if one != vkey)
    if not any(parse_vkey(one).type_byte == key.type_byte for one in others):
        hint = "add its new key first: `provenance witness add URL KEY`"
        raise ConflictError("key is the witness's last of its type", expected="another", got=name, hint=hint)
    with ledger.keyring.editing_trust():
        trust = ledger.keyring.trust()
        since = next((span.from_time for span in trust.witness_spans if span.vkey == vkey), None)
        ledger.keyring.write_trust(trust.with_witness_key(TimeSpan(vkey, since, _now())))
    left = WitnessPlace(place.url, others)
    _write(ledger, [left if one == place else one for one in known])
    return left


def remove_witness(ledger: Ledger, name: str) -> WitnessPlace:
    """Ask a witness no more, by its address, key or name. Its keys stay in the trust roots, for what it cosigned.
    `NotFoundError` if it is not asked."""
    known = witnesses_of(ledger)
    found = next((one for one in known if name in (one.url, one.name, *one.vkeys)), None)
    if found is None:
        raise NotFoundError("no such witness", got=name, hint="`provenance witness list` shows them")
    _write(ledger, tuple(one for one in known if one != found))
    return found


def collect(ledger: Ledger, timeout_s: float = DEFAULT_TIMEOUT_S) -> Cosigning:
    """Have the latest checkpoint cosigned by all witnesses that can be reached.

    `NotFoundError` if the log is empty or has no witness; `VerificationError` if a witness saw more of this log than
    there is: it was restored from an old copy, or somebody else signs with its key.
    """
    places, row = witnesses_of(ledger), ledger.log.checkpoint()
    if not places:
        raise NotFoundError("this log has no witness", hint="`provenance witness add URL KEY`")
    row = wanted_checkpoint(ledger)  # what is cosigned is published
    answers = _ask_all(ledger, places, row, timeout_s)
    late = WitnessError("witness answered too slowly", expected=f"within {timeout_s:g} s a try")
    found = [answers.get(number, ((), late)) for number in range(len(places))]
    signatures = [line for lines, _ in found for line in lines]
    if signatures:
        ledger.add_cosignatures(row, signatures)
    outcomes = tuple(WitnessOutcome(place, problem) for place, (_, problem) in zip(places, found, strict=True))
    _refuse_if_back(outcomes)
    trust, cosigned = ledger.keyring.trust(), replace(row, note=renew_signatures(row.note, signatures))
    finding = quorum_of(ledger, cosigned)
    if finding.is_met:
        remember_shown(ledger.layout.directory, cosigned.note, PUBLISHED)
    return Cosigning(row.size, outcomes, finding, trust.quorum, trust.witness_policy, answers)


def collect_for(ledger: Ledger, timeout_s: float = DEFAULT_TIMEOUT_S) -> Cosigning | None:
    """Have the latest checkpoint cosigned before it is published; None if this log has no witness or no entry."""
    return collect(ledger, timeout_s) if witnesses_of(ledger) and ledger.log.size() else None


def quorum_of(ledger: Ledger, row: CheckpointRow) -> QuorumFinding:
    """Whether those whom the trust roots ask for cosigned this very checkpoint."""
    trust = ledger.keyring.trust()
    if not trust.quorum and trust.witness_policy is None:
        return find_quorum(trust, row.note, 0)
    counted = open_counted(row.note, ledger.keyring.log_keys.keys(), trust.witness_keys())
    return find_quorum(trust, row.note, len(counted.witnesses))


def require_quorum(ledger: Ledger, row: CheckpointRow, found: Cosigning | None = None) -> None:
    """Raise `WitnessError` unless those witnesses whom the trust roots ask for cosigned this very checkpoint: whatever
    was asked of whom, and whatever was logged since. The error says why the witnesses of the round that was `found`
    failed; `VerificationError` if one of them, however late, saw more of this log than there is."""
    problems = found.problems if found is not None else ()
    _refuse_if_back(problems)
    finding = quorum_of(ledger, row)
    if not finding.is_met:
        raise WitnessError(
            f"{finding.note}, and it is not published",
            expected=finding.expected,
            got="; ".join([f"{finding.found}, at size {row.size}", *map(_reason, problems[:_MAX_REASONS])]),
            hint="see `provenance witness cosign`, and run it again",
        )


def _reason(outcome: WitnessOutcome) -> str:
    problem = outcome.problem
    return f"{outcome.place.url}: {problem.what if problem is not None else 'cosigned'}"


def _refuse_if_back(outcomes: Sequence[WitnessOutcome]) -> None:
    behind = next((one.problem for one in outcomes if isinstance(one.problem, LogWentBackError)), None)
    if behind is not None:
        raise behind


def public_checkpoint(ledger: Ledger) -> bytes:
    """The checkpoint to show to anybody: the latest, or, while that lacks cosignatures that are asked for, the largest
    known that has them. `NotFoundError` while the log is empty, `WitnessError` if there is none."""
    row = ledger.log.checkpoint()
    try:
        require_quorum(ledger, row)
        return row.note
    except WitnessError:
        for file in (FILE, PUBLISHED):
            shown = shown_checkpoint(ledger.layout.directory, file)
            if shown is not None and quorum_of(ledger, CheckpointRow(shown[1].size, shown[1].root, shown[0])).is_met:
                return shown[0]
        raise


def public_head(ledger: Ledger) -> bytes:
    """The head of the log's map to show to anybody: the newest that is kept, of those up to the checkpoint that is
    shown. `NotFoundError` while there is none."""
    size = parse_checkpoint(parse_note(public_checkpoint(ledger)).text).size
    kept = ledger.map.head(size)
    if kept is None:
        raise NotFoundError("no head of the log's map is kept yet", hint="one is signed for each published checkpoint")
    return kept[1]


class LogWentBackError(VerificationError):
    """A witness saw a larger tree of this log than there is."""


def _ask_all(
    ledger: Ledger, places: Sequence[WitnessPlace], row: CheckpointRow, timeout_s: float
) -> Mapping[int, _Answer]:
    """The answers, by witness, of all, asked at once. One that takes longer than all its tries may is left to itself,
    and its answer is there when it comes."""
    answers: dict[int, _Answer] = {}

    def ask(number: int, place: WitnessPlace) -> None:
        answers[number] = _ask(ledger, place, row, timeout_s)

    threads = [
        threading.Thread(target=ask, args=item, name="provenance-witness", daemon=True) for item in enumerate(places)
    ]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + _TRIES * timeout_s
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return answers


def _ask(ledger: Ledger, place: WitnessPlace, row: CheckpointRow, timeout_s: float) -> _Answer:
    try:
        lines = _cosigned(ledger, place, row, timeout_s)
    except ProvenanceError as error:
        return (), error
    verifiers = [parse_vkey(vkey) for vkey in place.vkeys]
    signed = {line.key_id for line in lines}
    lacking = {one.type_byte for one in verifiers} - {one.type_byte for one in verifiers if one.key_id in signed}
    if lacking:
        what = f"witness cosigned without its {ALGORITHMS[min(lacking)].label} key"
        return lines, WitnessError(what, expected="a line of every type", where=place.url)
    return lines, None


def _cosigned(ledger: Ledger, place: WitnessPlace, row: CheckpointRow, timeout_s: float) -> tuple[NoteSignature, ...]:
    witness = open_witness(place.url, timeout_s=timeout_s)
    old = row.size
    for _ in range(_TRIES):
        proof: Sequence[bytes] = ledger.log.consistency(old, row.size)[4] if 0 < old < row.size else ()
        answer = witness.add_checkpoint(AddCheckpoint(old, tuple(proof), row.note))
        if not isinstance(answer, Outgrown):
            return _own(answer.signatures, place, ledger, row)
        if answer.size > row.size:
            hint = "restore the newest copy of the ledger; nothing must be signed with this one"
            what = "witness saw more of this log than there is"
            got = f"size {answer.size}"
            raise LogWentBackError(what, expected=f"up to {row.size}", got=got, where=place.url, hint=hint)
        if answer.size == old:
            break  # it is of the size, and there was another root
        old = answer.size
    what = "witness saw another tree of this size" if old == row.size else "witness sees another size each time"
    raise VerificationError(what, expected=f"size {row.size}", got=f"size {old}", where=place.url)


def _own(
    lines: Sequence[NoteSignature], place: WitnessPlace, ledger: Ledger, row: CheckpointRow
) -> tuple[NoteSignature, ...]:
    """The lines of this witness's keys, verified; one at least."""
    checkpoint = open_counted(row.note, ledger.keyring.log_keys.keys()).checkpoint
    known = {(one.name, one.key_id): one for one in map(parse_vkey, place.vkeys)}
    found = tuple(line for line in lines if (line.name, line.key_id) in known)
    for line in found:
        verify_cosignature(checkpoint, line, known[line.name, line.key_id])
    if not found:
        expected = ", ".join(describe(verifier) for verifier in known.values())
        raise WitnessError("witness answered with another key's cosignature", expected=expected)
    return found


def _parse_place(item: JsonValue) -> WitnessPlace:
    fields = Fields(item, "witnesses")
    url, vkeys = fields.string("url", max_chars=MAX_URI_CHARS), list[str]()
    if fields.has("vkeys"):
        for vkey in fields.array("vkeys", max_items=MAX_WITNESSES):
            if not isinstance(vkey, str):
                raise MalformedError("key is not text", expected="a verifier key", where="witnesses.vkeys")
            vkeys.append(encode_vkey(parse_vkey(vkey)))
    else:
        vkeys.append(encode_vkey(parse_vkey(fields.string("vkey", max_chars=MAX_KEY_BYTES))))
    fields.skip("vkeys")
    fields.end()
    if len({vkey.partition("+")[0] for vkey in vkeys}) != 1:
        raise MalformedError("witness has keys of several names, or none", expected="one name", where="witnesses.vkeys")
    return WitnessPlace(url, tuple(vkeys))


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _path(ledger: Ledger) -> Path:
    return ledger.layout.directory / "witnesses.json"


def _write(ledger: Ledger, places: Sequence[WitnessPlace]) -> None:
    items: list[JsonValue] = [
        {"url": one.url, "vkey": one.vkey} if len(one.vkeys) == 1 else {"url": one.url, "vkeys": list(one.vkeys)}
        for one in places
    ]
    value: JsonValue = {"witnesses": items}
    write_private(_path(ledger), canonical_json(value) + b"\n")
