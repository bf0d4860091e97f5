"""From what a person writes to one statement in the log.

Invariants: a reference resolves to exactly one entry or raises; a name without a version is its latest version; an
ambiguous digest prefix is refused and the candidates are listed.
"""

from __future__ import annotations

from provenance.errors import MalformedError, NotFoundError
from provenance.statement import DatasetName, DigestPrefix, PinnedName, parse_reference
from provenance.stores import DatasetRow, StoreReader


def resolve(store: StoreReader, text: str) -> DatasetRow:
    """The row that `ns/name`, `ns/name@version` or a digest prefix names. `NotFoundError` if none."""
    reference = parse_reference(text)
    match reference:
        case PinnedName(dataset, version):
            row = store.dataset(dataset.namespace, dataset.name, version)
        case DatasetName(namespace, name):
            row = store.dataset_latest(namespace, name)
        case DigestPrefix(prefix):
            row = _by_prefix(store, prefix)
    if row is None:
        raise NotFoundError("no such dataset in this ledger", got=text, hint=_suggestion(store, reference))
    return row


def pinned_name(row: DatasetRow) -> str:
    """`ns/name@version`."""
    return f"{row.namespace}/{row.name}@{row.version}"


def _by_prefix(store: StoreReader, prefix: str) -> DatasetRow | None:
    rows = store.datasets_by_prefix(prefix, limit=10)
    if len({row.digest for row in rows}) > 1:
        candidates = ", ".join(f"{row.digest.hex[:16]} {pinned_name(row)}" for row in rows)
        raise MalformedError("digest prefix is ambiguous", expected="more digits", got=candidates)
    return rows[-1] if rows else None


def _suggestion(store: StoreReader, reference: DatasetName | PinnedName | DigestPrefix) -> str | None:
    if isinstance(reference, PinnedName):
        versions = store.versions(reference.dataset.namespace, reference.dataset.name, limit=10)
        if versions:
            return f"{reference.dataset} has the versions " + ", ".join(row.version for row in versions)
    return "`provenance log show` lists what is there"
