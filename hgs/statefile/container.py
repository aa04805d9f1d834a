"""The envelope of a state file: a stream of chunks under a key that scrypt makes of a passphrase.

A file is::

    magic (8) | version 0x01 | log2 of N (1) | r (1) | p (1) | salt (16) | proof (16) | chunk | chunk | …

The key is scrypt(passphrase in NFC and UTF-8, salt, N, r, p), 32 bytes, for this one file. The proof is the tag of
AES-256-GCM over nothing, with the 28 bytes before it as associated data and the nonce of all ones: it tells a wrong
passphrase from a damaged file. Each chunk is AES-256-GCM over up to 64 KiB, the same associated data, and the nonce::

    number of the chunk (11, big endian) | 0x01 for the last chunk, else 0x00 (1)

All chunks but the last are full. So nothing can be changed, left out, put elsewhere, added or cut off unnoticed.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from hgs.keyprotection.secret import Secret
from hgs.statefile.errors import StateFileError, damaged, not_a_state_file

MAGIC: Final = b"GFHGSST\n"
VERSION: Final = 1
MINIMUM_PASSPHRASE: Final = 12
MAXIMUM_PASSPHRASE: Final = 1024
DEFAULT_WORK: Final = 17
"""log2 of scrypt's N: 128 MiB of memory, and some tenths of a second for each guess."""
LEAST_WORK: Final = 14
MOST_WORK: Final = 18
"""Beyond, reading would take more memory than a node may have; nobody's file makes it try."""
CHUNK: Final = 64 * 1024
_R: Final = 8
_P: Final = 1
_SALT: Final = 16
_TAG: Final = 16
_HEADER: Final = len(MAGIC) + 4 + _SALT
_PROOF_NONCE: Final = b"\xff" * 12


@dataclass(frozen=True)
class Envelope:
    """The beginning of a file, and the key of the rest."""

    header: bytes
    key: Secret

    @property
    def proof(self) -> bytes:
        """What shows that the key is the one of this header."""
        return AESGCM(self.key.reveal()).encrypt(_PROOF_NONCE, b"", self.header)

    def seal(self, number: int, chunk: bytes, *, last: bool) -> bytes:
        """One chunk as it is written."""
        return AESGCM(self.key.reveal()).encrypt(_nonce(number, last=last), chunk, self.header)

    def open(self, number: int, chunk: bytes, *, last: bool) -> bytes:
        """One chunk as it was before. Raises StateFileError."""
        try:
            return AESGCM(self.key.reveal()).decrypt(_nonce(number, last=last), chunk, self.header)
        except InvalidTag:
            raise damaged() from None


def checked_passphrase(passphrase: str) -> Secret:
    """A passphrase as it goes into scrypt. Raises StateFileError for one that is too short or too long."""
    text = unicodedata.normalize("NFC", passphrase)
    if not MINIMUM_PASSPHRASE <= len(text) <= MAXIMUM_PASSPHRASE:
        raise StateFileError(
            "passphrase-length",
            f"A passphrase has {MINIMUM_PASSPHRASE} to {MAXIMUM_PASSPHRASE} characters.",
            "Take six words at random, or 20 random characters.",
        )
    return Secret(text.encode())


class Writer:
    """Writes an envelope around what it is given; the file is whole once :meth:`finish` was called."""

    def __init__(
        self, out: BinaryIO, passphrase: Secret, random_bytes: Callable[[int], bytes], work: int = DEFAULT_WORK
    ) -> None:
        header = MAGIC + bytes([VERSION, work, _R, _P]) + random_bytes(_SALT)
        self._envelope = Envelope(header, _key(passphrase, header))
        self._out = out
        self._held = bytearray()
        self._number = 0
        out.write(header + self._envelope.proof)

    def write(self, data: bytes) -> None:
        """Append bytes."""
        self._held += data
        while len(self._held) > CHUNK:  # what fills a chunk may yet be the last
            self._put(bytes(self._held[:CHUNK]), last=False)
            del self._held[:CHUNK]

    def finish(self) -> None:
        """Write the last chunk."""
        self._put(bytes(self._held), last=True)
        self._held.clear()

    def _put(self, chunk: bytes, *, last: bool) -> None:
        self._out.write(self._envelope.seal(self._number, chunk, last=last))
        self._number += 1


def open_envelope(source: BinaryIO, passphrase: Secret) -> Envelope:
    """Read the beginning of a file and make its key; ``source`` is then at the first chunk.

    Raises StateFileError: no state file, another version, unreasonable parameters, or a wrong passphrase.
    """
    header = source.read(_HEADER)
    if header[: len(MAGIC)] != MAGIC or len(header) != _HEADER:
        raise not_a_state_file()
    version, work, r, p = header[len(MAGIC) : len(MAGIC) + 4]
    if version != VERSION:
        raise another_version(version)
    if not LEAST_WORK <= work <= MOST_WORK or (r, p) != (_R, _P):
        raise StateFileError(
            "state-file-parameters", "The file asks for another amount of work than any that is written here."
        )
    envelope = Envelope(header, _key(passphrase, header))
    try:
        AESGCM(envelope.key.reveal()).decrypt(_PROOF_NONCE, source.read(_TAG), header)
    except (InvalidTag, ValueError):
        raise StateFileError(
            "wrong-passphrase", "The passphrase is wrong, or the beginning of the file is damaged."
        ) from None
    return envelope


def another_version(version: int) -> StateFileError:
    """The file was written by another version of this format."""
    return StateFileError(
        "state-file-version",
        f"The file is of version {version}; this HGS reads version {VERSION}.",
        "Import it with the version of this software that wrote it, or a later one.",
    )


def chunks(source: BinaryIO, envelope: Envelope) -> Iterator[bytes]:
    """What is in the envelope, piece by piece. Only after the last piece is it known to be whole.

    ``source`` is at the first chunk. Raises StateFileError.
    """
    number, held = 0, source.read(CHUNK + _TAG)
    while True:
        following = source.read(CHUNK + _TAG) if len(held) == CHUNK + _TAG else b""
        yield envelope.open(number, held, last=not following)
        if not following:
            return
        number, held = number + 1, following


def _key(passphrase: Secret, header: bytes) -> Secret:
    work, r, p = header[len(MAGIC) + 1 : len(MAGIC) + 4]
    made = Scrypt(salt=header[-_SALT:], length=32, n=1 << work, r=r, p=p).derive(passphrase.reveal())
    return Secret(made)


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11, "big") + (b"\x01" if last else b"\x00")
