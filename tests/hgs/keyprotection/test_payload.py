import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hgs.keyprotection import payload
from hgs.keyprotection.errors import InvalidResponseError
from hgs.keyprotection.secret import Secret
from hgs.keyprotection.transport_key import TransportKey

keys = st.binary(min_size=32, max_size=32).map(lambda value: TransportKey(Secret(value)))


@given(keys, keys, st.integers(0, payload.OFFLINE_UNWRAPS_MAX))
def test_every_payload_reads_back(ingress: TransportKey, egress: TransportKey, unwraps: int) -> None:
    blob = payload.serialise_payload(ingress, egress, 2, unwraps)
    assert payload.parse_payload(blob, 2) == payload.Payload(ingress, egress, unwraps)


@given(keys, keys, st.integers(0, payload.OFFLINE_UNWRAPS_MAX))
def test_version_1_never_lets_a_host_work_offline(ingress: TransportKey, egress: TransportKey, unwraps: int) -> None:
    blob = payload.serialise_payload(ingress, egress, 1, unwraps)
    assert payload.parse_payload(blob, 1) == payload.Payload(ingress, egress, 0)


@pytest.mark.parametrize("unwraps", [-1, 2**32])
def test_a_number_of_offline_unwraps_that_has_no_form_is_not_written(unwraps: int) -> None:
    key = TransportKey(Secret(bytes(32)))
    with pytest.raises(ValueError, match="32-bit"):
        payload.serialise_payload(key, key, 2, unwraps)


def test_the_layout_is_little_endian_with_ingress_first() -> None:
    one, two = TransportKey(Secret(b"\x01" * 32)), TransportKey(Secret(b"\x02" * 32))
    assert payload.serialise_payload(one, two, 2).reveal() == (
        bytes.fromhex("58000000 02000000 02000000 20000000")
        + b"\x01" * 32
        + bytes.fromhex("20000000")
        + b"\x02" * 32
        + bytes(4)
    )
    assert payload.serialise_payload(one, two, 1).reveal()[:8] == bytes.fromhex("54000000 01000000")
    offline = payload.serialise_payload(one, two, 2, 3).reveal()
    assert offline[:4] == bytes.fromhex("68000000")
    assert offline[84:] == bytes.fromhex("01000000 01000000 06000000 04000000 03000000")


@given(st.data(), st.sampled_from([(1, 0), (2, 0), (2, 5)]))
def test_any_change_to_the_frame_is_refused(data: st.DataObject, form: tuple[int, int]) -> None:
    version, unwraps = form
    key = TransportKey(Secret(bytes(32)))
    blob = bytearray(payload.serialise_payload(key, key, version, unwraps).reveal())
    frame = [*range(16), *range(48, 52), *range(84, len(blob) - (4 if unwraps else 0))]
    blob[data.draw(st.sampled_from(frame))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(InvalidResponseError):
        payload.parse_payload(Secret(bytes(blob)), version)


def with_policies(*policies: bytes) -> Secret:
    """A well-framed payload of version 2 with these policies."""
    bare = payload.serialise_payload(TransportKey(Secret(bytes(32))), TransportKey(Secret(bytes(32))), 2).reveal()
    body = bare[4:-4] + struct.pack("<I", len(policies)) + b"".join(policies)
    return Secret(struct.pack("<I", 4 + len(body)) + body)


KNOWN = struct.pack("<IIII", 1, 6, 4, 2)


@pytest.mark.parametrize(
    "policies",
    [
        (KNOWN, KNOWN), (struct.pack("<IIII", 2, 6, 4, 2),), (struct.pack("<IIII", 1, 7, 4, 2),),
        (struct.pack("<III", 1, 6, 0),), (struct.pack("<IIIQ", 1, 6, 8, 2),), (struct.pack("<IIII", 1, 6, 4, 0),),
        (KNOWN[:-1],), (b"",),
    ],
)  # fmt: skip
def test_any_other_policy_is_refused(policies: tuple[bytes, ...]) -> None:
    assert payload.parse_payload(with_policies(KNOWN), 2).offline_unwraps == 2
    with pytest.raises(InvalidResponseError):
        payload.parse_payload(with_policies(*policies), 2)


@given(st.binary(max_size=120), st.sampled_from([1, 2]))
def test_arbitrary_bytes_are_refused(data: bytes, version: int) -> None:
    with pytest.raises(InvalidResponseError):
        payload.parse_payload(Secret(data), version)
