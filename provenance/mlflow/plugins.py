"""The dataset and the source that MLflow finds by entry points.

Invariants: what is logged names the registered statement by its digest and envelope;
nothing is handed out that does not verify. MLflow's own digests cover a table's first 10,000 rows with MD5, and have
room for 36 characters: the digest here is the first 32 hex digits of the dataset's SHA-256, and the source holds it
whole, with the reference and the envelope's.
"""

import json
from typing import Any, Final, Self

from mlflow.data.dataset import Dataset
from mlflow.data.dataset_source import DatasetSource

from provenance.errors import MalformedError, PolicyError
from provenance.ledger import Ledger
from provenance.lineage.imports.mlflow import SOURCE_TYPE
from provenance.policy import Status

_SCHEME: Final = "provenance:"
_DIGEST_CHARS: Final = 32


class ProvenanceSource(DatasetSource):
    """A registered dataset, by its reference and the SHA-256 of the dataset and of its envelope (hex)."""

    def __init__(self, reference: str, sha256: str, envelope: str) -> None:
        self.reference, self.sha256, self.envelope = reference, sha256, envelope

    @staticmethod
    def _get_source_type() -> str:
        return SOURCE_TYPE

    @staticmethod
    def _can_resolve(raw_source: Any) -> bool:
        return isinstance(raw_source, str) and raw_source.startswith(_SCHEME)

    @classmethod
    def _resolve(cls, raw_source: Any) -> Self:
        with Ledger.open() as ledger:
            return cls.of(ledger, str(raw_source).removeprefix(_SCHEME))

    @classmethod
    def of(cls, ledger: Ledger, reference: str) -> Self:
        """The source that a reference names in a ledger. `NotFoundError` if it names nothing."""
        pin = ledger.pin(reference)
        return cls(str(pin.name), pin.digest.hex, pin.envelope.hex)

    def load(self) -> str:
        """Where it lies, once its bytes verified against the nearest ledger. `PolicyError` if they do not."""
        with Ledger.open() as ledger:
            pin = ledger.pin(self.reference)
            if (pin.digest.hex, pin.envelope.hex) != (self.sha256, self.envelope):
                raise PolicyError(
                    "reference names another dataset here", expected=self.sha256, got=pin.digest, where=self.reference
                )
            return _verified(ledger, self.reference)

    def to_dict(self) -> dict[str, Any]:
        """The source as MLflow keeps it."""
        return {"reference": self.reference, "sha256": self.sha256, "envelope": self.envelope}

    @classmethod
    def from_dict(cls, source_dict: dict[Any, Any]) -> Self:
        """The source out of what MLflow kept."""
        values = [source_dict.get(name) for name in ("reference", "sha256", "envelope")]
        if not all(isinstance(value, str) for value in values):
            raise MalformedError("not a source of ours", expected="reference, sha256 and envelope")
        return cls(*map(str, values))


class ProvenanceDataset(Dataset):
    """A registered dataset, for `mlflow.log_input`. Its profile counts files, bytes and records."""

    def __init__(self, source: ProvenanceSource, profile: dict[str, int], name: str | None = None) -> None:
        self._profile, self._sha256 = profile, source.sha256
        super().__init__(source, name or source.reference, source.sha256[:_DIGEST_CHARS])

    def _compute_digest(self) -> str:
        return self._sha256[:_DIGEST_CHARS]

    @property
    def profile(self) -> dict[str, int]:
        """Counts, by what they count."""
        return self._profile

    @property
    def schema(self) -> None:
        """None: the schema of records lies beside the ledger's log."""
        return None

    def to_dict(self) -> dict[str, str]:
        """The dataset as MLflow keeps it."""
        return {**super().to_dict(), "profile": json.dumps(self._profile)}


def from_provenance(reference: str, name: str | None = None, digest: str | None = None) -> ProvenanceDataset:
    """A registered dataset whose bytes verify now, in the nearest ledger, by its reference.

    `digest`, if it is given, must begin its SHA-256. `NotFoundError` if nothing is registered under the reference,
    `PolicyError` if its bytes or its lineage do not verify.
    """
    with Ledger.open() as ledger:
        source = ProvenanceSource.of(ledger, reference)
        if digest is not None and not source.sha256.startswith(digest):
            raise PolicyError("dataset has another digest", expected=digest, got=source.sha256, where=source.reference)
        _verified(ledger, source.reference)
        document = ledger.proofs(source.reference).document
        profile = {"files": document.file_count, "bytes": document.total_bytes}
        if document.records is not None:
            profile["records"] = document.records.count
    return ProvenanceDataset(source, profile, name)


def _verified(ledger: Ledger, reference: str) -> str:
    """Where it lies, once the bytes there are what was registered, and its lineage verified."""
    place = ledger.place_of(reference)
    report = ledger.verify(place, expected=reference)
    content = next((check for check in report.checks if check.id == "content" and check.subject == report.target), None)
    if not report.sound or content is None or content.status is not Status.PASSED:
        first = report.failures[0] if report.failures else content
        told = f"{first.id} of {first.subject}: {first.note}" if first is not None else "its bytes are not at hand"
        raise PolicyError(f"dataset does not verify: {told}", where=reference)
    return str(place)
