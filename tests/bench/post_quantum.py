"""What ML-DSA-44 beside Ed25519 costs: a checkpoint, a statement, and a bundle of a long lineage.

python -m tests.bench.post_quantum [ANCESTORS]
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

from provenance.log import (
    Checkpoint,
    CheckpointSigner,
    Cosigner,
    LogKey,
    LogSigner,
    NoteSigner,
    encode_vkey,
    open_counted,
    sign_checkpoint,
)
from provenance.log.algorithm import ML_DSA_44
from provenance.policy import TrustedSource
from provenance.signature import PrivateKey, encode_envelope, sign_envelope, verify_envelope, with_ml_dsa
from provenance.statement import PAYLOAD_TYPE, encode_statement
from provenance.verify import encode_bundle, verify_bundle
from tests.unit.verify.forge import Lineage, Log, key, statement

ORIGIN = "forge.example/log"
ED25519 = NoteSigner(ORIGIN, b"\x07" * 32)
BOTH = LogSigner((ED25519, Cosigner(ORIGIN, b"\x27" * 32, ML_DSA_44)))
SIGNERS: dict[str, CheckpointSigner] = {"Ed25519": ED25519, "Ed25519 and ML-DSA-44": BOTH}
SOURCES = {"Ed25519": key(1), "Ed25519 and ML-DSA-44": with_ml_dsa(key(1), b"\x37" * 32)}
HEAD = Checkpoint(ORIGIN, 70_000, bytes(32))
TIMES = 1_000
REPEATS = 5


def median_us(work: Callable[[], object]) -> float:
    """The median CPU time of `work` in microseconds."""
    found = []
    for _ in range(TIMES):
        before = time.process_time_ns()
        work()
        found.append(time.process_time_ns() - before)
    return statistics.median(found) / 1e3


def bundle_of(signer: CheckpointSigner, source: PrivateKey, ancestors: int) -> tuple[int, float]:
    """Bytes of a bundle of a chain of so many by one source, and the median CPU seconds of verifying it."""
    lineage = Lineage(Log(signer))
    for number in range(ancestors):
        lineage.add(f"d{number}", [f"d{number - 1}"] if number else [], signer=source)
    logs = tuple(encode_vkey(verifier) for verifier in signer.verifiers)
    trust = lineage.trust(logs=logs, sources=(TrustedSource("source", source.public),))
    data, times = encode_bundle(lineage.evidence(f"d{ancestors - 1}")), []
    for _ in range(REPEATS):
        before = time.process_time()
        assert verify_bundle(data, trust).sound
        times.append(time.process_time() - before)
    return len(data), statistics.median(times)


def main() -> None:
    """Prints a line a key set."""
    ancestors = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000
    for name, signer in SIGNERS.items():
        note, keys = sign_checkpoint(HEAD, signer), [LogKey(verifier) for verifier in signer.verifiers]
        sign_us = median_us(lambda signer=signer: sign_checkpoint(HEAD, signer))  # type: ignore[misc]
        open_us = median_us(lambda note=note, keys=keys: open_counted(note, keys))  # type: ignore[misc]
        size, verify_s = bundle_of(signer, SOURCES["Ed25519"], ancestors)
        print(f"{name}: checkpoint {len(note):,} bytes, signed in {sign_us:.0f} us, opened in {open_us:.0f} us")
        print(f"  {ancestors:,} ancestors: {size / ancestors:,.0f} bytes each, verified in {verify_s:.2f} s of CPU")
    payload = encode_statement(statement("a"))
    for name, source in SOURCES.items():
        envelope = sign_envelope(payload, PAYLOAD_TYPE, source)
        sign_us = median_us(lambda source=source: sign_envelope(payload, PAYLOAD_TYPE, source))  # type: ignore[misc]
        open_us = median_us(lambda envelope=envelope, source=source: verify_envelope(envelope, source.public))  # type: ignore[misc]
        size, verify_s = bundle_of(ED25519, source, ancestors)
        print(f"a source with {name}: envelope {len(encode_envelope(envelope)):,} bytes")
        print(f"  signed (and verified) in {sign_us:.0f} us, verified in {open_us:.0f} us")
        print(f"  {ancestors:,} ancestors: {size / ancestors:,.0f} bytes each, verified in {verify_s:.2f} s of CPU")


if __name__ == "__main__":
    main()
