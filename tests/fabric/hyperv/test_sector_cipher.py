"""Both ways to encrypt sectors give what dm-crypt expects."""

import os
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given
from hypothesis import strategies as st

from fabric.hyperv import sector_cipher
from fabric.hyperv.sector_cipher import SECTOR, SPARE, GcryptCipher, PortableCipher, SectorCipher
from hgs.keyprotection.secret import Secret

KEY = Secret(bytes(range(64)))


def libgcrypt(key: Secret) -> SectorCipher:
    library = sector_cipher._libgcrypt()
    assert library is not None
    return GcryptCipher(library, key)


CIPHERS = [PortableCipher, libgcrypt, sector_cipher.sector_cipher]


@pytest.mark.parametrize("make", CIPHERS)
@given(first=st.integers(0, 2**40), count=st.integers(0, 5))
def test_each_sector_has_its_place_for_a_tweak(make: Callable[[Secret], SectorCipher], first: int, count: int) -> None:
    plain = os.urandom(count * SECTOR)
    out = bytearray(len(plain) + SPARE)
    make(KEY).encrypt(first * SECTOR, memoryview(plain), memoryview(out))
    for index in range(count):
        tweak = ((first + index) * SECTOR // 512).to_bytes(16, "little")
        decryptor = Cipher(algorithms.AES(KEY.reveal()), modes.XTS(tweak)).decryptor()
        place = slice(index * SECTOR, (index + 1) * SECTOR)
        assert decryptor.update(bytes(out[place])) == plain[place]


@pytest.mark.parametrize("make", CIPHERS)
@pytest.mark.parametrize(
    ("offset", "length", "room"), [(1, SECTOR, SECTOR + SPARE), (0, 100, 200), (0, SECTOR, SECTOR)]
)
def test_half_sectors_and_short_buffers_are_refused(
    make: Callable[[Secret], SectorCipher], offset: int, length: int, room: int
) -> None:
    with pytest.raises(ValueError, match=r"sectors|buffer"):
        make(KEY).encrypt(offset, memoryview(bytes(length)), memoryview(bytearray(room)))


def test_a_key_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="64 bytes"):
        sector_cipher.sector_cipher(Secret(bytes(32)))


def test_without_libgcrypt_the_other_way_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sector_cipher, "_libgcrypt", lambda: None)
    assert isinstance(sector_cipher.sector_cipher(KEY), PortableCipher)
