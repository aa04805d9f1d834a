"""Unified kernel images: what systemd-stub measures of them into PCR 11 before the kernel runs (systemd-stub(7)).

Each section counts twice: its name with a final zero, then its contents. Stub 252 was compared with real event logs;
the later ones measure the sections that systemd-measure(1) adds.
"""

from __future__ import annotations

import re
from typing import Final

from fabric.disks.efi_image import EfiImage, EfiImageError

_STUB: Final = re.compile(rb"systemd-stub (\d{3})")
_SECTIONS_252: Final = (".linux", ".osrel", ".cmdline", ".initrd", ".splash", ".dtb")
_SECTIONS_254: Final = (*_SECTIONS_252, ".uname", ".sbat")
_SECTIONS: Final = {252: _SECTIONS_252, 254: _SECTIONS_254, 255: _SECTIONS_254, 256: _SECTIONS_254}


def measured_events(image: EfiImage) -> tuple[bytes, ...]:
    """The contents of the events of PCR 11, in order. Raises `EfiImageError` if the stub is not known."""
    found = _STUB.search(image.contents(".sdmagic") or b"")
    version = int(found.group(1)) if found else 0
    if version not in _SECTIONS:
        known = ", ".join(str(number) for number in _SECTIONS)
        raise EfiImageError(f"it is not a unified kernel image of a known systemd-stub ({known})")
    events: list[bytes] = []
    for name in _SECTIONS[version]:
        contents = image.contents(name)
        if contents:
            events += [name.encode() + b"\0", contents]
    return tuple(events)
