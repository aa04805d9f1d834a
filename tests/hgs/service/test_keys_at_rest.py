"""Private keys are in the database in sealed form alone."""

import re
from datetime import timedelta
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from hgs.commands.initialise import initialise
from hgs.keyprotection.secret import Secret
from hgs.models import KeyPurpose, OperationMode, ServiceKey
from hgs.sealing import SealingError, seal, unseal
from hgs.selectors import keys
from portal.kernel.errors import Denied, Invalid, Unavailable
from tests.hgs.service.conftest import ADMIN, FABRIC, REVIEWER


def dump() -> bytes:
    """Every value of every table, as bytes."""
    found = b""
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT * FROM "{table}"')  # noqa: S608 - names from the database itself
            for row in cursor.fetchall():
                found += b"\x00".join(bytes(v) if isinstance(v, bytes | memoryview) else str(v).encode() for v in row)
    return found


def traces(key: rsa.RSAPrivateKey) -> list[bytes]:
    numbers = key.private_numbers()
    size = key.key_size // 16
    return [
        numbers.p.to_bytes(size, "big"),
        numbers.q.to_bytes(size, "big"),
        numbers.d.to_bytes(size * 2, "big"),
        key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()),
    ]


@pytest.mark.django_db
def test_a_real_initialisation_leaves_no_private_key_in_clear() -> None:
    initialise(ADMIN, mode=OperationMode.TPM)
    content = dump()
    guardian = keys.guardian_keys()[0]
    opened = [guardian.signing_key, guardian.encryption_key, keys.attestation_signer().key]
    assert [key.key_size for key in opened] == [3072, 3072, 2048]
    for key in opened:
        public = key.public_key().public_numbers().n.to_bytes(key.key_size // 8, "big")
        assert public in content, "the search finds what is there"
        for trace in traces(key):
            assert trace not in content
            assert trace.hex().encode() not in content.lower()
    for secret in keys.exchange_state_keys():
        assert secret not in content
        assert secret.hex().encode() not in content.lower()
    assert not re.search(rb"PRIVATE KEY", content)


@pytest.mark.django_db
def test_every_purpose_has_one_primary_key(initialised: None) -> None:
    assert set(ServiceKey.objects.filter(is_primary=True).values_list("purpose", flat=True)) == set(KeyPurpose.values)


@pytest.mark.django_db
def test_initialising_needs_an_administrator_and_a_name() -> None:
    for actor in (FABRIC, REVIEWER):
        with pytest.raises(Denied):
            initialise(actor, mode=OperationMode.TPM)
    with pytest.raises(Invalid):
        initialise(ADMIN, mode=OperationMode.TPM, name="\n")


@pytest.mark.django_db
def test_another_master_key_is_told_from_a_damaged_value(initialised: None, settings: object) -> None:
    settings.HGS_MASTER_KEY = bytes(32)  # type: ignore[attr-defined]
    keys._open_pair.cache_clear()
    with pytest.raises(Unavailable, match="another master key"):
        keys.attestation_signer()


@given(st.binary(max_size=64))
def test_what_is_sealed_opens_again(value: bytes) -> None:
    record = uuid4()
    sealed = seal(Secret(value), purpose="a", record_id=record)
    assert unseal(sealed, purpose="a", record_id=record) == Secret(value)


def test_a_sealed_value_opens_for_its_record_and_purpose_alone() -> None:
    record = uuid4()
    sealed = seal(Secret(b"value"), purpose="a", record_id=record)
    for purpose, record_id in (("b", record), ("a", uuid4())):
        with pytest.raises(SealingError, match="damaged or was moved"):
            unseal(sealed, purpose=purpose, record_id=record_id)


def test_every_flipped_bit_is_noticed() -> None:
    record = uuid4()
    sealed = seal(Secret(b"value"), purpose="a", record_id=record)
    for index in range(len(sealed)):
        bent = sealed[:index] + bytes([sealed[index] ^ 1]) + sealed[index + 1 :]
        with pytest.raises(SealingError):
            unseal(bent, purpose="a", record_id=record)
    for cut in range(len(sealed)):
        with pytest.raises(SealingError):
            unseal(sealed[:cut], purpose="a", record_id=record)


@pytest.mark.parametrize("key", [b"", bytes(16), "a" * 32])
def test_a_missing_or_short_master_key_is_a_hard_error(settings: object, key: object) -> None:
    settings.HGS_MASTER_KEY = key  # type: ignore[attr-defined]
    with pytest.raises(ImproperlyConfigured):
        seal(Secret(b"x"), purpose="a", record_id=uuid4())


def test_health_certificates_live_no_longer_than_the_original() -> None:
    from hgs.attestation.healthcert import MAX_LIFETIME

    assert timedelta(hours=8) == MAX_LIFETIME
