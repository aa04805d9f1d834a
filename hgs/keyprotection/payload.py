"""The transport key payload: what EncryptedTransportKeys holds ([MS-KPS] 2.2.3.10).

All numbers are unsigned 32-bit. The specification names the fields but neither byte order nor repetition; here the
order is little-endian and {KeyLength, KeyValue} repeats for each key, ingress first, egress second.

    V1: DataSize · Version = 1 · NumberOfKeys · {KeyLength · KeyValue}…
    V2: the same with Version = 2 · NumberOfPolicies · {PolicyId = 1 · PolicyType = 6 · PolicyDataSize · PolicyData}…

DataSize counts the whole blob. The meaning of PolicyData is not public; here it is one number, how often the host may
open the egress protector without asking again (1 to 2^32 - 1). No such permission is written as no policy, so each
payload has one form; V1 has no room for a permission and never gives one.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from hgs.keyprotection.algorithms import KEY_SIZE
from hgs.keyprotection.errors import InvalidResponseError
from hgs.keyprotection.secret import Secret
from hgs.keyprotection.transport_key import TransportKey

VERSIONS: Final = (1, 2)
OFFLINE_UNWRAPS_MAX: Final = 2**32 - 1
_KEYS: Final = 2
_HEADER: Final = struct.Struct("<III")
_LENGTH: Final = struct.Struct("<I")
_POLICY: Final = struct.Struct("<IIII")
_POLICY_HEAD: Final = (1, 6, _LENGTH.size)
"""PolicyId, PolicyType, PolicyDataSize."""


@dataclass(frozen=True, slots=True)
class Payload:
    """The two keys, and how often the host may open the egress protector without HGS."""

    ingress: TransportKey
    egress: TransportKey
    offline_unwraps: int = 0


def serialise_payload(ingress: TransportKey, egress: TransportKey, version: int, offline_unwraps: int = 0) -> Secret:
    """The blob for two keys. `version` is 1 or 2; version 1 drops the permission for offline use."""
    if version not in VERSIONS:
        raise ValueError(f"there is no payload version {version}")
    if not 0 <= offline_unwraps <= OFFLINE_UNWRAPS_MAX:
        raise ValueError("the number of offline unwraps is an unsigned 32-bit number")
    body = b"".join(_LENGTH.pack(len(key.value)) + key.value.reveal() for key in (ingress, egress))
    if version == 2:
        body += _LENGTH.pack(1 if offline_unwraps else 0)
        body += _POLICY.pack(*_POLICY_HEAD, offline_unwraps) if offline_unwraps else b""
    return Secret(_HEADER.pack(_HEADER.size + len(body), version, _KEYS) + body)


def parse_payload(data: Secret, version: int) -> Payload:
    """The payload in a blob of the version asked for. Raises InvalidResponseError."""
    blob = data.reveal()
    end_of_keys = _HEADER.size + _KEYS * (_LENGTH.size + KEY_SIZE)
    if len(blob) < end_of_keys or _HEADER.unpack_from(blob) != (len(blob), version, _KEYS):
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
    return Payload(keys[0], keys[1], _offline_unwraps(blob[end_of_keys:], version))


def _offline_unwraps(policies: bytes, version: int) -> int:
    """What follows the keys: nothing in version 1, a number of policies and at most one of them in version 2."""
    none = _LENGTH.pack(0) if version == 2 else b""
    if policies == none:
        return 0
    if version == 2 and len(policies) == _LENGTH.size + _POLICY.size and _LENGTH.unpack_from(policies) == (1,):
        *head, unwraps = _POLICY.unpack_from(policies, _LENGTH.size)
        if tuple(head) == _POLICY_HEAD and unwraps > 0:
            return int(unwraps)
    raise InvalidResponseError("payload", "The reply carries key policies that are not known.")
