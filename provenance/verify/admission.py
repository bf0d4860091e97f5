"""Whether one log entry may be cosigned: what an attester checks of it before it looks at any data.

Steps, in order, each a check of `EntryCheck`: 1 it is a DSSE envelope in its one byte form; 2 it holds a statement that
is known and well formed, with no field that is not; 3 a key that is trusted for what it is about signed it, in force;
4 what it is made from, or is about, was logged before, as it is pinned, and its name is free; 5 the policy allows it.
Invariants: what is not known is refused; a rule that cannot be decided refuses; reasons name no person and no file.

An attester's policy is one as `provenance gate` takes it, of which it asks only what one entry can answer
(`check_decidable`); rules speak about `target`, what the statement says, and `now`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol, TypeAlias

from provenance.encoding import Digest
from provenance.errors import MalformedError, PolicyError, ProvenanceError, VerificationError, printable
from provenance.policy import REQUIRED_LEVEL, TrustedSource, TrustRoots
from provenance.policy.licences import allows
from provenance.policy.policy import Policy, Rule
from provenance.signature import Envelope, parse_envelope, parse_public_key, verify_envelope
from provenance.statement import DATASET_PREDICATE, PAYLOAD_TYPE, DatasetStatement, Pin, PinnedName, Sensitivity
from provenance.statement.batches import BATCH_TYPES, Batch, read_batch
from provenance.statement.checked_range import EntryCheck, SkipReason
from provenance.statement.dataset import read_dataset
from provenance.statement.events import EVENT_TYPES, Event, read_event
from provenance.statement.frame import open_frame
from provenance.statement.key_event import KEY_TYPE, KeyAction, KeyEvent, read_key_event
from provenance.statement.log_attestation import MAX_REASON_CHARS
from provenance.statement.run import Run
from provenance.statement.supersession import Supersession

_TIME: Final = "%Y-%m-%dT%H:%M:%SZ"
_AHEAD: Final = timedelta(days=1)
Body: TypeAlias = DatasetStatement | Event | KeyEvent | Batch


class EntryRefusedError(VerificationError):
    """An entry failed a check."""

    def __init__(self, check: EntryCheck, what: str, *, expected: object = None, got: object = None) -> None:
        super().__init__(what, expected=expected, got=got)
        self.check = check

    @property
    def reason(self) -> str:
        """What is wrong, in one line of bounded length."""
        return self.message[:MAX_REASON_CHARS]


class Past(Protocol):
    """What was logged before an entry, as far as it was checked."""

    @property
    def begin(self) -> int:
        """The first entry that was checked."""

    def pinned(self, pin: Pin) -> int | None:
        """The entry that registered exactly what is pinned."""

    def named(self, name: PinnedName) -> int | None:
        """The entry that registered this name and version."""

    def end_of(self, keyid: str) -> int | None:
        """The entry that revoked a key."""


@dataclass(frozen=True, slots=True)
class OpenedEntry:
    """An entry that could be read: its envelope, the SHA-256 of it, and what it says."""

    digest: Digest
    envelope: Envelope
    body: Body

    @property
    def keyid(self) -> str:
        """Who says it."""
        return self.envelope.signatures[0].keyid

    @property
    def revoked(self) -> str | None:
        """The key that it revokes, if it does."""
        body = self.body
        is_end = isinstance(body, KeyEvent) and body.action is KeyAction.REVOKED
        return body.key.keyid.hex if is_end and isinstance(body, KeyEvent) else None


def check_decidable(policy: Policy) -> TrustRoots:
    """The trust roots of a policy that an attester can decide. `PolicyError` names what it cannot."""
    if policy.trust is None or not policy.trust.sources:
        hint = "list the sources whose entries may be cosigned under `trust`"
        raise PolicyError(
            "policy trusts no key, so that no entry could be accepted", expected="trust.sources", hint=hint
        )
    asked = {
        "minimumLevel": policy.minimum is not None,
        "requiredLevel": dict(policy.required) != dict(REQUIRED_LEVEL),
        "acceptedChains": policy.accepted_chains is not None,
    }
    undecidable = [name for name, is_asked in asked.items() if is_asked]
    if undecidable:
        hint = "leave it out: levels and anchors are known only after a checkpoint was cosigned"
        what = "policy asks for what an attester cannot decide"
        raise PolicyError(what, expected="rules about entries", got=", ".join(undecidable), hint=hint)
    return policy.trust


def open_envelope(entry: bytes) -> Envelope:
    """The envelope that is an entry. `EntryRefusedError` if it is none."""
    try:
        envelope = parse_envelope(entry)
    except ProvenanceError as error:
        raise EntryRefusedError(EntryCheck.ENVELOPE, error.what, expected=error.expected) from None
    if envelope.payload_type != PAYLOAD_TYPE:
        what = "envelope holds something else"
        raise EntryRefusedError(EntryCheck.ENVELOPE, what, expected=PAYLOAD_TYPE, got=envelope.payload_type)
    return envelope


def open_statement(entry: bytes, envelope: Envelope) -> OpenedEntry:
    """What the envelope of an entry says. `EntryRefusedError` if it is of no known kind, or not well formed."""
    try:
        return OpenedEntry(Digest.of(entry), envelope, _read_body(envelope.payload))
    except ProvenanceError as error:
        # What was found is not repeated: it may be a secret, which is one of the reasons to refuse it.
        raise EntryRefusedError(EntryCheck.STATEMENT, error.what, expected=error.expected) from None


def check_signature(opened: OpenedEntry, trust: TrustRoots, past: Past) -> None:
    """Raise `EntryRefusedError` unless a key signed it that may, in force."""
    source = _signer(opened, trust, past)
    try:
        verify_envelope(opened.envelope, source.key)
    except ProvenanceError as error:
        raise EntryRefusedError(EntryCheck.SIGNATURE, error.what) from None


def check_references(opened: OpenedEntry, past: Past) -> SkipReason | None:
    """None if everything that it names was logged before and its own name is free; else why that cannot be told.

    `EntryRefusedError` if something is missing, or its name is taken.
    """
    body = opened.body
    if isinstance(body, DatasetStatement):
        taken = past.named(body.name)
        if taken is not None:
            what = "name and version are registered already"
            raise EntryRefusedError(EntryCheck.REFERENCES, what, got=f"entry {taken}")
    if any(past.pinned(pin) is None for pin in _pins(body)):
        if past.begin:
            return SkipReason.UNSEEN
        what = "it names something that was not logged before as it is pinned"
        raise EntryRefusedError(EntryCheck.REFERENCES, what, expected="name, digest and envelope of an earlier entry")
    if isinstance(body, DatasetStatement) and not body.names_parents:
        return SkipReason.UNREAD_LIST
    return SkipReason.INAPPLICABLE if isinstance(body, KeyEvent | Batch) else None


def check_policy(opened: OpenedEntry, policy: Policy, now: datetime) -> None:
    """Raise `EntryRefusedError` unless the policy allows it at a time in UTC."""
    body = opened.body
    _check_age(body.created, policy, now)
    for name in (*([body.name] if isinstance(body, DatasetStatement) else []), *(pin.name for pin in _made_from(body))):
        pattern = policy.forbids(str(name))
        if pattern is not None:
            raise EntryRefusedError(EntryCheck.POLICY, "what it is, or is made from, is forbidden", got=pattern)
    if not isinstance(body, DatasetStatement):
        return
    if policy.allowed_licenses is not None:
        if body.license is None:
            raise EntryRefusedError(EntryCheck.POLICY, "no licence is declared", expected="one that is allowed")
        if not allows(body.license, policy.allowed_licenses):
            raise EntryRefusedError(EntryCheck.POLICY, "licence is not allowed", got=body.license)
    facts = {"target": statement_facts(body, opened.keyid), "now": now.strftime(_TIME)} if policy.rules else {}
    for rule in policy.rules:
        _check_rule(rule, facts)


def statement_facts(statement: DatasetStatement, keyid: str) -> dict[str, Any]:
    """What rules may say about `target`: as in a gate's rules, less what only an audit tells."""
    facts: dict[str, Any] = {
        "name": str(statement.name),
        "namespace": statement.name.dataset.namespace,
        "kind": str(statement.kind),
        "digest": statement.digest.hex,
        "signer": keyid,
        "sensitivity": list(Sensitivity).index(statement.sensitivity),
        "created": statement.created,
        "files": statement.fingerprint.file_count,
        "totalBytes": statement.fingerprint.total_bytes,
        "geography": list(statement.standards.origin_geography),
        "parents": len(statement.parents) if statement.materials is None else statement.materials.count,
    }
    optional: dict[str, Any] = {
        "license": statement.license,
        "origin": statement.origin,
        "personalData": statement.standards.personal_data,
        "basis": statement.standards.basis and str(statement.standards.basis),
        "method": statement.standards.method and str(statement.standards.method),
    }
    return {**facts, **{name: value for name, value in optional.items() if value is not None}}


