"""Whether quoted registers are explained, by a boot log, by given values, or by both without contradiction.

Rules, for every selected register of every selected bank:

* a register that the log extends holds what the log replays to; a given value may not say otherwise;
* a register that the log does not extend holds its reset value, or the value given for it. Registers of which boot
  firmware logs every event (0-9; with Windows also 11-14) may hold another value only when no log was given;
* where a log is given, it must have digests for every quoted bank: one bank that replays says nothing about another;
* without a log, every selected register must be given.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from hgs.attestation.offline.findings import digest_is_of_data, find_oddities, is_windows_log
from hgs.attestation.offline.log_reading import ReadLog
from hgs.attestation.offline.names import bank_name
from hgs.attestation.offline.replay import replay_log, reset_value
from hgs.attestation.tpm import HASH_NAMES, Algorithm, QuoteInfo, composite_digest

Values = dict[Algorithm, dict[int, bytes]]
Given = Mapping[int, Mapping[int, bytes]]
_REGISTERS: Final = 24
_ALWAYS_LOGGED: Final = frozenset(range(10))
_LOGGED_BY_WINDOWS: Final = frozenset((11, 12, 13, 14))
# Registers whose events policies read, so that an event must not say more than its digest proves.
_READ: Final = frozenset((7, 12, 13, 14))


@dataclass
class Explanation:
    """``problem`` is empty when everything is explained; ``code`` is its stable name."""

    code: str = ""
    problem: str = ""
    by_log: int = 0
    by_values: int = 0
    warnings: list[str] = field(default_factory=list)

    def refuse(self, code: str, problem: str) -> "Explanation":
        """This explanation, failed."""
        self.code, self.problem = code, problem
        return self

    def sentence(self, registers: str) -> str:
        """What explains the quote, in words."""
        sources = [name for name, count in (("the log", self.by_log), ("the given values", self.by_values)) if count]
        return f"Every quoted register ({registers}) is explained by {' and '.join(sources)}."


def explain(quote: QuoteInfo, hash_: Algorithm, log: ReadLog | None, given: Given | None) -> Explanation:
    """Judge by the rules above. ``hash_``: of the quote's signature, which its digest has too."""
    found = Explanation()
    if log is None and given is None:
        return found.refuse("unexplained", "Neither a log nor register values were given to explain the quote.")
    wanted = [(item.hash, pcr) for item in quote.selections for pcr in item.pcrs]
    beyond = sorted({pcr for _, pcr in wanted if pcr >= _REGISTERS})
    if beyond:
        return found.refuse("unexplained", f"The quote selects the register {_listed(beyond)}, which no PC's TPM has.")
    if log is not None:
        absent = sorted({bank_name(bank) for bank, _ in wanted if bank not in replay_log(log).pcrs})
        if absent:
            return found.refuse(
                "bank-unexplained",
                f"The quote covers the bank {', '.join(absent)}, of which the log has no digests: a log that replays "
                "in one bank says nothing about another. Leave the log out to check the registers alone.",
            )
    return _explain(found, quote, hash_, wanted, log, given or {})


def _explain(
    found: Explanation,
    quote: QuoteInfo,
    hash_: Algorithm,
    wanted: list[tuple[Algorithm, int]],
    log: ReadLog | None,
    given: Given,
) -> Explanation:
    logged = {} if log is None else _by_log(log, wanted)
    stated: Values = {}
    for bank, pcr in wanted:
        value = given.get(bank, {}).get(pcr)
        if value is not None:
            stated.setdefault(bank, {})[pcr] = value
    missing = [
        (bank, pcr) for bank, pcr in wanted if pcr not in logged.get(bank, {}) and pcr not in stated.get(bank, {})
    ]
    if missing:
        return found.refuse("unexplained", f"No value was given for {_named(missing)}, which the quote covers.")
    contradictions = _contradictions(found, log, wanted, logged, stated)
    if contradictions:
        return _explain_contradiction(found, quote, hash_, contradictions, logged, stated)
    values = {bank: {**logged.get(bank, {}), **stated.get(bank, {})} for bank in {bank for bank, _ in wanted}}
    if not _leads_to(quote, hash_, values):
        return _explain_mismatch(found, quote, hash_, log, stated)
    if log is not None:
        problem = _misleading(log, wanted)
        if problem:
            return found.refuse("log-data", problem)
    _note_what_is_not_covered(found, wanted, log, given)
    return found


def _by_log(log: ReadLog, wanted: list[tuple[Algorithm, int]], locality: int | None = None) -> Values:
    replayed = replay_log(log, locality)
    values: Values = {}
    for bank, pcr in wanted:
        value = replayed.pcrs[bank].get(pcr)
        values.setdefault(bank, {})[pcr] = reset_value(bank, pcr, replayed.locality) if value is None else value
    return values


