"""The bundle's form: what is written reads back, and a damaged or hostile archive costs nothing and is refused."""

from __future__ import annotations

import hashlib
import io
import struct
import tracemalloc
import warnings
import zipfile
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hgs.transparency.bundle import PIECE, Bundle, Disclosure, write_bundle
from hgs.transparency.errors import AuditError
from tests.hgs.transparency.bundles import VKEY, log_of, members_of, zipped
from tests.hgs.wire.archives import crowded

LOG = log_of(12)
GOOD = LOG.bundle(5)
MEMBERS = members_of(GOOD)


def read_all(bundle: bytes, end: int = 12) -> list[bytes]:
    opened = Bundle(io.BytesIO(bundle))
    list(opened.disclosures())
    return [leaf for piece in opened.pieces(end) for leaf in piece]


def refusal(bundle: bytes, end: int = 12) -> AuditError:
    with pytest.raises(AuditError) as refused:
        read_all(bundle, end)
    assert refused.value.code == "bundle-form"
    return refused.value


def test_a_bundle_has_the_documented_members() -> None:
    assert MEMBERS["checkpoint"] == LOG.note()
    assert MEMBERS["vkey"] == f"{VKEY}\n".encode()
    assert MEMBERS["from"] == b"5"
    assert MEMBERS["frontier"] == LOG.frontier(5).serialise()
    assert MEMBERS["leaves/0"] == b"".join(b"\0\x61" + entry.leaf for entry in LOG.entries[5:])
    assert MEMBERS["events.jsonl"].startswith(b'{"blinding":"')
    assert MEMBERS["events.jsonl"].count(b"\n") == len(LOG.disclosures(5)) == 2
    assert set(MEMBERS) == {"checkpoint", "vkey", "from", "frontier", "leaves/0", "events.jsonl"}


def test_what_is_written_reads_back() -> None:
    opened = Bundle(io.BytesIO(GOOD))
    assert (opened.note, opened.vkey, opened.begin) == (LOG.note(), str(VKEY), 5)
    assert opened.frontier == LOG.frontier(5).serialise()
    assert list(opened.disclosures()) == LOG.disclosures(5)
    assert read_all(GOOD) == [entry.leaf for entry in LOG.entries[5:]]


def test_the_same_log_gives_the_same_bytes() -> None:
    assert LOG.bundle(5) == GOOD


def test_other_archivers_bundles_are_read_too() -> None:
    assert read_all(zipped(MEMBERS, zipfile.ZIP_DEFLATED)) == read_all(GOOD)


def test_long_logs_are_written_in_pieces_as_they_are_asked_for() -> None:
    asked = 0
    leaf = LOG.entries[0].leaf

    def leaves() -> object:
        nonlocal asked
        for _ in range(PIECE + 7):
            asked += 1
            yield leaf

    parts = write_bundle(LOG.note(), VKEY, 0, b"", leaves(), [])  # type: ignore[arg-type]
    first = next(parts)
    assert asked == PIECE
    bundle = first + b"".join(parts)
    assert set(members_of(bundle)) >= {"leaves/0", "leaves/1"}
    assert len(read_all(bundle, PIECE + 7)) == PIECE + 7


def test_an_empty_log_has_a_bundle() -> None:
    empty = log_of(0)
    assert read_all(empty.bundle(), 0) == []
    assert b"leaves" not in empty.bundle()


def test_events_are_written_as_they_are_asked_for() -> None:
    one = LOG.disclosures()[0]
    many = (Disclosure(index, one.event, hashlib.sha256(f"{index}".encode()).digest()) for index in range(5000))
    parts = list(write_bundle(LOG.note(), VKEY, 0, b"", [], many))
    assert len(parts) > 2
    assert len(list(Bundle(io.BytesIO(b"".join(parts))).disclosures())) == 5000


@pytest.mark.parametrize("name", sorted(MEMBERS))
def test_a_bundle_without_a_member_is_refused(name: str) -> None:
    refusal(zipped({key: data for key, data in MEMBERS.items() if key != name}))


@pytest.mark.parametrize("name", ["more", "leaves/1", "leaves/00", "leaves/", "../leaves/0", "/checkpoint"])
def test_a_bundle_with_another_member_is_refused(name: str) -> None:
    refusal(zipped({**MEMBERS, name: b""}))


