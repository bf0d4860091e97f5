"""Offline bundles checked against bytes in hand. Needs no ledger.

Invariant: a reference names exactly one statement of the bundle, or there is an error; nothing in the bundle is
believed for being named.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from os import PathLike

from provenance.errors import MalformedError, NotFoundError, ProvenanceError
from provenance.ledger.chunking import located
from provenance.ledger.fingerprinting import reading_of
from provenance.ledger.verification import content_of
from provenance.policy import TrustRoots
from provenance.signature import parse_envelope
from provenance.sources import ProgressCallback, open_source
from provenance.statement import (
    DatasetName,
    DatasetStatement,
    DigestPrefix,
    PinnedName,
    parse_reference,
    parse_statement,
)
from provenance.verify import ContentFinding, Evidence, Report, parse_bundle, verify_evidence
from provenance.verify.audit import Audit, audit_evidence

_MAX_NAMES_SHOWN = 10


def verify_offline(
    data: bytes,
    trust: TrustRoots,
    places: Mapping[str, str | PathLike[str]],
    progress: ProgressCallback | None = None,
    *,
    target: str | PathLike[str] | None = None,
    partial: bool = False,
) -> Report:
    """The report on a bundle, with the bytes at `places` (reference -> path) compared.

    `target` is where the bytes of the bundle's own dataset are; with `partial`, some of its files. `MalformedError` if
    it is no bundle or a reference is ambiguous in it, `NotFoundError` if it names nothing in it, `SourceError` if bytes
    cannot be read.
    """
    evidence = parse_bundle(data)
    return verify_evidence(evidence, trust, contents=_contents(evidence, places, progress, target, partial=partial))


def audit_offline(
    data: bytes,
    trust: TrustRoots,
    places: Mapping[str, str | PathLike[str]],
    progress: ProgressCallback | None = None,
) -> tuple[Audit, Evidence]:
    """The audit of a bundle's own dataset, with the bytes at `places` (reference -> path) compared, and what it is of;
    errors as above."""
    evidence = parse_bundle(data)
    report = verify_evidence(evidence, trust, contents=_contents(evidence, places, progress))
    return audit_evidence(evidence, report, trust), evidence


def _contents(
    evidence: Evidence,
    places: Mapping[str, str | PathLike[str]],
    progress: ProgressCallback | None,
    target: str | PathLike[str] | None = None,
    *,
    partial: bool = False,
) -> dict[str, ContentFinding]:
    statements = _statements(evidence)
    named = [(str(_named(statements, reference)), place) for reference, place in places.items()]
    if target is not None:
        named.insert(0, (_target(evidence), target))
    contents: dict[str, ContentFinding] = {}
    for name, place in named:
        if name in contents:
            raise MalformedError("bytes are given twice", expected="one place each", got=name)
        stated = next((statement for statement in statements if str(statement.name) == name), None)
        source = open_source(place, reading_of(stated) if stated is not None else None)
        finding = content_of(source.fingerprint(progress), source.location)
        if stated is not None:
            finding = located(finding, stated, evidence.blobs, place)
        contents[name] = replace(finding, is_part=partial and place is target)
    return contents


def _target(evidence: Evidence) -> str:
    """The name of the bundle's own dataset. `MalformedError` if its statement cannot be read."""
    entry = next(entry for entry in evidence.entries if entry.digest == evidence.target)
    return str(parse_statement(parse_envelope(entry.envelope).payload).name)


def _statements(evidence: Evidence) -> list[DatasetStatement]:
    statements = []
    for entry in evidence.entries:
        try:
            statements.append(parse_statement(parse_envelope(entry.envelope).payload))
        except ProvenanceError:  # verification reports it, with its place
            continue
    return statements


def _named(statements: Iterable[DatasetStatement], text: str) -> PinnedName:
    """The one name of the bundle that `text` stands for."""
    match parse_reference(text):
        case PinnedName() as name:
            found = [statement.name for statement in statements if statement.name == name]
        case DatasetName() as dataset:
            found = [statement.name for statement in statements if statement.name.dataset == dataset]
        case DigestPrefix(prefix):
            found = [statement.name for statement in statements if statement.digest.hex.startswith(prefix)]
    names = sorted(set(found))
    if not names:
        raise NotFoundError(
            "no such dataset in this bundle", got=text, hint=f"it holds {_list(s.name for s in statements)}"
        )
    if len(names) > 1:
        raise MalformedError("reference is ambiguous in this bundle", expected="ns/name@version", got=_list(names))
    return names[0]


def _list(names: Iterable[PinnedName]) -> str:
    texts = sorted({str(name) for name in names})
    more = f" and {len(texts) - _MAX_NAMES_SHOWN} more" if len(texts) > _MAX_NAMES_SHOWN else ""
    return ", ".join(texts[:_MAX_NAMES_SHOWN]) + more
