import pytest
from hypothesis import given
from hypothesis import strategies as st

from hgs.keyprotection import payload
from hgs.keyprotection.errors import InvalidResponseError
from hgs.keyprotection.secret import Secret
from hgs.keyprotection.transport_key import TransportKey

keys = st.binary(min_size=32, max_size=32).map(lambda value: TransportKey(Secret(value)))


@given(keys, keys, st.sampled_from([1, 2]))
def test_every_pair_of_keys_reads_back(ingress: TransportKey, egress: TransportKey, version: int) -> None:
    blob = payload.serialise_payload(ingress, egress, version)
    assert payload.parse_payload(blob, version) == (ingress, egress)


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


@given(st.data(), st.sampled_from([1, 2]))
def test_any_change_to_the_frame_is_refused(data: st.DataObject, version: int) -> None:
    blob = bytearray(
        payload.serialise_payload(TransportKey(Secret(bytes(32))), TransportKey(Secret(bytes(32))), version).reveal()
    )
    frame = [*range(16), *range(48, 52), *range(84, len(blob))]
    blob[data.draw(st.sampled_from(frame))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(InvalidResponseError):
        payload.parse_payload(Secret(bytes(blob)), version)


@given(st.binary(max_size=120), st.sampled_from([1, 2]))
def test_arbitrary_bytes_are_refused(data: bytes, version: int) -> None:
    with pytest.raises(InvalidResponseError):
        payload.parse_payload(Secret(data), version)
