"""Security identifiers of Windows domains ([MS-DTYP] 2.4.2), and which groups may stand for guarded hosts."""

import re
from dataclasses import dataclass
from typing import Final, Self

from hgs.attestation.errors import Malformed, Unsupported

MAX_SUBAUTHORITIES: Final = 15
_TEXT: Final = re.compile(r"S-1-(0|[1-9][0-9]{0,14})((?:-(?:0|[1-9][0-9]{0,9})){1,15})")
NT_AUTHORITY: Final = 5
"""The authority of accounts and groups; others say how somebody signed in."""
_DOMAIN: Final = 21
_FIRST_OWN_RID: Final = 1000
"""Relative identifiers below this are given out by Windows itself; those of an administrator's own groups follow."""
_EVERYBODY: Final = {
    "S-1-1-0": "Everyone",
    "S-1-2-0": "Local",
    "S-1-5-2": "Network",
    "S-1-5-7": "Anonymous Logon",
    "S-1-5-11": "Authenticated Users",
    "S-1-5-15": "This Organization",
    "S-1-18-1": "Authentication authority asserted identity",
}
_BUILT_IN: Final = {
    512: "Domain Admins",
    513: "Domain Users",
    514: "Domain Guests",
    515: "Domain Computers",
    516: "Domain Controllers",
    517: "Cert Publishers",
    518: "Schema Admins",
    519: "Enterprise Admins",
    520: "Group Policy Creator Owners",
    521: "Read-only Domain Controllers",
}


@dataclass(frozen=True, order=True)
class Sid:
    """A security identifier of revision 1: a 48-bit authority and 1 to 15 subauthorities of 32 bits."""

    authority: int
    subauthorities: tuple[int, ...]

    def __str__(self) -> str:
        return "-".join(("S-1", str(self.authority), *map(str, self.subauthorities)))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the text form, decimal numbers without leading zeros. Raises ``Malformed``."""
        match = _TEXT.fullmatch(text)
        if match is None:
            raise Malformed(f"{text[:64]!r} is not a security identifier such as S-1-5-21-1-2-3-1104.")
        sid = cls(int(match[1]), tuple(map(int, match[2][1:].split("-"))))
        if sid.authority >= 1 << 48 or max(sid.subauthorities) >= 1 << 32:
            raise Malformed("A number of the security identifier is too large.")
        return sid

    def with_rid(self, rid: int) -> "Sid":
        """The account or group ``rid`` of the domain that this identifier names. Raises ``Malformed``."""
        if len(self.subauthorities) >= MAX_SUBAUTHORITIES:
            raise Malformed("A security identifier is too long.")
        return Sid(self.authority, (*self.subauthorities, rid))


def built_in_name(sid: Sid) -> str:
    """The English name that Windows gives a well-known group; empty for any other."""
    if (name := _EVERYBODY.get(str(sid))) is not None:
        return name
    is_of_domain = sid.authority == NT_AUTHORITY and len(sid.subauthorities) == 5 and sid.subauthorities[0] == _DOMAIN
    return _BUILT_IN.get(sid.subauthorities[-1], "") if is_of_domain else ""


def read_host_group(text: str) -> Sid:
    """The identifier of a group that may stand for guarded hosts.

    Raises ``Malformed`` for what is no identifier, and ``Unsupported`` for one that is not of a group that an
    administrator made in a domain: such groups hold machines and people whom nobody chose to be guarded hosts.
    """
    sid = Sid.parse(text)
    if (name := _EVERYBODY.get(str(sid))) is not None:
        raise Unsupported(f"{sid} is {name}: whoever has any account would count as a guarded host.")
    if sid.authority != NT_AUTHORITY or len(sid.subauthorities) != 5 or sid.subauthorities[0] != _DOMAIN:
        raise Unsupported(f"{sid} is not a group of a domain (S-1-5-21-…).")
    rid = sid.subauthorities[-1]
    if rid < _FIRST_OWN_RID:
        name = _BUILT_IN.get(rid, "a built-in account or group")
        raise Unsupported(
            f"{sid} is {name} of its domain, which Windows fills. Make a group for guarded hosts alone and name that."
        )
    return sid


__all__ = ["MAX_SUBAUTHORITIES", "NT_AUTHORITY", "Sid", "built_in_name", "read_host_group"]
