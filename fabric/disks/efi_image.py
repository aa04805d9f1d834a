"""EFI programs (PE32+ images): their sections, and the hash under which firmware verifies and measures them."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from typing import Final

from fabric.disks.errors import DiskError

SECTIONS_MAX: Final = 96
_SECURITY_DIRECTORY: Final = 4


class EfiImageError(DiskError):
    """The bytes are not an EFI program of a form that can be measured. Code `efi-image`."""

    def __init__(self, problem: str) -> None:
        super().__init__("efi-image", f"The boot program is not a usable EFI image: {problem}.")


@dataclass(frozen=True, slots=True)
class Section:
    """One section: `contents` are its bytes in memory, `virtual_size` of them."""

    name: str
    virtual_address: int
    virtual_size: int
    raw_offset: int
    raw_size: int


@dataclass(frozen=True, slots=True)
class EfiImage:
    """A parsed image; `data` is the whole file."""

    data: bytes
    image_base: int
    headers_size: int
    checksum_offset: int
    security_entry_offset: int
    certificates: tuple[int, int]
    sections: tuple[Section, ...]

    def contents(self, name: str) -> bytes | None:
        """The bytes of a section as they lie in memory, None where there is no such section."""
        for section in self.sections:
            if section.name == name:
                raw = self.data[section.raw_offset : section.raw_offset + section.raw_size]
                return raw[: section.virtual_size].ljust(section.virtual_size, b"\0")
        return None

    @property
    def end_address(self) -> int:
        """The first address, relative to the image base, behind all sections."""
        return max(section.virtual_address + section.virtual_size for section in self.sections)

    def authenticode_hash(self) -> bytes:
        """SHA-256 as the Windows Authenticode Portable Executable Signature Format defines it, 32 bytes."""
        digest = hashlib.sha256(self.data[: self.checksum_offset])
        digest.update(self.data[self.checksum_offset + 4 : self.security_entry_offset])
        digest.update(self.data[self.security_entry_offset + 8 : self.headers_size])
        hashed = self.headers_size
        for section in sorted(self.sections, key=lambda item: item.raw_offset):
            digest.update(self.data[section.raw_offset : section.raw_offset + section.raw_size])
            hashed += section.raw_size
        digest.update(self.data[hashed : len(self.data) - self.certificates[1]])
        return digest.digest()


def parse_efi_image(data: bytes) -> EfiImage:
    """Read a PE32+ image. Raises `EfiImageError`."""
    try:
        return _parse(data)
    except struct.error:
        raise EfiImageError("its headers are cut short") from None


def _parse(data: bytes) -> EfiImage:
    if data[:2] != b"MZ":
        raise EfiImageError("it does not begin with MZ")
    (start,) = struct.unpack_from("<I", data, 0x3C)
    if data[start : start + 4] != b"PE\0\0":
        raise EfiImageError("it has no PE header")
    count, optional_size = struct.unpack_from("<H12xH", data, start + 6)
    optional = start + 24
    magic, base, headers, directories = *struct.unpack_from("<H22xQ", data, optional), 0, 0
    headers, directories = struct.unpack_from("<I44xI", data, optional + 60)
    if magic != 0x20B or directories <= _SECURITY_DIRECTORY or not 0 < count <= SECTIONS_MAX:
        raise EfiImageError("it is not a PE32+ image with a security directory")
    security = optional + 112 + 8 * _SECURITY_DIRECTORY
    certificates = struct.unpack_from("<II", data, security)
    sections = tuple(_section(data, optional + optional_size + 40 * index) for index in range(count))
    image = EfiImage(data, base, headers, optional + 64, security, certificates, sections)
    _check(image)
    return image


def _section(data: bytes, offset: int) -> Section:
    name, size, address, raw_size, raw_offset = struct.unpack_from("<8sIIII", data, offset)
    try:
        text = name.rstrip(b"\0").decode("ascii")
    except UnicodeDecodeError:
        raise EfiImageError("a section's name is not ASCII") from None
    if raw_offset + raw_size > len(data) or size > len(data) + 2**24:
        raise EfiImageError(f"its section {text} does not fit into the file")
    return Section(text, address, size, raw_offset, raw_size)


def _check(image: EfiImage) -> None:
    if len({section.name for section in image.sections}) != len(image.sections):
        raise EfiImageError("two sections have the same name")
    position = image.headers_size
    if position > len(image.data):
        raise EfiImageError("its headers are longer than the file")
    for section in sorted(image.sections, key=lambda item: item.raw_offset):
        if section.raw_size and section.raw_offset < position:
            raise EfiImageError("its sections overlap")
        position = max(position, section.raw_offset + section.raw_size)
    offset, length = image.certificates
    # Signatures lie at the very end of the file, or the hash would leave out bytes that are not signatures.
    if length and (offset < position or offset + length != len(image.data)):
        raise EfiImageError("its signatures do not lie at its end")
