"""Keccak-256 against published digests and another implementation."""

from __future__ import annotations

import hashlib

import pytest
from eth_utils.crypto import keccak
from hypothesis import given, settings
from hypothesis import strategies as st

from provenance.anchor.keccak import keccak256


@pytest.mark.parametrize(
    ("data", "digest"),
    [
        (b"", "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"),
        (b"abc", "4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45"),
        (b"transfer(address,uint256)", "a9059cbb2ab09eb219583f4a59a5d0623ade346d962bcd4e46b11da047c9049b"),
    ],
)
def test_published_digests(data: bytes, digest: str) -> None:
    assert keccak256(data).hex() == digest


def test_it_is_not_sha3() -> None:
    assert keccak256(b"abc") != hashlib.sha3_256(b"abc").digest()


@given(st.binary(max_size=600))
@settings(deadline=None)
def test_it_agrees_with_another_implementation(data: bytes) -> None:
    assert keccak256(data) == keccak(data)
