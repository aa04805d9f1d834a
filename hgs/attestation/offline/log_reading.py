"""Boot logs as they lie on disks: TPM 1.2 and crypto-agile, prefixed, padded, cut short (TCG PFP 1.06, section 10).

Integers are little-endian. What can be read is read; what is out of order becomes a warning, so that a log whose end
is missing can still be looked at. :attr:`ReadLog.complete` says whether every byte was accounted for.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from hgs.attestation.errors import Malformed, TooLarge
from hgs.attestation.offline.names import BANK_SIZES, bank_name, is_known_event

MAX_FILE: Final = 4 * 1024 * 1024
MAX_RECORDS: Final = 20_000
MAX_BANKS: Final = 16
EV_NO_ACTION: Final = 3
NOT_A_REGISTER: Final = 0xFFFFFFFF
REGISTERS: Final = 24
_OLD_HEAD: Final = struct.Struct("<II20sI")
_NEW_HEAD: Final = struct.Struct("<III")
_SPEC: Final = struct.Struct("<16sIBBBBI")
_SPEC_ID: Final = b"Spec ID Event03\x00"
_SHA1: Final = 0x0004
# Longest prefix that capture tools put before a log (a u32 or u64 length).
_PREFIXES: Final = (0, 4, 8)


class Record(NamedTuple):
    """One record. ``number`` counts from 0, ``offset`` is its place in the file.

    ``digests`` are (algorithm, value) in the record's order.
    """

    number: int
    offset: int
    pcr: int
    type: int
    digests: tuple[tuple[int, bytes], ...]
    data: bytes

    def digest(self, bank: int) -> bytes | None:
        """The digest for that bank, or None."""
        return next((value for number, value in self.digests if number == bank), None)

    @property
    def measured(self) -> bool:
        """Whether a register was extended with it."""
        return self.type != EV_NO_ACTION and self.pcr < REGISTERS


@dataclass(frozen=True)
class ReadLog:
    """A log that was read as far as it goes.

    ``agile``: crypto-agile format. ``banks``: algorithm numbers in the order in which the log announces them.
    ``records`` has the header of a crypto-agile log as its first entry. ``warnings`` are sentences.
    """

    agile: bool
    banks: tuple[int, ...]
    records: tuple[Record, ...]
    complete: bool
    warnings: tuple[str, ...]

    @property
    def measured(self) -> tuple[Record, ...]:
        """The records that extended a register, in order."""
        return tuple(record for record in self.records if record.measured)


def read_log(data: bytes) -> ReadLog:
    """Read a boot log as far as it goes.

    Raises ``TooLarge`` above 4 MiB, ``Malformed`` when not even its first record can be read.
    """
    if len(data) > MAX_FILE:
        raise TooLarge(f"The log has {len(data)} bytes; the limit is {MAX_FILE}.")
    if not data.strip(b"\x00"):
        raise Malformed("The log is empty.")
    warnings: list[str] = []
    start, data = _unwrap(data, warnings)
    first = _read_old(data, start, 0)
    if first is None or not _plausible(first):
        raise Malformed("This is not a boot log: its first record cannot be read.")
    header, offset = first, start + _OLD_HEAD.size + len(first.data)
    if header.type == EV_NO_ACTION and header.data.startswith(_SPEC_ID):
        sizes = _announced(header.data, warnings)
        records, complete = _read_records(data, offset, header, sizes, warnings)
        return ReadLog(True, tuple(sizes), records, complete, tuple(warnings))
    records, complete = _read_records(data, offset, header, None, warnings)
    return ReadLog(False, (_SHA1,), records, complete, tuple(warnings))


def _unwrap(data: bytes, warnings: list[str]) -> tuple[int, bytes]:
    """Where the log starts, and the data up to its end as its prefix says."""
    start = _start(data)
    if not start:
        return 0, data
    warnings.append(f"The log is preceded by {start} bytes that are no part of it (a capture tool's length).")
    end = start + int.from_bytes(data[:start], "little")
    if _OLD_HEAD.size < end - start and end < len(data) and data[end + start + _OLD_HEAD.size :].startswith(_SPEC_ID):
        warnings.append(f"Another log follows at byte {end}, as tools write it after a resume; only the first is read.")
        data = data[:end]
    return start, data


def _start(data: bytes) -> int:
    for start in _PREFIXES:
        if data[start + _OLD_HEAD.size :].startswith(_SPEC_ID):
            return start
    # A SHA-1 log behind its own length.
    prefixed = len(data) > 4 and int.from_bytes(data[:4], "little") == len(data) - 4 >= _OLD_HEAD.size
    return 4 if prefixed else 0


def _plausible(record: Record) -> bool:
    return (record.pcr < REGISTERS or record.pcr == NOT_A_REGISTER) and is_known_event(record.type)


def _announced(data: bytes, warnings: list[str]) -> dict[int, int]:
    """Algorithms and digest sizes of a Spec ID record. Raises ``Malformed``."""
    if len(data) < _SPEC.size:
        raise Malformed("The log's header is cut short.")
    *_, count = _SPEC.unpack_from(data)
    if not 0 < count <= MAX_BANKS or len(data) < _SPEC.size + 4 * count:
        raise Malformed(f"The log's header announces {count} algorithms, which is impossible.")
    sizes: dict[int, int] = {}
    for at in range(count):
        number, size = struct.unpack_from("<HH", data, _SPEC.size + 4 * at)
        if BANK_SIZES.get(number, size) != size or not 0 < size <= 128 or number in sizes:
            raise Malformed(f"The log's header gives a wrong size for {bank_name(number)}, or names it twice.")
        sizes[number] = size
        if number not in BANK_SIZES:
            warnings.append(f"The log has digests of an algorithm that is not known here (0x{number:04x}).")
    end = _SPEC.size + 4 * count
    if len(data) <= end or len(data) != end + 1 + data[end]:
        warnings.append("The log's header has another size than its vendor information says.")
    return sizes


def _read_records(
    data: bytes, offset: int, header: Record, sizes: dict[int, int] | None, warnings: list[str]
) -> tuple[tuple[Record, ...], bool]:
    records = [header]
    complete = True
    while offset < len(data):
        rest = data[offset:] if len(data) - offset <= _OLD_HEAD.size + 4 else data[offset : offset + _OLD_HEAD.size + 4]
        if _is_padding(data, offset, rest):
            warnings.append(f"The log is followed by {len(data) - offset} bytes of padding.")
            break
        index = len(records)
        if index >= MAX_RECORDS:
            raise TooLarge(f"The log has more than {MAX_RECORDS} records.")
        record = _read_old(data, offset, index) if sizes is None else _read_new(data, offset, index, sizes)
        if record is None:
            complete = False
            warnings.append(
                f"The log is cut short or damaged: after record {index - 1}, at byte {offset}, "
                f"{len(data) - offset} bytes are no whole record."
            )
            break
        records.append(record)
        offset += _size(record, sizes is not None)
    _note_oddities(records, warnings)
    return tuple(records), complete


def _is_padding(data: bytes, offset: int, head: bytes) -> bool:
    return head in (bytes(len(head)), b"\xff" * len(head)) and not data[offset:].strip(head[:1])


def _size(record: Record, agile: bool) -> int:
    if not agile:
        return _OLD_HEAD.size + len(record.data)
    return _NEW_HEAD.size + sum(2 + len(value) for _, value in record.digests) + 4 + len(record.data)


def _read_old(data: bytes, offset: int, number: int) -> Record | None:
    if len(data) - offset < _OLD_HEAD.size:
        return None
    pcr, kind, digest, size = _OLD_HEAD.unpack_from(data, offset)
    start = offset + _OLD_HEAD.size
    if size > len(data) - start:
        return None
    return Record(number, offset, pcr, kind, ((_SHA1, digest),), data[start : start + size])


def _read_new(data: bytes, offset: int, number: int, sizes: dict[int, int]) -> Record | None:
    end = len(data)
    if end - offset < _NEW_HEAD.size:
        return None
    pcr, kind, count = _NEW_HEAD.unpack_from(data, offset)
    if count > MAX_BANKS:
        return None
    at = offset + _NEW_HEAD.size
    digests: list[tuple[int, bytes]] = []
    for _ in range(count):
        bank = int.from_bytes(data[at : at + 2], "little")
        size = sizes.get(bank) or BANK_SIZES.get(bank)
        if size is None or end - at < 2 + size:
            return None
        digests.append((bank, data[at + 2 : at + 2 + size]))
        at += 2 + size
    if end - at < 4:
        return None
    size = int.from_bytes(data[at : at + 4], "little")
    at += 4
    if size > end - at:
        return None
    return Record(number, offset, pcr, kind, tuple(digests), data[at : at + size])


def _note_oddities(records: Sequence[Record], warnings: list[str]) -> None:
    for record in records[1:]:
        numbers = [number for number, _ in record.digests]
        if record.pcr == NOT_A_REGISTER and record.type != EV_NO_ACTION:
            warnings.append(f"Record {record.number} names no register, but is not of the type EV_NO_ACTION.")
        if len(set(numbers)) != len(numbers):
            warnings.append(f"Record {record.number} has two digests of one algorithm; the first one counts.")
