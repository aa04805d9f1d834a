from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hgs.keyprotection import algorithms
from hgs.keyprotection.elements import EncryptedData, KeyDerivationMethod, Signature
from hgs.keyprotection.errors import (
    GuardianError,
    InvalidProtectorError,
    InvalidWrappingError,
    KeyProtectionError,
    NoWrappingError,
)
from hgs.keyprotection.protector import (
    Protector,
    TransportKey,
    Wrapping,
    import_protector,
    new_protector,
    parse_protector,
    roll,
    serialise_protector,
    unwrap,
    verify_protector,
)
from hgs.keyprotection.protector_form import wrappings_octets
from hgs.keyprotection.transport_key import purpose_info
from tests.hgs.keyprotection.guardians import branch, counted_random, lab, owner, stranger


@cache
def fresh() -> tuple[Protector, TransportKey]:
    return new_protector(owner(), [lab().guardian, branch().guardian], counted_random("fresh"))


def resealed(wrappings: tuple[Wrapping, ...], key: TransportKey) -> Protector:
    """A protector whose two outer signatures are right, so that only the wrappings can be refused."""
    octets = wrappings_octets(wrappings)
    return Protector(
        wrappings,
        algorithms.hkdf_method(purpose_info("transport-key-signature")),
        algorithms.authenticate(key.derive("transport-key-signature"), octets),
        0,
        algorithms.sign(owner().signing_key, octets),
    )


def test_every_guardian_and_the_owner_unwrap_the_same_key() -> None:
    protector, key = fresh()
    verified = verify_protector(parse_protector(serialise_protector(protector)))
    for keys in (owner(), lab(), branch()):
        assert unwrap(verified, keys) == key


def test_a_stranger_unwraps_nothing() -> None:
    verified = verify_protector(fresh()[0])
    with pytest.raises(NoWrappingError) as caught:
        unwrap(verified, stranger())
    assert caught.value.code == "not-a-guardian"
    assert caught.value.fault == "InvalidProtectorException"


def test_the_owner_is_the_wrapping_that_is_its_own_parent() -> None:
    verified = verify_protector(fresh()[0])
    assert verified.owner.signing_certificate == owner().guardian.signing_certificate
    assert verified.owner_fingerprint == owner().guardian.fingerprint
    assert len(verified.guardians) == 2


def test_a_guardian_may_be_named_once() -> None:
    for guardians in ([lab().guardian, lab().guardian], [owner().guardian]):
        with pytest.raises(GuardianError) as caught:
            new_protector(owner(), guardians, counted_random("x"))
        assert caught.value.code == "guardian-twice"


def test_the_bytes_do_not_change_by_being_read() -> None:
    document = serialise_protector(fresh()[0])
    assert serialise_protector(parse_protector(document)) == document


ids = st.integers(0, 2**32 - 1)
octets = st.binary(min_size=1, max_size=60)
uris = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=60)
parameters = st.sampled_from([b"", b'<P xmlns="urn:x">1</P>', b'<P xmlns="urn:x"></P><Q xmlns="urn:y" A="1"></Q>'])
signatures = st.builds(Signature, uris, octets, parameters)
wrapping_bodies = st.builds(
    Wrapping, ids, octets, ids, signatures, octets, signatures, st.builds(EncryptedData, uris, octets, parameters)
)


@given(
    st.lists(wrapping_bodies, min_size=1, max_size=5, unique_by=lambda wrapping: wrapping.id),
    st.builds(KeyDerivationMethod, uris, parameters),
    signatures,
    ids,
    signatures,
    ids,
)
def test_every_structure_reads_back(
    wrappings: list[Wrapping],
    derivation: KeyDerivationMethod,
    transport: Signature,
    signer: int,
    guardian: Signature,
    offline: int,
) -> None:
    protector = Protector(tuple(wrappings), derivation, transport, signer, guardian, offline)
    document = serialise_protector(protector)
    assert parse_protector(document) == protector
    assert serialise_protector(parse_protector(document)) == document


