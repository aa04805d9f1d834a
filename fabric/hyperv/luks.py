"""LUKS2 volumes made without a block device: cryptsetup writes the header, the payload is encrypted here.

The header is cryptsetup's own, for a volume key of our choosing. The payload follows dm-crypt's aes-xts-plain64 with
sectors of 4096 bytes: the tweak of a sector is its position in units of 512 bytes, 64 bits little-endian.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from fabric.hyperv.memory_files import memory_file, open_path
from fabric.hyperv.system_tools import run_tool
from hgs.keyprotection.secret import Secret

HEADER_LENGTH: Final = 16 * 1024 * 1024
SECTOR: Final = 4096
VOLUME_KEY_LENGTH: Final = 64
PASSPHRASE_LENGTH: Final = 32
# The passphrase is 32 random bytes, so stretching it protects nothing; cryptsetup allows no fewer iterations.
_ITERATIONS: Final = 1000
_SOME_PAYLOAD: Final = 1024 * 1024
SPARE: Final = 16
_TWEAK: Final = struct.Struct("<QQ")


def format_header(volume_key: Secret, passphrase: Secret, others: Sequence[Secret] = ()) -> bytes:
    """A LUKS2 header of `HEADER_LENGTH` bytes with a key slot for each passphrase. Raises `HostError`."""
    # cryptsetup wants to see some payload behind the header.
    with (
        memory_file("header", length=HEADER_LENGTH + _SOME_PAYLOAD) as header,
        memory_file("volume-key", volume_key.reveal()) as key,
        memory_file("passphrase", passphrase.reveal()) as word,
    ):
        run_tool(
            [
                "cryptsetup", "luksFormat", "--batch-mode", "--type", "luks2", "--disable-locks",
                "--cipher", "aes-xts-plain64", "--key-size", str(VOLUME_KEY_LENGTH * 8), "--sector-size", str(SECTOR),
                "--hash", "sha256", "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", str(_ITERATIONS),
                "--volume-key-file", open_path(key), "--key-file", open_path(word), open_path(header),
            ],
            keep=(header, key, word),
        )  # fmt: skip
        for other in others:
            _add_slot(header, word, other)
        return os.pread(header, HEADER_LENGTH, 0)


def _add_slot(header: int, passphrase: int, other: Secret) -> None:
    with memory_file("passphrase", other.reveal()) as word:
        run_tool(
            [
                "cryptsetup", "luksAddKey", "--batch-mode", "--disable-locks",
                "--hash", "sha256", "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", str(_ITERATIONS),
                "--key-file", open_path(passphrase), open_path(header), open_path(word),
            ],
            keep=(header, passphrase, word),
        )  # fmt: skip


class PayloadCipher:
    """Encrypts sectors of the payload, each on its own, for the place that it has in the volume."""

    def __init__(self, volume_key: Secret) -> None:
        self._algorithm = algorithms.AES(volume_key.reveal())

    def encrypt(self, offset: int, plaintext: bytes | memoryview, out: memoryview) -> None:
        """Whole sectors from byte `offset` of the volume on; `out` has `SPARE` bytes more than they have."""
        if offset % SECTOR or len(plaintext) % SECTOR:
            raise ValueError(f"the volume is encrypted in sectors of {SECTOR} bytes")
        for start in range(0, len(plaintext), SECTOR):
            tweak = _TWEAK.pack((offset + start) // 512, 0)
            # A context takes one tweak; making one costs as much as two sectors.
            encryptor = Cipher(self._algorithm, modes.XTS(tweak)).encryptor()
            encryptor.update_into(plaintext[start : start + SECTOR], out[start : start + SECTOR + SPARE])
