from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest

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
    new_protector,
    parse_protector,
    roll,
    seal,
    serialise_protector,
    unwrap,
    verify_protector,
)
from tests.hgs.keyprotection.guardians import branch, counted_random, lab, owner, stranger


@cache
def fresh() -> tuple[Protector, TransportKey]:
    return new_protector(owner(), [lab().guardian, branch().guardian], counted_random("fresh"))


def resealed(wrappings: tuple[Wrapping, ...], key: TransportKey) -> Protector:
    """A protector whose two outer signatures are right, so that only the wrappings can be refused."""
    return seal(wrappings, key, owner().signing_key, 0)


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


P = b'<P xmlns="urn:p">1</P>'
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


def _swap_encryption_signatures(wrappings: tuple[Wrapping, ...]) -> tuple[Wrapping, ...]:
    first, second, third = wrappings
    return (
        first,
        replace(second, encryption_certificate_signature=third.encryption_certificate_signature),
        replace(third, encryption_certificate_signature=second.encryption_certificate_signature),
    )


def _swap_within_a_wrapping(wrappings: tuple[Wrapping, ...]) -> tuple[Wrapping, ...]:
    return _with(
        1,
        signing_certificate_signature=wrappings[1].encryption_certificate_signature,
        encryption_certificate_signature=wrappings[1].signing_certificate_signature,
    )(wrappings)


def _circle(wrappings: tuple[Wrapping, ...]) -> tuple[Wrapping, ...]:
    return (wrappings[0], replace(wrappings[1], parent_id=2), replace(wrappings[2], parent_id=1))


def _below_a_circle(wrappings: tuple[Wrapping, ...]) -> tuple[Wrapping, ...]:
    """A wrapping whose ancestors go round without it and without the owner."""
    return (*_circle(wrappings), replace(another()[0].wrappings[2], id=3, parent_id=1))


def _twice(wrappings: tuple[Wrapping, ...]) -> tuple[Wrapping, ...]:
    return (*wrappings, replace(wrappings[1], id=3))


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
        (_swap_encryption_signatures, "encryption-certificate-signature"),
        (_swap_within_a_wrapping, "signing-certificate-signature"),
        (_uninvited, "signing-certificate-signature"),
        (_encryption_certificate_of_another, "encryption-certificate-signature"),
        (_encryption_certificate_as_signing_certificate, "key-usage"),
        (_circle, "wrapping-cycle"),
        (_below_a_circle, "wrapping-cycle"),
        (_with(1, parent_id=9), "unknown-parent"),
        (_with(1, parent_id=1), "several-owners"),
        (_with(0, parent_id=1), "no-owner"),
        (_with(1, id=2), "duplicate-wrapping-id"),
        (_twice, "guardian-twice"),
        (_with(1, signing_certificate=b"no certificate"), "bad-certificate"),
        (_with(1, encryption_certificate=b"no certificate"), "bad-certificate"),
        (_with(1, transport_key=EncryptedData("urn:rot13", b"x")), "unknown-algorithm"),
        (_with(1, transport_key=EncryptedData(algorithms.RSA_OAEP, b"x")), "unknown-parameters"),
        (_with(1, signing_certificate_signature=Signature("urn:none", b"x")), "unknown-algorithm"),
    ],
)
def test_a_bad_wrapping_is_refused_even_if_the_owner_signed_it(change: Change, code: str) -> None:
    protector, key = fresh()
    with pytest.raises(InvalidWrappingError) as caught:
        verify_protector(resealed(change(protector.wrappings), key))
    assert caught.value.code == code
    assert caught.value.fault == "InvalidWrappingException"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"guardian_wrapping_id": 7}, "unknown-signer"),
        ({"guardian_wrapping_id": 1}, "guardian-signature"),
        ({"guardian_signature": Signature(algorithms.RSA_PSS_SHA256, b"x" * 256)}, "guardian-signature"),
        ({"guardian_signature": Signature("http://www.w3.org/2000/09/xmldsig#rsa-sha1", b"x")}, "unknown-algorithm"),
        ({"transport_key_signature": Signature("urn:md5", b"x")}, "unknown-algorithm"),
        ({"key_derivation": KeyDerivationMethod("urn:plain")}, "unknown-algorithm"),
        ({"key_derivation": algorithms.hkdf_method(b"guarded-fabric/vm-state")}, "unknown-parameters"),
        ({"key_derivation": KeyDerivationMethod(algorithms.HKDF_URI)}, "unknown-parameters"),
        ({"guardian_signature": Signature(algorithms.RSA_PSS_SHA256, b"x", P)}, "unknown-parameters"),
        ({"transport_key_signature": Signature(algorithms.HMAC_SHA256, b"x", P)}, "unknown-parameters"),
    ],
)
def test_a_bad_outer_signature_is_refused(changes: dict[str, object], code: str) -> None:
    protector, _ = fresh()
    with pytest.raises(InvalidProtectorError) as caught:
        verify_protector(replace(protector, **changes))  # type: ignore[arg-type]
    assert caught.value.code == code
    assert caught.value.fault == "InvalidProtectorException"


