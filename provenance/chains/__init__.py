"""EVM chains: where checkpoints are anchored.

Invariants: a chain is named by a URI and opened by `open_chain`; an implementation is loaded when its URI is opened
and not before; implementations know nothing of each other.

    embedded:                         a development chain inside this process, its state under <ledger>/chain/
    http://host:port/path, https://   any Ethereum JSON-RPC endpoint
    <name>:...                        a third party's, from the entry-point group `provenance.chains`
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, cast

from provenance.chains.base import (
    DEVELOPMENT_CHAIN_ID,
    DEVELOPMENT_LABEL,
    MAX_TRANSACTION_BYTES,
    BlockRef,
    Chain,
    ChainInfo,
    Fees,
    Log,
    RejectedError,
    RevertedError,
    TransactionReceipt,
)
from provenance.encoding.recursion import unchanged_recursion_limit
from provenance.errors import ChainError

__all__ = [
    "DEVELOPMENT_CHAIN_ID",
    "DEVELOPMENT_LABEL",
    "MAX_TRANSACTION_BYTES",
    "BlockRef",
    "Chain",
    "ChainInfo",
    "Fees",
    "Log",
    "RejectedError",
    "RevertedError",
    "TransactionReceipt",
    "open_chain",
]

ENTRY_POINT_GROUP: Final = "provenance.chains"


def open_chain(
    uri: str,
    *,
    ledger_dir: Path,
    funded: Sequence[str] = (),
    chain_id: int | None = None,
    timeout_s: float = 30,
) -> Chain:
    """The chain that `uri` names, ready for use; `ChainError` if it cannot be reached or is not what was expected.

    `funded` are the addresses a new embedded chain gives money to; other chains and existing ones ignore it.
    `chain_id`, if given, is what the chain must answer to. `timeout_s` bounds every single request and every wait.
    """
    scheme, separator, rest = uri.partition(":")
    if not separator:
        raise _unknown("no scheme")
    if scheme == "embedded":
        chain = _open_embedded(rest, ledger_dir, funded, timeout_s)
    elif scheme in ("http", "https"):
        with unchanged_recursion_limit():
            from provenance.chains.jsonrpc import JsonRpcChain

        chain = JsonRpcChain.open(uri, timeout_s=timeout_s)
    else:
        chain = _open_third_party(scheme, uri, ledger_dir, funded, timeout_s)
    if chain_id is not None:
        _check_chain_id(chain, chain_id)
    return chain


def _open_embedded(rest: str, ledger_dir: Path, funded: Sequence[str], timeout_s: float) -> Chain:
    from provenance.chains.embedded import EmbeddedChain

    if rest:
        raise ChainError("the embedded chain takes no argument", expected="embedded:", hint="write `embedded:`")
    return EmbeddedChain.open(ledger_dir / "chain", funded=funded, timeout_s=timeout_s)


def _open_third_party(scheme: str, uri: str, ledger_dir: Path, funded: Sequence[str], timeout_s: float) -> Chain:
    from importlib.metadata import entry_points

    found = list(entry_points(group=ENTRY_POINT_GROUP, name=scheme))
    if len(found) != 1:
        raise _unknown(scheme)
    factory = found[0].load()
    return cast(Chain, factory(uri, ledger_dir=ledger_dir, funded=funded, timeout_s=timeout_s))


def _check_chain_id(chain: Chain, expected: int) -> None:
    try:
        info = chain.info()
    except ChainError:
        chain.close()
        raise
    if info.chain_id != expected:
        chain.close()
        raise ChainError(
            "this is not the chain that was asked for",
            expected=f"chain id {expected}",
            got=f"chain id {info.chain_id}",
            where=info.label,
            hint="check the endpoint of the chain in the ledger's configuration",
        )


def _unknown(scheme: str) -> ChainError:
    # Only the scheme is shown: the rest of a URI can hold a key.
    return ChainError(
        "no such kind of chain",
        expected="embedded:, http://... or https://...",
        got=scheme[:16],
        hint="install a package that provides it, or use `embedded:`",
    )
