"""Archives that nobody would make in good faith."""

import struct


def crowded(members: int) -> bytes:
    """A ZIP file of nothing but its directory, with so many members in it, all named x."""
    directory = (b"PK\x01\x02" + bytes(24) + struct.pack("<H", 1) + bytes(16) + b"x") * members
    count = min(members, 0xFFFF)
    return directory + struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, count, count, len(directory), 0, 0)