@given(st.data())
def test_a_changed_byte_is_refused_by_the_parser_or_the_verifier(data: st.DataObject) -> None:
    protector, _ = fresh()
    document = bytearray(serialise_protector(protector))
    position = data.draw(st.integers(0, len(document) - 1))
    document[position] ^= data.draw(st.integers(1, 255))
    with pytest.raises(KeyProtectionError):
        unwrap(verify_protector(parse_protector(bytes(document))), lab())


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_no_protector(data: bytes) -> None:
    with pytest.raises(InvalidProtectorError):
        import_protector(data)


def edited(old: str, new: str, count: int = 1) -> bytes:
    document = serialise_protector(fresh()[0]).decode()
    assert old in document
    return document.replace(old, new, count).encode()


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("<Wrappings>", "<!-- x --><Wrappings>", "comment"),
        ("<Wrappings>", "<?x y?><Wrappings>", "processing-instruction"),
        ("<Protector", "<!DOCTYPE Protector><Protector", "document-type"),
        ("<Id>0</Id>", "<Id>&zero;</Id>", "entity"),
        ("<Id>0</Id>", "<Id>00</Id>", "not-a-number"),
        ("<Id>0</Id>", "<Id>4294967296</Id>", "not-a-number"),
        ("<Id>0</Id>", "<Id>0</Id><Id>0</Id>", "unexpected-element"),
        ("<Id>0</Id>", "", "unexpected-element"),
        ("<Wrappings>", "<Wrappings> ", "stray-text"),
        ('<GuardianSignature WrappingId="0">', "<GuardianSignature>", "missing-attribute"),
        ('<GuardianSignature WrappingId="0">', '<GuardianSignature A="1" WrappingId="0">', "unknown-attribute"),
        ("/kps/2014/07", "/kps/2015/07", "wrong-root"),
        ("<Wrappings>", '<Wrappings xmlns:a="urn:a">', "not-canonical"),
        ('07">', '07" MaxOfflineUnwraps="0">', "not-canonical"),
        ('07">', '07" MaxOfflineUnwraps="01">', "not-a-number"),
        ("<SignatureValue>", "<SignatureValue> ", "not-base64"),
    ],
)
def test_a_protector_of_another_form_is_refused(old: str, new: str, code: str) -> None:
    with pytest.raises(InvalidProtectorError) as caught:
        parse_protector(edited(old, new))
    assert caught.value.code == code


def test_elements_in_another_order_are_refused() -> None:
    document = serialise_protector(fresh()[0]).decode()
    start, end = document.index("<GuardianSignature"), document.index("</Protector>")
    moved = document[: document.index("<TransportKeySignature")] + document[start:end]
    moved += document[document.index("<TransportKeySignature") : start] + "</Protector>"
    with pytest.raises(InvalidProtectorError) as caught:
        parse_protector(moved.encode())
    assert caught.value.code == "unexpected-element"


def test_an_empty_list_of_wrappings_is_refused() -> None:
    document = serialise_protector(fresh()[0]).decode()
    start, end = document.index("<Wrapping>"), document.index("</Wrappings>")
    with pytest.raises(InvalidProtectorError) as caught:
        parse_protector((document[:start] + document[end:]).encode())
    assert caught.value.code == "no-wrappings"


def test_more_wrappings_than_allowed_are_refused() -> None:
    wrapping = fresh()[0].wrappings[1]
    many = tuple(replace(wrapping, id=number) for number in range(17))
    with pytest.raises(InvalidProtectorError) as caught:
        parse_protector(serialise_protector(replace(fresh()[0], wrappings=many)))
    assert caught.value.code == "too-many-elements"


