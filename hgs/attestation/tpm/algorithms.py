"""Algorithm numbers of the TCG registry that attestation uses; others are refused by name."""

from enum import IntEnum
from typing import Final

from cryptography.hazmat.primitives import hashes

from hgs.attestation.errors import Unsupported


class Algorithm(IntEnum):
    """TPM_ALG_ID."""

    RSA = 0x0001
    SHA1 = 0x0004
    HMAC = 0x0005
    AES = 0x0006
    KEYEDHASH = 0x0008
    XOR = 0x000A
    SHA256 = 0x000B
    SHA384 = 0x000C
    SHA512 = 0x000D
    NULL = 0x0010
    RSASSA = 0x0014
    RSAES = 0x0015
    RSAPSS = 0x0016
    OAEP = 0x0017
    ECDSA = 0x0018
    ECDH = 0x0019
    KDF1_SP800_56A = 0x0020
    ECC = 0x0023
    SYMCIPHER = 0x0025
    CFB = 0x0043


_BY_NUMBER: Final = {int(item): item for item in Algorithm}
DIGEST_SIZES: Final = {Algorithm.SHA1: 20, Algorithm.SHA256: 32, Algorithm.SHA384: 48, Algorithm.SHA512: 64}
"""Bytes of each hash algorithm's digest; its keys are the hash algorithms there are."""
HASH_NAMES: Final = {
    Algorithm.SHA1: "sha1",
    Algorithm.SHA256: "sha256",
    Algorithm.SHA384: "sha384",
    Algorithm.SHA512: "sha512",
}
"""Names as ``hashlib`` and people write them."""
_HASHES: Final[dict[Algorithm, type[hashes.HashAlgorithm]]] = {
    Algorithm.SHA1: hashes.SHA1,
    Algorithm.SHA256: hashes.SHA256,
    Algorithm.SHA384: hashes.SHA384,
    Algorithm.SHA512: hashes.SHA512,
}


def algorithm(number: int) -> Algorithm:
    """The algorithm of that number. Raises :class:`Unsupported`."""
    found = _BY_NUMBER.get(number)
    if found is None:
        raise Unsupported(f"The TPM algorithm 0x{number:04x} is not supported.")
    return found


def hash_algorithm(number: int) -> Algorithm:
    """A hash algorithm of that number. Raises :class:`Unsupported`."""
    found = algorithm(number)
    if found not in DIGEST_SIZES:
        raise Unsupported(f"The TPM algorithm {found.name} is not a hash.")
    return found


def hash_of(found: Algorithm) -> hashes.HashAlgorithm:
    """The ``cryptography`` object for a hash algorithm."""
    return _HASHES[found]()
