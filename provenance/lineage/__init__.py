"""Lineage: which statement was made from which."""

from provenance.lineage.graph import Edge, LineageGraph, Node
from provenance.lineage.place import Place

__all__ = ["Edge", "LineageGraph", "Node", "Place"]
