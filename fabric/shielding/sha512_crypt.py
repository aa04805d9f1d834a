"""The `$6$` password hash of crypt(3): Ulrich Drepper's "Unix crypt using SHA-256 and SHA-512", version 0.6.

Written out here because nothing maintained and small offers it: the standard library's crypt module is gone from
Python 3.13, passlib is no longer released (its forks bring thirty other schemes to a tenant's machine), and calling
`openssl passwd` needs a program that is not on every tenant's machine. The algorithm is frozen and its specification
has test vectors. It is a password hash by its own right, not part of the key protection.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

from hgs.keyprotection.algorithms import RandomBytes
from hgs.keyprotection.secret import Secret

ROUNDS: Final = 100_000
"""Twenty times the scheme's default of 5000; well under a second even in an emulated guest."""
ROUNDS_MIN: Final = 1000
ROUNDS_MAX: Final = 999_999_999
_DEFAULT_ROUNDS: Final = 5000
_ALPHABET: Final = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SALT: Final = re.compile(r"[./0-9A-Za-z]{1,16}")
_SIZE: Final = 64


def hash_password(password: Secret, random_bytes: RandomBytes, rounds: int = ROUNDS) -> str:
    """Hash with a fresh 96-bit salt."""
    salt = "".join(_ALPHABET[byte & 0x3F] for byte in random_bytes(16))
    return sha512_crypt(password, salt, rounds)


def sha512_crypt(password: Secret, salt: str, rounds: int) -> str:
    """`$6$[rounds=N$]salt$hash`; the rounds are left out at the scheme's default. Raises ValueError."""
    if not _SALT.fullmatch(salt):
        raise ValueError("a salt has 1 to 16 of the characters ./0-9A-Za-z")
    if not ROUNDS_MIN <= rounds <= ROUNDS_MAX:
        raise ValueError(f"rounds are {ROUNDS_MIN} to {ROUNDS_MAX}")
    key, salt_octets = password.reveal(), salt.encode()
    digest = _first_digest(key, salt_octets)
    key_sequence = _repeat(hashlib.sha512(key * len(key)).digest(), len(key))
    salt_sequence = _repeat(hashlib.sha512(salt_octets * (16 + digest[0])).digest(), len(salt_octets))
    for number in range(rounds):
        context = hashlib.sha512(key_sequence if number & 1 else digest)
        if number % 3:
            context.update(salt_sequence)
        if number % 7:
            context.update(key_sequence)
        context.update(digest if number & 1 else key_sequence)
        digest = context.digest()
    prefix = "$6$" if rounds == _DEFAULT_ROUNDS else f"$6$rounds={rounds}$"
    return f"{prefix}{salt}${_encode(digest)}"


def _first_digest(key: bytes, salt: bytes) -> bytes:
    alternate = hashlib.sha512(key + salt + key).digest()
    context = hashlib.sha512(key + salt + _repeat(alternate, len(key)))
    length = len(key)
    while length:
        context.update(alternate if length & 1 else key)
        length >>= 1
    return context.digest()


def _repeat(digest: bytes, length: int) -> bytes:
    return (digest * (length // _SIZE + 1))[:length]


def _encode(digest: bytes) -> str:
    # The specification's byte order: triples (0,21,42), (22,43,1), (44,2,23), … then the last byte alone.
    text = ""
    first, second, third = 0, 21, 42
    for _ in range(21):
        text += _encode_number(digest[first] << 16 | digest[second] << 8 | digest[third], 4)
        first, second, third = second + 1, third + 1, first + 1
    return text + _encode_number(digest[63], 2)


def _encode_number(number: int, characters: int) -> str:
    return "".join(_ALPHABET[number >> 6 * index & 0x3F] for index in range(characters))
