"""The RTPM context: one encoding, limits first, nothing unknown."""

import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hgs.wire import rtpm
from hgs.wire.errors import RtpmError
from hgs.wire.rtpm import BlobType, DeviceInfo, RtpmContext, parse_context, parse_device_info

STATES = st.none() | st.binary(min_size=32, max_size=200).filter(lambda state: any(state[:32]))
BLOBS = st.dictionaries(st.sampled_from(BlobType), st.binary(max_size=80)).map(lambda found: tuple(found.items()))


@given(STATES, BLOBS)
def test_every_context_survives(state: bytes | None, blobs: tuple[tuple[BlobType, bytes], ...]) -> None:
    context = RtpmContext(state, blobs)
    assert parse_context(context.serialise()) == context


@given(st.binary(max_size=200))
def test_any_bytes_are_a_context_or_an_error(data: bytes) -> None:
    for candidate in (data, RtpmContext(b"\x01" * 40, ((BlobType.NONCE, b"n"),)).serialise()[:50] + data):
        with suppress(RtpmError):
            assert parse_context(candidate).serialise() == candidate


def valid() -> bytes:
    return RtpmContext(b"\x01" * 40, ((BlobType.NONCE, b"nonce"), (BlobType.QUOTE, b"quote"))).serialise()


def test_the_layout_is_the_documented_one() -> None:
    data = RtpmContext(None, ((BlobType.NONCE, b"nn"),)).serialise()
    assert data == struct.pack(">IIII", 62, 1, 1, 0) + bytes(32) + bytes(4) + struct.pack(">II", 6, 2) + b"nn"


@pytest.mark.parametrize("size", range(1, 96))
def test_a_context_cut_anywhere_is_refused(size: int) -> None:
    with pytest.raises(RtpmError):
        parse_context(valid()[:-size])


@pytest.mark.parametrize(
    ("offset", "value"), [(0, 1), (4, 2), (8, 1), (8, 3), (8, 99), (12, 1), (48, 0), (48, 4097), (60, 0), (60, 77)]
)
def test_a_changed_header_is_refused(offset: int, value: int) -> None:
    data = bytearray(valid())
    data[offset : offset + 4] = struct.pack(">I", value)
    with pytest.raises(RtpmError):
        parse_context(bytes(data))


def test_bytes_after_the_last_blob_are_refused() -> None:
    data = bytearray(valid() + b"!")
    data[:4] = struct.pack(">I", len(data))
    with pytest.raises(RtpmError, match="after its last blob"):
        parse_context(bytes(data))


def test_two_blobs_of_one_type_are_refused() -> None:
    with pytest.raises(RtpmError, match="two blobs"):
        RtpmContext(None, ((BlobType.NONCE, b"a"), (BlobType.NONCE, b"b"))).serialise()


def test_limits_hold() -> None:
    RtpmContext(None, ((BlobType.WBCL, bytes(rtpm.MAX_LOG)),)).serialise()
    for context in (
        RtpmContext(None, ((BlobType.WBCL, bytes(rtpm.MAX_LOG + 1)),)),
        RtpmContext(None, ((BlobType.QUOTE, bytes(rtpm.MAX_SMALL_BLOB + 1)),)),
        RtpmContext(b"\x01" * (33 + rtpm.MAX_STATE)),
        RtpmContext(b"short"),
        RtpmContext(bytes(64)),
    ):
        with pytest.raises(RtpmError):
            context.serialise()
    with pytest.raises(RtpmError, match="limit"):
        parse_context(bytes(rtpm.MAX_CONTEXT + 1))


def test_a_state_without_its_context_is_refused() -> None:
    data = struct.pack(">IIII", 56, 1, 0, 0) + bytes(32) + struct.pack(">I", 4) + b"abcd"
    with pytest.raises(RtpmError, match="no context"):
        parse_context(data)


@given(st.integers(0, 2), st.integers(0, 4), st.integers(0, 2**32 - 1))
def test_device_information_survives(version: int, interface: int, implementation: int) -> None:
    info = DeviceInfo(version, interface, implementation)
    assert parse_device_info(info.serialise()) == info


@pytest.mark.parametrize("data", [b"", bytes(16), struct.pack(">IIII", 1, 3, 0, 0), struct.pack(">IIII", 1, 0, 5, 0)])
def test_device_information_of_another_form_is_refused(data: bytes) -> None:
    with pytest.raises(RtpmError):
        parse_device_info(data)
