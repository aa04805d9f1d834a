"""A fixed cast of guardians, made once for each process. RSA-2048, because it is quick to make."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable
from functools import cache

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from hgs.keyprotection.guardian import GuardianKeys, create_guardian_keys
from hgs.keyprotection.metadata import CommunicationsKey, create_communications_key

NOW = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)


@cache
def keys_of(name: str) -> GuardianKeys:
    """The same keys for the same name."""
    return create_guardian_keys(name, NOW, key_size=2048)


def owner() -> GuardianKeys:
    return keys_of("owner")


def lab() -> GuardianKeys:
    """The guardian of the HGS under test."""
    return keys_of("lab")


def branch() -> GuardianKeys:
    """Another HGS's guardian."""
    return keys_of("branch")


def stranger() -> GuardianKeys:
    """A guardian nobody asked for."""
    return keys_of("stranger")


@cache
def communications() -> CommunicationsKey:
    return create_communications_key("lab", NOW, key_size=2048)


@cache
def identity_key() -> rsa.RSAPrivateKey:
    """A host's identity key; in the product it lives in a TPM."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def identity_decrypt(ciphertext: bytes) -> bytes:
    oaep = padding.OAEP(mgf=padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=None)
    return identity_key().decrypt(ciphertext, oaep)


def counted_random(seed: str) -> Callable[[int], bytes]:
    """Repeatable bytes that differ at every call."""
    state = hashlib.sha256(seed.encode()).digest()

    def random_bytes(count: int) -> bytes:
        nonlocal state
        found = b""
        while len(found) < count:
            state = hashlib.sha256(state).digest()
            found += state
        return found[:count]

    return random_bytes
