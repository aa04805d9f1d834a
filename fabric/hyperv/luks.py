"""LUKS2 volumes made without a block device: cryptsetup writes the header, the payload is encrypted here.

The header is cryptsetup's own, for a volume key of our choosing. The payload follows dm-crypt's aes-xts-plain64 with
sectors of 4096 bytes: the tweak of a sector is its position in units of 512 bytes, 64 bits little-endian.
"""

from __future__ import annotations

import os
from typing import Final

from fabric.hyperv.memory_files import memory_file, open_path
from fabric.hyperv.sector_cipher import KEY_LENGTH, SECTOR
from fabric.hyperv.system_tools import run_tool
from hgs.keyprotection.secret import Secret

HEADER_LENGTH: Final = 16 * 1024 * 1024
PASSPHRASE_LENGTH: Final = 32
# The passphrase is 32 random bytes, so stretching it protects nothing; cryptsetup allows no fewer iterations.
_ITERATIONS: Final = 1000
_SOME_PAYLOAD: Final = 1024 * 1024


def format_header(volume_key: Secret, passphrase: Secret, *others: Secret) -> bytes:
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
                "--cipher", "aes-xts-plain64", "--key-size", str(KEY_LENGTH * 8), "--sector-size", str(SECTOR),
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
