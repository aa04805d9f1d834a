"""Private keys at rest: AES-256-GCM under the master key of this HGS.

A sealed value is::

    version (1 byte, 0x01) | key id (4 bytes) | nonce (12 bytes) | ciphertext and tag

The key id names the master key, so that a value under an unknown key is told from a damaged one. The encryption key is
derived from the master key by HKDF-SHA256 with the info string ``SEALING_INFO``: the master key is used for nothing
else. The associated data is the purpose and the id of the record, so a sealed value moved to another row, or used for
another purpose, does not open.

While a master key is being replaced, a node knows the older ones too (``HGS_MASTER_KEY_OLD``). They open what was
sealed under them and seal nothing. ``gf hgs rewrap`` seals everything under the present key; then they can go.
"""

import hashlib
import os
from contextlib import suppress
from typing import Final
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from hgs.keyprotection.secret import Secret

MASTER_KEY_LENGTH: Final = 32
SEALING_INFO: Final = b"open-guarded-fabric hgs sealing v1"
_VERSION: Final = b"\x01"
_NONCE_LENGTH: Final = 12
_HEADER_LENGTH: Final = 1 + 4 + _NONCE_LENGTH


class SealingError(Exception):
    """A sealed value does not open; the message says what an operator can do."""

    code = "sealed-value-does-not-open"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


def master_key() -> bytes:
    """The master key of this process, 32 bytes.

    Raises ImproperlyConfigured when ``HGS_MASTER_KEY`` is missing or of another length.
    """
    key: object = getattr(settings, "HGS_MASTER_KEY", b"")
    if not isinstance(key, bytes) or len(key) != MASTER_KEY_LENGTH:
        raise ImproperlyConfigured(
            "HGS_MASTER_KEY must be 32 bytes in base64. Make one with: head -c 32 /dev/urandom | base64"
        )
    return key


def older_master_keys() -> tuple[bytes, ...]:
    """The master keys that this process may open values with and does not seal with.

    Raises ImproperlyConfigured where one is of another length.
    """
    keys: object = getattr(settings, "HGS_MASTER_KEY_OLD", ())
    if not isinstance(keys, tuple) or not all(isinstance(key, bytes) and len(key) == MASTER_KEY_LENGTH for key in keys):
        raise ImproperlyConfigured(
            "HGS_MASTER_KEY_OLD must be master keys, 32 bytes in base64 each, with commas between"
        )
    return keys


def master_key_id() -> bytes:
    """The id of the master key that this process seals with, 4 bytes. It tells nothing of the key."""
    return key_id(master_key())


def key_id_of(sealed: bytes) -> bytes:
    """The id of the master key that a value is sealed under, 4 bytes. Raises SealingError for what is no such value."""
    if len(sealed) <= _HEADER_LENGTH or sealed[:1] != _VERSION:
        raise SealingError("A stored key is damaged. Restore the HGS database from a backup.")
    return sealed[1:5]


def seal(plaintext: Secret, *, purpose: str, record_id: UUID) -> bytes:
    """Encrypt ``plaintext`` for the record ``record_id`` and this ``purpose``."""
    key = master_key()
    nonce = os.urandom(_NONCE_LENGTH)
    sealed = AESGCM(_sealing_key(key)).encrypt(nonce, plaintext.reveal(), _associated_data(purpose, record_id))
    return _VERSION + key_id(key) + nonce + sealed


def unseal(sealed: bytes, *, purpose: str, record_id: UUID) -> Secret:
    """Open what :func:`seal` made for the same record and purpose; raises SealingError."""
    wanted = key_id_of(sealed)
    found = [key for key in (master_key(), *older_master_keys()) if key_id(key) == wanted]
    if not found:
        raise SealingError(
            f"A stored key was sealed under another master key, {wanted.hex()}. "
            "Start HGS with the HGS_MASTER_KEY it had, or give that key as HGS_MASTER_KEY_OLD."
        )
    for key in found:
        with suppress(InvalidTag):
            return Secret(_opened(key, sealed, _associated_data(purpose, record_id)))
    raise SealingError("A stored key is damaged or was moved. Restore the HGS database from a backup.")


def key_id(key: bytes) -> bytes:
    """What names a master key in the values that are sealed under it, 4 bytes."""
    return hashlib.sha256(b"open-guarded-fabric hgs master key id" + key).digest()[:4]


def _opened(key: bytes, sealed: bytes, associated_data: bytes) -> bytes:
    nonce, ciphertext = sealed[5:_HEADER_LENGTH], sealed[_HEADER_LENGTH:]
    return AESGCM(_sealing_key(key)).decrypt(nonce, ciphertext, associated_data)


def _sealing_key(key: bytes) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=SEALING_INFO).derive(key)


def _associated_data(purpose: str, record_id: UUID) -> bytes:
    return purpose.encode() + b"\x00" + record_id.bytes
