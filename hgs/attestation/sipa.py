"""Windows boot facts (SIPA records) in PCR 12, 13 and 14 of a verified log.

A record is an EV_EVENT_TAG event whose data is one TLV: ``u32 type, u32 size, payload``; containers hold further
TLVs. All integers are little-endian. Rules that make the facts safe to judge by:

* in these registers only EV_EVENT_TAG and EV_SEPARATOR may occur before the end marker: the type of an event is
  protected by nothing, and a setting could otherwise be hidden by relabelling its record;
* the digest of every record is that of its data;
* each register ends with the marker ``WBCL``; what follows it in that register is not boot state and is ignored,
  unless it is a second marker; a register without marker makes the log unusable;
* settings are measured several times (boot manager, loader, kernel): every value is kept, and the readers below
  are latches: a bad flag that was ever set stays set, a good one that was ever off stays off, one that was never
  measured is neither;
* unknown types inside a verified record are skipped.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from hgs.attestation.efi import SecureBootFacts, read_secure_boot
from hgs.attestation.errors import LogUnsafe, Malformed
from hgs.attestation.modules import LoadedModule, loaded_module
from hgs.attestation.sipa_records import (
    FLAGS,
    NUMBER_SIZES,
    Leaves,
    SipaType,
    SiPolicyInfo,
    VsmKey,
    encode_boolean,
    encode_container,
    encode_custom_policy,
    encode_number,
    encode_text,
    encode_tlv,
    pack_version,
    parse_custom_policy,
    read_leaves,
)
from hgs.attestation.tcglog import EV_EVENT_TAG, EV_SEPARATOR, VerifiedLog

_TYPES: Final = {int(kind): kind for kind in SipaType}
END_MARKER: Final = b"WBCL"
_SHA256_SIZE: Final = 32
PCR_SETTINGS: Final = 12
PCR_DETAILS: Final = 13
PCR_AUTHORITIES: Final = 14


@dataclass(frozen=True)
class MeasuredBoot:
    """What a verified log proves about one boot; only :func:`measured_boot` makes one.

    ``flags`` and ``numbers`` hold every measured value of each type, in order; use the latches to read them.
    """

    secure_boot: SecureBootFacts
    flags: dict[SipaType, tuple[bool, ...]] = field(default_factory=dict)
    numbers: dict[SipaType, tuple[int, ...]] = field(default_factory=dict)
    transfers: tuple[int, ...] = ()
    """TRANSFER_CONTROL values of PCR 12 in order."""
    ci_policies: tuple[SiPolicyInfo, ...] = ()
    custom_policies: tuple[str, ...] = ()
    dump_keys: tuple[str, ...] = ()
    identity_keys: tuple[VsmKey, ...] = ()
    identity_signing_keys: tuple[VsmKey, ...] = ()
    module_records: tuple[bytes, ...] = field(default=(), repr=False)
    """What PCR 13 says of each loaded module, unread; see ``modules``."""

    @cached_property
    def modules(self) -> tuple[LoadedModule, ...]:
        """The programs and drivers that were loaded, in order. Raises :class:`LogUnsafe` for an unreadable one."""
        try:
            return tuple(map(loaded_module, self.module_records))
        except Malformed as error:
            raise LogUnsafe(f"PCR {PCR_DETAILS} has a module that cannot be read: {error.message}") from error

    def ever(self, kind: SipaType) -> bool:
        """Latch of a bad flag: set in any record."""
        return any(self.flags.get(kind, ()))

    def always(self, kind: SipaType) -> bool:
        """Latch of a good flag: measured, and set in every record."""
        values = self.flags.get(kind, ())
        return bool(values) and all(values)

    def measured(self, kind: SipaType) -> bool:
        """Whether the flag or number was measured at all."""
        return kind in self.flags or kind in self.numbers

    def never_zero(self, kind: SipaType) -> bool:
        """Latch of a good number: measured, and other than 0 in every record."""
        values = self.numbers.get(kind, ())
        return bool(values) and all(values)

    @property
    def debugging(self) -> bool:
        """Any debugger was on: firmware, boot manager, kernel or hypervisor."""
        kinds = (SipaType.BOOT_DEBUGGING, SipaType.OS_KERNEL_DEBUG, SipaType.HYPERVISOR_DEBUG)
        return self.secure_boot.debug or any(self.ever(kind) for kind in kinds)


def measured_boot(log: VerifiedLog) -> MeasuredBoot:
    """Read the facts of a verified log by the rules above. Raises :class:`LogUnsafe`."""
    secure_boot = read_secure_boot(log)
    collector = _Collector()
    for pcr in (PCR_SETTINGS, PCR_DETAILS, PCR_AUTHORITIES):
        for leaves in _records(log, pcr):
            collector.add(pcr, leaves)
    return collector.facts(secure_boot)


def _records(log: VerifiedLog, pcr: int) -> Iterator[Leaves]:
    ended = False
    for event in log.of(pcr):
        if event.data == END_MARKER and event.data_is_digested:
            if ended:
                raise LogUnsafe(f"PCR {pcr} has a second end marker.")
            ended = True
            if event.type != EV_SEPARATOR:
                raise LogUnsafe(f"PCR {pcr} has an end marker under another event type.")
        elif not ended:
            if event.type != EV_EVENT_TAG:
                raise LogUnsafe(f"PCR {pcr} has a record of the event type 0x{event.type:x}, which has no place there.")
            if not event.data_is_digested:
                raise LogUnsafe(f"PCR {pcr} has a record whose digest is not that of its data.")
            try:
                yield read_leaves(event.data, with_modules=pcr == PCR_DETAILS)
            except Malformed as error:
                raise LogUnsafe(f"PCR {pcr} has a record that cannot be read: {error.message}") from error
    if not ended:
        raise LogUnsafe(f"PCR {pcr} has no end marker: the boot loader's part of the log is incomplete.")


class _Collector:
    """Gathers values by type; what it cannot read in a *known* type is an error, not an absence."""

    def __init__(self) -> None:
        self.flags: dict[int, list[bool]] = {}
        self.numbers: dict[int, list[int]] = {}
        self.transfers: list[int] = []
        self.ci_policies: list[SiPolicyInfo] = []
        self.custom_policies: list[str] = []
        self.dump_keys: list[str] = []
        self.keys: list[VsmKey] = []
        self.signing_keys: list[VsmKey] = []
        self.modules: list[bytes] = []

    def add(self, pcr: int, leaves: Leaves) -> None:
        self.modules += leaves.modules
        for kind, payload in leaves.values:
            try:
                self._add(pcr, kind, payload)
            except Malformed as error:
                name = SipaType(kind).name
                raise LogUnsafe(f"PCR {pcr} has a record of type {name} that cannot be read.") from error

    def _add(self, pcr: int, kind: int, payload: bytes) -> None:
        if kind in FLAGS:
            # Anything but a clear zero or one is an error: a bad flag must not be hidden by an odd encoding.
            if payload not in (b"\x00", b"\x01"):
                raise Malformed("A flag is one byte, 0 or 1.")
            self.flags.setdefault(kind, []).append(payload == b"\x01")
        elif kind in NUMBER_SIZES:
            if len(payload) != NUMBER_SIZES[kind]:
                raise Malformed("A number has a wrong size.")
            value = int.from_bytes(payload, "little")
            self.numbers.setdefault(kind, []).append(value)
            if kind == SipaType.TRANSFER_CONTROL and pcr == PCR_SETTINGS:
                self.transfers.append(value)
        elif kind == SipaType.SI_POLICY:
            self.ci_policies.append(SiPolicyInfo.parse(payload))
        elif kind == SipaType.SBCP_INFO:
            self.custom_policies.append(parse_custom_policy(payload))
        elif kind == SipaType.DUMP_ENCRYPTION_KEY_DIGEST:
            if len(payload) != _SHA256_SIZE:
                raise Malformed("The digest of a dump key is SHA-256.")
            self.dump_keys.append(payload.hex())
        elif pcr == PCR_SETTINGS:
            keys = self.keys if kind == SipaType.VSM_IDK_INFO else self.signing_keys
            keys.append(VsmKey.parse(payload))

    def facts(self, secure_boot: SecureBootFacts) -> MeasuredBoot:
        return MeasuredBoot(
            secure_boot=secure_boot,
            flags={_TYPES[kind]: tuple(values) for kind, values in self.flags.items()},
            numbers={_TYPES[kind]: tuple(values) for kind, values in self.numbers.items()},
            transfers=tuple(self.transfers),
            ci_policies=tuple(self.ci_policies),
            custom_policies=tuple(sorted(set(self.custom_policies))),
            dump_keys=tuple(sorted(set(self.dump_keys))),
            identity_keys=tuple(dict.fromkeys(self.keys)),
            identity_signing_keys=tuple(dict.fromkeys(self.signing_keys)),
            module_records=tuple(self.modules),
        )


__all__ = [
    "END_MARKER",
    "PCR_AUTHORITIES",
    "PCR_DETAILS",
    "PCR_SETTINGS",
    "Leaves",
    "LoadedModule",
    "MeasuredBoot",
    "SiPolicyInfo",
    "SipaType",
    "VsmKey",
    "encode_boolean",
    "encode_container",
    "encode_custom_policy",
    "encode_number",
    "encode_text",
    "encode_tlv",
    "measured_boot",
    "pack_version",
    "parse_custom_policy",
    "read_leaves",
]
