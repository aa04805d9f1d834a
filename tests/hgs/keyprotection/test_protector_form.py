import re
from dataclasses import replace
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hgs.keyprotection.elements import EncryptedData, KeyDerivationMethod, Signature
from hgs.keyprotection.errors import InvalidProtectorError, InvalidWrappingError, KeyProtectionError
from hgs.keyprotection.protector import new_protector, unwrap, verify_protector
from hgs.keyprotection.protector_form import (
    Protector,
    Wrapping,
    import_protector,
    parse_protector,
    serialise_protector,
    with_length_prefix,
)
from tests.hgs.keyprotection.guardians import branch, counted_random, lab, owner


@cache
def fresh() -> Protector:
    return new_protector(owner(), [lab().guardian, branch().guardian], counted_random("form"))[0]


def test_the_bytes_do_not_change_by_being_read() -> None:
    document = serialise_protector(fresh())
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
    document = bytearray(serialise_protector(fresh()))
    position = data.draw(st.integers(0, len(document) - 1))
    document[position] ^= data.draw(st.integers(1, 255))
    with pytest.raises(KeyProtectionError):
        unwrap(verify_protector(parse_protector(bytes(document))), lab())


_PIECES = re.compile(rb"<[^>]*>|[^<]+")


@given(st.data())
def test_whatever_validates_after_pieces_were_moved_is_written_as_it_was_read(data: st.DataObject) -> None:
    """Tags and texts are dropped, doubled and exchanged: what is still accepted has the same bytes afterwards."""
    pieces = _PIECES.findall(serialise_protector(fresh()))
    for _ in range(data.draw(st.integers(1, 3))):
        one, other = (data.draw(st.integers(0, len(pieces) - 1)) for _ in range(2))
        step = data.draw(st.sampled_from(["drop", "double", "exchange", "copy"]))
        if step == "drop":
            del pieces[one]
        elif step == "double":
            pieces.insert(one, pieces[one])
        elif step == "exchange":
            pieces[one], pieces[other] = pieces[other], pieces[one]
        else:
            pieces[one] = pieces[other]
    document = b"".join(pieces)
    try:
        protector = parse_protector(document)
    except KeyProtectionError:
        return
    assert serialise_protector(protector) == document


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_no_protector(data: bytes) -> None:
    with pytest.raises(InvalidProtectorError):
        import_protector(data)


def edited(old: str, new: str, count: int = 1) -> bytes:
    document = serialise_protector(fresh()).decode()
    assert old in document
    return document.replace(old, new, count).encode()


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("<Wrappings>", "<!-- x --><Wrappings>", "comment"),
        ("<Wrappings>", "<?x y?><Wrappings>", "processing-instruction"),
        ("<Protector", "<!DOCTYPE Protector><Protector", "document-type"),
        ("<Protector", '<?xml version="1.0"?><Protector', "processing-instruction"),
        ("<Id>0</Id>", "<Id><![CDATA[0]]></Id>", "markup-declaration"),
        ("<Protector", '<!DOCTYPE Protector [<!ENTITY zero "0">]><Protector', "document-type"),
        ("<Id>0</Id>", "<Id>&zero;</Id>", "entity"),
        ("<Id>0</Id>", "<Id>&#48;</Id>", "entity"),
        ("<Wrappings>", '<Wrappings xmlns:k="urn:k"><k:More></k:More>', "prefixed-name"),
        ("<Id>0</Id>", '<Id xmlns="">0</Id>', "unexpected-element"),
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


def _moved(document: str, name: str, before: str) -> str:
    """The first element `name` put before the first element `before`."""
    element = re.search(f"<{name}[ >].*?</{name}>", document)
    place = re.search(f"<{before}[ >]", document)
    assert element is not None
    assert place is not None
    (start, end), at = element.span(), place.start()
    assert at < start
    return document[:at] + document[start:end] + document[at:start] + document[end:]


@pytest.mark.parametrize(
    ("name", "before"),
    [
        ("GuardianSignature", "TransportKeySignature"),
        ("TransportKeySignature", "Wrappings"),
        ("EncryptionCertificate", "SigningCertificate"),
        ("TransportKey", "Id"),
        ("SigningCertificateSignature", "SigningCertificate"),
        ("CipherValue", "Parameters"),
    ],
)
def test_elements_in_another_order_are_refused(name: str, before: str) -> None:
    document = serialise_protector(fresh()).decode()
    with pytest.raises(InvalidProtectorError) as caught:
        parse_protector(_moved(document, name, before).encode())
    assert caught.value.code == "unexpected-element"


def test_an_empty_list_of_wrappings_is_refused() -> None:
    document = serialise_protector(fresh()).decode()
    start, end = document.index("<Wrapping>"), document.index("</Wrappings>")
    with pytest.raises(InvalidProtectorError) as caught:
        parse_protector((document[:start] + document[end:]).encode())
    assert caught.value.code == "no-wrappings"


def test_more_wrappings_than_allowed_are_refused() -> None:
    wrapping = fresh().wrappings[1]
    many = tuple(replace(wrapping, id=number) for number in range(17))
    with pytest.raises(InvalidProtectorError) as caught:
        parse_protector(serialise_protector(replace(fresh(), wrappings=many)))
    assert caught.value.code == "too-many-elements"


def test_the_length_before_the_document_is_accepted_by_import_only() -> None:
    document = serialise_protector(fresh())
    prefixed = with_length_prefix(document)
    assert prefixed == (len(document) + 4).to_bytes(4) + document
    assert import_protector(prefixed) == import_protector(document) == parse_protector(document)
    with pytest.raises(InvalidProtectorError):
        parse_protector(prefixed)
    with pytest.raises(InvalidProtectorError):
        import_protector(len(document).to_bytes(4) + document)


def test_duplicate_ids_are_refused_when_parsing() -> None:
    with pytest.raises(InvalidWrappingError) as caught:
        parse_protector(edited("<Id>1</Id>", "<Id>2</Id>"))
    assert caught.value.code == "duplicate-wrapping-id"
