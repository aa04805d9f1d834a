"""The authorisation data that a domain puts into its Kerberos tickets: who an account is, and its groups.

[MS-PAC]: a container (PACTYPE, section 2.3) of buffers, one of which holds KERB_VALIDATION_INFO (2.5) as NDR type
serialisation version 1 ([MS-RPCE] 2.2.6), little-endian. Only what attestation asks for is read; everything on the way
to it is checked: signature, alignment and bounds of the buffers, each count against the array it belongs to, each
string against its length, and that nothing but padding is left over.

Nothing here verifies a signature. Whoever calls has the bytes from the Kerberos library, which checked the domain
controller's signature over them.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise
from typing import Final, Self

from hgs.attestation.errors import Malformed, TooLarge, Unsupported
from hgs.attestation.sid import MAX_SUBAUTHORITIES, Sid

MAX_PAC: Final = 64 * 1024
"""Bytes of a whole PAC; Windows gives out tokens of at most 48,000 bytes by default."""
MAX_BUFFERS: Final = 32
MAX_GROUPS: Final = 2048
"""Groups of one kind; Windows itself signs nobody in who has more than 1,015 in all."""
MAX_NAME: Final = 512
"""Characters of any text."""
_HEADER: Final = struct.Struct("<II")
_BUFFER: Final = struct.Struct("<IIQ")
_NDR_HEADER: Final = struct.Struct("<BBHIII")
_NDR_START: Final = (1, 0x10, 8, 0xCCCCCCCC)
_PADDED_TO: Final = 8
_EXTRA_SIDS: Final = 0x20
_RESOURCE_GROUPS: Final = 0x200
_ENABLED: Final = 0x4
_DENY_ONLY: Final = 0x10
_COMPUTER_ACCOUNTS: Final = 0x80 | 0x100


class BufferType(IntEnum):
    """The buffers that matter ([MS-PAC] 2.4). The one of delegation says by being there all that is asked of it."""

    LOGON_INFO = 0x01
    S4U_DELEGATION_INFO = 0x0B
    REQUESTOR = 0x12


@dataclass(frozen=True)
class DomainAccount:
    """An account as its domain controller described it in a ticket.

    ``groups`` are the enabled ones of all kinds (the primary group, groups of its domain, of other domains, and
    domain-local ones), each once, in the ticket's order.
    """

    sid: Sid
    name: str
    domain: str
    primary_group: Sid
    groups: tuple[Sid, ...]
    is_computer: bool


def read_pac(data: bytes) -> DomainAccount:
    """The account that a PAC describes, which asked for its ticket itself.

    Raises ``Malformed``, ``TooLarge`` or ``Unsupported``.
    """
    buffers = _buffers(data)
    if BufferType.S4U_DELEGATION_INFO in buffers:
        raise Unsupported("The ticket was obtained by a service on behalf of the account, not by the account itself.")
    logon = buffers.get(BufferType.LOGON_INFO)
    if logon is None:
        raise Malformed("The ticket's authorisation data do not say who the account is.")
    account = _ValidationInfo(logon).read()
    requestor = buffers.get(BufferType.REQUESTOR)
    if requestor is not None and _requestor(requestor) != account.sid:
        raise Malformed("The ticket was requested by another account than it describes.")
    return account


def _buffers(data: bytes) -> dict[int, bytes]:
    """The content of each buffer by its type; types that nobody reads are kept too, so that none comes twice."""
    if len(data) > MAX_PAC:
        raise TooLarge(f"The ticket's authorisation data have {len(data)} bytes; the limit is {MAX_PAC}.")
    if len(data) < _HEADER.size:
        raise Malformed("The ticket's authorisation data are cut short.")
    count, version = _HEADER.unpack_from(data)
    if version != 0 or not 1 <= count <= MAX_BUFFERS:
        raise Malformed("The ticket's authorisation data are of an unknown form.")
    end = _HEADER.size + count * _BUFFER.size
    if end > len(data):
        raise Malformed("The ticket's authorisation data are cut short.")
    found: dict[int, bytes] = {}
    taken: list[tuple[int, int]] = []
    for index in range(count):
        kind, size, offset = _BUFFER.unpack_from(data, _HEADER.size + index * _BUFFER.size)
        if offset % 8 or offset < end or offset + size > len(data) or kind in found:
            raise Malformed("A part of the ticket's authorisation data is not where it is said to be.")
        found[kind] = data[offset : offset + size]
        taken.append((offset, offset + size))
    taken.sort()
    if any(before[1] > after[0] for before, after in pairwise(taken)):
        raise Malformed("Parts of the ticket's authorisation data overlap.")
    return found


def _requestor(data: bytes) -> Sid:
    """PAC_REQUESTOR (2.15): a SID in the form of [MS-DTYP] 2.4.2.2, without NDR."""
    if len(data) < 8 or data[0] != 1 or not 1 <= data[1] <= MAX_SUBAUTHORITIES or len(data) != 8 + 4 * data[1]:
        raise Malformed("The ticket names who requested it in an unknown form.")
    return Sid(int.from_bytes(data[2:8], "big"), struct.unpack_from(f"<{data[1]}I", data, 8))


class _Ndr:
    """NDR primitives over one buffer; every read is bounded."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0

    @property
    def left(self) -> int:
        return len(self._data) - self.at

    def take(self, size: int) -> bytes:
        if size > self.left:
            raise Malformed("The description of the account is cut short.")
        self.at += size
        return self._data[self.at - size : self.at]

    def u16(self) -> int:
        return int.from_bytes(self.take(2), "little")

    def u32(self) -> int:
        self.take(-self.at % 4)
        return int.from_bytes(self.take(4), "little")

    def count(self, expected: int) -> int:
        """The size of a conformant array, which must be what the structure announced."""
        found = self.u32()
        if found != expected:
            raise Malformed("A list in the description of the account is not as long as announced.")
        return found

    def sid(self) -> Sid:
        """RPC_SID behind a pointer."""
        announced = self.u32()
        revision, count = self.take(2)
        if revision != 1 or count != announced or not 1 <= count <= MAX_SUBAUTHORITIES:
            raise Malformed("A security identifier in the description of the account is of an unknown form.")
        authority = int.from_bytes(self.take(6), "big")
        return Sid(authority, struct.unpack(f"<{count}I", self.take(4 * count)))


