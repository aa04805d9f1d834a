"""Reading and writing the TPM's big-endian, length-prefixed structures (TPM 2.0 Library, part 2)."""

from hgs.attestation.errors import Malformed


class Reader:
    """Consumes bytes from the front; every shortage is :class:`Malformed`, named after ``what``."""

    def __init__(self, data: bytes, what: str) -> None:
        self._data = data
        self._at = 0
        self.what = what

    def take(self, size: int) -> bytes:
        """Exactly ``size`` bytes."""
        if size > len(self._data) - self._at:
            raise Malformed(f"The {self.what} is cut short.")
        start = self._at
        self._at += size
        return self._data[start : self._at]

    def number(self, size: int) -> int:
        """An unsigned big-endian integer of ``size`` bytes."""
        start, self._at = self._at, self._at + size
        if self._at > len(self._data):
            raise Malformed(f"The {self.what} is cut short.")
        return int.from_bytes(self._data[start : self._at], "big")

    def sized(self, limit: int) -> bytes:
        """A TPM2B: u16 length, then that many bytes, at most ``limit``."""
        size = self.number(2)
        if size > limit:
            raise Malformed(f"The {self.what} holds a buffer of {size} bytes; the limit is {limit}.")
        return self.take(size)

    def finish(self) -> None:
        """Nothing may be left."""
        if self._at != len(self._data):
            raise Malformed(f"The {self.what} has {len(self._data) - self._at} bytes too many.")


def sized(data: bytes) -> bytes:
    """A TPM2B of ``data``."""
    return len(data).to_bytes(2, "big") + data
