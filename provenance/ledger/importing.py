"""Importing lineage that other tools' documents declare.

Steps: 1 the document is read whole; 2 its bytes are kept as a blob; 3 what it declares is logged as lineage events, as
a receiver logs them, under a key of this ledger; 4 the index is told. Invariants: the same document again adds nothing;
nothing is verified by being imported; what is registered here under a digest that the document has is named beside it,
and is no more than that.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from provenance.encoding import Digest, JsonValue
from provenance.errors import LimitError, MalformedError, NotFoundError, SourceError
from provenance.ledger.receiving import EventLog, catch_up, read_event
from provenance.ledger.reference import pinned_name
from provenance.lineage.imports import MAX_DOCUMENT_BYTES, Declared, Origin, read_document, run_id_of, tell
from provenance.lineage.imports.telling import PRODUCER
from provenance.stores.lineage_index import LineageIndex
from provenance.stores.lineage_nodes import GraphNode

if TYPE_CHECKING:
    from provenance.ledger.ledger import Ledger, Location

MAX_DEPTH = 100


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of a document: its SHA-256, what it declares, how many of its events are new, in which entries."""

    document: Digest
    declared: Declared
    events: int
    new: int
    entries: tuple[int, ...]

    def to_json(self) -> dict[str, JsonValue]:
        """The import as a JSON value."""
        return {
            "document": {"sha256": self.document.hex},
            "format": self.declared.form,
            "steps": len(self.declared.steps),
            "datasets": len(self.declared.datasets),
            "events": self.events,
            "new": self.new,
            "entries": list(self.entries),
        }


@dataclass(frozen=True, slots=True)
class DeclaredNode:
    """A job or dataset of the declared graph, and what is registered here under the digest that was declared of it."""

    node: GraphNode
    registered: tuple[str, ...]

    @property
    def version(self) -> str | None:
        """The version that was written last, or of what nobody is known to have written, that was read last."""
        return _version(self.node)

    def to_json(self) -> dict[str, JsonValue]:
        """The node as a JSON value."""
        one = self.node
        return {
            "id": one.id,
            "type": one.type,
            "version": self.version,
            "before": list(one.before),
            "after": list(one.after),
            "registered": list(self.registered),
            "facets": dict(one.facets),
        }


@dataclass(frozen=True, slots=True)
class Declarer:
    """Whose word it is and in which namespace, and the key of this ledger that logs it."""

    declared_by: str
    namespace: str
    key: str | None = None
    passphrase: bytes | None = None

    def origin(self, data: bytes, time: datetime) -> Origin:
        """Where the steps of a document are from."""
        return Origin(Digest.of(data), self.declared_by, self.namespace, time.strftime("%Y-%m-%dT%H:%M:%SZ"))


def import_document(
    ledger: Ledger,
    path: Location,
    *,
    form: str | None = None,
    declared_by: str | None = None,
    namespace: str | None = None,
    key: str | None = None,
    passphrase: bytes | None = None,
) -> Imported:
    """Import one document. `namespace` is what its names are in, the format's name by default; `declared_by` who is
    said to have declared it, by default the format's tool."""
    place = Path(path)
    data, changed = _read(place)
    declared = read_document(data, form, place.name)
    declarer = Declarer(declared_by or declared.form, namespace or declared.form, key, passphrase)
    return _log(ledger, data, declared, declarer, declarer.origin(data, changed))


def import_bytes(ledger: Ledger, data: bytes, form: str, declarer: Declarer) -> Imported:
    """As `import_document`, for a document of a known format that is in hand."""
    return _log(ledger, data, read_document(data, form), declarer, declarer.origin(data, datetime.now(UTC)))


def known_steps(ledger: Ledger, declared: Declared, declarer: Declarer) -> list[bool]:
    """For each step, all of which have an identity: whether it is logged already."""
    origin = declarer.origin(b"", datetime.now(UTC))
    runs = [run_id_of(declared.form, step, number, origin) for number, step in enumerate(declared.steps)]
    index = open_index(ledger)
    try:
        known = index.known_runs(runs, PRODUCER)
    finally:
        index.close()
    return [run in known for run in runs]


def _log(ledger: Ledger, data: bytes, declared: Declared, declarer: Declarer, origin: Origin) -> Imported:
    raws = tell(declared, origin)
    events = [(raw, read_event(raw)) for raw in raws]  # what the index could not take is never logged
    signer = ledger.keyring.signer(declarer.key, declarer.passphrase)
    ledger.blobs.put(data)
    index = open_index(ledger)
    try:
        known = index.known_runs([event.run for _, event in events if event.run is not None], PRODUCER)
        fresh = [(raw, event) for raw, event in events if event.run not in known]
        new, entries = EventLog(ledger, signer, index).add(fresh)
    finally:
        index.close()
    return Imported(origin.document, declared, len(events), new, entries)


def declared_graph(
    ledger: Ledger, node: str, depth: int = 20, namespace: str | None = None
) -> tuple[DeclaredNode, ...]:
    """The jobs and datasets within so many steps of a node (`dataset:NAMESPACE:NAME`, `job:NAMESPACE:NAME`), by what
    was received or imported. `NotFoundError` if nothing names it; `MalformedError` if the id is that of two nodes and
    `namespace` does not say which."""
    if not node.startswith(("dataset:", "job:")):
        raise MalformedError("not a node", expected="dataset:NAMESPACE:NAME or job:NAMESPACE:NAME", got=node)
    if not 0 <= depth <= MAX_DEPTH:
        raise MalformedError("depth is out of range", expected=f"0 to {MAX_DEPTH}", got=depth)
    index = open_index(ledger)
    try:
        found = index.graph(node, depth, namespace)
    finally:
        index.close()
    if not found:
        raise NotFoundError("no event names this node", got=node, hint="import a document that does")
    return tuple(DeclaredNode(one, _registered(ledger, _version(one))) for one in found)


def open_index(ledger: Ledger) -> LineageIndex:
    """The index of lineage events, up to date. Close it."""
    index = LineageIndex(ledger.layout.directory / "openlineage.db")
    try:
        catch_up(ledger, index)
    except BaseException:
        index.close()
        raise
    return index


def _version(node: GraphNode) -> str | None:
    return next(iter(node.read_versions), None) if node.version is None else node.version


def _registered(ledger: Ledger, version: str | None) -> tuple[str, ...]:
    algorithm, _, text = (version or "").partition(":")
    if algorithm != "sha256":
        return ()
    try:
        digest = Digest.from_hex(text.lower())
    except MalformedError:
        return ()
    return tuple(pinned_name(row) for row in ledger.registered_as(digest))


def _read(place: Path) -> tuple[bytes, datetime]:
    try:
        with place.open("rb") as file:
            data = file.read(MAX_DOCUMENT_BYTES + 1)
        changed = datetime.fromtimestamp(place.stat().st_mtime, UTC)
    except (OSError, ValueError, OverflowError) as error:
        raise SourceError("cannot read the document", got=getattr(error, "strerror", None), where=place) from error
    if len(data) > MAX_DOCUMENT_BYTES:
        raise LimitError("document is too large", expected=f"at most {MAX_DOCUMENT_BYTES} bytes", where=place)
    return data, changed
