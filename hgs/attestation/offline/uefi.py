"""What UEFI firmware puts into the data of its events, decoded for people (TCG PFP 1.06, 10; UEFI 2.10).

Decoders return plain JSON values. They raise ``Malformed`` for data that is not what its event type says.
"""

import struct
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from asn1crypto import x509 as asn1_x509

from hgs.attestation.errors import Malformed
from hgs.attestation.offline.device_path import device_path_text, utf16
from hgs.attestation.offline.names import guid_name

MAX_ENTRIES: Final = 4096
_VARIABLE: Final = struct.Struct("<16sQQ")
_LIST: Final = struct.Struct("<16sIII")
_DATABASES: Final = frozenset({"PK", "KEK", "db", "dbx", "dbt", "dbr", "MokList", "MokListX", "MokListTrusted"})
_X509: Final = UUID("a5c059a1-94e4-4aa7-87b5-ab155c2bf072")
_ATTRIBUTES: Final = ((1, "active"), (2, "force reconnect"), (8, "hidden"))


@dataclass(frozen=True)
class Variable:
    """UEFI_VARIABLE_DATA."""

    guid: UUID
    name: str
    data: bytes

    @property
    def label(self) -> str:
        """The name, and whose it is where that is not the firmware's own namespaces."""
        owner = guid_name(self.guid)
        return self.name if owner in ("EFI global", "image security database") else f"{self.name} ({owner})"


def read_variable(data: bytes) -> Variable:
    """Raises ``Malformed``."""
    if len(data) < _VARIABLE.size:
        raise Malformed("The variable is cut short.")
    guid, characters, size = _VARIABLE.unpack_from(data)
    start = _VARIABLE.size + 2 * characters
    if characters > 1024 or start + size > len(data):
        raise Malformed("The variable has a wrong size.")
    name = data[_VARIABLE.size : start].decode("utf-16-le", "replace").rstrip("\x00")
    return Variable(UUID(bytes_le=guid), name, data[start : start + size])


def certificate_subject(der: bytes) -> str | None:
    """The subject of a certificate in one line, its common name first; None where there is no certificate."""
    try:
        names = asn1_x509.Certificate.load(der)["tbs_certificate"]["subject"].native
        values = [value if isinstance(value, str) else ", ".join(value) for value in names.values()]
        common = names.get("common_name") or names.get("organizational_unit_name")
        organization = names.get("organization_name")
        if isinstance(common, str) and isinstance(organization, str) and organization not in common:
            return one_line(f"{common} ({organization})")
        return one_line(common if isinstance(common, str) else ", ".join(values))
    except Exception:  # noqa: BLE001 - asn1crypto raises whatever its lazy decoding runs into
        return None


def one_line(text: str, limit: int = 400) -> str:
    """Text without characters that could steer a terminal, and not longer than ``limit``."""
    shown = "".join(character if character.isprintable() else "�" for character in text[: limit + 1])
    return shown if len(shown) <= limit else shown[:limit] + "…"


def signature_entry(kind: UUID, item: bytes) -> dict[str, Any]:
    """One entry of a signature database: ``{"type", "owner", "subject" | "digest"}``."""
    entry: dict[str, Any] = {"type": guid_name(kind), "owner": guid_name(UUID(bytes_le=item[:16]))}
    subject = certificate_subject(item[16:]) if kind == _X509 else None
    return entry | ({"subject": subject} if subject is not None else {"digest": item[16:80].hex()})


def read_signature_database(data: bytes) -> list[dict[str, Any]]:
    """The entries of db, dbx, KEK, … Raises ``Malformed``."""
    entries: list[dict[str, Any]] = []
    offset = 0
    while offset < len(data):
        if len(data) - offset < _LIST.size:
            raise Malformed("The signature database is cut short.")
        guid, list_size, header_size, item_size = _LIST.unpack_from(data, offset)
        body = list_size - _LIST.size - header_size
        if body < 0 or list_size > len(data) - offset or item_size < 16 or (body % item_size):
            raise Malformed("The signature database has a list of a wrong size.")
        start = offset + _LIST.size + header_size
        if len(entries) + body // item_size > MAX_ENTRIES:
            raise Malformed("The signature database has too many entries.")
        kind = UUID(bytes_le=guid)
        entries += [signature_entry(kind, data[at : at + item_size]) for at in range(start, start + body, item_size)]
        offset += list_size
    return entries


