"""The secp256k1 key that pays for anchors.

Invariants: those of `provenance.signers.secret_file`. The key signs EIP-1559 transactions only, for the chain id that
the transaction names, with every field given by the caller: nothing is filled in. Its secret is in no `repr`, error or
pickle. What is written is PKCS#8 PEM, encrypted if there is a passphrase; 64 hex digits, as other wallets write them,
are read too.

    0x02 || rlp([chain id, nonce, max priority fee, max fee, gas, to, value, data, [], y parity, r, s])
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NoReturn

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from provenance.encoding.recursion import unchanged_recursion_limit
from provenance.errors import SignerError
from provenance.limits import MAX_UINT64
from provenance.signature.keys import UNREADABLE
from provenance.signature.pkcs8 import ENTROPY_BYTES, check_passphrase, encrypt_pkcs8
from provenance.signers.secret_file import read_secret, write_secret

SECP256K1_ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141

_MAX_UINT256: Final = 2**256 - 1
_MAX_CALLDATA_BYTES: Final = 128 * 2**10
_HEX_KEY = re.compile(rb"(?:0x)?([0-9a-fA-F]{64})\n?")
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
_LIMITS: Final = {
    "chainId": MAX_UINT64,
    "nonce": MAX_UINT64 - 1,
    "gas": MAX_UINT64,
    "maxFeePerGas": _MAX_UINT256,
    "maxPriorityFeePerGas": _MAX_UINT256,
    "value": _MAX_UINT256,
}
_OTHER_FIELDS: Final = frozenset({"to", "data", "from", "type"})


class EthereumKey:
    """An account's key held in memory. A `TransactionSigner`."""

    __slots__ = ("_secret", "address")

    address: str

    def __init__(self, secret: bytes) -> None:
        scalar = int.from_bytes(secret, "big")
        if len(secret) != 32 or not 0 < scalar < SECP256K1_ORDER:
            raise SignerError("Ethereum key is out of range", expected="32 bytes, 1 to the order of secp256k1 - 1")
        self._secret = secret
        self.address = _address(ec.derive_private_key(scalar, ec.SECP256K1()).public_key())

    @classmethod
    def new(cls, path: Path, *, passphrase: bytes | None = None) -> EthereumKey:
        """Make a key and keep it as a new file of mode 0600. `ConflictError` if there is a file."""
        scalar = 1 + int.from_bytes(os.urandom(48), "big") % (SECP256K1_ORDER - 1)
        key = cls(scalar.to_bytes(32, "big"))
        write_secret(path, key._encode(passphrase))
        return key

    @classmethod
    def import_hex(cls, path: Path, text: bytes, *, passphrase: bytes | None = None) -> EthereumKey:
        """Keep a key given as 64 hex digits, with or without 0x, as a new file of mode 0600."""
        key = cls(_from_hex(text))
        write_secret(path, key._encode(passphrase))
        return key

    @classmethod
    def load(cls, path: Path, *, passphrase: bytes | None = None) -> EthereumKey:
        """The key of a file. `SignerError` if it is missing, unsafe, damaged, locked or on another curve."""
        content = read_secret(path)
        if not content.startswith(b"-----BEGIN"):
            return cls(_from_hex(content))
        if passphrase is not None:
            check_passphrase(passphrase)
        try:
            key = load_pem_private_key(content, passphrase)
        except TypeError:
            expected = "its passphrase" if passphrase is None else "no passphrase: the key is not encrypted"
            raise SignerError("Ethereum key cannot be unlocked", expected=expected, where=path) from None
        except UNREADABLE:
            hint = "check the passphrase" if passphrase is not None else None
            raise SignerError("Ethereum key cannot be read", expected="PKCS#8 PEM", where=path, hint=hint) from None
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256K1):
            raise SignerError("key file holds no Ethereum key", expected="a key on secp256k1", where=path)
        return cls(key.private_numbers().private_value.to_bytes(32, "big"))

    def sign_transaction(self, transaction: Mapping[str, object]) -> bytes:
        """The raw EIP-1559 transaction. `SignerError` names a field that is missing, extra or out of range.

        Fields: chainId, nonce, gas, maxFeePerGas, maxPriorityFeePerGas, value (integers; fees and value in wei), data
        (bytes), to (address with or without checksum; None or absent makes a contract); `type` may be 2, `from` may be
        this account.
        """
        fields = self._checked(transaction)
        with unchanged_recursion_limit():
            from eth_account import Account

        try:
            signed = Account.sign_transaction(fields, self._secret)
        except (TypeError, ValueError):
            raise SignerError("transaction cannot be signed", expected="an EIP-1559 transaction") from None
        return bytes(signed.raw_transaction)

    def _checked(self, transaction: Mapping[str, object]) -> dict[str, object]:
        for name in transaction:
            if name not in _LIMITS and name not in _OTHER_FIELDS:
                raise SignerError("transaction has an unknown field", got=name)
        fields: dict[str, object] = {"type": 2}
        for name, maximum in _LIMITS.items():
            value = transaction.get(name)
            if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= maximum:
                expected = f"an integer from 0 to {maximum}"
                raise SignerError(f"transaction's {name} is missing or out of range", expected=expected, got=value)
            fields[name] = value
        if transaction.get("type", 2) not in (2, "0x2"):
            raise SignerError("transaction is of another type", expected="2 (EIP-1559)", got=transaction["type"])
        sender = transaction.get("from", self.address)
        if not isinstance(sender, str) or sender.lower() != self.address.lower():
            raise SignerError("transaction is from another account", expected=self.address, got=sender)
        data = transaction.get("data", b"")
        if not isinstance(data, bytes) or len(data) > _MAX_CALLDATA_BYTES:
            raise SignerError("transaction's data is not calldata", expected=f"at most {_MAX_CALLDATA_BYTES} bytes")
        return fields | {"data": data, "to": _recipient(transaction.get("to"))}

    def _encode(self, passphrase: bytes | None) -> bytes:
        key = ec.derive_private_key(int.from_bytes(self._secret, "big"), ec.SECP256K1())
        if passphrase is None:
            return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        return encrypt_pkcs8(der, passphrase, os.urandom(ENTROPY_BYTES))

    def __repr__(self) -> str:
        return f"EthereumKey({self.address})"

    def __reduce__(self) -> NoReturn:
        raise SignerError("a private key is not copied or pickled")


