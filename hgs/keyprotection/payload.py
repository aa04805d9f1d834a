"""The transport key payload: what EncryptedTransportKeys holds ([MS-KPS] 2.2.3.10).

All numbers are unsigned 32-bit. The specification names the fields but neither byte order nor repetition; here the
order is little-endian and {KeyLength, KeyValue} repeats for each key, ingress first, egress second.

    V1: DataSize · Version = 1 · NumberOfKeys · {KeyLength · KeyValue}…
    V2: the same with Version = 2 · NumberOfPolicies · {PolicyId = 1 · PolicyType = 6 · PolicyDataSize · PolicyData}…

DataSize counts the whole blob. The meaning of PolicyData is not public: we write no policies and accept none.
"""

from __future__ import annotations

import struct
from typing import Final

from hgs.keyprotection.algorithms import KEY_SIZE
from hgs.keyprotection.errors import InvalidResponseError
from hgs.keyprotection.secret import Secret
from hgs.keyprotection.transport_key import TransportKey

VERSIONS: Final = (1, 2)
_KEYS: Final = 2
_HEADER: Final = struct.Struct("<III")
_LENGTH: Final = struct.Struct("<I")


def serialise_payload(ingress: TransportKey, egress: TransportKey, version: int) -> Secret:
    """The blob for two keys. `version` is 1 or 2."""
    if version not in VERSIONS:
        raise ValueError(f"there is no payload version {version}")
    body = b"".join(_LENGTH.pack(len(key.value)) + key.value.reveal() for key in (ingress, egress))
    if version == 2:
        body += _LENGTH.pack(0)
    return Secret(_HEADER.pack(_HEADER.size + len(body), version, _KEYS) + body)


def parse_payload(data: Secret, version: int) -> tuple[TransportKey, TransportKey]:
    """(ingress, egress) from a blob of the version asked for. Raises InvalidResponseError."""
    blob = data.reveal()
    expected = _HEADER.size + _KEYS * (_LENGTH.size + KEY_SIZE) + (_LENGTH.size if version == 2 else 0)
    if len(blob) != expected or _HEADER.unpack_from(blob) != (expected, version, _KEYS):
        raise InvalidResponseError("payload", "The transport keys in the reply are not of the documented form.")
    keys = []
    offset = _HEADER.size
    for _ in range(_KEYS):
        (length,) = _LENGTH.unpack_from(blob, offset)
        if length != KEY_SIZE:
            raise InvalidResponseError("payload", f"A transport key in the reply has not {KEY_SIZE} bytes.")
        offset += _LENGTH.size
        keys.append(TransportKey(Secret(blob[offset : offset + KEY_SIZE])))
        offset += KEY_SIZE
    if version == 2 and _LENGTH.unpack_from(blob, offset) != (0,):
        raise InvalidResponseError("payload", "The reply carries key policies, which are not supported.")
    return keys[0], keys[1]
