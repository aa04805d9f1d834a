"""Windows' records in PCR 11-14 and its trust point, decoded for people (wbcl.h).

Record data are TLVs, ``u32 type, u32 size, payload``; a type with bit 30 holds further TLVs. Little-endian. Unlike
:mod:`hgs.attestation.sipa` this decides nothing and reads on where a payload is odd.
"""

import hashlib
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key

from hgs.attestation.errors import Malformed
from hgs.attestation.offline.device_path import utf16
from hgs.attestation.offline.names import bank_name
from hgs.attestation.offline.uefi import one_line
from hgs.attestation.offline.windows_names import FLAGS, HASHES, NUMBERS, TEXTS, TRANSFERS, UNLOCKS, sipa_name
from hgs.attestation.sipa_records import SiPolicyInfo, VsmKey

MAX_DEPTH: Final = 6
MAX_LEAVES: Final = 20_000
END_MARKER: Final = b"WBCL"
WINDOWS_PCRS: Final = (12, 13, 14)
_AGGREGATION: Final = 0x40000000
_MODULE: Final = "LOADEDMODULE_AGGREGATION"
_TLV: Final = struct.Struct("<II")


@dataclass(frozen=True)
class SipaItem:
    """One record. ``value``: number, text or hexadecimal; ``words``: for people; containers have ``children``."""

    type: int
    payload: bytes
    children: tuple["SipaItem", ...] = ()

    @property
    def name(self) -> str:
        """As wbcl.h has it, without ``SIPAEVENT_``; ``0x…`` where it has none."""
        return sipa_name(self.type)

    @property
    def value(self) -> int | str:
        """The payload as JSON has it."""
        if self.name in NUMBERS and 0 < len(self.payload) <= 8:
            return int.from_bytes(self.payload, "little")
        if self.name in TEXTS:
            return one_line(utf16(self.payload), 2048)
        return self.payload.hex()

    def as_json(self) -> dict[str, Any]:
        """``{"name", "type", "value" | "children", "words"}``."""
        found: dict[str, Any] = {"name": self.name, "type": f"0x{self.type:08x}"}
        if self.children:
            return found | {"children": [child.as_json() for child in self.children]}
        return found | {"value": self.value, "words": in_words(self)}


def looks_like_sipa(data: bytes) -> bool:
    """Whether the data is exactly one TLV of a class that Windows uses."""
    if len(data) < _TLV.size:
        return False
    kind, size = _TLV.unpack_from(data)
    return size == len(data) - _TLV.size and not kind & 0x3FF00000 and 1 <= (kind >> 16 & 0xF) <= 0xC


def decode_sipa(data: bytes) -> tuple[SipaItem, ...]:
    """Read an event's data. Raises ``Malformed`` when it is no sequence of TLVs."""
    return tuple(_decode(data, 0, [MAX_LEAVES]))


def _decode(data: bytes, depth: int, left: list[int]) -> list[SipaItem]:
    if depth > MAX_DEPTH:
        raise Malformed("The Windows records are nested too deep.")
    items: list[SipaItem] = []
    offset = 0
    while offset < len(data):
        if len(data) - offset < _TLV.size:
            raise Malformed("A Windows record is cut short.")
        kind, size = _TLV.unpack_from(data, offset)
        offset += _TLV.size
        left[0] -= 1
        if size > len(data) - offset or left[0] < 0:
            raise Malformed("A Windows record is cut short.")
        payload = data[offset : offset + size]
        children = tuple(_decode(payload, depth + 1, left)) if kind & _AGGREGATION else ()
        items.append(SipaItem(kind, payload, children))
        offset += size
    return items


def facts(items: Iterable[SipaItem]) -> dict[str, Any]:
    """Name -> value, or the list of values in order where a record occurs with different ones.

    The records of loaded modules are left out; see :func:`modules`.
    """
    found: dict[str, list[int | str]] = {}
    for item in _walk(items, skip=_MODULE):
        found.setdefault(item.name, []).append(item.value)
    return {name: values[0] if len(set(values)) == 1 else values for name, values in found.items()}


def modules(items: Iterable[SipaItem]) -> list[dict[str, int | str]]:
    """The loaded modules, each as name -> value of its records, in order and without repetitions."""
    found = {tuple((leaf.name, leaf.value) for leaf in _walk(item.children)): None for item in _modules(items)}
    return [dict(module) for module in found]


def _modules(items: Iterable[SipaItem]) -> Iterator[SipaItem]:
    for item in items:
        if item.name == _MODULE:
            yield item
        else:
            yield from _modules(item.children)


