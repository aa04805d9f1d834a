from functools import cache

import pytest
from cryptography.hazmat.primitives.serialization import pkcs12
from hypothesis import given
from hypothesis import strategies as st

from hgs.keyprotection.errors import GuardianError, WrongPassphraseError
from hgs.keyprotection.owner_guardian import (
    OwnerGuardianFile,
    lock_owner_guardian,
    parse_owner_guardian,
    serialise_owner_guardian,
)
from hgs.keyprotection.secret import Secret
from tests.hgs.keyprotection.guardians import owner, stranger

PASSPHRASE = Secret("correct horse – battery".encode())


@cache
def locked() -> OwnerGuardianFile:
    return lock_owner_guardian(owner(), PASSPHRASE, kdf_rounds=1000)


def test_the_passphrase_gives_the_keys_back() -> None:
    keys = parse_owner_guardian(serialise_owner_guardian(locked())).unlock(PASSPHRASE)
    assert keys.guardian == owner().guardian
    assert keys.signing_key.private_numbers() == owner().signing_key.private_numbers()
    assert keys.encryption_key.private_numbers() == owner().encryption_key.private_numbers()


def test_another_passphrase_does_not() -> None:
    for wrong in (b"incorrect horse", b"", "correct horse – batter".encode()):
        with pytest.raises(WrongPassphraseError):
            locked().unlock(Secret(wrong))


def test_a_short_passphrase_is_not_taken() -> None:
    with pytest.raises(GuardianError) as caught:
        lock_owner_guardian(owner(), Secret(b"1234567"))
    assert caught.value.code == "passphrase-short"


def test_the_public_part_needs_no_passphrase() -> None:
    assert parse_owner_guardian(serialise_owner_guardian(locked())).guardian == owner().guardian


def test_the_bytes_do_not_change_by_being_read() -> None:
    document = serialise_owner_guardian(locked())
    assert serialise_owner_guardian(parse_owner_guardian(document)) == document


def test_each_key_is_a_pkcs12_file_that_other_tools_open() -> None:
    key, certificate, others = pkcs12.load_key_and_certificates(locked().signing_pkcs12, PASSPHRASE.reveal())
    assert key is not None
    assert certificate is not None
    assert others == []


def test_keys_of_somebody_else_under_a_public_part_are_refused() -> None:
    other = lock_owner_guardian(stranger(), PASSPHRASE, kdf_rounds=1000)
    mixed = OwnerGuardianFile(owner().guardian, other.signing_pkcs12, locked().encryption_pkcs12)
    with pytest.raises(GuardianError) as caught:
        parse_owner_guardian(serialise_owner_guardian(mixed)).unlock(PASSPHRASE)
    assert caught.value.code == "key-mismatch"


@given(st.data())
def test_a_changed_byte_in_the_public_part_is_refused(data: st.DataObject) -> None:
    document = bytearray(serialise_owner_guardian(locked()))
    end = document.index(b"<SigningKey>")
    start = document.index(b"</Name>")
    document[data.draw(st.integers(start, end - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(GuardianError):
        parse_owner_guardian(bytes(document))


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_no_owner_guardian(data: bytes) -> None:
    with pytest.raises(GuardianError):
        parse_owner_guardian(data)
