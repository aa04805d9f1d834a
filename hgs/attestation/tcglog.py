"""TCG event logs (TCG PC Client Platform Firmware Profile, section 10): read, write, replay, verify.

Two formats: crypto-agile (the first record is a SHA-1-format header, "Spec ID Event03") and the older SHA-1 one.
All integers are little-endian. A log is only a claim: what may be believed of it is what :func:`verify_log` and
:func:`verify_log_by_quote` return, and even there the *type* of an event is protected by nothing; only its register,
its place in the register's order and its digest are.
"""

import hashlib
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

from hgs.attestation.errors import LogMismatch, LogUnsafe, Malformed, TooLarge, Unsupported
from hgs.attestation.tpm import DIGEST_SIZES, HASH_NAMES, Algorithm, PcrSelection, composite_digest

MAX_LOG: Final = 512 * 1024
MAX_EVENTS: Final = 4096
MAX_ALGORITHMS: Final = 8

EV_NO_ACTION: Final = 0x3
EV_SEPARATOR: Final = 0x4
EV_EVENT_TAG: Final = 0x6
EV_S_CRTM_VERSION: Final = 0x8
EV_POST_CODE: Final = 0x1
EV_COMPACT_HASH: Final = 0xC
EV_EFI_VARIABLE_DRIVER_CONFIG: Final = 0x80000001
EV_EFI_VARIABLE_BOOT: Final = 0x80000002
EV_EFI_BOOT_SERVICES_APPLICATION: Final = 0x80000003
EV_EFI_BOOT_SERVICES_DRIVER: Final = 0x80000004
EV_EFI_GPT_EVENT: Final = 0x80000006
EV_EFI_ACTION: Final = 0x80000007
EV_EFI_PLATFORM_FIRMWARE_BLOB: Final = 0x80000008
EV_EFI_HANDOFF_TABLES: Final = 0x80000009
EV_EFI_VARIABLE_AUTHORITY: Final = 0x800000E0

_TOO_MANY: Final = f"The event log has more than {MAX_EVENTS} records."
_SPEC_ID: Final = b"Spec ID Event03\x00"
_LOCALITY: Final = b"StartupLocality\x00"
_PCRS: Final = 24
_CONSTRUCTORS: Final[dict[Algorithm, Callable[[bytes], "hashlib._Hash"]]] = {
    Algorithm.SHA1: hashlib.sha1,
    Algorithm.SHA256: hashlib.sha256,
    Algorithm.SHA384: hashlib.sha384,
    Algorithm.SHA512: hashlib.sha512,
}
_OLD_HEAD: Final = struct.Struct("<II20sI")
_NEW_HEAD: Final = struct.Struct("<III")
_SPEC_HEAD: Final = struct.Struct("<16sIBBBBI")


class Event(NamedTuple):
    """One record. ``digests`` in the record's own order; algorithm numbers may be unknown ones."""

    pcr: int
    type: int
    digests: tuple[tuple[int, bytes], ...]
    data: bytes

    def digest(self, algorithm: int) -> bytes | None:
        """The digest for that bank, or None."""
        for number, value in self.digests:
            if number == algorithm:
                return value
        return None


@dataclass(frozen=True)
class EventLog:
    """A parsed log. ``header`` is the Spec ID record of a crypto-agile log (not among ``events``), else None.

    ``algorithms``: (number, digest size) of each bank the log has digests for.
    """

    header: Event | None
    algorithms: tuple[tuple[int, int], ...]
    events: tuple[Event, ...]

    def serialise(self) -> bytes:
        """The bytes that parse to this log."""
        if self.header is None:
            return b"".join(_write_old(event) for event in self.events)
        return b"".join((_write_old(self.header), *(_write_new(event) for event in self.events)))

    def has_bank(self, algorithm: Algorithm) -> bool:
        """Whether the log has digests of that algorithm."""
        return any(number == algorithm for number, _ in self.algorithms)


def parse_log(data: bytes) -> EventLog:
    """Read a log; ``parse_log(b).serialise() == b``. Raises ``TooLarge``, ``Malformed``, ``Unsupported``."""
    if len(data) > MAX_LOG:
        raise TooLarge(f"The event log has {len(data)} bytes; the limit is {MAX_LOG}.")
    if not data:
        raise Malformed("The event log is empty.")
    first, offset = _read_old(data, 0)
    if first.type == EV_NO_ACTION and first.data.startswith(_SPEC_ID):
        return _parse_agile(data, first, offset)
    events = [first]
    while offset < len(data):
        event, offset = _read_old(data, offset)
        events.append(event)
        if len(events) > MAX_EVENTS:
            raise TooLarge(_TOO_MANY)
    return EventLog(None, ((int(Algorithm.SHA1), 20),), tuple(events))


