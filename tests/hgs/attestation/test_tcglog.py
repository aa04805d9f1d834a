"""Reading, writing, replaying and verifying event logs."""

import hashlib
import struct
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hgs.attestation import tcglog
from hgs.attestation.errors import AttestationError, LogMismatch, LogUnsafe, Malformed, TooLarge, Unsupported
from hgs.attestation.tcglog import (
    EV_EFI_ACTION,
    EV_EVENT_TAG,
    EV_NO_ACTION,
    EV_SEPARATOR,
    Event,
    EventLog,
    EventLogBuilder,
    parse_log,
    replay,
    verify_log,
    verify_log_by_quote,
)
from hgs.attestation.tpm import HASH_NAMES, Algorithm, PcrSelection, TpmsAttest, composite_digest
from tests.hgs.attestation.boots import Boot
from tests.hgs.attestation.samples import index, sample

BANKS = {name: algorithm for algorithm, name in HASH_NAMES.items()}
LOGS = index("eventlogs")


def registers(values: dict[str, str]) -> dict[int, bytes]:
    return {int(pcr): bytes.fromhex(value) for pcr, value in values.items()}


@pytest.mark.parametrize("entry", LOGS, ids=lambda entry: entry["file"])
def test_real_logs_survive_and_replay_to_what_the_tpm_reported(entry: dict[str, Any]) -> None:
    data = sample(entry["file"])
    log = parse_log(data)
    assert log.serialise() == data
    for name, values in entry["replayed_pcrs"].items():
        assert replay(log, BANKS[name]) == registers(values)
        assert tcglog.startup_locality(log) == (entry["startup_locality"] or 0)
    for name, values in (entry["tpm_pcrs"] or {}).items():
        assert verify_log(log, registers(values), BANKS[name]).events


def test_a_real_quote_is_explained_by_its_log() -> None:
    quote = TpmsAttest.parse(sample("quotes/latitude-7520/quote.bin")).attested
    log = parse_log(sample("eventlogs/latitude-7520.bin"))
    verified = verify_log_by_quote(log, quote.selections[0], quote.pcr_digest, Algorithm.SHA256)  # type: ignore[union-attr]
    assert len(verified.pcrs) == 24


def test_a_real_quote_is_not_explained_by_another_log() -> None:
    quote = TpmsAttest.parse(sample("quotes/latitude-7520/quote.bin")).attested
    log = parse_log(sample("eventlogs/IMN-DELL-WBCL-BootCtrs.bin"))
    with pytest.raises(LogMismatch):
        verify_log_by_quote(log, quote.selections[0], quote.pcr_digest, Algorithm.SHA256)  # type: ignore[union-attr]


def two_banks() -> EventLog:
    log = EventLogBuilder((Algorithm.SHA1, Algorithm.SHA256))
    log.measure(0, 8, b"firmware")
    log.measure(7, EV_SEPARATOR, bytes(4))
    return log.build()


def test_one_bank_that_replays_does_not_vouch_for_another() -> None:
    log = two_banks()
    first = log.events[0]
    forged = first._replace(digests=(first.digests[0], (int(Algorithm.SHA256), b"\x01" * 32)))
    lying = EventLog(log.header, log.algorithms, (forged, *log.events[1:]))
    sha1 = replay(log, Algorithm.SHA1)
    sha256 = replay(log, Algorithm.SHA256)
    assert verify_log(lying, sha1, Algorithm.SHA1).events
    with pytest.raises(LogMismatch) as caught:
        verify_log(lying, sha256, Algorithm.SHA256)
    assert caught.value.registers == (0,)


def test_windows_may_leave_out_the_digests_of_a_bank_that_is_not_active() -> None:
    """Seen on machines whose firmware announces SHA-1 and SHA-256: Windows logs its records with SHA-256 alone."""
    log = EventLogBuilder((Algorithm.SHA1, Algorithm.SHA256))
    log.measure(7, EV_SEPARATOR, bytes(4))
    log.record(12, EV_EVENT_TAG, ((int(Algorithm.SHA256), hashlib.sha256(b"x").digest()),), b"x")
    data = log.build().serialise()
    parsed = parse_log(data)
    assert parsed.serialise() == data
    assert set(replay(parsed, Algorithm.SHA256)) == {7, 12}
    with pytest.raises(LogUnsafe, match="PCR 12 has no sha1 digest"):
        replay(parsed, Algorithm.SHA1)


