"""The tolerant reader agrees with the strict one wherever that reads at all, and never fails otherwise."""

from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from hgs.attestation.errors import AttestationError
from hgs.attestation.offline.describe import describe
from hgs.attestation.offline.device_path import device_path_text
from hgs.attestation.offline.findings import digest_is_of_data, find_oddities
from hgs.attestation.offline.log_reading import Record, read_log
from hgs.attestation.offline.names import event_name
from hgs.attestation.offline.register_files import read_registers
from hgs.attestation.offline.replay import replay_log
from hgs.attestation.offline.windows import decode_sipa, facts, in_words, modules
from hgs.attestation.tcglog import EventLogBuilder, parse_log, replay
from hgs.attestation.tpm import Algorithm
from tests.hgs.attestation.boots import Boot

KINDS = st.sampled_from([1, 3, 4, 5, 6, 8, 0xC, 0xD, 0x80000001, 0x80000002, 0x80000003, 0x80000006, 0x80000008])
KINDS |= st.sampled_from([0x80000009, 0x8000000A, 0x8000000B, 0x800000E0, 0x12345678])
EVENTS = st.lists(st.tuples(st.integers(0, 23), KINDS, st.binary(max_size=80)), min_size=1, max_size=12)


@given(events=EVENTS, locality=st.sampled_from([None, 0, 3, 4]))
def test_both_readers_see_the_same_records_and_registers(
    events: list[tuple[int, int, bytes]], locality: int | None
) -> None:
    builder = EventLogBuilder((Algorithm.SHA1, Algorithm.SHA256, Algorithm.SHA384), locality=locality)
    for pcr, kind, data in events:
        if kind == 3:
            builder.note(pcr, b"information " + data)
        else:
            builder.measure(pcr, kind, data)
    written = builder.build().serialise()
    strict, tolerant = parse_log(written), read_log(written)
    assert tolerant.complete
    shown = [(item.pcr, item.type, item.digests, item.data) for item in tolerant.records[1:]]
    assert shown == [tuple(event) for event in strict.events]
    replayed = replay_log(tolerant).pcrs
    for bank in (Algorithm.SHA1, Algorithm.SHA256, Algorithm.SHA384):
        assert replayed[bank] == replay(strict, bank)


@given(data=st.binary(max_size=300), cut=st.integers(0, 400))
def test_any_bytes_are_a_log_or_a_clear_error(data: bytes, cut: int) -> None:
    whole = Boot().log().build().serialise()
    for candidate in (data, whole[:cut] + data, whole + data):
        with suppress(AttestationError):
            log = read_log(candidate)
            find_oddities(log)
            replay_log(log)


@given(pcr=st.integers(0, 23), kind=KINDS, data=st.binary(max_size=200), prefix=st.binary(max_size=48))
def test_any_event_is_described(pcr: int, kind: int, data: bytes, prefix: bytes) -> None:
    for content in (data, b"StartupLocality\x00" + data, prefix + bytes(16) + data, b"Spec ID Event03\x00" + data):
        record = Record(0, 0, pcr, kind, ((0x000B, bytes(32)),), content)
        assert describe(record).sentence.isprintable()
        digest_is_of_data(record)
    assert event_name(kind)


@given(data=st.binary(max_size=200))
def test_any_device_path_is_text(data: bytes) -> None:
    assert isinstance(device_path_text(data), str)


@given(data=st.binary(max_size=200), kind=st.sampled_from([0x40010001, 0x40010003, 0x5000F, 0x50020, 0x20003, 0x40002]))
def test_any_windows_record_is_put_into_words(data: bytes, kind: int) -> None:
    with suppress(AttestationError):
        items = decode_sipa(kind.to_bytes(4, "little") + len(data).to_bytes(4, "little") + data)
        facts(items)
        modules(items)
        assert all(in_words(item).isprintable() for item in items)


@given(data=st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_any_register_file_is_read_or_refused(data: bytes) -> None:
    with suppress(AttestationError):
        read_registers(data)
    with suppress(AttestationError):
        read_registers(b"{" + data)
    with suppress(AttestationError):
        read_registers(data.ljust(132, b"\x00") + b"\x01\x00\x00\x00" + data.ljust(532, b"\x00"))
