"""AES-256-XTS over many small sectors, each with a tweak of its own, as disk encryption wants it.

`cryptography` makes a new context for each tweak, which takes longer than a sector. The system's libgcrypt takes a new
tweak in a context that is there already, and of the libraries that do it takes least for a short call; it is used where
it can be loaded. Both give the same bytes.
"""

from __future__ import annotations

import ctypes
import struct
from functools import cache, lru_cache
from typing import Any, Final, Protocol

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from hgs.keyprotection.secret import Secret

SECTOR: Final = 4096
KEY_LENGTH: Final = 64
SPARE: Final = 16
"""Bytes that an output buffer has more than its input."""
_UNIT: Final = 512
_TWEAK: Final = struct.Struct("<QQ")
_POINTER: Final = ctypes.c_void_p
_BATCH: Final = 256
_SECTOR_SIZE, _TWEAK_SIZE = ctypes.c_size_t(SECTOR), ctypes.c_size_t(_TWEAK.size)
# gcrypt.h; the numbers belong to the interface, which has been the same since 2011 (libgcrypt.so.20).
_AES256, _XTS = 9, 13
_DISABLE_SECURE_MEMORY, _INITIALISATION_FINISHED = 37, 38


class SectorCipher(Protocol):
    """Encrypts sectors of a volume for the places that they have in it: aes-xts-plain64, counted in units of 512."""

    def encrypt(self, offset: int, plaintext: memoryview, out: memoryview) -> None:
        """Whole sectors from byte `offset` of the volume on; `out` is writable and has `SPARE` bytes more."""


def sector_cipher(volume_key: Secret) -> SectorCipher:
    """The quickest there is on this machine. Raises ValueError for a key of another length than `KEY_LENGTH`."""
    if len(volume_key) != KEY_LENGTH:
        raise ValueError(f"the key of a volume has {KEY_LENGTH} bytes")
    library = _libgcrypt()
    return PortableCipher(volume_key) if library is None else GcryptCipher(library, volume_key)


def _check(offset: int, plaintext: memoryview, out: memoryview) -> None:
    if offset % SECTOR or len(plaintext) % SECTOR:
        raise ValueError(f"a volume is encrypted in sectors of {SECTOR} bytes")
    if len(out) < len(plaintext) + SPARE:
        raise ValueError("the output buffer is too short")


class PortableCipher:
    """By `cryptography`."""

    def __init__(self, volume_key: Secret) -> None:
        self._algorithm = algorithms.AES(volume_key.reveal())

    def encrypt(self, offset: int, plaintext: memoryview, out: memoryview) -> None:
        """As `SectorCipher` says."""
        _check(offset, plaintext, out)
        for start in range(0, len(plaintext), SECTOR):
            tweak = _TWEAK.pack((offset + start) // _UNIT, 0)
            encryptor = Cipher(self._algorithm, modes.XTS(tweak)).encryptor()
            encryptor.update_into(plaintext[start : start + SECTOR], out[start : start + SECTOR + SPARE])


class GcryptCipher:
    """By libgcrypt, with one context. For one thread.

    A call takes less long than to make its arguments, so that these are made once for each buffer and kept.
    """

    def __init__(self, library: ctypes.PyDLL, volume_key: Secret) -> None:
        self._set_tweak: Any = library.gcry_cipher_setiv
        self._encrypt_sector: Any = library.gcry_cipher_encrypt
        self._close: Any = library.gcry_cipher_close
        self._context = _POINTER()
        key = ctypes.create_string_buffer(volume_key.reveal(), KEY_LENGTH)
        failed = library.gcry_cipher_open(ctypes.byref(self._context), _AES256, _XTS, 0)
        failed = failed or library.gcry_cipher_setkey(self._context, key, ctypes.c_size_t(KEY_LENGTH))
        ctypes.memset(key, 0, KEY_LENGTH)
        if failed:
            raise RuntimeError("libgcrypt made no context")
        self._tweaks = (ctypes.c_uint64 * (2 * _BATCH))()
        self._tweak_pointers = _pointers(ctypes.addressof(self._tweaks), _BATCH, _TWEAK.size)

    def __del__(self) -> None:
        self._close(self._context)  # which also wipes the key

    def encrypt(self, offset: int, plaintext: memoryview, out: memoryview) -> None:
        """As `SectorCipher` says."""
        _check(offset, plaintext, out)
        source, target, count = _address(plaintext), _address(out), len(plaintext) // SECTOR
        for first in range(0, count, _BATCH):
            at = first * SECTOR
            self._encrypt((offset + at) // _UNIT, source + at, target + at, min(_BATCH, count - first))

    def _encrypt(self, unit: int, source: int, target: int, count: int) -> None:
        step = SECTOR // _UNIT
        self._tweaks[0 : 2 * count : 2] = list(range(unit, unit + step * count, step))
        context, set_tweak, encrypt_sector, failed = self._context, self._set_tweak, self._encrypt_sector, 0
        sectors = zip(self._tweak_pointers, _sectors(source, count), _sectors(target, count), strict=False)
        for tweak, plain, encrypted in sectors:
            failed |= set_tweak(context, tweak, _TWEAK_SIZE)
            failed |= encrypt_sector(context, encrypted, _SECTOR_SIZE, plain, _SECTOR_SIZE)
        if failed:
            raise RuntimeError("libgcrypt did not encrypt")


def _pointers(address: int, count: int, step: int) -> tuple[ctypes.c_void_p, ...]:
    return tuple(_POINTER(address + step * index) for index in range(count))


@lru_cache(maxsize=32)
def _sectors(address: int, count: int) -> tuple[ctypes.c_void_p, ...]:
    return _pointers(address, count, SECTOR)


class _Buffer(ctypes.Structure):
    """Py_buffer (CPython, Include/pybuffer.h)."""

    _fields_ = (
        ("buf", _POINTER), ("obj", ctypes.py_object), ("len", ctypes.c_ssize_t), ("itemsize", ctypes.c_ssize_t),
        ("readonly", ctypes.c_int), ("ndim", ctypes.c_int), ("format", ctypes.c_char_p), ("shape", _POINTER),
        ("strides", _POINTER), ("suboffsets", _POINTER), ("internal", _POINTER),
    )  # fmt: skip


def _address(view: memoryview) -> int:
    """Where the bytes of a contiguous view lie; they stay there as long as the view does."""
    buffer = _Buffer()
    api = ctypes.pythonapi
    if api.PyObject_GetBuffer(ctypes.py_object(view), ctypes.byref(buffer), 0) != 0:
        raise ValueError("the view is not contiguous")
    address = int(buffer.buf or 0)
    api.PyBuffer_Release(ctypes.byref(buffer))
    return address


@cache
def _libgcrypt() -> ctypes.PyDLL | None:
    # Calls are short: to give Python's lock back and take it again for each would take longer.
    try:
        library = ctypes.PyDLL("libgcrypt.so.20")
        library.gcry_check_version(None)  # must come before everything else
        library.gcry_control(_DISABLE_SECURE_MEMORY, 0)
        library.gcry_control(_INITIALISATION_FINISHED, 0)
    except (OSError, AttributeError):
        return None
    return library