def test_a_record_without_any_digest_is_malformed() -> None:
    log = EventLogBuilder((Algorithm.SHA256,))
    log.record(12, EV_EVENT_TAG, (), b"x")
    with pytest.raises(Malformed):
        parse_log(log.build().serialise())


def test_a_verified_log_holds_only_the_bank_and_registers_that_were_proven() -> None:
    log = two_banks()
    sha256 = replay(log, Algorithm.SHA256)
    verified = verify_log(log, {7: sha256[7]}, Algorithm.SHA256)
    assert [(event.pcr, len(event.digest)) for event in verified.events] == [(7, 32)]


def test_data_that_is_not_what_was_digested_is_marked() -> None:
    builder = EventLogBuilder()
    builder.measure(4, 0x80000003, b"device path", measured=b"the image")
    log = builder.build()
    (event,) = verify_log(log, replay(log, Algorithm.SHA256), Algorithm.SHA256).events
    assert not event.data_is_digested


@pytest.mark.parametrize(("pcr", "reset"), [(0, b"\x00"), (16, b"\x00"), (17, b"\xff"), (22, b"\xff"), (23, b"\x00")])
def test_a_register_outside_the_log_must_hold_its_reset_value(pcr: int, reset: bytes) -> None:
    builder = EventLogBuilder()
    builder.measure(7, EV_SEPARATOR, bytes(4))
    log = builder.build()
    verify_log(log, {pcr: reset * 32}, Algorithm.SHA256)
    with pytest.raises(LogMismatch):
        verify_log(log, {pcr: b"\x07" * 32}, Algorithm.SHA256)


def test_records_that_are_not_measured_cannot_enter_a_verified_log() -> None:
    builder = EventLogBuilder()
    builder.measure(7, EV_SEPARATOR, bytes(4))
    builder.note(7, b"a lie")
    log = builder.build()
    assert len(verify_log(log, replay(log, Algorithm.SHA256), Algorithm.SHA256).events) == 1


# ---- startup locality ----------------------------------------------------------------------------------------------


def test_register_0_starts_with_the_startup_locality() -> None:
    plain, local = EventLogBuilder(), EventLogBuilder(locality=3)
    for builder in (plain, local):
        builder.measure(0, 8, b"firmware")
    assert replay(plain.build(), Algorithm.SHA256)[0] != replay(local.build(), Algorithm.SHA256)[0]
    empty = EventLogBuilder(locality=3).build()
    verify_log(empty, {0: bytes(31) + b"\x03"}, Algorithm.SHA256)


@pytest.mark.parametrize("locality", [1, 2, 5, 255])
def test_an_impossible_startup_locality_is_refused(locality: int) -> None:
    with pytest.raises(LogUnsafe):
        replay(EventLogBuilder(locality=locality).build(), Algorithm.SHA256)


def test_a_second_or_late_startup_locality_is_refused() -> None:
    twice = EventLogBuilder(locality=3)
    twice.note(0, b"StartupLocality\x00\x03")
    late = EventLogBuilder()
    late.measure(0, 8, b"firmware")
    late.note(0, b"StartupLocality\x00\x03")
    for builder in (twice, late):
        with pytest.raises(LogUnsafe):
            replay(builder.build(), Algorithm.SHA256)


# ---- the quote -----------------------------------------------------------------------------------------------------


def test_claimed_registers_help_only_when_the_quote_confirms_them() -> None:
    log = Boot().log().build()
    selection = PcrSelection.of(Algorithm.SHA256, (0, 7))
    true = {0: replay(log, Algorithm.SHA256)[0], 7: b"\x09" * 32}
    digest = composite_digest((selection,), {Algorithm.SHA256: true}, "sha256")
    with pytest.raises(LogMismatch) as caught:
        verify_log_by_quote(log, selection, digest, Algorithm.SHA256, true)
    assert caught.value.registers == (7,)
    with pytest.raises(LogMismatch) as caught:
        verify_log_by_quote(log, selection, digest, Algorithm.SHA256, {0: b"x" * 32, 7: b"y" * 32})
    assert caught.value.registers == ()


