"""Keccak-256 as Ethereum uses it.

Invariants: this is the original Keccak padding (0x01), not FIPS 202 SHA3-256 (0x06); a digest is always 32 bytes.

Example: the digest of no bytes is c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470.
"""

from __future__ import annotations


def keccak256(data: bytes) -> bytes:
    """The 32-byte Keccak-256 digest of `data` (Ethereum yellow paper, appendix D)."""
    # Loaded on first use, so that importing the package costs nothing to those who anchor nothing.
    from Crypto.Hash import keccak

    return keccak.new(digest_bits=256, data=data).digest()
