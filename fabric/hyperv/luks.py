"""LUKS2 volumes made without a block device: cryptsetup writes the header, the payload is encrypted here.

The header is cryptsetup's own, for a volume key of our choosing. The payload follows dm-crypt's aes-xts-plain64 with
sectors of 4096 bytes: the tweak of a sector is its position in units of 512 bytes, 64 bits little-endian.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
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
_PIECE: Final = 1024 * 1024


def format_header(volume_key: Secret, passphrase: Secret) -> bytes:
    """A LUKS2 header of `HEADER_LENGTH` bytes with one key slot. Raises `HostError`."""
    # cryptsetup wants to see some payload behind the header.
    with (
        memory_file("header", length=HEADER_LENGTH + _PIECE) as header,
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
        return os.pread(header, HEADER_LENGTH, 0)


def encrypted(volume_key: Secret, plaintext: int, length: int) -> Iterator[bytes]:
    """The payload: ciphertext of the first `length` bytes of the open file `plaintext`, in pieces of up to 1 MiB."""
    if length % SECTOR:
        raise ValueError(f"the length of a volume is a multiple of {SECTOR}")
    cipher = algorithms.AES(volume_key.reveal())
    for offset in range(0, length, _PIECE):
        piece = memoryview(os.pread(plaintext, min(_PIECE, length - offset), offset))
        out = bytearray()
        for start in range(0, len(piece), SECTOR):
            tweak = struct.pack("<QQ", (offset + start) // 512, 0)
            out += Cipher(cipher, modes.XTS(tweak)).encryptor().update(piece[start : start + SECTOR])
        yield bytes(out)


def write_volume(target: Path, offset: int, header: bytes, volume_key: Secret, plaintext: int, length: int) -> None:
    """Write header and payload into the disk image `target` (which exists) at `offset` bytes."""
    with target.open("r+b") as stream:
        stream.seek(offset)
        stream.write(header)
        for piece in encrypted(volume_key, plaintext, length):
            stream.write(piece)
        stream.flush()
        os.fsync(stream.fileno())
