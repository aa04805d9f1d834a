"""Two boot logs side by side: in the terms in which HGS compares a host with a baseline, and event by event."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import Any, Final

from hgs.attestation.baseline import Baseline, baseline_of
from hgs.attestation.baseline import compare as compare_baseline
from hgs.attestation.errors import AttestationError, Malformed, TooLarge, Unsupported
from hgs.attestation.offline.changes import changed, subject
from hgs.attestation.offline.describe import describe
from hgs.attestation.offline.findings import is_windows_log
from hgs.attestation.offline.log_reading import MAX_FILE, ReadLog, Record, read_log
from hgs.attestation.offline.names import BANK_SIZES, bank_name, event_name
from hgs.attestation.offline.replay import replay_log
from hgs.attestation.sipa import MeasuredBoot, measured_boot
from hgs.attestation.tcglog import Event, EventLog, accept_reference_log
from hgs.attestation.tpm import Algorithm

# Longest register history that is aligned, and how often one event may occur in it: aligning takes time that grows
# with both. Above that, events are only counted.
MAX_ALIGNED: Final = 2000
MAX_REPEATED: Final = 100
_BEST_FIRST: Final = (0x000D, 0x000C, 0x000B, 0x0012, 0x0004)


@dataclass
class LogComparison:
    """``hgs`` is None where the logs cannot be compared in HGS's terms; ``hgs_reason`` says why.

    ``registers``: those whose values differ. ``events``: ``{"pcr", "change", "says", "before", "after"}`` with change
    added, removed or changed.
    """

    hgs: list[dict[str, str]] | None = None
    hgs_reason: str = ""
    registers: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def identical(self) -> bool:
        """No register and no event differs."""
        return not self.registers and not self.events

    @property
    def same(self) -> bool:
        """For Windows logs: HGS would take the one for the other. Otherwise: identical."""
        return self.identical if self.hgs is None else not self.hgs

    def as_json(self) -> dict[str, Any]:
        """``{"same", "identical", "hgs", "registers", "events", "warnings"}``.

        ``hgs`` is ``{"comparable", "differences": [{"subject", "sentence"}], "reason"}``.
        """
        hgs = {"comparable": self.hgs is not None, "differences": self.hgs or [], "reason": self.hgs_reason}
        return {
            "same": self.same,
            "identical": self.identical,
            "hgs": hgs,
            "registers": self.registers,
            "events": self.events,
            "warnings": self.warnings,
        }


def compare_files(baseline: bytes, log: bytes) -> LogComparison:
    """Compare a log with a baseline: another log, or a baseline as HGS stores it (JSON).

    Raises ``TooLarge``, ``Malformed`` when one cannot be read at all.
    """
    after = read_log(log)
    if baseline.lstrip()[:1] == b"{":
        return _with_stored(_stored_baseline(baseline), after)
    before = read_log(baseline)
    found = LogComparison()
    for name, item in (("baseline", before), ("log", after)):
        found.warnings += [f"About the {name}: {text}" for text in item.warnings]
    _compare_for_hgs(found, before, after)
    bank = _common_bank(before, after)
    if bank is None:
        found.warnings.append("The two logs have no bank in common, so events are compared by their data.")
    else:
        found.registers = _registers(before, after)
    found.events = _events(before, after, bank)
    return found


# ---- in HGS's terms ------------------------------------------------------------------------------------------------


def _stored_baseline(data: bytes) -> Baseline:
    if len(data) > MAX_FILE:
        raise TooLarge(f"The baseline has {len(data)} bytes; the limit is {MAX_FILE}.")
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Malformed("The baseline is neither a boot log nor JSON.") from error
    return Baseline.from_json(value)


def _with_stored(baseline: Baseline, log: ReadLog) -> LogComparison:
    found = LogComparison(warnings=list(log.warnings))
    try:
        found.hgs = _differences(baseline, boot_of(log))
    except AttestationError as error:
        raise Malformed(f"The log cannot be compared with a stored baseline: {error.message}") from error
    return found


def boot_of(log: ReadLog) -> MeasuredBoot:
    """What HGS would read from the log, were it proven. Raises ``Unsupported``, ``LogUnsafe``."""
    algorithm = Algorithm.SHA256 if Algorithm.SHA256 in log.banks else Algorithm.SHA1
    events = []
    for record in log.records:
        digest = record.digest(algorithm)
        if digest is not None:
            events.append(Event(record.pcr, record.type, ((int(algorithm), digest),), record.data))
        elif record.measured:
            raise Unsupported(f"Record {record.number} has no {bank_name(algorithm)} digest.")
    sizes = ((int(algorithm), BANK_SIZES[algorithm]),)
    return measured_boot(accept_reference_log(EventLog(None, sizes, tuple(events)), algorithm))


def _compare_for_hgs(found: LogComparison, before: ReadLog, after: ReadLog) -> None:
    for name, log in (("baseline", before), ("log", after)):
        if not is_windows_log(log):
            found.hgs_reason = f"The {name} is not of Windows, so HGS has no terms for it."
            return
    try:
        baseline = baseline_of(boot_of(before))
    except AttestationError as error:
        found.hgs_reason = f"HGS would not take the baseline: {error.message}"
        return
    try:
        found.hgs = _differences(baseline, boot_of(after))
    except AttestationError as error:
        found.hgs = [{"subject": "log", "sentence": f"HGS would not take the log: {error.message}"}]


def _differences(baseline: Baseline, boot: MeasuredBoot) -> list[dict[str, str]]:
    return [{"subject": item.subject, "sentence": item.sentence} for item in compare_baseline(baseline, boot)]


# ---- registers and events ------------------------------------------------------------------------------------------


def _common_bank(before: ReadLog, after: ReadLog) -> int | None:
    common = set(before.banks) & set(after.banks)
    return next((bank for bank in _BEST_FIRST if bank in common), next(iter(sorted(common)), None))


def _registers(before: ReadLog, after: ReadLog) -> list[dict[str, Any]]:
    old, new = replay_log(before).pcrs, replay_log(after).pcrs
    found = []
    for bank in sorted(set(old) & set(new)):
        for pcr in sorted(set(old[bank]) | set(new[bank])):
            was, now = old[bank].get(pcr), new[bank].get(pcr)
            if was != now:
                found.append(
                    {
                        "bank": bank_name(bank),
                        "pcr": pcr,
                        "before": was.hex() if was is not None else None,
                        "after": now.hex() if now is not None else None,
                    }
                )
    return found


def _events(before: ReadLog, after: ReadLog, bank: int | None) -> list[dict[str, Any]]:
    old, new = _by_register(before), _by_register(after)
    found: list[dict[str, Any]] = []
    for pcr in sorted(set(old) | set(new)):
        found += _register_events(pcr, old.get(pcr, []), new.get(pcr, []), bank)
    return found


def _by_register(log: ReadLog) -> dict[int, list[Record]]:
    found: dict[int, list[Record]] = {}
    for record in log.measured:
        found.setdefault(record.pcr, []).append(record)
    return found


def _key(record: Record, bank: int | None) -> tuple[int, bytes]:
    digest = record.digest(bank) if bank is not None else None
    return record.type, digest if digest is not None else record.data


def _register_events(pcr: int, old: list[Record], new: list[Record], bank: int | None) -> list[dict[str, Any]]:
    before, after = [_key(item, bank) for item in old], [_key(item, bank) for item in new]
    most = max(Counter(before + after).values(), default=0)
    if len(before) + len(after) > MAX_ALIGNED or most > MAX_REPEATED:
        return _counted(pcr, old, new, bank)
    found: list[dict[str, Any]] = []
    for what, i1, i2, j1, j2 in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if what != "equal":
            found += _replaced(pcr, old[i1:i2], new[j1:j2])
    return found


def _counted(pcr: int, old: list[Record], new: list[Record], bank: int | None) -> list[dict[str, Any]]:
    removed = Counter(_key(item, bank) for item in old) - Counter(_key(item, bank) for item in new)
    added = Counter(_key(item, bank) for item in new) - Counter(_key(item, bank) for item in old)
    return _replaced(pcr, _pick(old, removed, bank), _pick(new, added, bank))


def _pick(records: Sequence[Record], wanted: Counter[tuple[int, bytes]], bank: int | None) -> list[Record]:
    found = []
    for record in records:
        key = _key(record, bank)
        if wanted[key] > 0:
            wanted[key] -= 1
            found.append(record)
    return found


def _replaced(pcr: int, old: Sequence[Record], new: Sequence[Record]) -> list[dict[str, Any]]:
    """Pair the events that are about the same thing; the rest was removed or added."""
    waiting: dict[object, list[Record]] = {}
    for record in old:
        waiting.setdefault(subject(record), []).append(record)
    found: list[dict[str, Any]] = []
    for record in new:
        partners = waiting.get(subject(record))
        if partners:
            partner = partners.pop(0)
            found.append(_event(pcr, "changed", changed(partner, record), partner, record))
        else:
            found.append(_event(pcr, "added", describe(record).sentence, None, record))
    left = [record for records in waiting.values() for record in records]
    removed = [_event(pcr, "removed", describe(item).sentence, item, None) for item in sorted(left, key=_number)]
    return removed + found


def _number(record: Record) -> int:
    return record.number


def _event(pcr: int, change: str, says: str, before: Record | None, after: Record | None) -> dict[str, Any]:
    record = after or before
    return {
        "pcr": pcr,
        "change": change,
        "type": event_name(record.type) if record is not None else "",
        "says": says,
        "before": before.number if before is not None else None,
        "after": after.number if after is not None else None,
    }