def _read_body(payload: bytes) -> Body:
    frame = open_frame(payload)
    kind = frame.predicate_type
    if kind == DATASET_PREDICATE:
        return read_dataset(frame, strict=True)
    if kind in EVENT_TYPES:
        return read_event(frame, strict=True)
    if kind == KEY_TYPE:
        event = read_key_event(frame, strict=True)
        for named in (event.key, event.successor):
            if named is not None and parse_public_key(named.pem).keyid != named.keyid.hex:
                raise MalformedError("key is not named by its key id", expected="the SHA-256 of its PEM")
        return event
    if kind in BATCH_TYPES:
        batch = read_batch(frame)
        frame.predicate.end()
        return batch
    known = (DATASET_PREDICATE, *EVENT_TYPES, KEY_TYPE, *BATCH_TYPES)
    raise MalformedError("statement is of an unknown kind", expected=f"one of {len(known)} kinds", got=kind)


def _signer(opened: OpenedEntry, trust: TrustRoots, past: Past) -> TrustedSource:
    """The source that says it, if it may."""
    body, keyid = opened.body, opened.keyid
    source = trust.source(keyid)
    if source is None:
        raise _unsigned("key is not trusted", expected="a key of the trust roots", got=keyid)
    is_own = isinstance(body, KeyEvent) and body.key.keyid.hex == keyid
    # Whoever has a key may end it, again and for worse reasons too.
    is_own_end = is_own and opened.revoked is not None
    if source.revoked and not is_own_end:
        raise _unsigned("key is revoked in the trust roots", expected="a key in force", got=keyid)
    ended = past.end_of(keyid)
    if ended is not None and not is_own_end:
        raise _unsigned(f"key was revoked by entry {ended}", expected="a key in force", got=keyid)
    if isinstance(body, KeyEvent) and not is_own:
        listed = trust.source(body.key.keyid.hex)
        if opened.revoked is None or listed is None or listed.name != source.name:
            raise _unsigned("key speaks of another's key", expected="the key itself, or one of its holder to revoke it")
        if source.namespaces and not (listed.namespaces and set(listed.namespaces) <= set(source.namespaces)):
            raise _unsigned("key speaks for less than the one that it would end", expected="one of wider trust")
    namespace = _namespace(body)
    if namespace is not None and source.namespaces and namespace not in source.namespaces:
        raise _unsigned("key is not trusted for this namespace", expected=" | ".join(source.namespaces), got=namespace)
    return source


