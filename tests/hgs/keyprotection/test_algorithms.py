import pytest

from hgs.keyprotection import algorithms
from hgs.keyprotection.elements import EncryptedData, Signature
from hgs.keyprotection.errors import UnknownAlgorithmError, UnknownParametersError
from hgs.keyprotection.secret import Secret
from tests.hgs.keyprotection.guardians import counted_random, lab

KEY = Secret(bytes(32))


def test_content_opens_with_its_key_and_its_context_only() -> None:
    data = algorithms.encrypt_content(KEY, b"plain", b"context", counted_random("a"))
    assert algorithms.decrypt_content(KEY, data, b"context") == b"plain"
    assert algorithms.decrypt_content(KEY, data, b"another") is None
    assert algorithms.decrypt_content(Secret(b"\x01" * 32), data, b"context") is None


def test_a_transport_key_opens_with_its_label_only() -> None:
    public = lab().encryption_key.public_key()
    wrapped = algorithms.wrap_transport_key(public, KEY)
    assert algorithms.unwrap_transport_key(lab().encryption_key, wrapped) == KEY
    unlabelled = EncryptedData(wrapped.algorithm, algorithms.encrypt_key(public, KEY, b""), wrapped.parameters)
    assert algorithms.unwrap_transport_key(lab().encryption_key, unlabelled) is None


def test_a_transport_key_of_another_length_is_none() -> None:
    public = lab().encryption_key.public_key()
    short = algorithms.wrap_transport_key(public, Secret(bytes(16)))
    assert algorithms.unwrap_transport_key(lab().encryption_key, short) is None


def test_unknown_algorithms_are_named() -> None:
    public = lab().signing_key.public_key()
    with pytest.raises(UnknownAlgorithmError, match="urn:x"):
        algorithms.is_signed(public, Signature("urn:x", b"a"), b"data")
    with pytest.raises(UnknownAlgorithmError, match="urn:x"):
        algorithms.decrypt_content(KEY, EncryptedData("urn:x", b"a"), b"")
    with pytest.raises(UnknownAlgorithmError, match="urn:x"):
        algorithms.encrypt_key(public, KEY, b"", "urn:x")


def test_parameters_that_the_table_does_not_give_are_refused() -> None:
    public = lab().signing_key.public_key()
    signature = algorithms.sign(lab().signing_key, b"data")
    assert algorithms.is_signed(public, signature, b"data")
    with pytest.raises(UnknownParametersError):
        algorithms.is_signed(public, Signature(signature.algorithm, signature.value, b"<P></P>"), b"data")
    mac = algorithms.authenticate(KEY, b"data")
    with pytest.raises(UnknownParametersError):
        algorithms.is_authentic(KEY, Signature(mac.algorithm, mac.value, b"<P></P>"), b"data")


def test_a_signature_of_one_key_is_not_that_of_another() -> None:
    signature = algorithms.sign(lab().encryption_key, b"data")
    assert not algorithms.is_signed(lab().signing_key.public_key(), signature, b"data")
