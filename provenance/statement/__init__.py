"""What sources say: names, and the dataset statement."""

from provenance.statement.dataset import (
    DATASET_PREDICATE,
    DatasetStatement,
    Kind,
    OmsReference,
    Sensitivity,
    encode_statement,
    parse_kind,
    parse_sensitivity,
    parse_statement,
)
from provenance.statement.frame import PAYLOAD_TYPE, STATEMENT_TYPE, BlockReference, Pin
from provenance.statement.names import DatasetName, DigestPrefix, PinnedName, Reference, parse_reference

__all__ = [
    "DATASET_PREDICATE",
    "PAYLOAD_TYPE",
    "STATEMENT_TYPE",
    "BlockReference",
    "DatasetName",
    "DatasetStatement",
    "DigestPrefix",
    "Kind",
    "OmsReference",
    "Pin",
    "PinnedName",
    "Reference",
    "Sensitivity",
    "encode_statement",
    "parse_kind",
    "parse_reference",
    "parse_sensitivity",
    "parse_statement",
]
