"""Trust policies of logs (c2sp.org/tlog-policy): which logs count, and which witnesses must have cosigned.

Invariants: `parse_tlog_policy(encode_tlog_policy(x)) == x`; a name is defined once, before it is used, and is a member
of one group at most; no public key is there twice; a line ends in a newline, so that a file that was cut is no policy.
A witness counts once: keys of one key name are one witness's (Ed25519 and ML-DSA-44, old and new), and stand in a group
of their own before they are counted beside others.

    log ledger.example/main+d18a22cc+AYqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c
    witness w1 witness.example/w1+d9ed62c5+BO1JKMYo0cLG6ukDOJBZlWEpWSc6XGP5NjbBRhSshzfR https://witness.example
    witness w2 other.example/w2+1ad09a06+BA...
    group both all w1 w2
    quorum both

Names are octets: what is not UTF-8 is kept as lone surrogates (PEP 383), and nothing is normalised.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from provenance.errors import LimitError, MalformedError
from provenance.limits import MAX_KEY_BYTES, MAX_TLOG_POLICY_BYTES, MAX_TLOG_POLICY_ITEMS, MAX_URI_CHARS, check_size
from provenance.log.checkpoint import check_log_key
from provenance.log.cosignature import check_witnesses
from provenance.log.decimal import parse_decimal
from provenance.log.note import NoteVerifier, encode_vkey, parse_vkey

NONE: Final = "none"
"""The quorum that asks for no witness; no name."""
MAX_NAME_BYTES: Final = 1_024
_FORBIDDEN = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]")
_ITEM = re.compile(rb"[^ \t]+")
_ENCODING: Final = ("utf-8", "surrogateescape")
_KEYWORDS: Final = "log | witness | group | quorum"
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class PolicyLog:
    """A log that counts: its key, whose name is its origin, and perhaps where it is."""

    verifier: NoteVerifier
    url: str | None = None


@dataclass(frozen=True, slots=True)
class PolicyWitness:
    """A key of a witness: its name in the policy, the key, and perhaps where the witness is."""

    name: str
    verifier: NoteVerifier
    url: str | None = None


@dataclass(frozen=True, slots=True)
class PolicyGroup:
    """At least `threshold` of `members`, which are names of witnesses and of groups before it."""

    name: str
    threshold: int
    members: tuple[str, ...]

    @property
    def wanted(self) -> str:
        """The threshold as policies write it: all, any, or a number."""
        if self.threshold == len(self.members):
            return "all"
        return "any" if self.threshold == 1 else str(self.threshold)


@dataclass(frozen=True, slots=True)
class TlogPolicy:
    """A policy. `quorum` names the witness or group that must have witnessed a checkpoint, or is None: nobody must.

    `MalformedError` for what no file could say, `LimitError` for more than is read.
    """

    logs: tuple[PolicyLog, ...] = ()
    witnesses: tuple[PolicyWitness, ...] = ()
    groups: tuple[PolicyGroup, ...] = ()
    quorum: str | None = None

    def __post_init__(self) -> None:
        known = _Definitions()
        for log in self.logs:
            known.add_log(log)
        for witness in self.witnesses:
            known.add_witness(witness)
        for group in self.groups:
            known.add_group(group)
        known.check_quorum(self.quorum)

    def is_met(self, cosigned: Collection[str]) -> bool:
        """Whether the quorum is met where the witnesses of these names, and no others, cosigned."""
        met = {witness.name for witness in self.witnesses if witness.name in cosigned}
        for group in self.groups:  # members are defined before it
            if sum(member in met for member in group.members) >= group.threshold:
                met.add(group.name)
        return self.quorum is None or self.quorum in met

    def requirement(self) -> str:
        """The quorum in words: `all of (2 of (X1, X2, X3), any of (Y1, Y2))`."""
        if self.quorum is None:
            return "no witness"
        words = {witness.name: witness.name for witness in self.witnesses}
        for group in self.groups:
            words[group.name] = f"{group.wanted} of ({', '.join(words[member] for member in group.members)})"
        return words[self.quorum]


class _Definitions:
    """What was defined so far, and whether something may follow it."""

    def __init__(self) -> None:
        self._logs: set[bytes] = set()
        self._witnesses: set[bytes] = set()
        self._groups = 0
        self._members: set[str] = set()
        self._under: dict[str, frozenset[str]] = {}
        """Of each name, the key names of the witnesses under it."""

    def add_log(self, log: PolicyLog) -> None:
        check_log_key(log.verifier)
        _check_url(log.url)
        _check_count("logs", len(self._logs))
        self._check_key(log.verifier)
        self._logs.add(log.verifier.public_key)

    def add_witness(self, witness: PolicyWitness) -> None:
        self._check_name(witness.name)
        check_witnesses([witness.verifier])
        _check_url(witness.url)
        _check_count("witnesses", len(self._witnesses))
        self._check_key(witness.verifier)
        self._witnesses.add(witness.verifier.public_key)
        self._under[witness.name] = frozenset((witness.verifier.name,))

    def add_group(self, group: PolicyGroup) -> None:
        self._check_name(group.name)
        _check_count("groups", self._groups)
        if not 1 <= group.threshold <= len(group.members):
            expected = f"1 to {len(group.members)}, the number of members" if group.members else "a member at least"
            raise MalformedError("group's threshold cannot be met", expected=expected, got=group.threshold)
        for member in group.members:
            if member not in self._under:
                expected = "a witness or group defined before"
                raise MalformedError("group has a member that is not defined", expected=expected, got=member)
            if member in self._members:
                raise MalformedError("name is a member twice", expected="a member of one group, once", got=member)
            self._members.add(member)
        parts = [self._under[member] for member in group.members]
        under = frozenset[str]().union(*parts)
        if len(under) > 1 and sum(map(len, parts)) > len(under):
            twice = next(name for name in sorted(under) if sum(name in part for part in parts) > 1)
            expected = "its keys in a group of their own, which counts once"
            raise MalformedError("keys of one witness would count twice", expected=expected, got=twice)
        self._under[group.name] = under
        self._groups += 1

    def check_quorum(self, name: str | None) -> None:
        if name is not None and name not in self._under:
            expected = "none, or a witness or group defined before"
            raise MalformedError("quorum is not defined", expected=expected, got=name)

    def _check_name(self, name: str) -> None:
        data = name.encode(*_ENCODING)
        check_size("name", len(data), MAX_NAME_BYTES)
        if not data or _FORBIDDEN.search(data) or re.search(rb"[ \t\n]", data):
            raise MalformedError("not a name", expected="characters other than spaces and controls", got=repr(name))
        if name == NONE or name in self._under:
            what = "name means no witness" if name == NONE else "name is defined already"
            raise MalformedError(what, expected="another name", got=name)

    def _check_key(self, verifier: NoteVerifier) -> None:
        if verifier.public_key in self._logs | self._witnesses:
            expected = "each public key once, whatever its name"
            raise MalformedError("key is in the policy already", expected=expected, got=encode_vkey(verifier))


def parse_tlog_policy(data: bytes) -> TlogPolicy:
    """The policy in a file's bytes. `MalformedError` or `LimitError` says what is wrong, and in which line."""
    check_size("witness policy", len(data), MAX_TLOG_POLICY_BYTES)
    reader, lines = _Reader(), data.split(b"\n")
    for number, line in enumerate(lines, 1):
        try:
            if (found := _FORBIDDEN.search(line)) is not None:
                expected = "tab and newline as the only controls"
                raise MalformedError("control character", expected=expected, got=f"0x{found[0][0]:02x}")
            if number == len(lines) and line:
                raise MalformedError("last line is cut", expected="a newline at its end")
            if (items := [item.decode(*_ENCODING) for item in _ITEM.findall(line)]) and items[0][0] != "#":
                reader.read(items)
        except MalformedError as error:
            raise type(error)(
                f"witness policy: {error.what}", expected=error.expected, got=error.got, where=f"line {number}"
            ) from error
    return reader.finish()


