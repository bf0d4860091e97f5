"""What is said about an artefact after it was registered: how it was made, that a run on it failed,
test results, its use, a review, a finding, a replay, the verdict of a policy, its revocation or successor.

Invariants: an event is about one registered statement, its subject, and pins the very envelope, so that it is about
those bytes and that statement and no other of the name; one signer may say many things, and none of them changes what
was registered; free text is short, is for people, and must not name persons.

Bytes (canonical JSON, the predicate of a revocation): `{"created":"2026-11-20T12:00:00Z",
"reason":"consent withdrawn","statement":{"sha256":"<64 hex>"}}`
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from provenance.encoding import Fields, JsonValue
from provenance.errors import MalformedError
from provenance.statement.credentials import check_no_secret
from provenance.statement.failed_run import FailedRun, read_failed_run
from provenance.statement.finding import Finding, read_finding
from provenance.statement.frame import (
    BlockReference,
    Frame,
    Pin,
    Subject,
    check_time,
    encode_frame,
    open_frame,
    parse_block,
)
from provenance.statement.names import PinnedName
from provenance.statement.quality import Quality, read_quality
from provenance.statement.replay import Replay, read_replay
from provenance.statement.review import Review, read_review
from provenance.statement.revocation import Revocation, read_revocation
from provenance.statement.run import Run
from provenance.statement.run_reading import read_run
from provenance.statement.supersession import Supersession, read_supersession
from provenance.statement.usage import Usage, read_usage
from provenance.statement.verdict import Verdict, read_verdict

Body: TypeAlias = Run | FailedRun | Quality | Usage | Review | Finding | Replay | Verdict | Revocation | Supersession


@dataclass(frozen=True, slots=True)
class Event:
    """Something said about one registered statement. `created` is the signer's own clock, RFC 3339 in UTC."""

    about: Pin
    body: Body
    created: str
    not_before: BlockReference | None = None

    def __post_init__(self) -> None:
        check_time(self.created)
        if isinstance(self.body, Run) and any(one.pin.envelope == self.about.envelope for one in self.body.inputs):
            raise MalformedError("artefact was made from itself", expected="other inputs", got=self.about.name)
        if isinstance(self.body, FailedRun) and all(one.pin != self.about for one in self.body.inputs):
            raise MalformedError("failed run did not read what it is about", expected="an input", got=self.about.name)
        if isinstance(self.body, Verdict) and self.body.artefact != self.about.digest:
            what = "verdict is on another artefact"
            raise MalformedError(what, expected=self.about.digest, got=self.body.artefact)
        if isinstance(self.body, Supersession) and self.body.by.envelope == self.about.envelope:
            raise MalformedError("artefact takes its own place", expected="another one", got=self.about.name)

    @property
    def type(self) -> str:
        """Its predicate's type."""
        return self.body.TYPE


def event_noun(predicate_type: str) -> str:
    """What people call an event of this type: `run`, `quality`, `review`."""
    return _NOUNS.get(predicate_type) or predicate_type.removeprefix("urn:provenance-ledger:").partition(":")[0]


def thing_of(body: Body) -> Hashable:
    """What a word is about within its artefact, beside its type: of several of one signer about one thing, one holds.

    A finding's id of one detector, tests of one configuration, replays of one run; of everything else there is one."""
    if isinstance(body, Finding):
        return body.thing
    if isinstance(body, Quality):
        return frozenset(one.digest for one in body.configuration)
    return body.run if isinstance(body, Replay) else None


def encode_event(event: Event) -> bytes:
    """The in-toto statement as canonical JSON: what is signed."""
    predicate: dict[str, JsonValue] = {
        **event.body.to_json(),
        "created": event.created,
        "statement": {"sha256": event.about.envelope.hex},
    }
    if event.not_before is not None:
        predicate["notBefore"] = event.not_before.to_json()
    return encode_frame([Subject(str(event.about.name), event.about.digest)], event.type, predicate)


def parse_event(payload: bytes, *, strict: bool = False) -> Event:
    """The event in a DSSE payload.

    With `strict`, as for whatever is yet to be signed or logged, unknown fields of the predicate are refused, and so is
    what seems to hold a secret, and a test result that names no test.
    """
    frame = open_frame(payload)
    if frame.predicate_type not in EVENT_TYPES:
        expected = " | ".join(EVENT_TYPES)
        raise MalformedError("statement is of another kind", expected=expected, got=frame.predicate_type)
    return read_event(frame, strict=strict)


def read_event(frame: Frame, *, strict: bool = False) -> Event:
    """The event in a frame whose type is one of `EVENT_TYPES`."""
    subject, predicate = frame.subject(), frame.predicate
    event = Event(
        about=Pin(PinnedName.parse(subject.name), subject.digest, predicate.digest_set("statement")),
        body=_BODIES[frame.predicate_type](predicate),
        created=predicate.string("created", max_chars=20),
        not_before=parse_block(predicate),
    )
    if strict:
        predicate.end()
        if isinstance(event.body, Run | FailedRun | Quality):
            event.body.check_new()
        for name in ("note", "title"):
            text = getattr(event.body, name, None)
            if text is not None:
                check_no_secret(text, name)
    return event


_BODIES: Final[Mapping[str, Callable[[Fields], Body]]] = {
    Run.TYPE: read_run,
    FailedRun.TYPE: read_failed_run,
    Quality.TYPE: read_quality,
    Usage.TYPE: read_usage,
    Review.TYPE: read_review,
    Finding.TYPE: read_finding,
    Replay.TYPE: read_replay,
    Verdict.TYPE: read_verdict,
    Revocation.TYPE: read_revocation,
    Supersession.TYPE: read_supersession,
}
EVENT_TYPES: Final = tuple(_BODIES)
"""The predicate types of events."""
_NOUNS: Final[Mapping[str, str]] = {Run.TYPE: "run", Quality.TYPE: "quality", Verdict.TYPE: "verdict"}
