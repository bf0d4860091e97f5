"""An audited lineage in other people's formats: Croissant, SPDX 3, CycloneDX, and the signed statements themselves.

Invariants: a document says what the evidence says and no more, by the audit's words where a verdict is ours; the same
evidence gives the same bytes; nothing is guessed: what nobody declared is left out, or is that format's word for it.
"""

from provenance.verify.exports.document import FORMATS, export

__all__ = ["FORMATS", "export"]
