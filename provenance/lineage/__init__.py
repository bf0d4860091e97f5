"""Lineage: which statement was made from which."""

from provenance.lineage.graph import Edge, LineageGraph, Node

__all__ = ["Edge", "LineageGraph", "Node"]