class _Reader:
    """The lines so far."""

    def __init__(self) -> None:
        self._known = _Definitions()
        self._logs: list[PolicyLog] = []
        self._witnesses: list[PolicyWitness] = []
        self._groups: list[PolicyGroup] = []
        self._quorums: list[str | None] = []

    def read(self, items: Sequence[str]) -> None:
        """One line, of one item at least."""
        match items:
            case ["log", vkey, *rest] if len(rest) < 2:
                _add(self._logs, PolicyLog(_vkey(vkey), *rest), self._known.add_log)
            case ["witness", name, vkey, *rest] if len(rest) < 2:
                _add(self._witnesses, PolicyWitness(name, _vkey(vkey), *rest), self._known.add_witness)
            case ["group", name, wanted, first, *rest]:
                members = (first, *rest)
                _add(self._groups, PolicyGroup(name, _threshold(wanted, members), members), self._known.add_group)
            case ["quorum", name]:
                if self._quorums:
                    raise MalformedError("quorum is there twice", expected="one quorum line", got=name)
                quorum = None if name == NONE else name
                self._known.check_quorum(quorum)
                self._quorums.append(quorum)
            case [("log" | "witness" | "group" | "quorum") as keyword, *_]:
                raise MalformedError(f"{keyword} line is out of form", expected=_FORMS[keyword], got=" ".join(items))
            case _:
                raise MalformedError("unknown keyword", expected=_KEYWORDS, got=items[0])

    def finish(self) -> TlogPolicy:
        """The policy that the lines are."""
        if not self._quorums:
            raise MalformedError("witness policy has no quorum", expected="a line `quorum NAME` or `quorum none`")
        return TlogPolicy(tuple(self._logs), tuple(self._witnesses), tuple(self._groups), self._quorums[0])


