"""What the firmware measured about Secure Boot into PCR 7 (UEFI specification 3.3, 32.4; TCG PFP 3.3.4.8).

The type of an event is protected by nothing, so every record of PCR 7 is understood by its *digested content* alone:
four zero bytes are the separator, a UEFI_VARIABLE_DATA structure is a variable, printable text is an action. Content
that is none of these makes the log unusable, and relabelling a record changes nothing. All integers little-endian.
"""

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Self
from uuid import UUID

from asn1crypto import x509 as asn1_x509

from hgs.attestation.errors import LogUnsafe, Malformed
from hgs.attestation.tcglog import VerifiedLog

EFI_GLOBAL: Final = UUID("8be4df61-93ca-11d2-aa0d-00e098032b8c")
IMAGE_SECURITY_DATABASE: Final = UUID("d719b2cb-3d3a-4596-a3bc-dad00e67656f")
CERT_SHA256: Final = UUID("c1c41626-504c-4092-aca9-41f936934328")
CERT_X509: Final = UUID("a5c059a1-94e4-4aa7-87b5-ab155c2bf072")
DEBUG_ACTION: Final = "UEFI Debug Mode"
_VARIABLE_HEAD: Final = struct.Struct("<16sQQ")
_LIST_HEAD: Final = struct.Struct("<16sIII")
_SEPARATOR: Final = bytes(4)
_MOST_REMEMBERED: Final = 64 * 1024  # bytes; the revocations of all makers together are below 32 KiB
_MOST_DESCRIBED: Final = 8 * 1024  # bytes; a certificate has two
_CONFIGURATION: Final = {
    (EFI_GLOBAL, "SecureBoot"),
    (EFI_GLOBAL, "PK"),
    (EFI_GLOBAL, "KEK"),
    (IMAGE_SECURITY_DATABASE, "db"),
    (IMAGE_SECURITY_DATABASE, "dbx"),
    (IMAGE_SECURITY_DATABASE, "dbt"),
    (IMAGE_SECURITY_DATABASE, "dbr"),
}


