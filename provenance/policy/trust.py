"""Trust roots: whose keys, which log, which contract and which blocks a verifier takes for granted.

Invariants: nothing is trusted that is not written here; a revoked key stays listed, so that it is told from an
unknown one; a key may be confined to namespaces; a log's key may be confined to sizes and a witness's to times
(`provenance.policy.log_trust`); a source with an ML-DSA-44 key (`mlDsa44`) owes its signature beside the other, always.

Bytes (canonical JSON, one line): `{"anchors":[{"chainId":1,"contract":"0x..","publisher":"0x.."}],
"blocks":[{"chainId":1,"hash":"0x..","number":7}],"format":"urn:provenance-ledger:trust:1","logs":["<vkey>"],
"sources":[{"name":"museum","namespaces":["titanic"],"pem":"-----BEGIN PUBLIC KEY-----..","status":"trusted"}],
"witnesses":{"keys":["<vkey>","<vkey>"],"quorum":1}}`; `witnesses` may be left out, and none is needed then. It may
hold a `policy`, the text of a witness policy (`provenance.log.tlog_policy`), and its quorum is 0 then.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from provenance.encoding import Digest, Fields, JsonValue, canonical_json, parse_json
from provenance.errors import MalformedError
from provenance.limits import (
    MAX_KEY_BYTES,
    MAX_NAMESPACE_CHARS,
    MAX_TEXT_CHARS,
    MAX_TLOG_POLICY_BYTES,
    MAX_TRUST_BYTES,
)
from provenance.log import LogKey, TlogPolicy, WitnessKey, encode_tlog_policy, encode_vkey, parse_tlog_policy
from provenance.policy.log_trust import (
    SizeSpan,
    TimeSpan,
    check_spans,
    encode_logs,
    encode_witnesses,
    log_keys,
    read_logs,
    read_witnesses,
    witness_keys,
)
from provenance.signature import MlDsaKey, PublicKey, parse_ml_dsa_key, parse_public_key
from provenance.statement.frame import check_time, parse_choice
from provenance.statement.key_event import KeyReason
from provenance.statement.text import MAX_WORD_CHARS

FORMAT: Final = "urn:provenance-ledger:trust:1"
_ADDRESS = re.compile(r"0x[0-9a-f]{40}")
_MAX_ITEMS = 10_000


@dataclass(frozen=True, slots=True)
class TrustedSource:
    """A source's key. `namespaces` empty means any namespace; `revoked` means no signature by it counts, but for what a
    final block proves to be older than `since`, if that is known (RFC 3339 in UTC). `reason` says why, if it is known:
    what a key took back that was retired or superseded stays taken back."""

    name: str
    key: PublicKey
    revoked: bool = False
    namespaces: tuple[str, ...] = ()
    since: str | None = None
    reason: KeyReason | None = None

    def __post_init__(self) -> None:
        if self.reason is not None and not self.revoked:
            raise MalformedError("a key in force has a reason", expected="a revoked key", got=self.reason)
        if self.since is not None:
            check_time(self.since)
            if not self.revoked:
                raise MalformedError(
                    "a key in force is revoked since some time", expected="a revoked key", got=self.since
                )


@dataclass(frozen=True, slots=True)
class TrustedAnchor:
    """A contract on a chain, and the account whose anchors count there. Addresses are lower-case 0x hex.

    `development` marks a chain that a single operator can rewrite; reports then say so.
    """

    chain_id: int
    contract: str
    publisher: str
    development: bool = False


@dataclass(frozen=True, slots=True)
class TrustedBlock:
    """A block that the verifier knows, by its own means, to be in the chain."""

    chain_id: int
    number: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class TrustRoots:
    """Everything a verification takes for granted. Empty: nothing is trusted. A checkpoint counts only if at least
    `quorum` of the witnesses cosigned it; `witnesses` are their verifier keys, a witness's all of one name. In the
    place of a number there may be a `witness_policy`, which names keys of its own.

    `log_spans` and `witness_spans` confine some of the keys; a key without one holds for ever.
    """

    sources: tuple[TrustedSource, ...] = ()
    logs: tuple[str, ...] = ()
    anchors: tuple[TrustedAnchor, ...] = ()
    blocks: tuple[TrustedBlock, ...] = ()
    witnesses: tuple[str, ...] = ()
    quorum: int = 0
    log_spans: tuple[SizeSpan, ...] = ()
    witness_spans: tuple[TimeSpan, ...] = ()
    witness_policy: TlogPolicy | None = None

    def __post_init__(self) -> None:
        count = self.witness_count
        if not 0 <= self.quorum <= count:
            expected = f"0 to {count}, the number of witnesses"
            raise MalformedError("quorum of witnesses cannot be met", expected=expected, got=self.quorum)
        if self.quorum and self.witness_policy is not None:
            what = "trust roots ask for a number of witnesses and have a witness policy"
            raise MalformedError(what, expected="quorum 0 beside a policy", got=self.quorum)
        check_spans(self.logs, self.log_spans)
        check_spans(self.witnesses, self.witness_spans)
        _check_pairs(self.sources)

    @property
    def witness_count(self) -> int:
        """How many witnesses there are: keys of one name are one's."""
        return len({vkey.partition("+")[0] for vkey in self.witnesses})

    def log_keys(self) -> tuple[LogKey, ...]:
        """The keys of the logs, with the sizes they hold for."""
        return log_keys(self.logs, self.log_spans)

    def witness_keys(self) -> tuple[WitnessKey, ...]:
        """The keys of the witnesses, with the times they hold for."""
        return witness_keys(self.witnesses, self.witness_spans)

    def with_log_keys(self, spans: Sequence[SizeSpan]) -> TrustRoots:
        """These roots with a log's keys, a span each, in place of any earlier word on them."""
        vkeys = {span.vkey for span in spans}
        kept = tuple(span for span in self.log_spans if span.vkey not in vkeys)
        confined = tuple(span for span in spans if span != SizeSpan(span.vkey))
        logs = tuple(dict.fromkeys((*self.logs, *(span.vkey for span in spans))))
        return replace(self, logs=logs, log_spans=(*kept, *confined))

    def with_witness_key(self, span: TimeSpan) -> TrustRoots:
        """These roots with a witness's key in place of any earlier word on it."""
        kept = tuple(known for known in self.witness_spans if known.vkey != span.vkey)
        witnesses = tuple(dict.fromkeys((*self.witnesses, span.vkey)))
        confined = () if span == TimeSpan(span.vkey) else (span,)
        return replace(self, witnesses=witnesses, witness_spans=(*kept, *confined))

    def with_witness_policy(self, policy: TlogPolicy) -> TrustRoots:
        """These roots with a witness policy in the place of whatever cosignatures they ask for. The logs that it lists
        are those that are trusted, if these trust none."""
        logs = self.logs or tuple(encode_vkey(log.verifier) for log in policy.logs)
        return replace(self, logs=logs, quorum=0, witness_policy=policy)

    def source(self, keyid: str) -> TrustedSource | None:
        """The source with this key id.

        Of several listings a revoked one wins; otherwise the key is trusted for the namespaces of all of them. If one
        of them has an ML-DSA-44 key, that is owed.
        """
        found = [source for source in self.sources if source.key.keyid == keyid]
        if not found:
            return None
        pair = next((source.key for source in found if source.key.ml_dsa is not None), None)
        if pair is not None:
            found = [replace(source, key=pair) for source in found]
        revoked = [source for source in found if source.revoked]
        others = [source for source in found if not source.revoked]
        if not revoked:
            return replace(found[0], namespaces=_union(others))
        # The strictest: one without a time, else the earliest; confined by what is trusted, and by what is revoked.
        strictest = min(revoked, key=lambda source: source.since or "")
        strictest = replace(strictest, reason=_strictest_reason([source.reason for source in revoked]))
        trusted, ended = _union(others), _union(revoked)
        if trusted and ended and not set(trusted) & set(ended):
            return replace(strictest, since=None)  # confined to nothing: then nothing it signed counts
        both = tuple(name for name in trusted if name in ended) if trusted and ended else trusted or ended
        return replace(strictest, namespaces=both)

    def anchor(self, chain_id: int, contract: str, publisher: str) -> TrustedAnchor | None:
        """The trusted anchor of this chain, contract and publisher; addresses are compared without case."""
        wanted = (chain_id, contract.lower(), publisher.lower())
        return next((each for each in self.anchors if (each.chain_id, each.contract, each.publisher) == wanted), None)

    def with_source(self, source: TrustedSource) -> TrustRoots:
        """These roots with `source` in place of any earlier word on its key."""
        others = tuple(known for known in self.sources if known.key.keyid != source.key.keyid)
        return replace(self, sources=(*others, source))

    def revoking(self, keyid: str, since: str | None, reason: KeyReason | None = None) -> TrustRoots:
        """These roots with every listing of a key revoked, from then on or earlier; what they do not list stays so."""
        sources = tuple(
            source if source.key.keyid != keyid else revoked_source(source, since, reason) for source in self.sources
        )
        return self if sources == self.sources else replace(self, sources=sources)

    def with_revoked(self, known: TrustRoots) -> TrustRoots:
        """These roots, with those of their keys revoked that are revoked in `known`."""
        found = self
        for keyid in dict.fromkeys(source.key.keyid for source in self.sources):
            listed = known.source(keyid)
            if listed is not None and listed.revoked:
                found = found.revoking(keyid, listed.since, listed.reason)
        return found


