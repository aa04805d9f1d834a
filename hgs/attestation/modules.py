"""Programs and drivers that a boot loaded, as Windows measures them into PCR 13 (LOADED_MODULE_AGGREGATION).

Each is a container of SIPA records of class 7. They are read only when somebody asks: a boot has about a hundred, and
most checks need none. Hosts of one build load the same drivers, so what was read is remembered.
"""

import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Self

from hgs.attestation.errors import Malformed
from hgs.attestation.sipa_records import MOST_REMEMBERED

_TLV: Final = struct.Struct("<II")
_HASHES: Final = {0x8004: "sha1", 0x800C: "sha256", 0x800D: "sha384", 0x800E: "sha512"}
_TEXTS: Final = {0x70001: "path", 0x70005: "issuer", 0x70008: "publisher", 0x7000D: "original_name"}
_DIGESTS: Final = {0x70004: "authenticode_hash", 0x70006: "serial", 0x70009: "thumbprint"}
_NUMBERS: Final = {0x70002: ("image_size", 8), 0x70003: ("hash_algorithm", 4), 0x7000B: ("svn", 4)}
_VALIDATED: Final = 0x7000A


@dataclass(frozen=True)
class LoadedModule:
    """One loaded image. Texts are empty and numbers None where the log does not give them.

    ``authenticode_hash``, ``serial`` (of the signer's certificate) and ``thumbprint`` (its SHA-1) are lower-case hex;
    ``hash_algorithm`` is ``sha256`` and the like; ``validated`` says whether the loader checked the signature.
    """

    path: str = ""
    authenticode_hash: str = ""
    hash_algorithm: str = ""
    image_size: int | None = None
    issuer: str = ""
    publisher: str = ""
    serial: str = ""
    thumbprint: str = ""
    validated: bool | None = None
    svn: int | None = None
    original_name: str = ""

    def __hash__(self) -> int:
        # Enough to tell modules apart, and asked for a hundred times at every attestation.
        return hash((self.path, self.authenticode_hash))

    @property
    def name(self) -> str:
        r"""The file's name: ``tcpip.sys`` of ``\Windows\System32\drivers\tcpip.sys``."""
        return self.path.replace("/", "\\").rpartition("\\")[2]

    @classmethod
    def parse(cls, payload: bytes) -> Self:
        """Read the container's payload; records of other types are skipped. Raises :class:`Malformed`."""
        found: dict[str, Any] = {}
        at = 0
        while at < len(payload):
            if len(payload) - at < _TLV.size:
                raise Malformed("A loaded module's record is cut short.")
            kind, size = _TLV.unpack_from(payload, at)
            at += _TLV.size
            if size > len(payload) - at:
                raise Malformed("A loaded module's record is cut short.")
            name, value = _read(kind, payload[at : at + size])
            if name in found:
                raise Malformed(f"A loaded module has two records of its {name.replace('_', ' ')}.")
            if name:
                found[name] = value
            at += size
        return cls(**found)


def _read(kind: int, data: bytes) -> tuple[str, Any]:
    if kind in _TEXTS:
        return _TEXTS[kind], _text(data)
    if kind in _DIGESTS:
        return _DIGESTS[kind], data.hex()
    if kind in _NUMBERS:
        name, size = _NUMBERS[kind]
        if len(data) != size:
            raise Malformed(f"A loaded module's {name.replace('_', ' ')} has a wrong size.")
        number = int.from_bytes(data, "little")
        return name, _HASHES.get(number, f"0x{number:04x}") if name == "hash_algorithm" else number
    if kind == _VALIDATED:
        if data not in (b"\x00", b"\x01"):
            raise Malformed("A loaded module's validation flag is neither 0 nor 1.")
        return "validated", data == b"\x01"
    return "", None


def _text(data: bytes) -> str:
    try:
        text = data.decode("utf-16-le").removesuffix("\x00")
    except UnicodeDecodeError as error:
        raise Malformed("A loaded module has a text that is not UTF-16.") from error
    if not text.isprintable():
        raise Malformed("A loaded module has an unprintable text.")
    return text


_remembered: Final = lru_cache(maxsize=4096)(LoadedModule.parse)


def loaded_module(payload: bytes) -> LoadedModule:
    """:meth:`LoadedModule.parse`, remembered where it is of honest size."""
    return _remembered(payload) if len(payload) <= MOST_REMEMBERED else LoadedModule.parse(payload)