def _read_old(data: bytes, offset: int) -> tuple[Event, int]:
    if len(data) - offset < _OLD_HEAD.size:
        raise Malformed("The event log ends inside a record.")
    pcr, kind, digest, size = _OLD_HEAD.unpack_from(data, offset)
    offset += _OLD_HEAD.size
    if size > len(data) - offset:
        raise Malformed("The event log ends inside a record.")
    return Event(pcr, kind, ((int(Algorithm.SHA1), digest),), data[offset : offset + size]), offset + size


def _parse_agile(data: bytes, header: Event, offset: int) -> EventLog:
    """Every record has the same head, so one unpacking reads it whole: thousands of logs a second depend on it."""
    algorithms = _parse_spec_id(header.data)
    numbers = tuple(number for number, _ in algorithms)
    head = struct.Struct("<III" + "".join(f"H{size}s" for _, size in algorithms) + "I")
    unpack, head_size, end, banks = head.unpack_from, head.size, len(data), len(numbers)
    events: list[Event] = []
    while offset < end:
        # Number of the register, type, number of digests, (algorithm, digest) of each, size of the data.
        fields = unpack(data, offset) if end - offset >= head_size else (0, 0, 0)
        if fields[2] != banks or fields[3:-1:2] != numbers:
            event, offset = _read_odd(data, offset, dict(algorithms))
        else:
            digests = (fields[3:5],) if banks == 1 else tuple(fields[at : at + 2] for at in range(3, 3 + 2 * banks, 2))
            offset += head_size
            size = fields[-1]
            if size > end - offset:
                raise Malformed("The event log ends inside a record.")
            event, offset = Event(fields[0], fields[1], digests, data[offset : offset + size]), offset + size
        events.append(event)
        if len(events) > MAX_EVENTS:
            raise TooLarge(_TOO_MANY)
    return EventLog(header, algorithms, tuple(events))


def _read_odd(data: bytes, offset: int, sizes: dict[int, int]) -> tuple[Event, int]:
    """A record whose digests are not all that the header announces, in its order.

    Windows writes the digests of the banks that are active, which can be fewer than the firmware announced.
    """
    end = len(data)
    if end - offset < _NEW_HEAD.size:
        raise Malformed("The event log ends inside a record.")
    pcr, kind, count = _NEW_HEAD.unpack_from(data, offset)
    if not 0 < count <= len(sizes):
        raise Malformed("A record has no digest, or more than the log announces.")
    offset += _NEW_HEAD.size
    digests: dict[int, bytes] = {}
    for _ in range(count):
        number = int.from_bytes(data[offset : offset + 2], "little")
        size = sizes.get(number)
        if size is None or end - offset < 2 + size:
            raise Malformed("A record has a digest of another algorithm than the log announces, or is cut short.")
        if number in digests:
            raise Malformed("A record has two digests of one algorithm.")
        digests[number] = data[offset + 2 : offset + 2 + size]
        offset += 2 + size
    size = int.from_bytes(data[offset : offset + 4], "little")
    if end - offset < 4 + size:
        raise Malformed("The event log ends inside a record.")
    offset += 4
    return Event(pcr, kind, tuple(digests.items()), data[offset : offset + size]), offset + size


def _parse_spec_id(data: bytes) -> tuple[tuple[int, int], ...]:
    if len(data) < _SPEC_HEAD.size:
        raise Malformed("The event log's header is cut short.")
    *_, count = _SPEC_HEAD.unpack_from(data)
    if not 0 < count <= MAX_ALGORITHMS:
        raise Malformed(f"The event log's header lists {count} algorithms; 1 to {MAX_ALGORITHMS} are possible.")
    end = _SPEC_HEAD.size + 4 * count
    if len(data) <= end or len(data) != end + 1 + data[end]:
        raise Malformed("The event log's header has a wrong size.")
    algorithms = tuple(struct.unpack_from("<HH", data, _SPEC_HEAD.size + 4 * index) for index in range(count))
    if len({number for number, _ in algorithms}) != count:
        raise Malformed("The event log's header lists an algorithm twice.")
    for number, size in algorithms:
        known = DIGEST_SIZES.get(Algorithm(number)) if number in DIGEST_SIZES else None
        if size > 128 or (known is not None and known != size):
            raise Malformed("The event log's header gives a wrong digest size.")
    return tuple((number, size) for number, size in algorithms)


def _write_old(event: Event) -> bytes:
    return _OLD_HEAD.pack(event.pcr, event.type, event.digests[0][1], len(event.data)) + event.data