_FORMS: Final = {
    "log": "log <vkey> [<url>]",
    "witness": "witness <name> <vkey> [<url>]",
    "group": "group <name> all|any|<k> <name>...",
    "quorum": "quorum <name>|none",
}


def encode_tlog_policy(policy: TlogPolicy) -> bytes:
    """The policy's file: logs, witnesses, groups, quorum, a line each; `LimitError` if it is more than is read."""
    lines = [("log", encode_vkey(log.verifier), log.url) for log in policy.logs]
    witnesses = [("witness", one.name, encode_vkey(one.verifier), one.url) for one in policy.witnesses]
    groups = [("group", group.name, group.wanted, *group.members) for group in policy.groups]
    quorum = ("quorum", NONE if policy.quorum is None else policy.quorum)
    items = [*lines, *witnesses, *groups, quorum]
    text = "".join(" ".join(item for item in line if item is not None) + "\n" for line in items)
    data = text.encode(*_ENCODING)
    check_size("witness policy", len(data), MAX_TLOG_POLICY_BYTES)
    return data


def _add(items: list[_T], item: _T, check: Callable[[_T], None]) -> None:
    check(item)
    items.append(item)


def _vkey(text: str) -> NoteVerifier:
    check_size("verifier key", len(text), MAX_KEY_BYTES, "characters")
    return parse_vkey(text)


def _threshold(text: str, members: Sequence[str]) -> int:
    if text == "all":
        return len(members)
    return 1 if text == "any" else parse_decimal(text, what="group's threshold")


def _check_url(url: str | None) -> None:
    if url is None:
        return
    check_size("URL", len(url), MAX_URI_CHARS, "characters")
    data = url.encode(*_ENCODING)
    if not data or _FORBIDDEN.search(data) or re.search(rb"[ \t\n]", data):
        raise MalformedError("not a URL", expected="characters other than spaces and controls", got=repr(url))


def _check_count(what: str, count: int) -> None:
    if count >= MAX_TLOG_POLICY_ITEMS:
        raise LimitError(f"witness policy has too many {what}", expected=f"at most {MAX_TLOG_POLICY_ITEMS}")
