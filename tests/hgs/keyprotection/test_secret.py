import pickle

import pytest

from hgs.keyprotection.secret import Secret
from hgs.keyprotection.transport_key import PURPOSES, TransportKey


def test_a_secret_does_not_print() -> None:
    secret = Secret(b"canary")
    assert str(secret) == repr(secret) == f"{secret}" == "<secret>"
    assert "canary" not in repr(TransportKey(Secret(b"canary" + bytes(26))))


def test_secrets_compare_by_value_and_only_with_secrets() -> None:
    assert Secret(b"a") == Secret(b"a")
    assert Secret(b"a") != Secret(b"b")
    assert Secret(b"a") != b"a"


def test_a_secret_cannot_be_pickled_or_hashed() -> None:
    with pytest.raises(TypeError):
        pickle.dumps(Secret(b"a"))
    with pytest.raises(TypeError):
        hash(Secret(b"a"))


def test_each_purpose_has_its_own_key() -> None:
    key = TransportKey(Secret(bytes(32)))
    derived = {key.derive(purpose).reveal() for purpose in PURPOSES}  # type: ignore[arg-type]
    assert len(derived) == len(PURPOSES)
    assert all(len(value) == 32 for value in derived)


def test_the_derivation_does_not_change() -> None:
    # HKDF-SHA256, no salt, info "guarded-fabric/vm-state", of 32 zero bytes: stored VM state depends on it.
    derived = TransportKey(Secret(bytes(32))).derive("vm-state").reveal().hex()
    assert derived == _hkdf(bytes(32), b"guarded-fabric/vm-state").hex()


def _hkdf(key: bytes, info: bytes) -> bytes:
    import hmac

    extracted = hmac.digest(bytes(32), key, "sha256")
    return hmac.digest(extracted, info + b"\x01", "sha256")


def test_an_unknown_purpose_has_no_key() -> None:
    with pytest.raises(ValueError, match="purpose"):
        TransportKey(Secret(bytes(32))).derive("anything")  # type: ignore[arg-type]


def test_a_transport_key_has_32_bytes() -> None:
    with pytest.raises(ValueError, match="32"):
        TransportKey(Secret(bytes(31)))
