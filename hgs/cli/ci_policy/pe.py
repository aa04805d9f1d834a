"""PE files (.exe, .dll, .sys, .efi): the hashes and names that code-integrity rules are about.

The structure is read by `pefile`; it is on the command line alone, so that the attestation core keeps to a few
libraries. A file that cannot be read raises :class:`NotAnImage` with the reason, whatever is wrong with it.
"""

import hashlib
import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hgs.attestation.ci_policy import ImageFacts, Version
from hgs.cli.ci_policy.authenticode import Signature, read_signatures

MAX_IMAGE: Final = 512 * 1024 * 1024
_MAX_SIGNATURE: Final = 4 * 1024 * 1024
_MAX_SECTIONS: Final = 2048
_CHUNK: Final = 1024 * 1024
_PKCS7: Final = 2
_KERNEL_SUBSYSTEMS: Final = frozenset({1, 10, 11, 12, 13, 16})
"""Native, the four of EFI, and Windows boot applications."""
_NAMES: Final = ("OriginalFilename", "InternalName", "FileDescription", "ProductName")


class NotAnImage(ValueError):  # noqa: N818 - reads as a sentence where it is raised
    """The file cannot be read as an image; the message is a clause that says why."""


@dataclass(frozen=True)
class Image:
    """A PE file. ``names`` are texts of its version resource, empty where it has none; ``version`` is the file's."""

    path: Path
    sha1: bytes
    sha256: bytes
    drivers: bool
    names: dict[str, str]
    version: Version | None
    signatures: tuple[Signature, ...]
    note: str = ""

    @property
    def name(self) -> str:
        """The file's name on disk."""
        return self.path.name

    @property
    def original_name(self) -> str:
        """The name in its version resource, which stays when the file is renamed."""
        return self.names.get("OriginalFilename", "")

    def facts(self) -> ImageFacts:
        """The image as a policy is asked about it."""
        return ImageFacts(
            self.name,
            {"sha1": self.sha1, "sha256": self.sha256},
            self.original_name,
            self.names.get("InternalName", ""),
            self.names.get("FileDescription", ""),
            self.names.get("ProductName", ""),
            self.version,
            tuple(signature.facts() for signature in self.signatures),
        )


def read_image(path: Path) -> Image:
    """Read a PE file. Raises :class:`NotAnImage`, and OSError where the file cannot be opened."""
    import pefile

    if path.exists() and not path.is_file():
        raise NotAnImage("it is no regular file")
    size = path.stat().st_size
    if size > MAX_IMAGE:
        raise NotAnImage(f"it has {size} bytes; the limit is {MAX_IMAGE}")
    with path.open("rb") as file:
        if file.read(2) != b"MZ":
            raise NotAnImage("it is no PE file")
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    # Not closed by pefile, which collects garbage each time; the mapping is what there is to close.
    with data:
        try:
            return _read(path, pefile.PE(data=data, fast_load=True), data)
        except NotAnImage:
            raise
        except Exception as error:  # a crafted file makes the parser fail in any way
            raise NotAnImage(f"it is no sound PE file ({type(error).__name__})") from error


def _read(path: Path, pe: Any, data: mmap.mmap) -> Image:
    entry = pe.OPTIONAL_HEADER.DATA_DIRECTORY[4]
    signatures, note = _signatures(data, entry.VirtualAddress, entry.Size)
    sha1, sha256 = _hashes(pe, data)
    names, version = _version_resource(pe)
    signed = [item.digest for item in signatures]
    if signed and not {sha1, sha256} & set(signed) and all(len(item) in (20, 32) for item in signed):
        note = "its signature is for other content"
        signatures = ()
    drivers = pe.OPTIONAL_HEADER.Subsystem in _KERNEL_SUBSYSTEMS or path.suffix.lower() == ".sys"
    return Image(path, sha1, sha256, drivers, names, version, signatures, note)


