"""What an attester checked of a log before it cosigned a checkpoint, or why it did not.

Invariants: what was checked is a `CheckedRange` (`provenance.statement.checked_range`), where what was skipped cannot
count as checked; an accepted range holds no failure, a refused one ends with the entry that failed; a range that ends
with its checkpoint has the checkpoint's root. An attestation fits a log entry.

Bytes (canonical JSON, the predicate; lists cut): `{"attester":"witness.example/w1","checkpoint":{"origin":
"ledger.example/main","root":"<64 hex>","size":2},"checks":[{"check":"envelope","checked":2,"skipped":[]},..],
"created":"2026-11-20T12:00:00Z","entries":{"begin":0,"end":2,"root":"<64 hex>"},"method":{"dataRequired":false,
"files":16},"outcome":"accepted","policy":{"digest":{"sha256":".."},"name":"training"},"samples":[{"bytes":3,
"entry":0,"files":1,"of":1}],"seed":"<64 hex>"}`. The subject is `checkpoint` with the SHA-256 of its three lines.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from provenance.encoding import Digest, Fields, JsonValue, b64encode
from provenance.errors import MalformedError
from provenance.limits import MAX_FILES, check_size
from provenance.statement.checked_range import (
    MAX_ATTESTED_ENTRIES,
    CheckedRange,
    EntryCheck,
    encode_coverage,
    read_coverage,
    read_sample,
)
from provenance.statement.frame import Frame, Subject, check_time, encode_frame, parse_choice
from provenance.statement.text import MAX_TITLE_CHARS, MAX_WORD_CHARS

LOG_ATTESTATION_TYPE: Final = "urn:provenance-ledger:log-attestation:1"
MAX_REASON_CHARS: Final = 500
_ACCEPTED: Final = "accepted"
_REFUSED: Final = "refused"
_SUBJECT: Final = "checkpoint"
_MAX_NAME_CHARS: Final = 1_024


@dataclass(frozen=True, slots=True)
class AttestedBefore:
    """The attestation of the entries before: the size of the tree at its end, and the SHA-256 of its envelope."""

    size: int
    envelope: Digest


@dataclass(frozen=True, slots=True)
class CheckMethod:
    """How entries were checked: against which policy, by its name and the SHA-256 of its file; how many files of a
    dataset are read at most (None: all); whether one whose data cannot be read is refused."""

    policy: str
    policy_digest: Digest
    sample_files: int | None = None
    data_required: bool = False


@dataclass(frozen=True, slots=True)
class LogAttestation:
    """What `attester` checked: of the log `origin`, those `entries` that are the last leaves of a tree of
    `entries.end` leaves with `tree_root`, shown to be a prefix of the signed checkpoint of `size` and `root`.

    `seed` decides which files were drawn. `reason`: what is wrong with the entry that failed, in words that name no
    person and no file; None if none did.
    """

    attester: str
    origin: str
    size: int
    root: Digest
    entries: CheckedRange
    tree_root: Digest
    seed: Digest
    method: CheckMethod
    created: str
    reason: str | None = None
    previous: AttestedBefore | None = None

    def __post_init__(self) -> None:
        check_time(self.created)
        if self.entries.end > self.size:
            got = f"{self.entries.begin} to {self.entries.end}"
            raise MalformedError("entries are not in the checkpoint", expected=f"up to {self.size}", got=got)
        if self.is_whole and self.tree_root != self.root:
            raise MalformedError("whole tree has another root", expected=self.root, got=self.tree_root)
        if self.previous is not None and self.previous.size != self.entries.begin:
            raise MalformedError(
                "attestation before ends elsewhere", expected=self.entries.begin, got=self.previous.size
            )
        if (self.reason is None) != (self.entries.failed is None):
            raise MalformedError("a failure, and nothing else, has a reason", got=self.entries.failed)
        check_size("reason", len(self.reason or ""), MAX_REASON_CHARS, "characters")

    @property
    def is_accepted(self) -> bool:
        """Whether nothing that was checked failed."""
        return self.entries.failed is None

    @property
    def is_whole(self) -> bool:
        """Whether it reaches the end of its checkpoint."""
        return self.entries.end == self.size


def checkpoint_digest(origin: str, size: int, root: Digest) -> Digest:
    """The SHA-256 of a checkpoint's three lines (c2sp.org/tlog-checkpoint, without extensions)."""
    return Digest.of(f"{origin}\n{size}\n{b64encode(root.raw)}\n".encode())


