"""UEFI device paths in the text form that people know from boot menus and logs (UEFI 2.10, chapter 10)."""

import struct
from collections.abc import Callable
from typing import Final
from uuid import UUID

MAX_NODES: Final = 64
_END: Final = 0x7F


def device_path_text(data: bytes) -> str:
    """The path's nodes joined by ``/``; nodes that cannot be read in hexadecimal. Never raises."""
    parts: list[str] = []
    offset = 0
    while offset + 4 <= len(data) and len(parts) < MAX_NODES:
        kind, sub, size = data[offset], data[offset + 1], int.from_bytes(data[offset + 2 : offset + 4], "little")
        if size < 4 or offset + size > len(data):
            parts.append("(unreadable)")
            break
        if kind == _END:
            if sub == 0xFF:
                break
            parts.append(",")
        else:
            parts.append(_node(kind, sub, data[offset + 4 : offset + size]))
        offset += size
    return "/".join(parts).replace("/,/", ",")


def _node(kind: int, sub: int, body: bytes) -> str:
    reader = _READERS.get((kind, sub))
    if reader is not None:
        try:
            return reader(body)
        except (struct.error, ValueError, IndexError):
            pass
    return f"Path({kind},{sub},{body[:32].hex()}{'…' if len(body) > 32 else ''})"


def utf16(data: bytes) -> str:
    """UTF-16 text up to its terminating zero; what is no UTF-16 as replacement characters."""
    return data[: len(data) // 2 * 2].decode("utf-16-le", "replace").split("\x00", 1)[0]


def _guid(body: bytes) -> str:
    if len(body) < 16:
        raise ValueError
    return str(UUID(bytes_le=body[:16]))


def _pci(body: bytes) -> str:
    return f"Pci(0x{body[1]:x},0x{body[0]:x})"


def _acpi(body: bytes) -> str:
    hid, uid = struct.unpack_from("<II", body)
    if hid & 0xFFFF == 0x41D0:
        number = hid >> 16
        names = {0x0A03: "PciRoot", 0x0A08: "PcieRoot", 0x0604: "Floppy"}
        return f"{names[number]}(0x{uid:x})" if number in names else f"Acpi(PNP{number:04X},0x{uid:x})"
    return f"Acpi(0x{hid:08x},0x{uid:x})"


def _hard_drive(body: bytes) -> str:
    number, start, size = struct.unpack_from("<IQQ", body)
    signature, kind = body[20:36], body[37]
    if kind == 2:
        return f"HD({number},GPT,{UUID(bytes_le=signature)},0x{start:x},0x{size:x})"
    if kind == 1:
        return f"HD({number},MBR,0x{int.from_bytes(signature[:4], 'little'):08x},0x{start:x},0x{size:x})"
    return f"HD({number},0x{start:x},0x{size:x})"


def _sata(body: bytes) -> str:
    port, multiplier, unit = struct.unpack_from("<HHH", body)
    return f"Sata(0x{port:x},0x{multiplier:x},0x{unit:x})"


def _nvme(body: bytes) -> str:
    namespace = struct.unpack_from("<I", body)[0]
    return f"NVMe(0x{namespace:x},{'-'.join(f'{byte:02X}' for byte in reversed(body[4:12]))})"


def _memory(body: bytes) -> str:
    kind, start, end = struct.unpack_from("<IQQ", body)
    return f"MemoryMapped(0x{kind:x},0x{start:x},0x{end:x})"


def _ipv4(body: bytes) -> str:
    local, remote = body[0:4], body[4:8]
    return f"IPv4({'.'.join(map(str, remote))},{'.'.join(map(str, local))})"


def _scsi(body: bytes) -> str:
    target, lun = struct.unpack_from("<HH", body)
    return f"Scsi(0x{target:x},0x{lun:x})"


def _range(body: bytes) -> str:
    start, end = struct.unpack_from("<4xQQ", body)
    return f"Offset(0x{start:x},0x{end:x})"


def _bios_boot(body: bytes) -> str:
    kind = {1: "Floppy", 2: "HD", 3: "CDROM", 4: "PCMCIA", 5: "USB", 6: "Network"}.get(body[0], f"0x{body[0]:x}")
    return f"BBS({kind},{body[4:].split(bytes(1), 1)[0].decode('ascii', 'replace')})"


_READERS: Final[dict[tuple[int, int], Callable[[bytes], str]]] = {
    (1, 1): _pci,
    (1, 3): _memory,
    (1, 4): lambda body: f"VenHw({_guid(body)})",
    (1, 5): lambda body: f"Ctrl(0x{struct.unpack_from('<I', body)[0]:x})",
    (2, 1): _acpi,
    (2, 2): lambda body: f"AcpiEx({body[:12].hex()})",
    (3, 1): lambda body: f"Ata({'Secondary' if body[0] else 'Primary'},{'Slave' if body[1] else 'Master'})",
    (3, 2): _scsi,
    (3, 5): lambda body: f"USB(0x{body[0]:x},0x{body[1]:x})",
    (3, 10): lambda body: f"VenMsg({_guid(body)})",
    (3, 11): lambda body: f"MAC({body[:6].hex()})",
    (3, 12): _ipv4,
    (3, 13): lambda body: f"IPv6({body[16:32].hex()})",
    (3, 17): lambda body: f"Unit(0x{body[0]:x})",
    (3, 18): _sata,
    (3, 23): _nvme,
    (3, 24): lambda body: f"Uri({body.decode('utf-8', 'replace')})",
    (3, 26): lambda body: f"SD(0x{body[0]:x})",
    (3, 29): lambda body: f"eMMC(0x{body[0]:x})",
    (4, 1): _hard_drive,
    (4, 2): lambda body: f"CDROM(0x{struct.unpack_from('<I', body)[0]:x})",
    (4, 3): lambda body: f"VenMedia({_guid(body)})",
    (4, 4): utf16,
    (4, 6): lambda body: f"FvFile({_guid(body)})",
    (4, 7): lambda body: f"Fv({_guid(body)})",
    (4, 8): _range,
    (4, 9): lambda body: f"RamDisk(0x{struct.unpack_from('<Q', body)[0]:x})",
    (5, 1): _bios_boot,
}
