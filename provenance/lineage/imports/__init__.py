"""Lineage that other tools' documents declare, read and told as OpenLineage events.

Invariants: a document is read whole or refused; nothing in it is believed; the same document gives the same events, so
that to import it twice adds nothing.
"""

from provenance.lineage.imports.declared import Declared, DeclaredDataset, DeclaredStep
from provenance.lineage.imports.documents import FORMS, MAX_DOCUMENT_BYTES, read_document
from provenance.lineage.imports.telling import Origin, run_id_of, tell

__all__ = [
    "FORMS",
    "MAX_DOCUMENT_BYTES",
    "Declared",
    "DeclaredDataset",
    "DeclaredStep",
    "Origin",
    "read_document",
    "run_id_of",
    "tell",
]
