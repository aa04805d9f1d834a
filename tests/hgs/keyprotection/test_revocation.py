import base64
import datetime as dt
import hashlib
from dataclasses import replace
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hgs.keyprotection.elements import Signature
from hgs.keyprotection.errors import RevocationError
from hgs.keyprotection.protector import new_protector, protector_id, verify_protector
from hgs.keyprotection.protector_form import wrappings_octets
from hgs.keyprotection.revocation import (
    UnverifiedNotice,
    parse_notice,
    parse_unverified,
    write_notice,
)
from tests.hgs.keyprotection.guardians import NOW, counted_random, lab, owner, stranger

A, B = hashlib.sha256(b"a").hexdigest(), hashlib.sha256(b"b").hexdigest()


@cache
def notice() -> bytes:
    return write_notice(owner(), [A, B], NOW)


def test_a_notice_says_who_revoked_what_and_when() -> None:
    read = parse_notice(notice())
    assert read.owner_fingerprint == owner().guardian.fingerprint
    assert read.protector_ids == {A, B}
    assert read.made_at == NOW


def test_a_notice_is_about_protectors_of_its_owner_only() -> None:
    mine, theirs = owner().guardian.fingerprint, stranger().guardian.fingerprint
    assert parse_notice(notice()).revokes(A, mine)
    assert not parse_notice(notice()).revokes(hashlib.sha256(b"c").hexdigest(), mine)
    assert not parse_notice(write_notice(stranger(), [A], NOW)).revokes(A, mine)
    assert not parse_notice(notice()).revokes(A, theirs)


def test_a_protector_is_named_by_what_is_signed_in_it() -> None:
    protector, _ = new_protector(owner(), [lab().guardian], counted_random("x"))
    named = protector_id(protector)
    assert named == verify_protector(protector).id == hashlib.sha256(wrappings_octets(protector.wrappings)).hexdigest()
    assert protector_id(replace(protector, max_offline_unwraps=7)) == named
    assert protector_id(new_protector(owner(), [lab().guardian], counted_random("y"))[0]) != named


def test_a_time_elsewhere_is_written_in_utc() -> None:
    east = dt.timezone(dt.timedelta(hours=2))
    moment = dt.datetime(2026, 3, 1, 14, 0, 0, 900, tzinfo=east)
    assert parse_notice(write_notice(owner(), [A], moment)).made_at == NOW


def test_hashes_may_be_given_in_any_order_and_case_and_more_than_once() -> None:
    read = parse_notice(write_notice(owner(), [B, A.upper(), B], NOW))
    assert read.protector_ids == {A, B}


@pytest.mark.parametrize(
    ("hashes", "code"),
    [
        ([], "protector-count"),
        ([hashlib.sha256(b"%d" % n).hexdigest() for n in range(257)], "protector-count"),
        (["ab"], "protector-id"),
        (["z" * 64], "protector-id"),
    ],
)
def test_what_names_no_protectors_is_not_written(hashes: list[str], code: str) -> None:
    with pytest.raises(RevocationError) as caught:
        write_notice(owner(), hashes, NOW)
    assert caught.value.code == code


def test_the_most_protectors_fit_into_a_notice() -> None:
    hashes = [hashlib.sha256(b"%d" % n).hexdigest() for n in range(256)]
    assert parse_notice(write_notice(owner(), hashes, NOW)).protector_ids == set(hashes)


