"""Sends transactions to an embedded chain for ever: `python -m tests.unit.chains.writer FOLDER`.

Each line it prints acknowledges one: the nonce and the hash, written after `send_raw` has returned.
"""

from __future__ import annotations

import sys
from pathlib import Path

from provenance.chains.embedded import EmbeddedChain
from tests.conformance.chains.beds import ADDRESS, KEY
from tests.conformance.chains.contract import sign, word


def main() -> None:
    chain = EmbeddedChain.open(Path(sys.argv[1]), funded=[ADDRESS])
    nonce = chain.nonce(ADDRESS)
    while True:
        transaction = chain.send_raw(sign(KEY, chain, nonce=nonce, to=ADDRESS, data=word(nonce)))
        print(nonce, transaction.hex(), flush=True)
        nonce += 1


if __name__ == "__main__":
    main()
