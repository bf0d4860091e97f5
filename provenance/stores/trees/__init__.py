"""Stored Merkle trees: written once, block by block, and read where a proof needs them."""

from provenance.stores.trees.stored import StoredTree, open_tree

__all__ = ["StoredTree", "open_tree"]