def _check_pairs(sources: Sequence[TrustedSource]) -> None:
    """Raise `MalformedError` if two ML-DSA-44 keys are listed beside one key."""
    pairs: dict[str, str] = {}
    for source in sources:
        if source.key.ml_dsa is not None:
            listed = source.key.ml_dsa.keyid
            if pairs.setdefault(source.key.keyid, listed) != listed:
                what = "two ML-DSA-44 keys stand beside one key"
                raise MalformedError(what, expected=pairs[source.key.keyid], got=listed, where=source.key.keyid)


def _union(sources: Sequence[TrustedSource]) -> tuple[str, ...]:
    """The namespaces of any of them; empty, which is any, if one is not confined or there is none."""
    if not all(source.namespaces for source in sources):
        return ()
    return tuple(dict.fromkeys(name for source in sources for name in source.namespaces))


def revoked_source(source: TrustedSource, since: str | None, reason: KeyReason | None) -> TrustedSource:
    """A source revoked from then on; one that is revoked already stays so, from the earlier time and for the worse
    reason: no time is the earliest, and no reason is worse than any but that it was compromised."""
    if not source.revoked:
        return replace(source, revoked=True, since=since, reason=reason)
    earlier = None if source.since is None or since is None else min(source.since, since)
    return replace(source, since=earlier, reason=_strictest_reason([source.reason, reason]))


