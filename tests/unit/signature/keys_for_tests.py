"""Fixed keys: published test keys (RFC 6979 A.2.5, RFC 8032 7.1) or derived from constants. Never used for real."""

from __future__ import annotations

from provenance.signature.keys import PrivateKey, derive_private_key, with_ml_dsa

RFC6979_SCALAR = 0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721
RFC8032_SEED = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")


def p256(scalar: int = RFC6979_SCALAR) -> PrivateKey:
    """The P-256 key with this private scalar: the seed of `derive_private_key` is one less."""
    return derive_private_key("ecdsa-p256", (scalar - 1).to_bytes(48, "big"))


def ed25519(seed: bytes = RFC8032_SEED) -> PrivateKey:
    return derive_private_key("ed25519", seed)


def pair(number: int = 0, *, of: PrivateKey | None = None) -> PrivateKey:
    """A pair of a key (RFC 8032's if that is not given) and the ML-DSA-44 key of a constant seed."""
    return with_ml_dsa(of or ed25519(), bytes([number]) * 32)
