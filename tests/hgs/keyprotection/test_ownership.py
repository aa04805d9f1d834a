from dataclasses import replace
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hgs.keyprotection import algorithms, certificates
from hgs.keyprotection.errors import GuardianError, InvalidProtectorError, NoWrappingError
from hgs.keyprotection.guardian import GuardianKeys, guardian_keys_from
from hgs.keyprotection.ownership import grant, open_as_owner, parties, revoke
from hgs.keyprotection.protector import (
    Protector,
    VerifiedProtector,
    new_protector,
    parse_protector,
    roll,
    seal,
    serialise_protector,
    unwrap,
    verify_protector,
)
from tests.hgs.keyprotection.guardians import NOW, branch, counted_random, keys_of, lab, owner, stranger


@cache
def fresh() -> VerifiedProtector:
    return verify_protector(new_protector(owner(), [lab().guardian], counted_random("fresh"))[0])


def read_again(protector: Protector) -> VerifiedProtector:
    return verify_protector(parse_protector(serialise_protector(protector)))


def chained() -> VerifiedProtector:
    """Branch is there because lab, a guardian, let it in."""
    key = unwrap(fresh(), lab())
    both = new_protector(owner(), [lab().guardian, branch().guardian], counted_random("chain"))[0]
    child = replace(
        both.wrappings[2],
        parent_id=1,
        signing_certificate_signature=algorithms.sign(lab().signing_key, branch().guardian.signing_certificate),
        transport_key=algorithms.wrap_transport_key(branch().encryption_key.public_key(), key.value),
    )
    return read_again(seal((*fresh().protector.wrappings, child), key, lab().signing_key, 1))


def with_new_encryption_key(keys: GuardianKeys) -> GuardianKeys:
    other = keys_of("renewed")
    return guardian_keys_from(
        keys.guardian.name,
        keys.guardian.signing_certificate,
        keys.signing_key,
        other.guardian.encryption_certificate,
        other.encryption_key,
    )


def test_a_granted_guardian_opens_the_same_key_as_everybody_before() -> None:
    key = unwrap(fresh(), lab())
    granted = read_again(grant(fresh(), owner(), branch().guardian))
    for keys in (owner(), lab(), branch()):
        assert unwrap(granted, keys) == key


def test_a_grant_leaves_every_other_wrapping_as_it_is_and_is_signed_by_the_owner() -> None:
    granted = grant(fresh(), owner(), branch().guardian)
    assert granted.wrappings[:-1] == fresh().protector.wrappings
    assert (granted.wrappings[-1].id, granted.wrappings[-1].parent_id) == (2, 0)
    assert read_again(granted).signer.is_owner


def test_the_owner_grants_on_a_rolled_protector() -> None:
    rolled, key = roll(fresh(), lab(), counted_random("roll"))
    granted = read_again(grant(verify_protector(rolled), owner(), branch().guardian))
    assert unwrap(granted, branch()) == key


def test_a_new_guardian_gets_an_id_that_is_free() -> None:
    for used in (7, 2**32 - 1):
        wrappings = fresh().protector.wrappings
        renumbered = (wrappings[0], replace(wrappings[1], id=used))
        sealed = seal(renumbered, unwrap(fresh(), lab()), owner().signing_key, 0)
        granted = grant(read_again(sealed), owner(), branch().guardian)
        assert granted.wrappings[-1].id == (8 if used == 7 else 1)
        read_again(granted)


def test_nobody_but_the_owner_grants_or_revokes() -> None:
    mixed = GuardianKeys(owner().guardian, owner().signing_key, stranger().encryption_key)
    for keys in (lab(), stranger(), replace(mixed, guardian=with_new_encryption_key(owner()).guardian)):
        for change in (
            lambda keys=keys: grant(fresh(), keys, branch().guardian),
            lambda keys=keys: revoke(fresh(), keys, lab().guardian.fingerprint),
            lambda keys=keys: open_as_owner(fresh(), keys),
        ):
            with pytest.raises(GuardianError) as caught:
                change()
            assert caught.value.code == "not-the-owner"


def test_an_owner_whose_certificates_were_renewed_with_their_keys_is_still_the_owner() -> None:
    keys = owner()
    signing = certificates.issue_self_signed("renewed", keys.signing_key, "signing", NOW)
    encryption = certificates.issue_self_signed("renewed", keys.encryption_key, "encryption", NOW)
    renewed = guardian_keys_from("owner", signing, keys.signing_key, encryption, keys.encryption_key)
    assert open_as_owner(fresh(), renewed) == unwrap(fresh(), lab())
    assert unwrap(read_again(grant(fresh(), renewed, branch().guardian)), branch()) == unwrap(fresh(), lab())


@pytest.mark.parametrize(
    ("guardian", "code"), [(lab().guardian, "guardian-present"), (owner().guardian, "guardian-is-owner")]
)
def test_who_can_open_it_already_is_not_granted_again(guardian: object, code: str) -> None:
    with pytest.raises(GuardianError) as caught:
        grant(fresh(), owner(), guardian)  # type: ignore[arg-type]
    assert caught.value.code == code


def test_a_guardian_with_a_new_encryption_certificate_gets_a_second_wrapping() -> None:
    renewed = with_new_encryption_key(lab())
    granted = read_again(grant(fresh(), owner(), renewed.guardian))
    assert unwrap(granted, renewed) == unwrap(granted, lab())
    without_the_old = read_again(
        revoke(granted, owner(), certificates.fingerprint(lab().guardian.encryption_certificate))
    )
    assert [party.encryption_fingerprint for party in parties(without_the_old)[1:]] == [
        certificates.fingerprint(renewed.guardian.encryption_certificate)
    ]
    both_gone = revoke(granted, owner(), lab().guardian.fingerprint)
    assert len(both_gone.wrappings) == 1


