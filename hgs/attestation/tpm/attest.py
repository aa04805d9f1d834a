"""What a TPM signs: TPMS_ATTEST (part 2, 10.12) and PCR selections (10.6)."""

import hashlib
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import Final, Self

from hgs.attestation.errors import Malformed, Unsupported
from hgs.attestation.tpm.algorithms import Algorithm, hash_algorithm
from hgs.attestation.tpm.buffer import Reader, sized

GENERATED: Final = 0xFF544347
"""TPM_GENERATED_VALUE: a restricted key signs nothing that starts so unless the TPM made it."""
MAX_ATTEST: Final = 1024
MAX_SELECTIONS: Final = 8
_CLOCK_AND_FIRMWARE: Final = struct.Struct(">QIIBQ")


class AttestKind(IntEnum):
    """TPMI_ST_ATTEST of the structures we read."""

    CERTIFY = 0x8017
    QUOTE = 0x8018
    CREATION = 0x801A


@dataclass(frozen=True)
class PcrSelection:
    """TPMS_PCR_SELECTION; ``select`` is the bitmap as the TPM wrote it (bit 0 of byte 0 is PCR 0)."""

    hash: Algorithm
    select: bytes

    @classmethod
    def of(cls, hash_: Algorithm, pcrs: Iterable[int]) -> Self:
        """The three-byte selection of these registers."""
        bitmap = sum(1 << pcr for pcr in set(pcrs))
        return cls(hash_, bitmap.to_bytes(3, "little"))

    @cached_property
    def pcrs(self) -> tuple[int, ...]:
        """The selected registers in ascending order."""
        bitmap = int.from_bytes(self.select, "little")
        return tuple(pcr for pcr in range(len(self.select) * 8) if bitmap >> pcr & 1)


def parse_selections(data: bytes) -> tuple[PcrSelection, ...]:
    """Read a TPML_PCR_SELECTION."""
    reader = Reader(data, "PCR selection")
    selections = _parse_selections(reader)
    reader.finish()
    return selections


def serialise_selections(selections: Sequence[PcrSelection]) -> bytes:
    """Write a TPML_PCR_SELECTION."""
    parts = [len(selections).to_bytes(4, "big")]
    for item in selections:
        parts += [item.hash.to_bytes(2, "big"), bytes([len(item.select)]), item.select]
    return b"".join(parts)


def _parse_selections(reader: Reader) -> tuple[PcrSelection, ...]:
    count = reader.number(4)
    if count > MAX_SELECTIONS:
        raise Malformed(f"The PCR selection has {count} entries; the limit is {MAX_SELECTIONS}.")
    selections = []
    for _ in range(count):
        hash_ = hash_algorithm(reader.number(2))
        size = reader.number(1)
        if size > 4:
            raise Malformed("The PCR selection's bitmap is longer than four bytes.")
        selections.append(PcrSelection(hash_, reader.take(size)))
    return tuple(selections)


def composite_digest(
    selections: Sequence[PcrSelection], banks: Mapping[Algorithm, Mapping[int, bytes]], hash_: str
) -> bytes:
    """The pcrDigest of a quote over these selections, were the registers to hold these values.

    Raises ``KeyError`` for a selected register without a value.
    """
    digest = hashlib.new(hash_)
    for selection in selections:
        for pcr in selection.pcrs:
            digest.update(banks[selection.hash][pcr])
    return digest.digest()


@dataclass(frozen=True)
class ClockInfo:
    """TPMS_CLOCK_INFO."""

    clock: int
    reset_count: int
    restart_count: int
    safe: bool


@dataclass(frozen=True)
class QuoteInfo:
    """TPMS_QUOTE_INFO."""

    selections: tuple[PcrSelection, ...]
    pcr_digest: bytes


@dataclass(frozen=True)
class CertifyInfo:
    """TPMS_CERTIFY_INFO: the certified object's Name and qualified Name."""

    name: bytes
    qualified_name: bytes


@dataclass(frozen=True)
class CreationInfo:
    """TPMS_CREATION_INFO."""

    object_name: bytes
    creation_hash: bytes


@dataclass(frozen=True)
class TpmsAttest:
    """TPMS_ATTEST with one of three kinds of content; ``attested`` tells which by its type."""

    qualified_signer: bytes
    extra_data: bytes
    clock_info: ClockInfo
    firmware_version: int
    attested: QuoteInfo | CertifyInfo | CreationInfo

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read a TPMS_ATTEST; ``parse(b).serialise() == b``. Raises ``Malformed``, ``Unsupported``."""
        if len(data) > MAX_ATTEST:
            raise Malformed(f"The attestation structure has {len(data)} bytes; the limit is {MAX_ATTEST}.")
        reader = Reader(data, "attestation structure")
        if reader.number(4) != GENERATED:
            raise Malformed("The attestation structure was not made by a TPM.")
        kind = reader.number(2)
        signer, extra = reader.sized(68), reader.sized(68)
        clock, resets, restarts, safe, firmware = _CLOCK_AND_FIRMWARE.unpack(reader.take(_CLOCK_AND_FIRMWARE.size))
        if safe > 1:
            raise Malformed("The attestation structure's clock flag is neither yes nor no.")
        attested = _parse_attested(reader, kind)
        reader.finish()
        return cls(signer, extra, ClockInfo(clock, resets, restarts, safe == 1), firmware, attested)

    def serialise(self) -> bytes:
        """The bytes of the TPMS_ATTEST."""
        kind, content = _write_attested(self.attested)
        clock = self.clock_info
        return b"".join(
            (
                GENERATED.to_bytes(4, "big"),
                kind.to_bytes(2, "big"),
                sized(self.qualified_signer),
                sized(self.extra_data),
                _CLOCK_AND_FIRMWARE.pack(
                    clock.clock, clock.reset_count, clock.restart_count, clock.safe, self.firmware_version
                ),
                content,
            )
        )


def _parse_attested(reader: Reader, kind: int) -> QuoteInfo | CertifyInfo | CreationInfo:
    if kind == AttestKind.QUOTE:
        return QuoteInfo(_parse_selections(reader), reader.sized(64))
    if kind == AttestKind.CERTIFY:
        return CertifyInfo(reader.sized(68), reader.sized(68))
    if kind == AttestKind.CREATION:
        return CreationInfo(reader.sized(68), reader.sized(64))
    raise Unsupported(f"Attestation structures of type 0x{kind:04x} are not supported.")


def _write_attested(attested: QuoteInfo | CertifyInfo | CreationInfo) -> tuple[AttestKind, bytes]:
    if isinstance(attested, QuoteInfo):
        return AttestKind.QUOTE, serialise_selections(attested.selections) + sized(attested.pcr_digest)
    if isinstance(attested, CertifyInfo):
        return AttestKind.CERTIFY, sized(attested.name) + sized(attested.qualified_name)
    return AttestKind.CREATION, sized(attested.object_name) + sized(attested.creation_hash)
