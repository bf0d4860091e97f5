"""Provenance: a data-provenance ledger for AI datasets."""