def _strictest_reason(reasons: Sequence[KeyReason | None]) -> KeyReason | None:
    if KeyReason.COMPROMISED in reasons:
        return KeyReason.COMPROMISED
    return None if None in reasons else reasons[0]


def encode_trust(trust: TrustRoots) -> bytes:
    """The trust roots file: canonical JSON and a newline."""
    sources: list[JsonValue] = [
        {
            "name": source.name,
            "pem": source.key.pem,
            "status": "revoked" if source.revoked else "trusted",
            "namespaces": list(source.namespaces),
            **({"mlDsa44": source.key.ml_dsa.pem} if source.key.ml_dsa is not None else {}),
            **({"since": source.since} if source.since is not None else {}),
            **({"reason": str(source.reason)} if source.reason is not None else {}),
        }
        for source in trust.sources
    ]
    value: dict[str, JsonValue] = {
        "format": FORMAT,
        "sources": sources,
        "logs": encode_logs(trust.logs, trust.log_spans),
        "anchors": [_anchor_json(anchor) for anchor in trust.anchors],
        "blocks": [
            {"chainId": block.chain_id, "number": block.number, "hash": "0x" + block.hash.hex()}
            for block in trust.blocks
        ],
    }
    if trust.witnesses or trust.witness_policy is not None:
        value["witnesses"] = {
            "keys": encode_witnesses(trust.witnesses, trust.witness_spans),
            "quorum": trust.quorum,
            **({"policy": _policy_text(trust.witness_policy)} if trust.witness_policy is not None else {}),
        }
    return canonical_json(value) + b"\n"


def _policy_text(policy: TlogPolicy) -> str:
    try:
        return encode_tlog_policy(policy).decode("utf-8")
    except UnicodeDecodeError:
        raise MalformedError("witness policy is not UTF-8, and trust roots are", expected="names in UTF-8") from None


def _read_policy(text: str) -> TlogPolicy:
    try:
        return parse_tlog_policy(text.encode("utf-8"))
    except UnicodeEncodeError:
        raise MalformedError("witness policy is not UTF-8", where="trust roots.witnesses.policy") from None