def test_a_member_given_twice_is_refused() -> None:
    target = io.BytesIO(GOOD)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with zipfile.ZipFile(target, "a") as archive:
            archive.writestr("from", b"0")
    assert "twice" in refusal(target.getvalue()).message


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compressions_are_refused(method: int) -> None:
    refusal(zipped(MEMBERS, method))


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("from", b""),
        ("from", b"05"),
        ("from", b"+5"),
        ("from", b"5\n"),
        ("from", b"\xd9\xa5"),
        ("from", b"\xff"),
        ("from", str(2**63).encode()),
        ("from", b"13"),
        ("from", b"4"),
        ("from", b"6"),
        ("checkpoint", bytes(128 * 1024 + 1)),
        ("vkey", bytes(1025)),
        ("vkey", b"\xff"),
        ("frontier", bytes(64 * 32)),
        ("leaves/0", MEMBERS["leaves/0"][:-1]),
        ("leaves/0", MEMBERS["leaves/0"] + bytes(99)),
        ("leaves/0", bytes(7 * 99)),
        ("events.jsonl", b"\n"),
        ("events.jsonl", b"{}\n"),
        ("events.jsonl", b"[" * 9000),
        ("events.jsonl", b"\xff\n"),
        ("events.jsonl", MEMBERS["events.jsonl"][:-1]),
        ("events.jsonl", MEMBERS["events.jsonl"] * 2),
        ("events.jsonl", MEMBERS["events.jsonl"].replace(b":6}", b":6.0}")),
        ("events.jsonl", MEMBERS["events.jsonl"].replace(b":6}", b":true}")),
        ("events.jsonl", MEMBERS["events.jsonl"].replace(b":6}", b":-6}")),
        ("events.jsonl", MEMBERS["events.jsonl"].replace(b":6}", b":6,\"more\":1}")),
        ("events.jsonl", MEMBERS["events.jsonl"].replace(b":6}", b": 6}")),
        ("events.jsonl", MEMBERS["events.jsonl"].replace(b'"blinding":"', b'"blinding":"00')),
        ("events.jsonl", MEMBERS["events.jsonl"].replace(b'{"blinding":"', b'{"blinding":"X')),
        ("events.jsonl", b'{"blinding":"' + b"0" * 64 + b'","event":"' + b"x" * 20000 + b'","index":1}\n'),
        ("events.jsonl", b'{"blinding":"' + b"0" * 64 + b'","event":"' + b"x" * 9000 + b'","index":1}\n'),
        ("events.jsonl", b'{"blinding":"' + b"0" * 64 + b'","event":"\\ud800","index":1}\n'),
    ],
)  # fmt: skip
def test_a_member_of_another_form_is_refused(name: str, data: bytes) -> None:
    refusal(zipped({**MEMBERS, name: data}))


@pytest.mark.parametrize(
    "data", [b"", b"PK", b"no archive", b"PK\x05\x06" + bytes(18), GOOD[:-1], GOOD[: len(GOOD) // 2]]
)
def test_what_is_no_archive_is_refused(data: bytes) -> None:
    refusal(data)


def test_an_encrypted_member_is_refused() -> None:
    data = bytearray(zipped(MEMBERS))
    data[data.index(b"PK\x01\x02") + 8] |= 1
    refusal(bytes(data))


def test_what_unpacks_to_more_than_it_says_is_never_unpacked() -> None:
    bomb = zipped({**MEMBERS, "leaves/0": bytes(200_000_000)}, zipfile.ZIP_DEFLATED)
    end = bomb.index(b"leaves/0", bomb.index(b"PK\x01\x02"))
    start = bomb.rindex(b"PK\x01\x02", 0, end)
    lying = bomb[: start + 24] + struct.pack("<I", 7 * 99) + bomb[start + 28 :]
    tracemalloc.start()
    try:
        refusal(lying)
        refusal(bomb)
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()


def test_a_directory_of_a_hundred_thousand_members_is_not_read() -> None:
    archive = crowded(100_000)
    tracemalloc.start()
    try:
        refusal(archive)
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()


@given(st.data())
def test_a_bundle_with_a_byte_changed_reads_the_same_or_is_refused(data: st.DataObject) -> None:
    bundle = bytearray(GOOD)
    bundle[data.draw(st.integers(0, len(bundle) - 1))] ^= data.draw(st.integers(1, 255))
    with suppress(AuditError):
        assert read_all(bytes(bundle)) == read_all(GOOD)
