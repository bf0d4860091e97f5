"""What the OpenAPI document says beyond the paths: operations, schemas, examples.

Invariants: every operation has an example of each body it takes and gives, captured from a running server
(`scripts/docs_api.py --examples`); tests hold every schema against real answers.
"""

from provenance.server.openapi.operations import COMPONENTS, DESCRIPTION, OPERATIONS, TAGS, documented

__all__ = ["COMPONENTS", "DESCRIPTION", "OPERATIONS", "TAGS", "documented"]