def _walk(items: Iterable[SipaItem], skip: str = "") -> Iterator[SipaItem]:
    """All records that are no containers, in order."""
    for item in items:
        if item.type & _AGGREGATION:
            if item.name != skip:
                yield from _walk(item.children, skip)
        else:
            yield item


# ---- in words ------------------------------------------------------------------------------------------------------


def in_words(item: SipaItem) -> str:
    """What the record says, in a few words."""
    name, payload = item.name, item.payload
    try:
        if name in _WORDS:
            return one_line(_WORDS[name](payload))
    except (Malformed, ValueError, struct.error, IndexError, OverflowError):
        return f"(unreadable: {payload[:32].hex()})"
    if name in FLAGS and len(payload) == 1:
        return {0: "no", 1: "yes"}.get(payload[0], f"neither yes nor no ({payload[0]})")
    value = item.value
    return str(value) if isinstance(value, int) or name in TEXTS else _hexadecimal(payload)


def _hexadecimal(payload: bytes) -> str:
    return payload[:48].hex() + (f"… ({len(payload)} bytes)" if len(payload) > 48 else "")


def _number(payload: bytes) -> int:
    if not 0 < len(payload) <= 8:
        raise ValueError
    return int.from_bytes(payload, "little")


def _transfer(payload: bytes) -> str:
    return TRANSFERS.get(_number(payload), str(_number(payload)))


def _unlock(payload: bytes) -> str:
    value = _number(payload)
    return ", ".join(name for bit, name in UNLOCKS if value & bit) or "nothing was unlocked"


def _si_policy(payload: bytes) -> str:
    policy = SiPolicyInfo.parse(payload)
    return f"code-integrity policy {policy.label}, {bank_name(policy.hash_algorithm)} {policy.digest.hex()}"


def _identity_key(payload: bytes) -> str:
    key = VsmKey.parse(payload)
    modulus = f"{key.modulus:x}"
    return f"RSA-{key.modulus.bit_length()} key, exponent {key.exponent}, modulus {modulus[:16]}…{modulus[-8:]}"


def _revocation_list(payload: bytes) -> str:
    created, size, algorithm = struct.unpack_from("<qIH", payload)
    when = datetime(1601, 1, 1, tzinfo=UTC) + timedelta(microseconds=created // 10)
    return f"revocation list of {when:%Y-%m-%d}, {bank_name(algorithm)} {payload[14 : 14 + size].hex()}"


def _custom_policy(payload: bytes) -> str:
    version, offset, algorithm, size, options, signers = struct.unpack_from("<IIHHII", payload)
    digest = payload[offset : offset + size].hex()
    return (
        f"Secure Boot policy (form {version}), options 0x{options:x}, {signers} signers, "
        f"{bank_name(algorithm)} {digest or 'none'}"
    )


def _public_key(payload: bytes) -> str:
    try:
        key = load_der_public_key(payload)
    except (ValueError, UnsupportedAlgorithm):
        return _hexadecimal(payload)
    kind = f"RSA-{key.key_size}" if isinstance(key, rsa.RSAPublicKey) else "other"
    return f"{kind} public key, sha256 {hashlib.sha256(payload).hexdigest()}"


def _dep(payload: bytes) -> str:
    return {0: "always off", 1: "always on", 2: "on for Windows programs", 3: "on unless opted out"}.get(
        _number(payload), str(_number(payload))
    )


def _launch(payload: bytes) -> str:
    value = _number(payload)
    return "not started" if value == 0 else f"started (type {value})"


_WORDS: Final[dict[str, Callable[[bytes], str]]] = {
    "TRANSFER_CONTROL": _transfer,
    "BITLOCKER_UNLOCK": _unlock,
    "SI_POLICY": _si_policy,
    "VSM_IDK_INFO": _identity_key,
    "VSM_IDKS_INFO": _identity_key,
    "BOOT_REVOCATION_LIST": _revocation_list,
    "OS_REVOCATION_LIST": _revocation_list,
    "SBCP_INFO": _custom_policy,
    "AUTHORITYPUBKEY": _public_key,
    "DATAEXECUTIONPREVENTION": _dep,
    "HYPERVISOR_LAUNCH_TYPE": _launch,
    "VSM_LAUNCH_TYPE": _launch,
    "HASHALGORITHMID": lambda payload: HASHES.get(_number(payload), f"0x{_number(payload):x}"),
    "MORBIT_API_STATUS": lambda payload: f"0x{_number(payload):08x}",
    "OSDEVICE": lambda payload: f"0x{_number(payload):x}",
    "IMAGEBASE": lambda payload: f"0x{_number(payload):x}",
    "SMT_STATUS": lambda payload: {0: "off", 1: "on", 2: "off by software"}.get(
        _number(payload), str(_number(payload))
    ),
}
