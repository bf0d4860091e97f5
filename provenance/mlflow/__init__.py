"""Plug-ins for MLflow: a registered dataset as a dataset and as a source of its own, known by its digest.

mlflow.log_input(mlflow.data.from_provenance("acme/rides@3"), context="training")
mlflow.data.from_pandas(frame, source="provenance:acme/rides@3")
"""

# First, whoever is imported first: MLflow looks for plug-ins while it loads this, and then finds them whole.
import mlflow.data  # noqa: F401

from provenance.mlflow.plugins import ProvenanceDataset, ProvenanceSource, from_provenance

__all__ = ["ProvenanceDataset", "ProvenanceSource", "from_provenance"]