@dataclass(frozen=True)
class _Text:
    """RPC_UNICODE_STRING: lengths in bytes, and whether there is text behind the pointer."""

    length: int
    maximum: int
    is_present: bool

    @classmethod
    def announced(cls, ndr: _Ndr) -> Self:
        length, maximum, pointer = ndr.u16(), ndr.u16(), ndr.u32()
        if length % 2 or maximum % 2 or length > maximum or (length and not pointer):
            raise Malformed("A text in the description of the account has an impossible length.")
        return cls(length, maximum, bool(pointer))

    def read(self, ndr: _Ndr) -> str:
        if not self.is_present:
            return ""
        room, start, used = ndr.u32(), ndr.u32(), ndr.u32()
        if start or used * 2 != self.length or room * 2 != self.maximum:
            raise Malformed("A text in the description of the account is not as long as announced.")
        raw = ndr.take(self.length)
        if used > MAX_NAME:
            raise TooLarge(f"A text in the description of the account has more than {MAX_NAME} characters.")
        try:
            return raw.decode("utf-16-le")
        except UnicodeDecodeError as error:
            raise Malformed("A text in the description of the account is not UTF-16.") from error


_List = tuple[int, bool]


@dataclass(frozen=True)
class _Fixed:
    """The fixed part of KERB_VALIDATION_INFO, without what nobody asks for; a list is its length and whether it is."""

    texts: tuple[_Text, ...]
    user: int
    primary: int
    groups: _List
    flags: int
    server: _Text
    domain: _Text
    has_domain_sid: bool
    control: int
    extra: _List
    has_resource_domain: bool
    resource: _List