def _base64(text: str) -> str:
    return base64.b64encode(bytes.fromhex(text)).decode()


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("<Body>", "<!-- x --><Body>", "comment"),
        ("<Body>", "<?x y?><Body>", "processing-instruction"),
        ("<Revocation", "<!DOCTYPE R><Revocation", "document-type"),
        ("12:00:00Z", "&t;", "entity"),
        ("<Body>", "<Body> ", "stray-text"),
        ("<Body>", '<Body xmlns:a="urn:a">', "not-canonical"),
        ("<Body>", '<Body A="1">', "unknown-attribute"),
        ('Version="1"', 'Version="2"', "notice-version"),
        (' Version="1"', "", "missing-attribute"),
        ("notice:1", "notice:2", "wrong-root"),
        ("12:00:00Z", "12:00:00", "moment"),
        ("12:00:00Z", "12:00:00+00:00", "moment"),
        ("12:00:00Z", "12:00:60Z", "moment"),
        ("2026-03-01", "2026-13-01", "moment"),
        ("2026-03-01", "0000-03-01", "moment"),
        ("</Protectors>", "</Protectors><More></More>", "unexpected-element"),
        ("</Body>", "</Body><Body></Body>", "unexpected-element"),
        (f"<Sha256>{_base64(B)}</Sha256>", "", "owner-signature"),
        (f"<Sha256>{_base64(B)}</Sha256>", f"<Sha256>{_base64(B)}</Sha256>" * 2, "protector-order"),
        (_base64(B), "AAAA", "value-length"),
        ("<SignatureValue>", "<SignatureValue> ", "not-base64"),
        ("#sha256-rsa-MGF1", "#sha1-rsa-MGF1", "unknown-algorithm"),
        ("<SignatureValue>", '<Parameters><P xmlns="urn:p"></P></Parameters><SignatureValue>', "unknown-parameters"),
        ("2026-03-01", "2026-03-02", "owner-signature"),
    ],
)
def test_a_notice_of_another_form_or_changed_is_refused(old: str, new: str, code: str) -> None:
    document = notice().decode()
    assert old in document
    with pytest.raises(RevocationError) as caught:
        parse_notice(document.replace(old, new).encode())
    assert caught.value.code == code


def test_protectors_out_of_order_are_refused() -> None:
    first, second = sorted([A, B])
    document = notice().decode().replace(_base64(first), "@").replace(_base64(second), _base64(first))
    with pytest.raises(RevocationError) as caught:
        parse_notice(document.replace("@", _base64(second)).encode())
    assert caught.value.code == "protector-order"


def test_a_notice_without_protectors_or_with_too_many_is_refused() -> None:
    document = notice().decode()
    start, end = document.index("<Sha256>"), document.index("</Protectors>")
    many = "".join(f"<Sha256>{_base64(n.to_bytes(32).hex())}</Sha256>" for n in range(257))
    for inside, code in (("", "protector-count"), (many, "too-many-elements")):
        with pytest.raises(RevocationError) as caught:
            parse_notice((document[:start] + inside + document[end:]).encode())
        assert caught.value.code == code


def test_too_long_a_notice_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(RevocationError) as caught:
        parse_notice(notice() + bytes(64 * 1024))
    assert caught.value.code == "document-too-large"


def test_a_notice_under_the_certificate_of_somebody_else_is_refused() -> None:
    stolen = parse_unverified(write_notice(stranger(), [A], NOW))
    forged = UnverifiedNotice(owner().guardian.signing_certificate, stolen.made_at, (A,), stolen.signature)
    with pytest.raises(RevocationError) as caught:
        parse_notice(forged.serialise())
    assert caught.value.code == "owner-signature"


def test_an_encryption_certificate_signs_no_notice() -> None:
    read = parse_unverified(notice())
    forged = UnverifiedNotice(owner().guardian.encryption_certificate, read.made_at, read.protector_ids, read.signature)
    with pytest.raises(RevocationError) as caught:
        parse_notice(forged.serialise())
    assert caught.value.code == "key-usage"


octets = st.binary(min_size=1, max_size=60)
uris = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=60)
parameters = st.sampled_from([b"", b'<P xmlns="urn:x">1</P>'])
moments = st.datetimes(timezones=st.just(dt.UTC)).map(lambda moment: moment.replace(microsecond=0))
hash_sets = st.sets(st.binary(min_size=32, max_size=32), min_size=1, max_size=8)


@given(octets, moments, hash_sets, st.builds(Signature, uris, octets, parameters))
def test_every_structure_reads_back(
    certificate: bytes, made_at: dt.datetime, hashes: set[bytes], signature: Signature
) -> None:
    made = UnverifiedNotice(certificate, made_at, tuple(sorted(value.hex() for value in hashes)), signature)
    assert parse_unverified(made.serialise()) == made
    assert parse_unverified(made.serialise()).serialise() == made.serialise()


@given(st.data())
def test_a_changed_byte_is_refused(data: st.DataObject) -> None:
    changed = bytearray(notice())
    changed[data.draw(st.integers(0, len(changed) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(RevocationError):
        parse_notice(bytes(changed))


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_no_notice(data: bytes) -> None:
    with pytest.raises(RevocationError):
        parse_notice(data)
