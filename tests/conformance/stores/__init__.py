"""One suite for every store: what `provenance.stores.base` promises."""