def test_the_length_before_the_document_is_accepted_by_import_only() -> None:
    document = serialise_protector(fresh()[0])
    prefixed = (len(document) + 4).to_bytes(4) + document
    assert import_protector(prefixed) == import_protector(document) == parse_protector(document)
    with pytest.raises(InvalidProtectorError):
        parse_protector(prefixed)
    with pytest.raises(InvalidProtectorError):
        import_protector(len(document).to_bytes(4) + document)


Change = Callable[[tuple[Wrapping, ...]], tuple[Wrapping, ...]]


def _with(index: int, **changes: object) -> Change:
    def change(wrappings: tuple[Wrapping, ...]) -> tuple[Wrapping, ...]:
        changed = list(wrappings)
        changed[index] = replace(changed[index], **changes)  # type: ignore[arg-type]
        return tuple(changed)

    return change


def _swap_signatures(wrappings: tuple[Wrapping, ...]) -> tuple[Wrapping, ...]:
    first, second, third = wrappings
    return (
        first,
        replace(second, signing_certificate_signature=third.signing_certificate_signature),
        replace(third, signing_certificate_signature=second.signing_certificate_signature),
    )


def _swap_within_a_wrapping(wrappings: tuple[Wrapping, ...]) -> tuple[Wrapping, ...]:
    return _with(
        1,
        signing_certificate_signature=wrappings[1].encryption_certificate_signature,
        encryption_certificate_signature=wrappings[1].signing_certificate_signature,
    )(wrappings)


def _circle(wrappings: tuple[Wrapping, ...]) -> tuple[Wrapping, ...]:
    return (wrappings[0], replace(wrappings[1], parent_id=2), replace(wrappings[2], parent_id=1))


def _encryption_certificate_of_another(wrappings: tuple[Wrapping, ...]) -> tuple[Wrapping, ...]:
    return _with(1, encryption_certificate=stranger().guardian.encryption_certificate)(wrappings)


def _encryption_certificate_as_signing_certificate(wrappings: tuple[Wrapping, ...]) -> tuple[Wrapping, ...]:
    return _with(
        1,
        signing_certificate=wrappings[0].encryption_certificate,
        signing_certificate_signature=wrappings[0].encryption_certificate_signature,
    )(wrappings)


def _uninvited(wrappings: tuple[Wrapping, ...]) -> tuple[Wrapping, ...]:
    guardian = stranger().guardian
    return _with(
        1,
        signing_certificate=guardian.signing_certificate,
        signing_certificate_signature=guardian.signing_certificate_signature,
        encryption_certificate=guardian.encryption_certificate,
        encryption_certificate_signature=guardian.encryption_certificate_signature,
    )(wrappings)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (_swap_signatures, "signing-certificate-signature"),
        (_swap_within_a_wrapping, "signing-certificate-signature"),
        (_uninvited, "signing-certificate-signature"),
        (_encryption_certificate_of_another, "encryption-certificate-signature"),
        (_encryption_certificate_as_signing_certificate, "key-usage"),
        (_circle, "wrapping-cycle"),
        (_with(1, parent_id=9), "unknown-parent"),
        (_with(1, parent_id=1), "owner"),
        (_with(0, parent_id=1), "owner"),
        (_with(1, id=2), "duplicate-wrapping-id"),
        (_with(1, signing_certificate=b"no certificate"), "bad-certificate"),
        (_with(1, encryption_certificate=b"no certificate"), "bad-certificate"),
        (_with(1, transport_key=EncryptedData("urn:rot13", b"x")), "unknown-algorithm"),
        (_with(1, transport_key=EncryptedData(algorithms.RSA_OAEP, b"x")), "unknown-algorithm"),
        (_with(1, signing_certificate_signature=Signature("urn:none", b"x")), "unknown-algorithm"),
    ],
)
def test_a_bad_wrapping_is_refused_even_if_the_owner_signed_it(change: Change, code: str) -> None:
    protector, key = fresh()
    with pytest.raises(InvalidWrappingError) as caught:
        verify_protector(resealed(change(protector.wrappings), key))
    assert caught.value.code == code
    assert caught.value.fault == "InvalidWrappingException"