@dataclass(frozen=True)
class EfiVariable:
    """UEFI_VARIABLE_DATA: ``data`` is the variable's content (or one signature entry of it, for an authority)."""

    guid: UUID
    name: str
    data: bytes

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read one; ``parse(b).serialise() == b``. Raises :class:`Malformed`."""
        if len(data) < _VARIABLE_HEAD.size:
            raise Malformed("A measured UEFI variable is cut short.")
        guid, characters, size = _VARIABLE_HEAD.unpack_from(data)
        if characters > 512 or _VARIABLE_HEAD.size + 2 * characters + size != len(data):
            raise Malformed("A measured UEFI variable has a wrong size.")
        start = _VARIABLE_HEAD.size + 2 * characters
        try:
            name = data[_VARIABLE_HEAD.size : start].decode("utf-16-le")
        except UnicodeDecodeError as error:
            raise Malformed("A measured UEFI variable has a name that is not UTF-16.") from error
        if len(name) != characters or not name.isprintable():
            raise Malformed("A measured UEFI variable has an unprintable name.")
        return cls(UUID(bytes_le=guid), name, data[start:])

    def serialise(self) -> bytes:
        """The bytes that the firmware measures."""
        name = self.name.encode("utf-16-le")
        return _VARIABLE_HEAD.pack(self.guid.bytes_le, len(name) // 2, len(self.data)) + name + self.data


def signature_list(kind: UUID, owner: UUID, items: Sequence[bytes]) -> bytes:
    """One EFI_SIGNATURE_LIST (items of equal size), for those who write logs."""
    size = 16 + len(items[0])
    body = b"".join(owner.bytes_le + item for item in items)
    return _LIST_HEAD.pack(kind.bytes_le, _LIST_HEAD.size + len(body), 0, size) + body


def parse_signature_database(data: bytes) -> tuple[str, ...]:
    """The entries of db, dbx, … without their owners, sorted.

    Written ``sha256:<hex>``, ``x509:<SHA-256 hex of the certificate>`` or ``<type GUID>:<SHA-256 hex>``.
    Raises :class:`Malformed`. Remembered, since a whole fabric has the same few.
    """
    return _remembered_database(data) if len(data) <= _MOST_REMEMBERED else _parse_database(data)


def _parse_database(data: bytes) -> tuple[str, ...]:
    entries: list[str] = []
    offset = 0
    while offset < len(data):
        if len(data) - offset < _LIST_HEAD.size:
            raise Malformed("A signature database is cut short.")
        guid, list_size, header_size, item_size = _LIST_HEAD.unpack_from(data, offset)
        body = list_size - _LIST_HEAD.size - header_size
        if body < 0 or list_size > len(data) - offset or item_size <= 16 or body % item_size:
            raise Malformed("A signature database has a list of a wrong size.")
        start = offset + _LIST_HEAD.size + header_size
        kind = UUID(bytes_le=guid)
        items = (data[at + 16 : at + item_size] for at in range(start, start + body, item_size))
        if kind == CERT_SHA256:
            entries += [f"sha256:{item.hex()}" for item in items]
        else:
            name = "x509" if kind == CERT_X509 else str(kind)
            entries += [f"{name}:{hashlib.sha256(item).hexdigest()}" for item in items]
        offset += list_size
    return tuple(sorted(set(entries)))


_remembered_database: Final = lru_cache(maxsize=32)(_parse_database)


@dataclass(frozen=True, order=True)
class Authority:
    """What allowed a boot program to start: one entry of a database. ``digest``: SHA-256 (hex) of the entry."""

    variable: str
    digest: str
    description: str

    def same(self, other: "Authority") -> bool:
        """Whether both name the same entry (the description is for people only)."""
        return (self.variable, self.digest) == (other.variable, other.digest)


@dataclass(frozen=True)
class SecureBootFacts:
    """PCR 7 in words. ``enabled``: the SecureBoot variable was measured before the separator, and is 1 wherever it was.

    ``databases``: SHA-256 (hex) of each configuration variable's content; ``dbx``: its entries.
    """

    enabled: bool
    state: str
    authorities: tuple[Authority, ...]
    databases: dict[str, str]
    dbx: tuple[str, ...]
    actions: tuple[str, ...]

    @property
    def debug(self) -> bool:
        """The firmware itself was in debug mode."""
        return DEBUG_ACTION in self.actions


def read_secure_boot(log: VerifiedLog) -> SecureBootFacts:
    """Read PCR 7 of a verified log. Raises :class:`LogUnsafe` for content that cannot be accounted for."""
    variables: dict[tuple[UUID, str], bytes] = {}
    authorities: list[Authority] = []
    actions: list[str] = []
    states: list[bytes] = []
    separated = False
    for event in log.of(7):
        if not event.data_is_digested:
            raise LogUnsafe("PCR 7 has a record whose digest is not that of its data.")
        if event.data == _SEPARATOR:
            if separated:
                raise LogUnsafe("PCR 7 has a second separator.")
            separated = True
            continue
        variable = _variable_or_action(event.data, actions)
        if variable is None:
            continue
        key = (variable.guid, variable.name)
        if key == (EFI_GLOBAL, "SecureBoot"):
            if len(variable.data) > 1:  # none at all where the firmware has no such variable
                raise LogUnsafe(f"PCR 7 has a SecureBoot variable of {len(variable.data)} bytes; it has one.")
            states.append(variable.data if not separated or states else b"")
        if key in _CONFIGURATION and key not in variables and not separated:
            variables[key] = variable.data
        else:
            authorities.append(_authority(variable))
    if not separated:
        raise LogUnsafe("PCR 7 has no separator: the firmware's part of the log is incomplete.")
    return _facts(variables, authorities, actions, states)


def _variable_or_action(data: bytes, actions: list[str]) -> EfiVariable | None:
    text = data.rstrip(b"\x00")
    if text and len(text) <= 200 and all(0x20 <= byte < 0x7F for byte in text):
        actions.append(text.decode("ascii"))
        return None
    try:
        return EfiVariable.parse(data)
    except Malformed as error:
        raise LogUnsafe("PCR 7 has a record that is neither variable, action nor separator.") from error


def _facts(
    variables: dict[tuple[UUID, str], bytes], authorities: list[Authority], actions: list[str], states: list[bytes]
) -> SecureBootFacts:
    dbx = variables.get((IMAGE_SECURITY_DATABASE, "dbx"), b"")
    try:
        entries = parse_signature_database(dbx)
    except Malformed as error:
        raise LogUnsafe("The measured dbx is not a signature database.") from error
    return SecureBootFacts(
        enabled=bool(states) and all(state == b"\x01" for state in states),
        state=", ".join(state.hex() or "empty" for state in states) or "not measured",
        authorities=tuple(authorities),
        databases={name: hashlib.sha256(data).hexdigest() for (_, name), data in variables.items()},
        dbx=entries,
        actions=tuple(actions),
    )


def _authority(variable: EfiVariable) -> Authority:
    name = (
        variable.name if variable.guid in (EFI_GLOBAL, IMAGE_SECURITY_DATABASE) else f"{variable.name}-{variable.guid}"
    )
    return Authority(name, hashlib.sha256(variable.data).hexdigest(), _describe(variable.data))


def _describe(data: bytes) -> str:
    """The subject of a certificate entry (16 bytes owner first), for people."""
    return _remembered_description(data) if len(data) <= _MOST_DESCRIBED else _size(data)


def _size(data: bytes) -> str:
    return f"{len(data)} bytes"


@lru_cache(maxsize=256)
def _remembered_description(data: bytes) -> str:
    """A whole fabric has the same few."""
    if data[16:18] != b"\x30\x82":
        return _size(data)
    try:
        subject = asn1_x509.Certificate.load(data[16:])["tbs_certificate"]["subject"].native
        text = str(subject.get("common_name") or next(iter(subject.values()), "certificate"))
    except Exception:  # noqa: BLE001 - only a description: whatever asn1crypto stumbles over, there is none
        return _size(data)
    return "".join(character if character.isprintable() else "?" for character in text)[:120]
