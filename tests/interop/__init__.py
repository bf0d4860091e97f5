"""Transparency logs with software that was not written here: docs/interoperability.md says which."""