class _ValidationInfo:
    """KERB_VALIDATION_INFO: its fixed part, then what its pointers refer to, in the order of the pointers."""

    def __init__(self, data: bytes) -> None:
        if len(data) < _NDR_HEADER.size:
            raise Malformed("The description of the account is cut short.")
        version, order, size, filler, length, _ = _NDR_HEADER.unpack_from(data)
        if (
            (version, order, size, filler) != _NDR_START
            or length != len(data) - _NDR_HEADER.size
            or length % _PADDED_TO
        ):
            raise Malformed("The description of the account is not in the form that domains write.")
        self._ndr = _Ndr(data[_NDR_HEADER.size :])

    def read(self) -> DomainAccount:
        """The account. Everything is read to the end before anything is believed."""
        fixed, ndr = self._fixed(), self._ndr
        name, *_ = [text.read(ndr) for text in fixed.texts]
        rids = self._rids(*fixed.groups)
        fixed.server.read(ndr)
        domain = fixed.domain.read(ndr)
        if not fixed.has_domain_sid or not fixed.user:
            raise Unsupported("The account is described without its domain or its number in it.")
        domain_sid = ndr.sid()
        extra = self._sids(*fixed.extra)
        resource_domain = ndr.sid() if fixed.has_resource_domain else None
        local_rids = self._rids(*fixed.resource)
        if ndr.left >= _PADDED_TO:
            raise Malformed("The description of the account is followed by something else.")
        if (extra and not fixed.flags & _EXTRA_SIDS) or (local_rids and not fixed.flags & _RESOURCE_GROUPS):
            raise Malformed("The description of the account has groups that it does not announce.")
        if local_rids and resource_domain is None:
            raise Malformed("The description of the account has groups of an unnamed domain.")
        primary = domain_sid.with_rid(fixed.primary)
        local = [resource_domain.with_rid(rid) for rid in local_rids] if resource_domain else []
        return DomainAccount(
            sid=domain_sid.with_rid(fixed.user),
            name=name,
            domain=domain,
            primary_group=primary,
            groups=tuple(dict.fromkeys([primary, *map(domain_sid.with_rid, rids), *extra, *local])),
            is_computer=bool(fixed.control & _COMPUTER_ACCOUNTS),
        )

    def _fixed(self) -> "_Fixed":
        ndr = self._ndr
        if not ndr.u32():
            raise Malformed("The description of the account is empty.")
        ndr.take(6 * 8)  # times of sign-in and of the password
        texts = tuple(_Text.announced(ndr) for _ in range(6))
        ndr.take(4)  # counts of sign-ins and of wrong passwords
        user, primary, groups, flags = ndr.u32(), ndr.u32(), self._announced(), ndr.u32()
        ndr.take(16)  # session key
        server, domain, has_domain_sid = _Text.announced(ndr), _Text.announced(ndr), bool(ndr.u32())
        ndr.take(8)
        control = ndr.u32()
        ndr.take(28)
        extra, has_resource_domain, resource = self._announced(), bool(ndr.u32()), self._announced()
        return _Fixed(
            texts, user, primary, groups, flags, server, domain, has_domain_sid, control, extra, has_resource_domain,
            resource,
        )  # fmt: skip

    def _announced(self) -> "_List":
        """A list's length and whether there is one; checked before anything is taken for it."""
        count, pointer = self._ndr.u32(), self._ndr.u32()
        if count > MAX_GROUPS:
            raise TooLarge(f"The account is in more than {MAX_GROUPS} groups of one kind.")
        if count and not pointer:
            raise Malformed("A list in the description of the account is missing.")
        return count, bool(pointer)

    def _rids(self, count: int, is_present: bool) -> list[int]:
        """GROUP_MEMBERSHIP[]: those that are enabled."""
        if not is_present:
            return []
        raw = self._ndr.take(8 * self._ndr.count(count))
        return [rid for rid, attributes in struct.iter_unpack("<II", raw) if _counts(attributes)]

    def _sids(self, count: int, is_present: bool) -> list[Sid]:
        """KERB_SID_AND_ATTRIBUTES[]: first all pointers with their attributes, then what they refer to."""
        if not is_present:
            return []
        pairs = list(struct.iter_unpack("<II", self._ndr.take(8 * self._ndr.count(count))))
        if not all(pointer for pointer, _ in pairs):
            raise Malformed("A security identifier in the description of the account is missing.")
        named = [(self._ndr.sid(), attributes) for _, attributes in pairs]
        return [sid for sid, attributes in named if _counts(attributes)]


def _counts(attributes: int) -> bool:
    return bool(attributes & _ENABLED) and not attributes & _DENY_ONLY


__all__ = ["MAX_PAC", "BufferType", "DomainAccount", "read_pac"]
