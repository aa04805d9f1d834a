"""RSA-OAEP with SHA-256 and MGF1-SHA-256, without the RSA: the encoding that is left after a raw decryption.

RFC 8017, 7.1.2 step 3. It is for keys in tokens that know raw RSA and no OAEP with SHA-256. Whoever learns *why* a
ciphertext does not open, if only by the time that the answer took, can decrypt with the help of the key's holder (J.
Manger, CRYPTO 2001). So there is one error for all of it, every byte is looked at whatever those before it were, and
nothing is decided before the end. Python promises no constant time; what is left are differences within arithmetic on
small integers.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

HASH_SIZE: Final = 32
SMALLEST: Final = 2 * HASH_SIZE + 2
FAILED: Final = "Decryption failed"


def unpad(encoded: bytes, label: bytes) -> bytes:
    """The message in an encoded one, which is as long as the key's modulus. Raises ValueError, always the same one."""
    if len(encoded) < SMALLEST:  # says something about the key, nothing about the message
        raise ValueError(FAILED)
    seed_mask = _mgf1(encoded[1 + HASH_SIZE :], HASH_SIZE)
    seed = _xor(encoded[1 : 1 + HASH_SIZE], seed_mask)
    block = _xor(encoded[1 + HASH_SIZE :], _mgf1(seed, len(encoded) - 1 - HASH_SIZE))
    wrong_label = 1 - int(hmac.compare_digest(block[:HASH_SIZE], hashlib.sha256(label).digest()))
    start, wrong_padding = _end_of_padding(block)
    if _is_set(encoded[0]) | wrong_label | wrong_padding:
        raise ValueError(FAILED)
    return block[start:]


def _end_of_padding(block: bytes) -> tuple[int, int]:
    """Where the message begins, after zeros and a one; and 1 where there are other bytes, or no one at all."""
    start, wrong, looking = 0, 0, 1
    for position in range(HASH_SIZE, len(block)):
        byte = block[position]
        is_one = 1 - _is_set(byte ^ 1)
        start |= (position + 1) * (looking & is_one)
        wrong |= looking & _is_set(byte) & (1 - is_one)
        looking &= 1 - is_one
    return start, wrong | looking


def _is_set(byte: int) -> int:
    """1 for a byte that is not zero, without a branch."""
    return 1 - (((byte - 1) >> 8) & 1)


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(one ^ other for one, other in zip(left, right, strict=True))


def _mgf1(seed: bytes, length: int) -> bytes:
    """RFC 8017, B.2.1."""
    blocks = range(-(-length // HASH_SIZE))
    return b"".join(hashlib.sha256(seed + counter.to_bytes(4)).digest() for counter in blocks)[:length]
