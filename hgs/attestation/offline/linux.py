"""What boot programs of the Linux world measure: GRUB, shim, systemd-boot and its stub, and the kernel's own loader."""

from typing import Final

from hgs.attestation.errors import Malformed
from hgs.attestation.offline.uefi import one_line, printable_text

_TAGS: Final = {
    0x8F3B22EC: "kernel: initial RAM disk",
    0x8F3B22ED: "kernel: command line (loaded image's options)",
    0xF5BC582A: "systemd-boot: loader.conf",
    0x6C46F751: "systemd-stub: device tree add-on",
    0x49DFFE0F: "systemd-stub: initial RAM disk add-on",
    0xDAC08E1A: "systemd-stub: microcode add-on",
    0x13AED6DB: "systemd-stub: profile of the unified kernel image",
    0xD5CB7CBC: "systemd-boot: SMBIOS system information",
    0xE0D47BC8: "systemd-boot: SMBIOS baseboard information",
    0xC0B3BD23: "systemd-boot: SMBIOS OEM strings",
}
_PREFIXES: Final = {
    "grub_cmd": "GRUB command",
    "kernel_cmdline": "kernel command line",
    "module_cmdline": "module command line",
}
_SHIM: Final = {
    "MokList": "shim: the machine owner's keys (MokList)",
    "MokListX": "shim: the machine owner's revocations (MokListX)",
    "MokListTrusted": "shim: whether the machine owner's keys are trusted (MokListTrusted)",
    "MokSBState": "shim: whether validation is off (MokSBState)",
    "MokDBState": "shim: whether the firmware's db is ignored (MokDBState)",
    "SbatLevel": "shim: the revocation level of boot programs (SbatLevel)",
    "Shim": "shim: its own certificate",
}
_SECTIONS: Final = frozenset(
    {".linux", ".osrel", ".cmdline", ".initrd", ".splash", ".dtb", ".uname", ".sbat", ".pcrpkey", ".profile", ".ucode"}
)


def boot_program_text(data: bytes) -> tuple[str, str]:
    """EV_IPL data: what it is, and the text. Raises ``Malformed`` where the data is no text."""
    text = printable_text(data)
    if text is None:
        raise Malformed("The boot program's event is no text.")
    found = grub_string(data)
    if found is not None:
        return _PREFIXES[found[0]], printable_text(found[1]) or "(empty)"
    if text in _SHIM:
        return _SHIM[text], text
    if text in _SECTIONS:
        return f"section {text} of the unified kernel image", text
    if text.startswith(("(", "/")):
        return "file read by the boot program", text
    return "measured by a boot program", text


def grub_string(data: bytes) -> tuple[str, bytes] | None:
    """A command or command line that GRUB measured: the kind, and the bytes after it, which are what was hashed."""
    for prefix in _PREFIXES:
        for mark in (": ", " "):
            start = (prefix + mark).encode()
            if data.startswith(start):
                return prefix, data[len(start) :]
    return None


def tagged_event(data: bytes) -> dict[str, str]:
    """TCG_PCClientTaggedEvent: ``u32 tag, u32 size, data``. Raises ``Malformed``."""
    if len(data) < 8:
        raise Malformed("The tagged event is cut short.")
    tag, size = int.from_bytes(data[:4], "little"), int.from_bytes(data[4:8], "little")
    if size > len(data) - 8:
        raise Malformed("The tagged event has a wrong size.")
    body = data[8 : 8 + size]
    text = printable_text(body)
    return {
        "tag": f"0x{tag:08x}",
        "meaning": _TAGS.get(tag, f"tag 0x{tag:08x}"),
        "text": one_line(text) if text is not None else body[:64].hex(),
    }
