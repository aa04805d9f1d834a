"""What is out of order in a boot log, in sentences: each is something a person should look at, none is a verdict."""

from collections.abc import Collection, Iterable, Iterator
from typing import Final

from hgs.attestation.errors import Malformed
from hgs.attestation.offline.describe import SEPARATORS, describe, is_windows
from hgs.attestation.offline.linux import grub_string
from hgs.attestation.offline.log_reading import ReadLog, Record
from hgs.attestation.offline.names import TYPES, event_name, is_known_event
from hgs.attestation.offline.replay import digest_of
from hgs.attestation.offline.uefi import read_variable
from hgs.attestation.offline.windows import END_MARKER, WINDOWS_PCRS, looks_like_sipa

# Types whose digest is that of their data by the specification, or of a part of it that _candidates knows.
_DIGESTED: Final = frozenset(
    TYPES[name]
    for name in (
        "SEPARATOR",
        "ACTION",
        "EFI_ACTION",
        "S_CRTM_VERSION",
        "EFI_GPT_EVENT",
        "EFI_GPT_EVENT2",
        "EFI_VARIABLE_DRIVER_CONFIG",
        "EFI_VARIABLE_BOOT",
        "EFI_VARIABLE_BOOT2",
        "EFI_VARIABLE_AUTHORITY",
        "OMIT_BOOT_DEVICE_EVENTS",
    )
)
_VARIABLES: Final = frozenset(TYPES[f"EFI_VARIABLE_{name}"] for name in ("DRIVER_CONFIG", "BOOT", "BOOT2", "AUTHORITY"))
_FIRMWARE_REGISTERS: Final = range(8)


def find_oddities(log: ReadLog) -> list[str]:
    """Sentences in the order of the log; those about the log as a whole last."""
    return [
        *_about_events(log),
        *_unexplained_digests(log),
        *_about_windows(log),
        *_about_separators(log),
        *(
            ["This looks like the log of a confidential VM (CCEL): its registers are not those of a TPM."]
            if is_confidential_guest(log)
            else []
        ),
    ]


def digest_is_of_data(record: Record, banks: Collection[int] | None = None) -> bool | None:
    """Whether the digests (of these banks) are those of the data, or of the part of it that is hashed for this type.

    None where the digest is of something else (a program, a firmware volume) or cannot be computed here.
    """
    if not should_be_digested(record):
        return None
    candidates = list(_candidates(record))
    answers = []
    for bank, digest in record.digests:
        if banks is not None and bank not in banks:
            continue
        known = [digest_of(bank, candidate) for candidate in candidates]
        if None not in known:
            answers.append(digest in known)
    return all(answers) if answers else None


def should_be_digested(record: Record) -> bool:
    """Whether the record's digest must be one of its data."""
    from_grub = record.type == TYPES["IPL"] and grub_string(record.data) is not None
    return record.measured and (record.type in _DIGESTED or is_windows(record) or from_grub)


def _candidates(record: Record) -> Iterator[bytes]:
    data = record.data
    yield data
    if data.endswith(b"\x00"):
        yield data.rstrip(b"\x00")
    if record.type == TYPES["SEPARATOR"] and data == b"\x01\x00\x00\x00":
        yield bytes(4)
    if record.type in _VARIABLES:
        # EV_EFI_VARIABLE_BOOT is the hash of the variable's content alone; older firmware does so for others too.
        try:
            yield read_variable(data).data
        except Malformed:
            return
    if record.type == TYPES["EFI_VARIABLE_AUTHORITY"]:
        # shim before version 15.3 leaves the last byte out.
        yield data[:-1]
    if record.type == TYPES["IPL"]:
        grub = grub_string(data)
        if grub is not None:
            yield grub[1]
            yield grub[1].rstrip(b"\x00")


def _about_events(log: ReadLog) -> Iterator[str]:
    for record in log.records:
        where = f"Record {record.number} (PCR {record.pcr}, {event_name(record.type)})"
        if not is_known_event(record.type):
            yield f"{where} is of an unknown type."
        problem = describe(record).problem
        if problem:
            yield f"{where}: {problem}"
        if record.measured and _banks_disagree(record):
            yield f"{where}: its digest is that of its data in one bank, and not in another."
    for register in sorted({record.pcr for record in log.records if 24 <= record.pcr < 0xFFFFFFFF}):
        yield f"Events name the register {register}, which no TPM has."


def _banks_disagree(record: Record) -> bool:
    answers = {
        digest_of(bank, record.data) == digest for bank, digest in record.digests if digest_of(bank, b"") is not None
    }
    return len(answers) == 2


def _unexplained_digests(log: ReadLog) -> Iterator[str]:
    for record in log.records:
        if digest_is_of_data(record) is False and not _banks_disagree(record):
            yield (
                f"Record {record.number} (PCR {record.pcr}, {event_name(record.type)}): its digest is not that of its "
                "data. The TPM confirms the digest only, so what the data says is not proven."
            )


def _about_windows(log: ReadLog) -> Iterator[str]:
    if not is_windows_log(log):
        return
    tag, separator = TYPES["EVENT_TAG"], TYPES["SEPARATOR"]
    ended: set[int] = set()
    for record in log.measured:
        if record.pcr not in WINDOWS_PCRS:
            continue
        where = f"Record {record.number} in PCR {record.pcr}"
        if record.data == END_MARKER:
            if record.pcr in ended:
                yield f"{where} is a second end marker (WBCL)."
            if record.type != separator:
                yield f"{where} is an end marker under the type {event_name(record.type)}: it was relabelled."
            ended.add(record.pcr)
        elif record.pcr in ended:
            yield f"{where} comes after the end marker (WBCL): it is no boot state."
        elif record.type != tag:
            yield f"{where} is of the type {event_name(record.type)}: only Windows' records belong there (relabelled?)."
        elif not looks_like_sipa(record.data):
            yield f"{where} is no record of Windows."
    for pcr in WINDOWS_PCRS:
        if pcr not in ended:
            yield f"PCR {pcr} has no end marker (WBCL): Windows' part of the log is incomplete."


def is_windows_log(log: ReadLog) -> bool:
    """Whether Windows measured anything, by content."""
    return any(is_windows(record) for record in log.measured)


def is_confidential_guest(log: ReadLog) -> bool:
    """Whether the log looks like one of a confidential VM (CCEL): few registers, SHA-384 alone."""
    return log.banks == (0x000C,) and all(record.pcr <= 4 for record in log.measured)


def _about_separators(log: ReadLog) -> Iterator[str]:
    measured = [record for record in log.measured if record.pcr in _FIRMWARE_REGISTERS]
    if not measured or is_confidential_guest(log):
        return
    counts = dict.fromkeys(_FIRMWARE_REGISTERS, 0)
    for record in measured:
        if record.type == TYPES["SEPARATOR"]:
            counts[record.pcr] += 1
            if record.data not in SEPARATORS:
                yield (
                    f"Record {record.number} is a separator with unusual content in PCR {record.pcr}: "
                    f"{record.data[:16].hex() or 'none'}."
                )
    missing = [pcr for pcr, count in counts.items() if not count]
    if missing:
        yield f"The firmware's separator is missing in PCR {_listed(missing)}."
    repeated = [pcr for pcr, count in counts.items() if count > 1]
    if repeated:
        yield f"There is more than one separator in PCR {_listed(repeated)}."


def _listed(numbers: Iterable[int]) -> str:
    return ", ".join(str(number) for number in numbers)
