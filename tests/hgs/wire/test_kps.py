import pytest
from hypothesis import given
from hypothesis import strategies as st

from hgs.wire import kps
from hgs.wire.xmlform import XmlFormError

filled = st.binary(min_size=1, max_size=300)
uris = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=200)

REQUEST = kps.RollTransportKeyRequest(b"protector", b"certificate", "urn:a", "urn:b", "urn:c")


@given(filled, filled, uris, uris, uris)
def test_every_request_reads_back(protector: bytes, certificate: bytes, a: str, b: str, c: str) -> None:
    request = kps.RollTransportKeyRequest(protector, certificate, a, b, c)
    document = kps.serialise_request(request)
    assert kps.parse_request(document) == request
    assert kps.serialise_request(kps.parse_request(document)) == document


@given(filled, filled, filled, filled)
def test_every_response_reads_back(protector: bytes, a: bytes, b: bytes, c: bytes) -> None:
    response = kps.RollTransportKeyResponse(protector, a, b, c)
    assert kps.parse_response(kps.serialise_response(response)) == response


def test_an_error_reads_back() -> None:
    error = kps.KpsError("InvalidWrappingException", "Wrapping 1 & its <parent>.")
    assert kps.parse_error(kps.serialise_error(error)) == error


def test_a_request_has_the_elements_of_the_specification_in_its_order() -> None:
    assert kps.serialise_request(REQUEST) == (
        b'<RollTransportKeyRequest xmlns="http://schemas.microsoft.com/kps/2014/07/service">'
        b"<IngressProtector>cHJvdGVjdG9y</IngressProtector>"
        b"<HealthCertificate>Y2VydGlmaWNhdGU=</HealthCertificate>"
        b"<TransferKeyEncryptionAlgorithm>urn:a</TransferKeyEncryptionAlgorithm>"
        b"<WrappingKeyEncryptionAlgorithm>urn:b</WrappingKeyEncryptionAlgorithm>"
        b"<TransportKeysEncryptionAlgorithm>urn:c</TransportKeysEncryptionAlgorithm>"
        b"</RollTransportKeyRequest>"
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"<HealthCertificate>Y2VydGlmaWNhdGU=</HealthCertificate>", b""),
        (b"cHJvdGVjdG9y", b""),
        (b"urn:b", b""),
        (b"</RollTransportKeyRequest>", b"<More></More></RollTransportKeyRequest>"),
        (b"TransportKeysEncryptionAlgorithm", b"TransportKeyEncryptionAlgorithm"),
        (b"/kps/2014/07/service", b"/kps/2014/07"),
        (b"urn:c", b"urn:" + b"c" * 300),
    ],
)
def test_a_request_of_another_form_is_refused(old: bytes, new: bytes) -> None:
    document = kps.serialise_request(REQUEST)
    assert old in document
    with pytest.raises(XmlFormError):
        kps.parse_request(document.replace(old, new))


def test_a_request_is_not_a_response() -> None:
    with pytest.raises(XmlFormError):
        kps.parse_response(kps.serialise_request(REQUEST))


@pytest.mark.parametrize(
    ("text", "version"), [("v1.0", 1), ("V2.0", 2), ("2", 2), ("v2", 2), ("3.0", None), ("", None)]
)
def test_the_version_in_the_path_is_read_leniently(text: str, version: int | None) -> None:
    assert kps.api_version(text) == version


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused(data: bytes) -> None:
    for parse in (kps.parse_request, kps.parse_response, kps.parse_error):
        with pytest.raises(XmlFormError):
            parse(data)
