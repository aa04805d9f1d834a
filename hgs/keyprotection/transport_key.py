"""The transport key: 32 random bytes that a key protector wraps, and the keys derived from it.

Nothing is ever encrypted under the transport key itself; each use has its own key, HKDF-SHA256 with
info = `guarded-fabric/` + purpose, no salt (the transport key is uniformly random).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

from hgs.keyprotection import algorithms
from hgs.keyprotection.algorithms import KEY_SIZE, RandomBytes
from hgs.keyprotection.secret import Secret

Purpose = Literal["transport-key-signature", "shielding-data", "vm-state", "recovery-key"]
PURPOSES: Final[tuple[str, ...]] = get_args(Purpose)


def purpose_info(purpose: Purpose) -> bytes:
    """The HKDF info of a purpose."""
    if purpose not in PURPOSES:
        raise ValueError(f"there is no derived key for the purpose {purpose!r}")
    return b"guarded-fabric/" + purpose.encode()


@dataclass(frozen=True, slots=True)
class TransportKey:
    """A transport key. Prints without its value."""

    value: Secret

    def __post_init__(self) -> None:
        if len(self.value) != KEY_SIZE:
            raise ValueError(f"a transport key has {KEY_SIZE} bytes")

    @classmethod
    def generate(cls, random_bytes: RandomBytes) -> TransportKey:
        """A new transport key from the given source of randomness."""
        return cls(Secret(random_bytes(KEY_SIZE)))

    def derive(self, purpose: Purpose) -> Secret:
        """The 32-byte key for one purpose. Raises ValueError for a purpose that is not in PURPOSES."""
        return algorithms.hkdf_sha256(self.value, purpose_info(purpose))