def _write_new(event: Event) -> bytes:
    parts = [_NEW_HEAD.pack(event.pcr, event.type, len(event.digests))]
    for number, value in event.digests:
        parts += [number.to_bytes(2, "little"), value]
    return b"".join((*parts, len(event.data).to_bytes(4, "little"), event.data))


# ---- replay --------------------------------------------------------------------------------------------------------


def replay(log: EventLog, algorithm: Algorithm) -> dict[int, bytes]:
    """The register values that this log leads to, for the registers it extends (0-23).

    PCR 0 starts with the locality that a StartupLocality record names. Raises ``Unsupported`` when the log has no
    such bank, ``LogUnsafe`` for a StartupLocality record that is repeated, out of place or impossible, and for a
    measured record without a digest in that bank.
    """
    return _replay(log, algorithm, startup_locality(log))


def _replay(log: EventLog, algorithm: Algorithm, start: int) -> dict[int, bytes]:
    if not log.has_bank(algorithm):
        raise Unsupported(f"The event log has no {HASH_NAMES[algorithm]} digests.")
    new = _CONSTRUCTORS[algorithm]
    zero = bytes(DIGEST_SIZES[algorithm])
    values: dict[int, bytes] = {0: zero[:-1] + bytes([start])}
    extended: set[int] = set()
    for pcr, kind, digests, _ in log.events:
        if kind == EV_NO_ACTION or pcr >= _PCRS:
            continue
        digest = digests[0][1] if digests[0][0] == algorithm else _digest(digests, algorithm, pcr)
        values[pcr] = new(values.get(pcr, zero) + digest).digest()
        extended.add(pcr)
    return {pcr: value for pcr, value in values.items() if pcr in extended}


def _digest(digests: tuple[tuple[int, bytes], ...], algorithm: Algorithm, pcr: int) -> bytes:
    for number, value in digests:
        if number == algorithm:
            return value
    raise LogUnsafe(f"A record in PCR {pcr} has no {HASH_NAMES[algorithm]} digest: nothing in that bank proves it.")


def startup_locality(log: EventLog) -> int:
    """The locality TPM2_Startup came from: 0, or what the log's StartupLocality record says."""
    found: int | None = None
    extended = False
    for pcr, kind, _, data in log.events:
        if pcr != 0:
            continue
        if kind != EV_NO_ACTION:
            extended = True
        elif data.startswith(_LOCALITY):
            if found is not None or extended or len(data) != len(_LOCALITY) + 1:
                raise LogUnsafe("The event log has a StartupLocality record that is repeated or out of place.")
            found = data[-1]
            if found not in (0, 3, 4):
                raise LogUnsafe(f"The event log names the startup locality {found}; only 0, 3 and 4 exist.")
    return found or 0


# ---- verification --------------------------------------------------------------------------------------------------


class VerifiedEvent(NamedTuple):
    """An event whose register, order and digest the TPM confirms. ``type`` is the log's word only."""

    pcr: int
    type: int
    digest: bytes
    data: bytes
    algorithm: Algorithm

    @property
    def data_is_digested(self) -> bool:
        """Whether ``digest`` is the hash of ``data``; only then does ``data`` say anything. Computed when asked."""
        return _CONSTRUCTORS[self.algorithm](self.data).digest() == self.digest


@dataclass(frozen=True)
class VerifiedLog:
    """What a TPM confirms of a log: its events in the quoted registers (``pcrs``) of one bank, in order."""

    algorithm: Algorithm
    pcrs: Mapping[int, bytes]
    _log: EventLog

    @cached_property
    def events(self) -> tuple[VerifiedEvent, ...]:
        """Every confirmed event, in log order."""
        return tuple(self.of(*self.pcrs))

    def of(self, *pcrs: int) -> Iterator[VerifiedEvent]:
        """The confirmed events of these registers, in log order."""
        algorithm, confirmed = self.algorithm, self.pcrs.keys() & pcrs
        for pcr, kind, digests, data in self._log.events:
            if pcr in confirmed and kind != EV_NO_ACTION:
                yield VerifiedEvent(pcr, kind, _digest(digests, algorithm, pcr), data, algorithm)


def verify_log(log: EventLog, pcrs: Mapping[int, bytes], algorithm: Algorithm) -> VerifiedLog:
    """Check that the log replays to these register values (values that are themselves proven).

    A register the log does not extend must hold its reset value. Raises ``LogMismatch`` naming the registers.
    """
    expected = _expected(log, pcrs, algorithm)
    wrong = tuple(pcr for pcr in sorted(pcrs) if expected[pcr] != pcrs[pcr])
    if wrong:
        names = ", ".join(str(pcr) for pcr in wrong)
        raise LogMismatch(f"The event log does not replay to the TPM's values of PCR {names}.", wrong)
    return VerifiedLog(algorithm, dict(pcrs), log)


