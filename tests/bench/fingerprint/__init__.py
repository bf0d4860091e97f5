"""How fast fingerprints are, beside what others use: `python -m tests.bench.fingerprint`."""
