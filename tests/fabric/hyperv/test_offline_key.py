"""The file that goes with a key kept for starts without HGS: one form, and nothing else is read."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric.hyperv.errors import HostError
from fabric.hyperv.offline_key import OfflineKey, parse_offline_key
from fabric.hyperv.tpm_uses import Place
from hgs.keyprotection.algorithms import AES_256_GCM
from hgs.keyprotection.elements import EncryptedData

VM_ID = "6f0a1d0e-7a55-4c43-9d3b-0d8f3e6a2b11"
KEPT = OfflineKey(VM_ID, Place(0x01806702, 17), EncryptedData(AES_256_GCM, bytes(60)))


@given(st.integers(0, 127), st.integers(1, 2**64 - 1), st.binary(min_size=1, max_size=128))
def test_what_is_written_reads_back(number: int, limit: int, cipher: bytes) -> None:
    kept = OfflineKey(VM_ID, Place(0x01806700 + 2 * number, limit), EncryptedData(AES_256_GCM, cipher))
    assert parse_offline_key(kept.serialise()) == kept


@given(st.data())
def test_a_changed_file_is_refused_or_written_as_it_was_read(data: st.DataObject) -> None:
    changed = bytearray(KEPT.serialise())
    changed[data.draw(st.integers(0, len(changed) - 1))] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(HostError):
        assert parse_offline_key(bytes(changed)).serialise() == bytes(changed)


@given(st.binary(max_size=300))
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(HostError):
        parse_offline_key(data)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"25192194", b"29360130"), (b">17<", b">017<"), (b">17<", b">-1<"), (b">17<", b"><"), (b">17<", b">0<"),
        (b">17<", b">99999999999999999999<"), (b'Version="1"', b'Version="2"'), (b"<Limit>", b"<Limits>"),
        (VM_ID.encode(), b"../../etc"),
    ],
)  # fmt: skip
def test_values_of_another_form_are_refused(old: bytes, new: bytes) -> None:
    document = KEPT.serialise()
    assert old in document
    with pytest.raises(HostError) as caught:
        parse_offline_key(document.replace(old, new))
    assert caught.value.code == "offline-key-damaged"