NEW = "urn:example:new"


@pytest.mark.parametrize(
    ("role", "change"),
    [
        ("signature", lambda protector: replace(protector, guardian_signature=Signature(NEW, b"x"))),
        ("message authentication", lambda p: replace(p, transport_key_signature=Signature(NEW, b"x"))),
        ("key derivation", lambda protector: replace(protector, key_derivation=KeyDerivationMethod(NEW))),
        ("signature", lambda p: _resealed_with(p, signing_certificate_signature=Signature(NEW, b"x"))),
        ("signature", lambda p: _resealed_with(p, encryption_certificate_signature=Signature(NEW, b"x"))),
        ("key encryption", lambda p: _resealed_with(p, transport_key=EncryptedData(NEW, b"x"))),
    ],
)
def test_an_unknown_algorithm_is_refused_by_its_name(role: str, change: Callable[[Protector], Protector]) -> None:
    with pytest.raises(KeyProtectionError, match=f"The {role} algorithm {NEW} is not known") as caught:
        verify_protector(parse_protector(serialise_protector(change(fresh()[0]))))
    assert caught.value.code == "unknown-algorithm"


def _resealed_with(protector: Protector, **changes: object) -> Protector:
    return resealed(_with(1, **changes)(protector.wrappings), fresh()[1])


@cache
def another() -> tuple[Protector, TransportKey]:
    """Another protector of the same owner, for the same guardians."""
    return new_protector(owner(), [lab().guardian, stranger().guardian], counted_random("another"))


def test_wrappings_of_two_protectors_do_not_mix() -> None:
    mine, theirs = fresh()[0], another()[0]
    grafted = (*mine.wrappings, replace(theirs.wrappings[2], id=3))
    replaced = (mine.wrappings[0], theirs.wrappings[1], mine.wrappings[2])
    for wrappings in (grafted, replaced, theirs.wrappings):
        with pytest.raises(InvalidProtectorError) as caught:
            verify_protector(replace(mine, wrappings=wrappings))
        assert caught.value.code == "guardian-signature"


def test_a_wrapping_from_another_protector_opens_nothing_even_if_a_guardian_signs_it() -> None:
    """A guardian may put wrappings together. One made for another key shows it as soon as it is opened."""
    mine, key = fresh()
    grafted = (*mine.wrappings, replace(another()[0].wrappings[2], id=3))
    verified = verify_protector(seal(grafted, key, lab().signing_key, 1))
    with pytest.raises(InvalidProtectorError) as caught:
        unwrap(verified, stranger())
    assert caught.value.code == "transport-key-signature"


def test_a_guardian_from_both_protectors_is_there_once_only() -> None:
    mine, key = fresh()
    with pytest.raises(InvalidWrappingError) as caught:
        verify_protector(resealed((*mine.wrappings, replace(another()[0].wrappings[1], id=3)), key))
    assert caught.value.code == "guardian-twice"


def test_a_wrapping_of_another_owner_is_refused() -> None:
    theirs, _ = new_protector(stranger(), [branch().guardian], counted_random("theirs"))
    mine, key = new_protector(owner(), [lab().guardian], counted_random("mine"))
    with pytest.raises(InvalidWrappingError) as caught:
        verify_protector(resealed((*mine.wrappings, replace(theirs.wrappings[1], id=2)), key))
    assert caught.value.code == "signing-certificate-signature"
    with pytest.raises(InvalidWrappingError) as caught:
        verify_protector(resealed((*mine.wrappings, replace(theirs.wrappings[0], id=2, parent_id=2)), key))
    assert caught.value.code == "several-owners"


def test_the_outer_signatures_of_another_protector_are_refused() -> None:
    mine, theirs = fresh()[0], another()[0]
    with pytest.raises(InvalidProtectorError) as caught:
        verify_protector(replace(mine, guardian_signature=theirs.guardian_signature))
    assert caught.value.code == "guardian-signature"
    swapped = verify_protector(replace(mine, transport_key_signature=theirs.transport_key_signature))
    with pytest.raises(InvalidProtectorError) as caught:
        unwrap(swapped, lab())
    assert caught.value.code == "transport-key-signature"


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