def parse_trust(data: bytes) -> TrustRoots:
    """The trust roots in a file's bytes; `MalformedError` says what is wrong."""
    fields = Fields(parse_json(data, what="trust roots", max_bytes=MAX_TRUST_BYTES), "trust roots")
    fields.constant("format", FORMAT)
    return read_trust(fields)


def read_trust(fields: Fields) -> TrustRoots:
    """The trust roots in an object, by itself or in a policy."""
    logs, log_spans = read_logs(fields, "logs")
    witnesses, witness_spans, quorum = tuple[str, ...](), tuple[TimeSpan, ...](), 0
    policy: TlogPolicy | None = None
    if fields.has("witnesses"):
        stated = fields.object("witnesses")
        witnesses, witness_spans = read_witnesses(stated, "keys")
        quorum = stated.integer("quorum")
        text = stated.optional_string("policy", max_chars=MAX_TLOG_POLICY_BYTES)
        policy = None if text is None else _read_policy(text)
        stated.end()
    fields.skip("witnesses")
    roots = TrustRoots(
        sources=tuple(_parse_source(item) for item in fields.array("sources", max_items=_MAX_ITEMS)),
        witnesses=witnesses,
        quorum=quorum,
        logs=logs,
        anchors=tuple(_parse_anchor(item) for item in fields.array("anchors", max_items=_MAX_ITEMS)),
        blocks=tuple(_parse_block(item) for item in fields.array("blocks", max_items=_MAX_ITEMS)),
        log_spans=log_spans,
        witness_spans=witness_spans,
        witness_policy=policy,
    )
    fields.end()
    return roots


def _parse_source(value: JsonValue) -> TrustedSource:
    fields = Fields(value, "trust roots.sources")
    status = fields.string("status")
    if status not in ("trusted", "revoked"):
        raise MalformedError("unknown status of a source", expected="trusted | revoked", got=status)
    namespaces = []
    for namespace in fields.array("namespaces", max_items=_MAX_ITEMS):
        if not isinstance(namespace, str) or not 1 <= len(namespace) <= MAX_NAMESPACE_CHARS:
            raise MalformedError("not a namespace", got=namespace, where="trust roots.sources.namespaces")
        namespaces.append(namespace)
    key, beside = parse_public_key(fields.string("pem", max_chars=MAX_KEY_BYTES)), _parse_beside(fields)
    reason = fields.optional_string("reason", max_chars=MAX_WORD_CHARS)
    source = TrustedSource(
        name=fields.string("name", max_chars=MAX_TEXT_CHARS),
        key=key if beside is None else replace(key, ml_dsa=beside),
        revoked=status == "revoked",
        namespaces=tuple(namespaces),
        since=fields.optional_string("since", max_chars=20),
        reason=None if reason is None else parse_choice(KeyReason, reason, "reason of a source"),
    )
    fields.end()
    return source


def _parse_beside(fields: Fields) -> MlDsaKey | None:
    if "mlDsa44" not in fields:
        return None
    return parse_ml_dsa_key(fields.string("mlDsa44", max_chars=MAX_KEY_BYTES))


def _anchor_json(anchor: TrustedAnchor) -> JsonValue:
    value: dict[str, JsonValue] = {
        "chainId": anchor.chain_id,
        "contract": anchor.contract,
        "publisher": anchor.publisher,
    }
    return {**value, "development": True} if anchor.development else value


def _parse_anchor(value: JsonValue) -> TrustedAnchor:
    fields = Fields(value, "trust roots.anchors")
    anchor = TrustedAnchor(
        fields.integer("chainId", minimum=1),
        _address(fields, "contract"),
        _address(fields, "publisher"),
        development=fields.has("development") and fields.boolean("development"),
    )
    fields.skip("development")
    fields.end()
    return anchor


def _parse_block(value: JsonValue) -> TrustedBlock:
    fields = Fields(value, "trust roots.blocks")
    text = fields.string("hash", max_chars=66)
    if not text.startswith("0x"):
        raise MalformedError("not a block hash", expected="0x and 64 hex digits", got=text)
    raw = Digest.from_hex(text[2:], what="block hash").raw
    block = TrustedBlock(fields.integer("chainId", minimum=1), fields.integer("number"), raw)
    fields.end()
    return block


def _address(fields: Fields, name: str) -> str:
    text = fields.string(name, max_chars=42)
    if not _ADDRESS.fullmatch(text):
        raise MalformedError("not an address", expected="0x and 40 lower-case hex digits", got=text)
    return text