def verify_log_by_quote(
    log: EventLog,
    selection: PcrSelection,
    pcr_digest: bytes,
    quote_hash: Algorithm,
    claimed: Mapping[int, bytes] | None = None,
) -> VerifiedLog:
    """Check that the log replays to a *verified* quote's digest over one bank.

    ``claimed``: register values as the host states them; they only serve to name the registers that differ, and only
    when they match the quote themselves. Raises ``LogMismatch``.
    """
    bank = selection.hash
    expected = _expected(log, selection.pcrs, bank)
    name = HASH_NAMES[quote_hash]
    if composite_digest((selection,), {bank: expected}, name) == pcr_digest:
        return VerifiedLog(bank, expected, log)
    stated = claimed is not None and set(claimed) >= set(selection.pcrs)
    if claimed is not None and stated and composite_digest((selection,), {bank: claimed}, name) == pcr_digest:
        return verify_log(log, {pcr: claimed[pcr] for pcr in selection.pcrs}, bank)
    raise LogMismatch("The event log does not replay to the register values that the TPM quoted.")


def accept_reference_log(log: EventLog, algorithm: Algorithm = Algorithm.SHA256) -> VerifiedLog:
    """Take a log at its word, as the reference that an administrator approves (a TPM baseline); no host is judged."""
    return VerifiedLog(algorithm, replay(log, algorithm), log)


def _expected(log: EventLog, pcrs: Sequence[int] | Mapping[int, bytes], algorithm: Algorithm) -> dict[int, bytes]:
    start = startup_locality(log)
    values = _replay(log, algorithm, start)
    size = DIGEST_SIZES[algorithm]
    # Registers 17-22 belong to dynamic launch and reset to all ones; PCR 0 keeps the startup locality.
    resets = {pcr: (b"\xff" if 17 <= pcr <= 22 else b"\x00") * size for pcr in pcrs}
    if 0 in resets:
        resets[0] = bytes(size - 1) + bytes([start])
    return {pcr: values.get(pcr, reset) for pcr, reset in resets.items()}


# ---- writing -------------------------------------------------------------------------------------------------------


class EventLogBuilder:
    """Writes a crypto-agile log as firmware and boot loader do, and says what to extend into the TPM.

    ``locality``: record that TPM2_Startup came from locality 3 or 4 (PCR 0 then starts with it).
    """

    def __init__(self, algorithms: Sequence[Algorithm] = (Algorithm.SHA256,), locality: int | None = None) -> None:
        self._algorithms = tuple(algorithms)
        self._events: list[Event] = []
        if locality is not None:
            self.note(0, _LOCALITY + bytes([locality]))

    def measure(self, pcr: int, event_type: int, data: bytes, *, measured: bytes | None = None) -> Event:
        """Append an event whose digest is over ``measured`` (``data`` when not given)."""
        source = data if measured is None else measured
        digests = tuple((int(item), _CONSTRUCTORS[item](source).digest()) for item in self._algorithms)
        return self.record(pcr, event_type, digests, data)

    def record(self, pcr: int, event_type: int, digests: tuple[tuple[int, bytes], ...], data: bytes) -> Event:
        """Append an event with digests computed elsewhere (an Authenticode hash, for example)."""
        event = Event(pcr, event_type, digests, data)
        self._events.append(event)
        return event

    def note(self, pcr: int, data: bytes) -> Event:
        """Append an EV_NO_ACTION record: information that is not measured."""
        empty = tuple((int(item), bytes(DIGEST_SIZES[item])) for item in self._algorithms)
        return self.record(pcr, EV_NO_ACTION, empty, data)

    def separators(self, pcrs: Sequence[int] = range(8)) -> None:
        """Append the firmware's separators (four zero bytes), which end the part before the boot loader."""
        for pcr in pcrs:
            self.measure(pcr, EV_SEPARATOR, bytes(4))

    def extends(self) -> Iterator[tuple[int, dict[Algorithm, bytes]]]:
        """In order: which register to extend with which digests, so that the TPM agrees with the log."""
        for event in self._events:
            if event.type != EV_NO_ACTION:
                yield event.pcr, {Algorithm(number): digest for number, digest in event.digests}

    def build(self) -> EventLog:
        """The log so far."""
        sizes = tuple((int(item), DIGEST_SIZES[item]) for item in self._algorithms)
        listed = b"".join(struct.pack("<HH", number, size) for number, size in sizes)
        spec = _SPEC_HEAD.pack(_SPEC_ID, 0, 0, 2, 0, 2, len(sizes)) + listed + b"\x00"
        header = Event(0, EV_NO_ACTION, ((int(Algorithm.SHA1), bytes(20)),), spec)
        return EventLog(header, sizes, tuple(self._events))