def test_duplicate_ids_are_refused_when_parsing() -> None:
    with pytest.raises(InvalidWrappingError) as caught:
        parse_protector(edited("<Id>1</Id>", "<Id>2</Id>"))
    assert caught.value.code == "duplicate-wrapping-id"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"guardian_wrapping_id": 7}, "unknown-signer"),
        ({"guardian_wrapping_id": 1}, "guardian-signature"),
        ({"guardian_signature": Signature(algorithms.RSA_PSS_SHA256, b"x" * 256)}, "guardian-signature"),
        ({"guardian_signature": Signature("http://www.w3.org/2000/09/xmldsig#rsa-sha1", b"x")}, "unknown-algorithm"),
        ({"transport_key_signature": Signature("urn:md5", b"x")}, "unknown-algorithm"),
        ({"key_derivation": KeyDerivationMethod("urn:plain")}, "unknown-algorithm"),
        ({"key_derivation": algorithms.hkdf_method(b"guarded-fabric/vm-state")}, "unknown-algorithm"),
    ],
)
def test_a_bad_outer_signature_is_refused(changes: dict[str, object], code: str) -> None:
    protector, _ = fresh()
    with pytest.raises(InvalidProtectorError) as caught:
        verify_protector(replace(protector, **changes))  # type: ignore[arg-type]
    assert caught.value.code == code
    assert caught.value.fault == "InvalidProtectorException"


def test_an_unknown_algorithm_is_refused_by_its_name() -> None:
    protector, _ = fresh()
    with pytest.raises(InvalidProtectorError, match="urn:example:new"):
        verify_protector(replace(protector, guardian_signature=Signature("urn:example:new", b"x")))


def test_a_transport_key_signature_by_another_key_is_refused_at_unwrapping() -> None:
    protector, _ = fresh()
    _, other = new_protector(owner(), [], counted_random("other"))
    forged = resealed(protector.wrappings, other)
    with pytest.raises(InvalidProtectorError) as caught:
        unwrap(verify_protector(forged), lab())
    assert caught.value.code == "transport-key-signature"


def test_a_transport_key_that_does_not_decrypt_is_refused() -> None:
    protector, key = fresh()
    broken = replace(protector.wrappings[1].transport_key, value=bytes(256))
    forged = resealed(_with(1, transport_key=broken)(protector.wrappings), key)
    with pytest.raises(InvalidProtectorError) as caught:
        unwrap(verify_protector(forged), lab())
    assert caught.value.code == "transport-key"


def test_a_guardian_of_a_guardian_chains_to_the_owner() -> None:
    protector, key = fresh()
    child = replace(
        protector.wrappings[2],
        parent_id=1,
        signing_certificate_signature=algorithms.sign(lab().signing_key, branch().guardian.signing_certificate),
    )
    chained = resealed((*protector.wrappings[:2], child), key)
    assert unwrap(verify_protector(chained), branch()) == key


def test_rolling_keeps_everybody_and_changes_the_key() -> None:
    protector, key = fresh()
    rolled, new_key = roll(verify_protector(protector), lab(), counted_random("roll"))
    verified = verify_protector(parse_protector(serialise_protector(rolled)))
    assert new_key != key
    assert verified.signer.signing_certificate == lab().guardian.signing_certificate
    for keys in (owner(), lab(), branch()):
        assert unwrap(verified, keys) == new_key


def test_a_rolled_protector_grants_no_offline_unwraps() -> None:
    protector = replace(fresh()[0], max_offline_unwraps=5)
    assert roll(verify_protector(protector), lab(), counted_random("roll"))[0].max_offline_unwraps == 0


def test_a_stranger_cannot_roll() -> None:
    with pytest.raises(InvalidProtectorError):
        roll(verify_protector(fresh()[0]), stranger(), counted_random("roll"))