def _contradictions(
    found: Explanation, log: ReadLog | None, wanted: list[tuple[Algorithm, int]], logged: Values, stated: Values
) -> list[tuple[Algorithm, int]]:
    if log is None:
        found.by_values = len(wanted)
        return []
    extended = replay_log(log).pcrs
    complete = _ALWAYS_LOGGED | (_LOGGED_BY_WINDOWS if is_windows_log(log) else frozenset())
    wrong, later = [], []
    for bank, pcr in wanted:
        value = stated.get(bank, {}).get(pcr)
        if value is None or value == logged[bank][pcr]:
            found.by_log += 1
        elif pcr in extended[bank] or pcr in complete:
            wrong.append((bank, pcr))
        else:
            later.append((bank, pcr))
    found.by_values = len(later)
    if later:
        found.warnings.append(
            f"{_named(later)} is explained by the given values alone: the log has no event for it. What extended it "
            "(an operating system, usually) keeps a record of its own."
        )
    return wrong


def _leads_to(quote: QuoteInfo, hash_: Algorithm, values: Values) -> bool:
    try:
        return composite_digest(quote.selections, values, HASH_NAMES[hash_]) == quote.pcr_digest
    except KeyError:
        return False


def _explain_contradiction(
    found: Explanation,
    quote: QuoteInfo,
    hash_: Algorithm,
    wrong: list[tuple[Algorithm, int]],
    logged: Values,
    stated: Values,
) -> Explanation:
    names = _named(wrong)
    merged = {bank: {**values, **stated.get(bank, {})} for bank, values in logged.items()}
    if _leads_to(quote, hash_, merged):
        return found.refuse(
            "log-mismatch", f"The log does not replay to {names}: the quote confirms the given values, not the log's."
        )
    if _leads_to(quote, hash_, logged):
        return found.refuse(
            "registers-mismatch", f"The given values of {names} are wrong: the quote confirms the log's, not these."
        )
    return found.refuse(
        "contradiction",
        f"The log and the given values contradict each other in {names}, and the quote confirms neither.",
    )


def _explain_mismatch(
    found: Explanation, quote: QuoteInfo, hash_: Algorithm, log: ReadLog | None, stated: Values
) -> Explanation:
    if log is None:
        return found.refuse("registers-mismatch", "The given register values are not those that the TPM quoted.")
    wanted = [(item.hash, pcr) for item in quote.selections for pcr in item.pcrs]
    hint = ""
    for locality in (0, 3, 4):
        values = _by_log(log, wanted, locality)
        if _leads_to(quote, hash_, {bank: {**logged, **stated.get(bank, {})} for bank, logged in values.items()}):
            hint = f" It would, had the TPM been started from locality {locality}; the log says otherwise."
    if not hint and not stated and any(pcr not in _ALWAYS_LOGGED for _, pcr in wanted):
        hint = " Where the operating system extended registers too (such as PCR 10), give the registers as well."
    return found.refuse("log-mismatch", f"The log does not replay to the registers that the TPM quoted.{hint}")


def _misleading(log: ReadLog, wanted: list[tuple[Algorithm, int]]) -> str:
    for record in log.measured:
        banks = {int(bank) for bank, pcr in wanted if pcr == record.pcr}
        if banks and all(record.digest(bank) is None for bank in banks):
            return (
                f"Record {record.number} of the log (PCR {record.pcr}) has no digest in a bank that is quoted, so "
                "nothing proves it."
            )
        if record.pcr in _READ and banks and digest_is_of_data(record, banks) is False:
            return (
                f"Record {record.number} of the log (PCR {record.pcr}) says something else than what was measured: its "
                "digest, which the TPM confirms, is not that of its data."
            )
    return ""


def _note_what_is_not_covered(
    found: Explanation, wanted: list[tuple[Algorithm, int]], log: ReadLog | None, given: Given
) -> None:
    covered = {(int(bank), pcr) for bank, pcr in wanted}
    if log is not None:
        replayed = replay_log(log)
        found.warnings += [
            f"About the log: {text}" for text in (*log.warnings, *replayed.warnings, *find_oddities(log))
        ]
        open_banks = [bank_name(bank) for bank in replayed.pcrs if not any(bank == item for item, _ in covered)]
        if open_banks:
            found.warnings.append(f"The log's digests for {', '.join(open_banks)} are not covered by the quote.")
        pcrs = {pcr for values in replayed.pcrs.values() for pcr in values} - {pcr for _, pcr in covered}
        if pcrs:
            found.warnings.append(
                f"The quote does not cover PCR {_listed(sorted(pcrs))}: the log's events there prove nothing."
            )
    unused = sorted({pcr for bank, values in given.items() for pcr in values if (bank, pcr) not in covered})
    if unused:
        found.warnings.append(
            f"Values were given for registers that the quote does not cover (PCR {_listed(unused)}); they were not "
            "used and are not proven."
        )


def _named(registers: list[tuple[Algorithm, int]]) -> str:
    banks: dict[str, list[int]] = {}
    for bank, pcr in registers:
        banks.setdefault(bank_name(bank), []).append(pcr)
    return ", ".join(f"PCR {_listed(pcrs)} ({bank})" for bank, pcrs in banks.items())


def _listed(numbers: list[int]) -> str:
    return ", ".join(str(number) for number in numbers)
