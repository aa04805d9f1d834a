"""What registers a log leads to, in every bank it has digests for.

The strict counterpart for one bank of a log that is to be believed is :func:`hgs.attestation.tcglog.replay`; both
give the same values for a sound log.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from hgs.attestation.offline.log_reading import EV_NO_ACTION, ReadLog, Record
from hgs.attestation.offline.names import BANK_SIZES, HASHLIB_NAMES, bank_name

_LOCALITY: Final = b"StartupLocality\x00"
_LOCALITIES: Final = (0, 3, 4)


@dataclass(frozen=True)
class Replay:
    """``pcrs``: bank number -> register -> value, for the registers that the log extends.

    ``locality``: what PCR 0 starts with. ``warnings`` are sentences.
    """

    pcrs: Mapping[int, Mapping[int, bytes]]
    locality: int
    warnings: tuple[str, ...]

    def named(self) -> dict[str, dict[str, str]]:
        """Bank names, register numbers as text, and hexadecimal values, in ascending order."""
        return {
            bank_name(bank): {str(pcr): values[pcr].hex() for pcr in sorted(values)}
            for bank, values in self.pcrs.items()
        }


def digest_of(bank: int, data: bytes) -> bytes | None:
    """The bank's hash of ``data``; None for an algorithm that cannot be computed here."""
    if bank not in HASHLIB_NAMES:
        return None
    try:
        return hashlib.new(HASHLIB_NAMES[bank], data).digest()
    except ValueError:
        return None


def replay_log(log: ReadLog, locality: int | None = None) -> Replay:
    """Replay every bank. ``locality`` overrules what the log says about PCR 0."""
    warnings: list[str] = []
    start = _locality(log, warnings) if locality is None else locality
    pcrs: dict[int, dict[int, bytes]] = {}
    for bank in log.banks:
        if digest_of(bank, b"") is None:
            warnings.append(f"The bank {bank_name(bank)} cannot be replayed: its hash algorithm is not available.")
            continue
        pcrs[bank] = _replay_bank(log, bank, start, warnings)
    return Replay(pcrs, start, tuple(warnings))


def reset_value(bank: int, pcr: int, locality: int = 0) -> bytes:
    """What the register holds after a start without any event: ones in 17-22 (dynamic launch), else zeroes."""
    size = BANK_SIZES[bank]
    if pcr == 0:
        return bytes(size - 1) + bytes([locality])
    return (b"\xff" if 17 <= pcr <= 22 else b"\x00") * size


def _replay_bank(log: ReadLog, bank: int, locality: int, warnings: list[str]) -> dict[int, bytes]:
    values: dict[int, bytes] = {}
    without = 0
    for record in log.measured:
        digest = record.digest(bank)
        if digest is None:
            without += 1
            continue
        # Registers 17-22 hold zeroes once a dynamic launch has begun, and only then can a log extend them.
        current = values.get(record.pcr) or (
            reset_value(bank, 0, locality) if record.pcr == 0 else bytes(BANK_SIZES[bank])
        )
        extended = digest_of(bank, current + digest)
        if extended is not None:
            values[record.pcr] = extended
    if without:
        warnings.append(f"{without} records have no {bank_name(bank)} digest; they are left out of that bank.")
    return values


def _locality(log: ReadLog, warnings: list[str]) -> int:
    found: int | None = None
    extended = False
    for record in log.records:
        if record.pcr == 0 and record.measured:
            extended = True
        elif is_startup_locality(record):
            value = record.data[len(_LOCALITY)] if len(record.data) > len(_LOCALITY) else None
            if found is not None or extended or len(record.data) != len(_LOCALITY) + 1 or value not in _LOCALITIES:
                warnings.append(
                    f"Record {record.number} is a StartupLocality record that is repeated, out of place or impossible; "
                    "it is not taken into account."
                )
            else:
                found = value
    return found or 0


def is_startup_locality(record: Record) -> bool:
    """Whether the record says from which locality the TPM was started."""
    return record.pcr == 0 and record.type == EV_NO_ACTION and record.data.startswith(_LOCALITY)
