"""Python's recursion limit, kept where it is while a library that raises it is imported.

Invariants: after the block the limit is no higher than before it. `py_ecc` and `eth`, which web3, eth-account and
py-evm import, raise it to 100,000 for the whole process; Python 3.11 then overflows its stack where it would otherwise
have raised `RecursionError`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def unchanged_recursion_limit() -> Iterator[None]:
    """A block to import such a library in."""
    before = sys.getrecursionlimit()
    try:
        yield
    finally:
        # Only ever down: a thread that waited for another's import saw the limit while it was raised.
        if sys.getrecursionlimit() > before:
            sys.setrecursionlimit(before)