# ---- strictness ----------------------------------------------------------------------------------------------------


def test_limits_are_checked_before_parsing() -> None:
    with pytest.raises(TooLarge):
        parse_log(bytes(tcglog.MAX_LOG + 1))
    many = Event(1, 4, ((4, bytes(20)),), b"")
    with pytest.raises(TooLarge):
        parse_log(EventLog(None, ((4, 20),), (many,) * (tcglog.MAX_EVENTS + 1)).serialise())


def test_a_log_without_the_wanted_bank_is_unsupported() -> None:
    with pytest.raises(Unsupported):
        replay(EventLogBuilder((Algorithm.SHA1,)).build(), Algorithm.SHA256)


@pytest.mark.parametrize("size", range(1, 80))
def test_a_log_cut_anywhere_is_malformed(size: int) -> None:
    data = Boot().log().build().serialise()
    with pytest.raises(Malformed):
        parse_log(data[:-size] if len(data[:-size]) not in boundaries(data) else b"")


def boundaries(data: bytes) -> set[int]:
    """Where a record ends: a log cut there is a shorter log."""
    log = parse_log(data)
    assert log.header is not None
    return {
        len(EventLog(log.header, log.algorithms, log.events[:count]).serialise()) for count in range(len(log.events))
    }


@pytest.mark.parametrize(
    "algorithms", [b"", struct.pack("<HHHH", 11, 32, 11, 32), struct.pack("<HH", 11, 20), struct.pack("<HH", 77, 200)]
)
def test_a_header_with_impossible_algorithms_is_malformed(algorithms: bytes) -> None:
    spec = struct.pack("<16sIBBBBI", b"Spec ID Event03", 0, 0, 2, 0, 2, len(algorithms) // 4) + algorithms + b"\x00"
    header = struct.pack("<II20sI", 0, EV_NO_ACTION, bytes(20), len(spec)) + spec
    with pytest.raises(Malformed):
        parse_log(header)


def test_digests_in_another_order_than_the_headers_are_read_and_kept() -> None:
    builder = EventLogBuilder((Algorithm.SHA1, Algorithm.SHA256))
    event = builder.measure(0, 8, b"firmware")
    usual = replay(builder.build(), Algorithm.SHA256)
    turned = EventLogBuilder((Algorithm.SHA1, Algorithm.SHA256))
    turned.record(0, 8, event.digests[::-1], event.data)
    data = turned.build().serialise()
    assert parse_log(data) == turned.build()
    assert parse_log(data).serialise() == data
    assert replay(parse_log(data), Algorithm.SHA256) == usual


@pytest.mark.parametrize("numbers", [(4, 4), (11, 12), (12, 11), (4, 0)])
def test_a_record_with_other_algorithms_than_the_header_is_malformed(numbers: tuple[int, int]) -> None:
    builder = EventLogBuilder((Algorithm.SHA1, Algorithm.SHA256))
    builder.record(0, 8, ((numbers[0], bytes(20)), (numbers[1], bytes(32))), b"firmware")
    with pytest.raises(Malformed, match="A record has"):
        parse_log(builder.build().serialise())


EVENTS = st.tuples(st.integers(0, 23), st.sampled_from([1, 3, 4, 6, 8, EV_EFI_ACTION]), st.binary(max_size=40))


@given(st.lists(EVENTS, max_size=12), st.sampled_from([(4,), (11,), (4, 11), (11, 12, 13)]))
def test_whatever_is_written_parses_to_the_same_log(
    events: list[tuple[int, int, bytes]], banks: tuple[int, ...]
) -> None:
    builder = EventLogBuilder(tuple(Algorithm(number) for number in banks))
    for pcr, kind, data in events:
        builder.measure(pcr, kind, data)
    log = builder.build()
    assert parse_log(log.serialise()) == log


@given(st.binary(max_size=400))
def test_any_bytes_are_a_log_or_a_clear_error(data: bytes) -> None:
    for candidate in (data, Boot().log().build().serialise()[:100] + data):
        with suppress(AttestationError):
            assert parse_log(candidate).serialise() == candidate