def variable_value(variable: Variable) -> tuple[str, Any]:
    """What the variable says: a sentence's end, and a JSON value. Falls back to hexadecimal."""
    name, data = variable.name, variable.data
    try:
        if name in _DATABASES and data:
            entries = read_signature_database(data)
            return _count_entries(entries), entries
        if name in ("BootOrder", "DriverOrder"):
            order = [f"{number:04X}" for number in struct.unpack(f"<{len(data) // 2}H", data[: len(data) // 2 * 2])]
            return ", ".join(order), order
        if name.startswith(("Boot0", "Boot1", "Boot2", "Boot8", "BootF", "Driver0")) and len(name) >= 8:
            option = read_load_option(data)
            return f"{option['description']}: {option['path']}", option
    except Malformed:
        pass
    return _plain_value(data)


def _plain_value(data: bytes) -> tuple[str, Any]:
    if not data:
        return "empty", ""
    if len(data) == 1:
        return {0: "0 (off)", 1: "1 (on)"}.get(data[0], str(data[0])), data[0]
    text = printable_text(data)
    if text is not None:
        return f'"{text}"', text
    return f"{len(data)} bytes {data[:16].hex()}{'…' if len(data) > 16 else ''}", data.hex()


def _count_entries(entries: list[dict[str, Any]]) -> str:
    subjects = [str(entry["subject"]) for entry in entries if "subject" in entry]
    hashes = len(entries) - len(subjects)
    parts = [*subjects[:8], *([f"{len(subjects) - 8} further certificates"] if len(subjects) > 8 else [])]
    return "; ".join(parts + ([f"{hashes} hashes"] if hashes else [])) or "no entries"


def read_load_option(data: bytes) -> dict[str, Any]:
    """EFI_LOAD_OPTION of a Boot#### variable. Raises ``Malformed``."""
    if len(data) < 6:
        raise Malformed("The boot entry is cut short.")
    attributes, size = struct.unpack_from("<IH", data)
    description = utf16(data[6:])
    start = 6 + 2 * (len(description.encode("utf-16-le", "replace")) // 2 + 1)
    if start + size > len(data):
        raise Malformed("The boot entry has a wrong size.")
    option: dict[str, Any] = {
        "description": one_line(description),
        "path": one_line(device_path_text(data[start : start + size])),
        "attributes": [name for bit, name in _ATTRIBUTES if attributes & bit],
    }
    if len(data) > start + size:
        option["options"] = data[start + size : start + size + 1024].hex()
    return option


def read_image_load(data: bytes) -> dict[str, Any]:
    """EFI_IMAGE_LOAD_EVENT. Raises ``Malformed``."""
    if len(data) < 32:
        raise Malformed("The image's event is cut short.")
    location, length, _, size = struct.unpack_from("<QQQQ", data)
    if size > len(data) - 32:
        raise Malformed("The image's device path has a wrong size.")
    return {"path": one_line(device_path_text(data[32 : 32 + size])), "address": location, "size": length}


def read_gpt(data: bytes) -> dict[str, Any]:
    """EFI_GPT_DATA: a disk's GUID and its partitions. Raises ``Malformed``."""
    if len(data) < 100 or data[:8] != b"EFI PART":
        raise Malformed("The event does not hold a partition table.")
    entry_size = struct.unpack_from("<I", data, 84)[0]
    count = struct.unpack_from("<Q", data, 92)[0]
    if not 128 <= entry_size <= 4096 or count > 1024 or 100 + count * entry_size > len(data):
        raise Malformed("The partition table has a wrong size.")
    partitions = []
    for at in range(100, 100 + count * entry_size, entry_size):
        first, last = struct.unpack_from("<QQ", data, at + 32)
        partitions.append(
            {
                "type": guid_name(UUID(bytes_le=data[at : at + 16])),
                "guid": str(UUID(bytes_le=data[at + 16 : at + 32])),
                "name": one_line(utf16(data[at + 56 : at + 128])),
                "first": first,
                "last": last,
            }
        )
    return {"disk": str(UUID(bytes_le=data[56:72])), "partitions": partitions}


def read_firmware_blob(data: bytes, described: bool) -> dict[str, Any]:
    """UEFI_PLATFORM_FIRMWARE_BLOB, or with a description in front of it (…_BLOB2). Raises ``Malformed``."""
    found: dict[str, Any] = {}
    if described:
        name, data = _pascal(data)
        found["description"] = name
    if len(data) != 16:
        raise Malformed("The firmware volume's event has a wrong size.")
    found["base"], found["length"] = struct.unpack("<QQ", data)
    return found


def read_handoff_tables(data: bytes, described: bool) -> dict[str, Any]:
    """UEFI_HANDOFF_TABLE_POINTERS, or with a description in front of it. Raises ``Malformed``."""
    found: dict[str, Any] = {}
    if described:
        name, data = _pascal(data)
        found["description"] = name
    if len(data) < 8:
        raise Malformed("The table list is cut short.")
    count = struct.unpack_from("<Q", data)[0]
    if count > 64 or 8 + 24 * count > len(data):
        raise Malformed("The table list has a wrong size.")
    guids = [guid_name(UUID(bytes_le=data[8 + 24 * at : 24 + 24 * at])) for at in range(count)]
    return found | {"tables": guids}


def _pascal(data: bytes) -> tuple[str, bytes]:
    if not data or 1 + data[0] > len(data):
        raise Malformed("The event's description is cut short.")
    return one_line(data[1 : 1 + data[0]].rstrip(b"\x00").decode("utf-8", "replace")), data[1 + data[0] :]


def printable_text(data: bytes) -> str | None:
    """The data as text, where it is text: ASCII, UTF-8 or UTF-16, zeros at its end left out."""
    if len(data) >= 4 and len(data) % 2 == 0 and data[1::2].count(0) * 2 > len(data) // 2:
        wide = data.decode("utf-16-le", "replace").rstrip("\x00")
        if wide and _readable(wide):
            return one_line(wide, 4096)
    try:
        narrow = data.rstrip(b"\x00").decode("utf-8")
    except UnicodeDecodeError:
        return None
    return one_line(narrow, 4096) if narrow and _readable(narrow) else None


def _readable(text: str) -> bool:
    return all(character.isprintable() or character in "\t\r\n" for character in text)