def _hashes(pe: Any, data: mmap.mmap) -> tuple[bytes, bytes]:
    """SHA-1 and SHA-256 over the image without checksum, signature directory and signature."""
    sha1, sha256 = hashlib.sha1(usedforsecurity=False), hashlib.sha256()
    for start, end in _hashed_ranges(pe, data):
        for at in range(start, end, _CHUNK):
            part = data[at : min(at + _CHUNK, end)]
            sha1.update(part)
            sha256.update(part)
    if not pe.OPTIONAL_HEADER.DATA_DIRECTORY[4].Size:
        # A signer pads the file to eight bytes first; the hash is that of the file as it would be signed.
        padding = bytes(-len(data) % 8)
        sha1.update(padding)
        sha256.update(padding)
    return sha1.digest(), sha256.digest()


def _hashed_ranges(pe: Any, data: mmap.mmap) -> Iterator[tuple[int, int]]:
    """What Authenticode hashes: headers, sections in the order of the file, and what follows them."""
    header, entry = pe.OPTIONAL_HEADER, pe.OPTIONAL_HEADER.DATA_DIRECTORY[4]
    checksum, directory, end = header.get_file_offset() + 64, entry.get_file_offset(), header.SizeOfHeaders
    if not checksum + 4 <= directory <= directory + 8 <= end <= len(data):
        raise NotAnImage("its headers are out of order")
    if entry.Size and (entry.VirtualAddress < end or entry.VirtualAddress + entry.Size != len(data)):
        raise NotAnImage("its signature is not at its end")
    yield from ((0, checksum), (checksum + 4, directory), (directory + 8, end))
    hashed = end
    sections = [(item.PointerToRawData, item.SizeOfRawData) for item in pe.sections if item.SizeOfRawData]
    if len(sections) > _MAX_SECTIONS:
        raise NotAnImage("it has too many sections")
    for start, size in sorted(sections):
        if start < hashed or start + size > len(data) - entry.Size:
            raise NotAnImage("its sections overlap or lie outside of it")
        yield start, start + size
        hashed = start + size
    yield hashed, len(data) - entry.Size


def _signatures(data: mmap.mmap, offset: int, size: int) -> tuple[tuple[Signature, ...], str]:
    """The signatures in the certificate table, and a clause about those that cannot be read."""
    if not size:
        return (), ""
    if size > _MAX_SIGNATURE or offset + size > len(data):
        raise NotAnImage("its signature is not at its end")
    found: list[Signature] = []
    note, end = "", offset + size
    while end - offset >= 8:
        length, kind = int.from_bytes(data[offset : offset + 4], "little"), data[offset + 6]
        if length < 8 or length > end - offset:
            return tuple(found), "its certificate table is damaged"
        if kind == _PKCS7:
            try:
                found += read_signatures(_without_padding(data[offset + 8 : offset + length]))
            except ValueError as error:
                note = str(error)
        offset += length + -length % 8
    return tuple(found), note


def _without_padding(blob: bytes) -> bytes:
    """The DER element at the start; signers pad what follows with zeros."""
    if len(blob) < 2 or blob[1] < 0x80:
        return blob[: 2 + blob[1]] if len(blob) >= 2 else blob
    count = blob[1] & 0x7F
    return blob[: 2 + count + int.from_bytes(blob[2 : 2 + count], "big")]


def _version_resource(pe: Any) -> tuple[dict[str, str], Version | None]:
    """Names and file version of the version resource, nothing if it has none or if it is damaged."""
    import pefile

    try:
        pe.parse_data_directories(directories=[pefile.DIRECTORY_ENTRY["IMAGE_DIRECTORY_ENTRY_RESOURCE"]])
        names = dict(_strings(pe))
        info = pe.VS_FIXEDFILEINFO[0] if getattr(pe, "VS_FIXEDFILEINFO", None) else None
        return names, _version(info) if info is not None else None
    except Exception:  # noqa: BLE001 - a crafted resource must not keep the file out of the scan
        return {}, None


def _strings(pe: Any) -> Iterator[tuple[str, str]]:
    for info in getattr(pe, "FileInfo", None) or []:
        for entry in info:
            for table in getattr(entry, "StringTable", None) or []:
                for key, value in table.entries.items():
                    name, text = key.decode("utf-8", "replace"), value.decode("utf-8", "replace").strip("\0 ")
                    if name in _NAMES and text and text.isprintable():
                        yield name, text[:260]


def _version(info: Any) -> Version:
    return (
        info.FileVersionMS >> 16,
        info.FileVersionMS & 0xFFFF,
        info.FileVersionLS >> 16,
        info.FileVersionLS & 0xFFFF,
    )