def encode_log_attestation(attestation: LogAttestation) -> bytes:
    """The in-toto statement as canonical JSON: what is signed."""
    one, entries, method = attestation, attestation.entries, attestation.method
    predicate: dict[str, JsonValue] = {
        "attester": one.attester,
        "checkpoint": {"origin": one.origin, "size": one.size, "root": one.root.hex},
        "entries": {"begin": entries.begin, "end": entries.end, "root": one.tree_root.hex},
        "checks": encode_coverage(entries),
        "samples": [sample.to_json() for sample in entries.samples],
        "seed": one.seed.hex,
        "method": {
            "dataRequired": method.data_required,
            **({"files": method.sample_files} if method.sample_files is not None else {}),
        },
        "policy": {"name": method.policy, "digest": {"sha256": method.policy_digest.hex}},
        "outcome": _ACCEPTED if one.is_accepted else _REFUSED,
        "created": one.created,
    }
    if entries.failed is not None and one.reason is not None:
        predicate["finding"] = {"entry": entries.end - 1, "check": str(entries.failed), "reason": one.reason}
    if one.previous is not None:
        predicate["previous"] = {"size": one.previous.size, "envelope": {"sha256": one.previous.envelope.hex}}
    subject = Subject(_SUBJECT, checkpoint_digest(one.origin, one.size, one.root))
    return encode_frame([subject], LOG_ATTESTATION_TYPE, predicate)


def read_log_attestation(frame: Frame) -> LogAttestation:
    """What a frame of `LOG_ATTESTATION_TYPE` says. `MalformedError` for another type, and for unknown fields."""
    if frame.predicate_type != LOG_ATTESTATION_TYPE:
        raise MalformedError("statement is of another kind", expected=LOG_ATTESTATION_TYPE, got=frame.predicate_type)
    subject, predicate = frame.subject(), frame.predicate
    checkpoint = predicate.object("checkpoint")
    failed, reason = _read_finding(predicate)
    entries, tree_root = _read_entries(predicate, failed)
    attestation = LogAttestation(
        attester=predicate.string("attester", max_chars=_MAX_NAME_CHARS),
        origin=checkpoint.string("origin", max_chars=_MAX_NAME_CHARS),
        size=checkpoint.integer("size", minimum=1),
        root=checkpoint.digest("root"),
        entries=entries,
        tree_root=tree_root,
        seed=predicate.digest("seed"),
        method=_read_method(predicate),
        created=predicate.string("created", max_chars=20),
        reason=reason,
        previous=_read_previous(predicate),
    )
    checkpoint.end()
    predicate.constant("outcome", _ACCEPTED if attestation.is_accepted else _REFUSED)
    predicate.end()
    expected = checkpoint_digest(attestation.origin, attestation.size, attestation.root)
    if subject != Subject(_SUBJECT, expected):
        raise MalformedError("statement is about another checkpoint", expected=expected, got=subject.digest)
    return attestation


def _read_entries(predicate: Fields, failed: tuple[int, EntryCheck] | None) -> tuple[CheckedRange, Digest]:
    stated = predicate.object("entries")
    begin, end, root = stated.integer("begin"), stated.integer("end", minimum=1), stated.digest("root")
    stated.end()
    if failed is not None and failed[0] != end - 1:
        raise MalformedError("finding is on another entry", expected=end - 1, got=failed[0])
    checks = predicate.array("checks", max_items=len(EntryCheck))
    samples = predicate.array("samples", max_items=MAX_ATTESTED_ENTRIES)
    entries = CheckedRange(
        begin,
        end,
        tuple(read_coverage(item, begin, end) for item in checks),
        tuple(map(read_sample, samples)),
        None if failed is None else failed[1],
    )
    return entries, root


def _read_method(predicate: Fields) -> CheckMethod:
    method, policy = predicate.object("method"), predicate.object("policy")
    found = CheckMethod(
        policy=policy.string("name", max_chars=MAX_TITLE_CHARS),
        policy_digest=policy.digest_set("digest"),
        sample_files=method.integer("files", minimum=1, maximum=MAX_FILES) if method.has("files") else None,
        data_required=method.boolean("dataRequired"),
    )
    method.skip("files")
    method.end()
    policy.end()
    return found


def _read_finding(predicate: Fields) -> tuple[tuple[int, EntryCheck] | None, str | None]:
    if not predicate.has("finding"):
        predicate.skip("finding")
        return None, None
    fields = predicate.object("finding")
    check = parse_choice(EntryCheck, fields.string("check", max_chars=MAX_WORD_CHARS), "check of an entry")
    entry, reason = fields.integer("entry"), fields.string("reason", max_chars=MAX_REASON_CHARS)
    fields.end()
    return (entry, check), reason


def _read_previous(predicate: Fields) -> AttestedBefore | None:
    if not predicate.has("previous"):
        predicate.skip("previous")
        return None
    fields = predicate.object("previous")
    found = AttestedBefore(fields.integer("size", minimum=1), fields.digest_set("envelope"))
    fields.end()
    return found
