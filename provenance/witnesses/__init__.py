"""Witnesses: who checks that a log only grows, and cosigns its checkpoints. `base` is what each kind promises."""

from provenance.witnesses.base import Cosigned, Outgrown, Witness, WitnessAnswer, open_witness

__all__ = ["Cosigned", "Outgrown", "Witness", "WitnessAnswer", "open_witness"]
