"""Writes the authorisation data of a Kerberos ticket ([MS-PAC]), as far as a reader needs them."""

import struct


class _Ndr:
    """NDR: fixed parts first, what their pointers refer to afterwards."""

    def __init__(self) -> None:
        self.fixed = b""
        self.deferred = b""

    def u32(self, *numbers: int) -> None:
        self.fixed += struct.pack(f"<{len(numbers)}I", *numbers)

    def text(self, value: str) -> None:
        raw = value.encode("utf-16-le")
        self.fixed += struct.pack("<HHI", len(raw), len(raw), 1 if raw else 0)
        if raw:
            self._defer(struct.pack("<III", len(raw) // 2, 0, len(raw) // 2) + raw)

    def groups(self, *rids: int) -> None:
        self.u32(len(rids), 1 if rids else 0)
        if rids:
            pairs = b"".join(struct.pack("<II", rid, 7) for rid in rids)
            self._defer(struct.pack("<I", len(rids)) + pairs)

    def sid(self, *subauthorities: int) -> None:
        self.u32(1)
        self._defer(_sid(subauthorities))

    def sids(self, *sids: tuple[int, ...]) -> None:
        self.u32(len(sids), 1 if sids else 0)
        if sids:
            pointers = struct.pack("<II", 1, 7) * len(sids)
            self._defer(struct.pack("<I", len(sids)) + pointers + b"".join(map(_sid, sids)))

    def _defer(self, data: bytes) -> None:
        self.deferred += data + bytes(-len(data) % 4)

    def serialise(self) -> bytes:
        body = self.fixed + self.deferred
        body += bytes(-len(body) % 8)
        return struct.pack("<BBHIII", 1, 0x10, 8, 0xCCCCCCCC, len(body), 0) + body


def _sid(subauthorities: tuple[int, ...]) -> bytes:
    count = len(subauthorities)
    return struct.pack(f"<IBB6s{count}I", count, 1, count, (5).to_bytes(6, "big"), *subauthorities)


def account_data() -> bytes:
    """The account hv01$ of a domain, in two of its groups, one of another domain and one local one."""
    domain = (21, 1, 2, 3)
    ndr = _Ndr()
    ndr.u32(1)
    ndr.fixed += bytes(48)
    for value in ("hv01$", "", "", "", "", ""):
        ndr.text(value)
    ndr.fixed += bytes(4)
    ndr.u32(1105, 515)
    ndr.groups(515, 1104)
    ndr.u32(0x220)
    ndr.fixed += bytes(16)
    ndr.text("DC")
    ndr.text("FABRIC")
    ndr.sid(*domain)
    ndr.fixed += bytes(8)
    ndr.u32(0x80)
    ndr.fixed += bytes(28)
    ndr.sids((21, 9, 9, 9, 1200))
    ndr.sid(*domain)
    ndr.groups(1300)
    info = ndr.serialise()
    return struct.pack("<II", 1, 0) + struct.pack("<IIQ", 1, len(info), 24) + info