def _unsigned(what: str, *, expected: str, got: str | None = None) -> EntryRefusedError:
    return EntryRefusedError(EntryCheck.SIGNATURE, what, expected=expected, got=got)


def _namespace(body: Body) -> str | None:
    if isinstance(body, DatasetStatement):
        return body.name.dataset.namespace
    return body.about.name.dataset.namespace if isinstance(body, Event) else None


def _pins(body: Body) -> tuple[Pin, ...]:
    """What must have been logged before."""
    if isinstance(body, DatasetStatement):
        return body.parents
    if not isinstance(body, Event):
        return ()
    return (body.about, body.body.by) if isinstance(body.body, Supersession) else (body.about,)


def _made_from(body: Body) -> tuple[Pin, ...]:
    """Everything that it names, inputs of a run too, which may be of other logs."""
    said = body.body if isinstance(body, Event) else None
    return (*_pins(body), *(one.pin for one in said.inputs)) if isinstance(said, Run) else _pins(body)


def _check_age(created: str, policy: Policy, now: datetime) -> None:
    made = datetime.strptime(created, _TIME).replace(tzinfo=UTC)
    if made > now + _AHEAD:
        what = "it says that it was made in a time that is yet to come"
        raise EntryRefusedError(EntryCheck.POLICY, what, expected="now or before", got=created)
    if policy.max_age_days is not None and now - made > timedelta(days=policy.max_age_days):
        expected = f"at most {policy.max_age_days} days"
        raise EntryRefusedError(
            EntryCheck.POLICY, "it is too old by its signer's clock", expected=expected, got=created
        )


def _check_rule(rule: Rule, facts: Mapping[str, Any]) -> None:
    from cel import evaluate

    try:
        value = evaluate(rule.expression, dict(facts))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is no yes
        raise _ruled_out(rule, f"it cannot be decided: {type(error).__name__}") from None
    if value is not True:
        raise _ruled_out(rule, None if value is False else "it gives no yes or no")


def _ruled_out(rule: Rule, more: str | None) -> EntryRefusedError:
    what = f"rule {rule.id}: {printable(rule.message)}" + (f" ({more})" if more else "")
    return EntryRefusedError(EntryCheck.POLICY, what)
