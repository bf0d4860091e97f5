"""Examples: deterministic scripts over the data in `examples/data`. Standard library only."""
