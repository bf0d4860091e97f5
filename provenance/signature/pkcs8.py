"""Passphrase-encrypted PKCS#8 with scrypt (RFC 5958, RFC 8018 PBES2, RFC 7914).

Invariants: the key is encrypted with AES-256-CBC under scrypt(N=2^14, r=8, p=5): 16 MiB and about 0.15 s a guess, the
strongest setting that stock `openssl pkey` still opens (it stops at 32 MiB). The library's own
`BestAvailableEncryption` is PBKDF2 with 2,048 rounds, five orders cheaper to guess; that is why this module exists.
Salt and IV are arguments, because nothing here draws randomness.

    SEQUENCE { SEQUENCE { OID PBES2, SEQUENCE {
        SEQUENCE { OID scrypt, SEQUENCE { OCTETS salt, INTEGER N, INTEGER r, INTEGER p } },
        SEQUENCE { OID aes256-CBC, OCTETS iv } } }, OCTETS ciphertext }
"""

from __future__ import annotations

from typing import Final

from provenance.encoding import b64encode
from provenance.errors import SignerError

ENTROPY_BYTES: Final = 32
"""16 bytes of salt, then 16 bytes of IV."""
MAX_PASSPHRASE_BYTES: Final = 1_023
"""More than this OpenSSL does not read back."""

_SCRYPT_N: Final = 2**14
_SCRYPT_R: Final = 8
_SCRYPT_P: Final = 5
_OID_PBES2: Final = bytes.fromhex("06092a864886f70d01050d")
_OID_SCRYPT: Final = bytes.fromhex("06092b06010401da47040b")
_OID_AES_256_CBC: Final = bytes.fromhex("060960864801650304012a")
_SEQUENCE: Final = 0x30
_INTEGER: Final = 0x02
_OCTETS: Final = 0x04
_BLOCK_BYTES: Final = 16
_PEM_LABEL: Final = "ENCRYPTED PRIVATE KEY"


def check_passphrase(passphrase: bytes) -> None:
    """`SignerError` for a passphrase that is empty or too long to be read back."""
    if not passphrase:
        raise SignerError("passphrase is empty", hint="leave the passphrase out to keep the key unencrypted")
    if len(passphrase) > MAX_PASSPHRASE_BYTES:
        expected = f"at most {MAX_PASSPHRASE_BYTES} bytes"
        raise SignerError("passphrase is too long", expected=expected, got=f"{len(passphrase)} bytes")


def encrypt_pkcs8(private_key_info: bytes, passphrase: bytes, entropy: bytes) -> bytes:
    """PEM `ENCRYPTED PRIVATE KEY` of a DER PrivateKeyInfo. `entropy`: 32 fresh random bytes, never used twice."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

    check_passphrase(passphrase)
    if len(entropy) != ENTROPY_BYTES:
        raise SignerError("salt and IV are missing", expected=f"{ENTROPY_BYTES} bytes", got=f"{len(entropy)} bytes")
    salt, iv = entropy[:16], entropy[16:]
    key = Scrypt(salt=salt, length=32, n=_SCRYPT_N, r=_SCRYPT_R, p=_SCRYPT_P).derive(passphrase)
    padding = _BLOCK_BYTES - len(private_key_info) % _BLOCK_BYTES
    encryptor = Cipher(algorithms.AES256(key), modes.CBC(iv)).encryptor()
    ciphertext = encryptor.update(private_key_info + bytes([padding]) * padding) + encryptor.finalize()
    parameters = _tlv(_SEQUENCE, _tlv(_OCTETS, salt), _integer(_SCRYPT_N), _integer(_SCRYPT_R), _integer(_SCRYPT_P))
    scheme = _tlv(
        _SEQUENCE,
        _tlv(_SEQUENCE, _OID_SCRYPT, parameters),
        _tlv(_SEQUENCE, _OID_AES_256_CBC, _tlv(_OCTETS, iv)),
    )
    return _pem(_tlv(_SEQUENCE, _tlv(_SEQUENCE, _OID_PBES2, scheme), _tlv(_OCTETS, ciphertext)))


def _tlv(tag: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    size = len(body)
    if size < 0x80:
        return bytes([tag, size]) + body
    digits = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(digits)]) + digits + body


def _integer(value: int) -> bytes:
    return _tlv(_INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def _pem(der: bytes) -> bytes:
    text = b64encode(der)
    lines = [text[start : start + 64] for start in range(0, len(text), 64)]
    return "\n".join([f"-----BEGIN {_PEM_LABEL}-----", *lines, f"-----END {_PEM_LABEL}-----", ""]).encode("ascii")
