"""Datasets behind URIs: object stores, web servers, IPFS gateways. `RemoteSource` is opened by `open_source`.

Each store has one file: `s3`, `web` (http, https), `ipfs`, `hub` (hf), and `filesystem` for what is read through
fsspec alone (gs, az, memory). `reading` hashes, `source` decides the order.
"""

from provenance.sources.remote.address import SCHEMES, Address, parse_address
from provenance.sources.remote.source import RemoteSource

__all__ = ["SCHEMES", "Address", "RemoteSource", "parse_address"]
