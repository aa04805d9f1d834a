"""A boot log as ``gf evidence show`` prints it."""

from typing import Any

from hgs.attestation.errors import Malformed
from hgs.attestation.offline.describe import describe, is_windows
from hgs.attestation.offline.findings import find_oddities
from hgs.attestation.offline.log_reading import ReadLog, Record
from hgs.attestation.offline.names import bank_name, event_name
from hgs.attestation.offline.replay import replay_log
from hgs.attestation.offline.windows import END_MARKER, SipaItem, decode_sipa, facts, modules


def report_log(log: ReadLog) -> dict[str, Any]:
    """``{"pcrs": {bank: {register: hex}}, "events": […], "sipa": {…}, "warnings": [sentence, …]}``."""
    replayed = replay_log(log)
    return {
        "pcrs": replayed.named(),
        "events": [report_event(record) for record in log.records],
        "sipa": sipa_facts(log),
        "warnings": [*log.warnings, *replayed.warnings, *find_oddities(log)],
    }


def report_event(record: Record) -> dict[str, Any]:
    """``{"number", "pcr", "type", "type_id", "measured", "digests", "says", "content", "size", "data"}``."""
    description = describe(record)
    return {
        "number": record.number,
        "pcr": record.pcr,
        "type": event_name(record.type),
        "type_id": record.type,
        "measured": record.measured,
        "digests": {bank_name(bank): value.hex() for bank, value in record.digests},
        "says": description.sentence,
        "content": description.content,
        "size": len(record.data),
        "data": record.data.hex(),
    }


def sipa_facts(log: ReadLog) -> dict[str, Any]:
    """What Windows measured, up to the end marker of each register: name -> value or values.

    ``LOADED_MODULES`` has the loaded modules. Empty where Windows measured nothing.
    """
    items = windows_items(log)
    found = facts(items)
    loaded = modules(items)
    return found | {"LOADED_MODULES": loaded} if loaded else found


def windows_items(log: ReadLog) -> list[SipaItem]:
    """Windows' records of PCR 12-14, up to the end marker of each register."""
    items: list[SipaItem] = []
    ended: set[int] = set()
    for record in log.measured:
        if not is_windows(record) or record.pcr in ended:
            continue
        if record.data == END_MARKER:
            ended.add(record.pcr)
            continue
        try:
            items += decode_sipa(record.data)
        except Malformed:
            continue
    return items