def test_a_full_protector_takes_no_other_guardian() -> None:
    def guardian_with(certificate: bytes) -> GuardianKeys:
        keys = branch()
        other = certificates.issue_self_signed(certificate.decode(), keys.encryption_key, "encryption", NOW)
        guardian = keys.guardian
        return guardian_keys_from("g", guardian.signing_certificate, keys.signing_key, other, keys.encryption_key)

    verified = fresh()
    for number in range(14):
        verified = read_again(grant(verified, owner(), guardian_with(b"g%d" % number).guardian))
    with pytest.raises(GuardianError) as caught:
        grant(verified, owner(), stranger().guardian)
    assert caught.value.code == "too-many-guardians"


def test_a_revoked_guardian_opens_the_new_protector_no_more() -> None:
    granted = read_again(grant(fresh(), owner(), branch().guardian))
    revoked = read_again(revoke(granted, owner(), lab().guardian.fingerprint))
    assert unwrap(revoked, branch()) == unwrap(granted, owner())
    with pytest.raises(NoWrappingError):
        unwrap(revoked, lab())


def test_revoking_leaves_every_other_wrapping_as_it_is() -> None:
    granted = grant(fresh(), owner(), branch().guardian)
    revoked = revoke(read_again(granted), owner(), lab().guardian.fingerprint)
    assert revoked.wrappings == (granted.wrappings[0], granted.wrappings[2])
    assert read_again(revoked).signer.is_owner


def test_a_fingerprint_is_taken_as_people_write_it() -> None:
    written = certificates.grouped(lab().guardian.fingerprint)
    assert len(revoke(fresh(), owner(), written).wrappings) == 1


def test_whom_a_revoked_guardian_let_in_is_put_out_with_it() -> None:
    verified = chained()
    assert unwrap(verified, branch()) == unwrap(verified, owner())
    assert [party.by_owner for party in parties(verified)] == [True, True, False]
    assert [party.chain for party in parties(verified)] == [(), (0,), (1, 0)]
    assert revoke(verified, owner(), lab().guardian.fingerprint).wrappings == verified.protector.wrappings[:1]
    assert revoke(verified, owner(), branch().guardian.fingerprint).wrappings == verified.protector.wrappings[:2]


@pytest.mark.parametrize(
    ("fingerprint", "code"),
    [
        (stranger().guardian.fingerprint, "guardian-absent"),
        ("", "guardian-absent"),
        (owner().guardian.fingerprint, "owner-stays"),
        (certificates.fingerprint(owner().guardian.encryption_certificate), "owner-stays"),
    ],
    ids=["a-stranger", "nobody", "the-owner", "the-owners-encryption-certificate"],
)
def test_what_cannot_be_revoked_is_refused(fingerprint: str, code: str) -> None:
    with pytest.raises(GuardianError) as caught:
        revoke(fresh(), owner(), fingerprint)
    assert caught.value.code == code


def test_a_protector_of_another_transport_key_is_not_signed_again() -> None:
    other = new_protector(owner(), [], counted_random("other"))[1]
    forged = read_again(seal(fresh().protector.wrappings, other, lab().signing_key, 1))
    for change in (
        lambda: grant(forged, owner(), branch().guardian),
        lambda: revoke(forged, owner(), lab().guardian.fingerprint),
    ):
        with pytest.raises(InvalidProtectorError) as caught:
            change()
        assert caught.value.code == "transport-key-signature"


def test_neither_keeps_a_number_of_offline_unwraps_that_nobody_signed() -> None:
    verified = read_again(replace(fresh().protector, max_offline_unwraps=9))
    assert grant(verified, owner(), branch().guardian).max_offline_unwraps == 0
    assert revoke(verified, owner(), lab().guardian.fingerprint).max_offline_unwraps == 0


def test_the_last_signer_is_told() -> None:
    rolled, _ = roll(fresh(), lab(), counted_random("roll"))
    assert [party.signed_last for party in parties(fresh())] == [True, False]
    assert [party.signed_last for party in parties(verify_protector(rolled))] == [False, True]


@settings(max_examples=15, deadline=None)
@given(st.lists(st.sampled_from(["grant", "revoke", "roll"]), max_size=6), st.data())
def test_whatever_was_done_exactly_the_parties_left_open_it(steps: list[str], data: st.DataObject) -> None:
    everybody = {keys.guardian.fingerprint: keys for keys in (lab(), branch(), stranger())}
    verified, inside = fresh(), {lab().guardian.fingerprint}
    for step in steps:
        pool = sorted(set(everybody) - inside) if step == "grant" else sorted(inside)
        if not pool:
            continue
        chosen = data.draw(st.sampled_from(pool))
        if step == "grant":
            protector, inside = grant(verified, owner(), everybody[chosen].guardian), inside | {chosen}
        elif step == "revoke":
            protector, inside = revoke(verified, owner(), chosen), inside - {chosen}
        else:
            protector, _ = roll(verified, everybody[chosen], counted_random(chosen))
        document = serialise_protector(protector)
        assert serialise_protector(parse_protector(document)) == document
        verified = verify_protector(parse_protector(document))
    key = unwrap(verified, owner())
    for fingerprint, keys in everybody.items():
        if fingerprint in inside:
            assert unwrap(verified, keys) == key
        else:
            with pytest.raises(NoWrappingError):
                unwrap(verified, keys)