def checksum_address(raw: bytes) -> str:
    """The EIP-55 text of a 20-byte address."""
    text = raw.hex()
    digest = _keccak256(text.encode("ascii")).hex()
    return "0x" + "".join(c.upper() if int(digest[i], 16) > 7 else c for i, c in enumerate(text))


def _address(public: ec.EllipticCurvePublicKey) -> str:
    point = public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return checksum_address(_keccak256(point[1:])[12:])


def _keccak256(data: bytes) -> bytes:
    from Crypto.Hash import keccak

    return bytes(keccak.new(digest_bits=256, data=data).digest())


def _recipient(to: object) -> str:
    if to is None or to == "":
        return ""
    if not isinstance(to, str) or not _ADDRESS.fullmatch(to):
        raise SignerError("transaction's recipient is not an address", expected="0x and 40 hex digits", got=to)
    checksummed = checksum_address(bytes.fromhex(to[2:]))
    if to[2:] not in (checksummed[2:], to[2:].lower(), to[2:].upper()):
        raise SignerError("transaction's recipient fails its checksum", expected=checksummed, got=to)
    return checksummed


def _from_hex(text: bytes) -> bytes:
    match = _HEX_KEY.fullmatch(text)
    if match is None:
        raise SignerError("Ethereum key cannot be read", expected="PKCS#8 PEM or 64 hex digits")
    return bytes.fromhex(match[1].decode("ascii"))
