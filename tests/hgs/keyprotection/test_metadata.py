import hashlib

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from hgs.keyprotection import certificates
from hgs.keyprotection.errors import KeyProtectionError
from hgs.keyprotection.guardian import guardian_keys_from
from hgs.keyprotection.metadata import CommunicationsKey, parse_metadata, serialise_metadata, serialise_parsed
from tests.hgs.keyprotection.guardians import branch, communications, lab, stranger

DS = "{http://www.w3.org/2000/09/xmldsig#}"


def document() -> bytes:
    return serialise_metadata(lab().guardian, communications())


def test_metadata_gives_the_guardian_and_the_fingerprint_to_compare() -> None:
    verified = parse_metadata(document()).verify("lab")
    assert verified.guardian == lab().guardian
    assert verified.fingerprint == communications().fingerprint


def test_the_bytes_do_not_change_by_being_read() -> None:
    assert serialise_parsed(parse_metadata(document())) == document()


def test_other_signing_certificates_travel_along() -> None:
    keys = lab()
    extended = guardian_keys_from(
        "lab",
        keys.guardian.signing_certificate,
        keys.signing_key,
        keys.guardian.encryption_certificate,
        keys.encryption_key,
        [branch().guardian.signing_certificate],
    )
    verified = parse_metadata(serialise_metadata(extended.guardian, communications())).verify("lab")
    assert verified.guardian.other_signing_certificates == (branch().guardian.signing_certificate,)


def test_the_signature_is_a_w3c_signature_as_any_verifier_computes_it() -> None:
    root = etree.fromstring(document())
    signature = root.find(f"{DS}Signature")
    assert signature is not None
    info = signature.find(f"{DS}SignedInfo")
    assert info is not None
    signed = etree.tostring(info, method="c14n", exclusive=True)
    value = signature.findtext(f"{DS}SignatureValue") or ""
    held = signature.findtext(f".//{DS}X509Certificate") or ""
    digest = signature.findtext(f".//{DS}DigestValue") or ""
    import base64

    key = x509.load_der_x509_certificate(base64.b64decode(held)).public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    key.verify(base64.b64decode(value), signed, padding.PKCS1v15(), hashes.SHA256())
    root.remove(signature)
    octets = etree.tostring(root, method="c14n", exclusive=True)
    assert base64.b64decode(digest) == hashlib.sha256(octets).digest()


def refusal(data: bytes) -> str:
    with pytest.raises(KeyProtectionError) as caught:
        parse_metadata(data).verify("lab")
    return caught.value.code


def test_a_replaced_guardian_is_refused() -> None:
    mine, theirs = parse_metadata(document()), parse_metadata(serialise_metadata(stranger().guardian, communications()))
    from dataclasses import replace

    mixed = replace(theirs, digest=mine.digest, signature=mine.signature)
    assert refusal(serialise_parsed(mixed)) == "metadata-digest"
    assert refusal(serialise_parsed(replace(theirs, signature=mine.signature))) == "metadata-signature"


def test_a_resigned_document_verifies_but_shows_another_fingerprint() -> None:
    attacker = CommunicationsKey(stranger().guardian.signing_certificate, stranger().signing_key)
    verified = parse_metadata(serialise_metadata(lab().guardian, attacker)).verify("lab")
    assert verified.fingerprint == certificates.fingerprint(stranger().guardian.signing_certificate)
    assert verified.fingerprint != communications().fingerprint


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'URI=""', b'URI="#other"'),
        (b"2001/04/xmldsig-more#rsa-sha256", b"2000/09/xmldsig#rsa-sha1"),
        (b"2001/04/xmlenc#sha256", b"2000/09/xmldsig#sha1"),
        (b"xmldsig#enveloped-signature", b"xmldsig#other-transform"),
        (b"<KeyInfo>", b"<KeyInfo><KeyName>x</KeyName>"),
        (b"</SignedInfo>", b"<Reference></Reference></SignedInfo>"),
        (
            b'<Metadata xmlns="http://schemas.microsoft.com/kps/2014/07" Version="1">',
            b'<Metadata xmlns="http://schemas.microsoft.com/kps/2014/07" ID="a" Version="1">',
        ),
        (b'Version="1"', b'Version="2"'),
        (b"<Version>1</Version>", b"<Version>2</Version>"),
        (b"</Metadata>", b"<Extra></Extra></Metadata>"),
        (b"<GuardianInformation>", b"<!-- x --><GuardianInformation>"),
    ],
)
def test_only_the_one_signature_profile_is_accepted(old: bytes, new: bytes) -> None:
    assert old in document()
    with pytest.raises(KeyProtectionError):
        parse_metadata(document().replace(old, new, 1))


def test_a_signature_over_a_part_that_was_moved_away_is_refused() -> None:
    inner = document()
    wrapped = inner.replace(b"<GuardianInformation>", b"<GuardianInformation><GuardianInformation>", 1)
    wrapped = wrapped.replace(b"</GuardianInformation>", b"</GuardianInformation></GuardianInformation>", 1)
    with pytest.raises(KeyProtectionError):
        parse_metadata(wrapped)


@given(st.data())
def test_a_changed_byte_is_refused_or_changes_the_fingerprint(data: st.DataObject) -> None:
    changed = bytearray(document())
    changed[data.draw(st.integers(0, len(changed) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        verified = parse_metadata(bytes(changed)).verify("lab")
    except KeyProtectionError:
        return
    # Only the communications certificate is not covered by a signature: its fingerprint is what a person compares.
    assert verified.fingerprint != communications().fingerprint
    assert verified.guardian == lab().guardian


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_no_metadata(data: bytes) -> None:
    with pytest.raises(KeyProtectionError):
        parse_metadata(data)
