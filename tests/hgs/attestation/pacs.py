"""PACs as a domain controller writes them, for tests: the writer that the reader is tried with."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from hgs.attestation.sid import Sid

ENABLED = 0x7
DOMAIN = Sid(5, (21, 1001, 1002, 1003))


@dataclass(frozen=True)
class Account:
    """What a PAC says. Groups are (number or identifier, attributes)."""

    name: str = "HV01$"
    domain_name: str = "GUARDED"
    domain: Sid = DOMAIN
    user: int = 1103
    primary: int = 515
    groups: tuple[tuple[int, int], ...] = ((515, ENABLED), (1104, ENABLED))
    extra: tuple[tuple[Sid, int], ...] = ()
    resource_domain: Sid | None = None
    resource: tuple[tuple[int, int], ...] = ()
    flags: int | None = None
    control: int = 0x80
    texts: tuple[str, ...] = ("", "", "", "", "")

    def but(self, **changes: object) -> "Account":
        return replace(self, **changes)  # type: ignore[arg-type]


@dataclass
class _Writer:
    fixed: bytearray = field(default_factory=bytearray)
    deferred: bytearray = field(default_factory=bytearray)
    pointers: int = 0

    def pointer(self, present: bool) -> bytes:
        if not present:
            return bytes(4)
        self.pointers += 1
        return struct.pack("<I", 0x20000 + 4 * self.pointers)

    def text(self, value: str) -> None:
        raw = value.encode("utf-16-le")
        self.fixed += struct.pack("<HH", len(raw), len(raw)) + self.pointer(present=True)
        self._align()
        self.deferred += struct.pack("<III", len(raw) // 2, 0, len(raw) // 2) + raw

    def list_(self, count: int, present: bool) -> None:
        self.fixed += struct.pack("<I", count) + self.pointer(present)

    def rids(self, groups: Sequence[tuple[int, int]]) -> None:
        self._align()
        self.deferred += struct.pack("<I", len(groups)) + b"".join(struct.pack("<II", *group) for group in groups)

    def sid(self, sid: Sid) -> None:
        self._align()
        count = len(sid.subauthorities)
        self.deferred += struct.pack("<IBB", count, 1, count) + sid.authority.to_bytes(6, "big")
        self.deferred += struct.pack(f"<{count}I", *sid.subauthorities)

    def _align(self) -> None:
        self.deferred += bytes(-len(self.deferred) % 4)


def logon_info(account: Account) -> bytes:
    """KERB_VALIDATION_INFO, NDR type serialisation version 1."""
    out = _Writer()
    out.fixed += out.pointer(present=True) + bytes(48)
    for text in (account.name, *account.texts):
        out.text(text)
    out.fixed += bytes(4) + struct.pack("<II", account.user, account.primary)
    out.list_(len(account.groups), bool(account.groups))
    if account.groups:
        out.rids(account.groups)
    flags = account.flags
    if flags is None:
        flags = (0x20 if account.extra else 0) | (0x200 if account.resource else 0)
    out.fixed += struct.pack("<I", flags) + bytes(16)
    out.text("DC1")
    out.text(account.domain_name)
    out.fixed += out.pointer(present=True) + bytes(8) + struct.pack("<I", account.control) + bytes(28)
    out.sid(account.domain)
    out.list_(len(account.extra), bool(account.extra))
    if account.extra:
        out.deferred += struct.pack("<I", len(account.extra))
        for _, attributes in account.extra:
            out.deferred += out.pointer(present=True) + struct.pack("<I", attributes)
        for sid, _ in account.extra:
            out.sid(sid)
    out.fixed += out.pointer(account.resource_domain is not None)
    if account.resource_domain is not None:
        out.sid(account.resource_domain)
    out.list_(len(account.resource), bool(account.resource))
    if account.resource:
        out.rids(account.resource)
    body = bytes(out.fixed + out.deferred)
    body += bytes(-len(body) % 8)
    return struct.pack("<BBHIII", 1, 0x10, 8, 0xCCCCCCCC, len(body), 0) + body


def requestor(sid: Sid) -> bytes:
    """PAC_REQUESTOR."""
    count = len(sid.subauthorities)
    return (
        struct.pack("<BB", 1, count) + sid.authority.to_bytes(6, "big") + struct.pack(f"<{count}I", *sid.subauthorities)
    )


def container(*buffers: tuple[int, bytes]) -> bytes:
    """PACTYPE with these buffers, each on a multiple of eight."""
    at = 8 + 16 * len(buffers)
    head, body = struct.pack("<II", len(buffers), 0), b""
    for kind, data in buffers:
        head += struct.pack("<IIQ", kind, len(data), at + len(body))
        body += data + bytes(-len(data) % 8)
    return head + body


def pac(account: Account) -> bytes:
    """A whole PAC of an account, with a checksum that nobody looks at here."""
    return container((1, logon_info(account)), (6, bytes(20)))
