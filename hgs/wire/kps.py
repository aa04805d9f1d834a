"""The messages of the Key Protection Service ([MS-KPS] 2.1, 2.2.1, 2.2.2.1, 2.2.2.2, 2.2.2.5).

Grammar only. The whole ingress and egress protectors travel as base64 of the document as serialised to a file.
The specification gives Error no namespace; it is put in the service's.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from re import Pattern
from typing import Final

from hgs.wire import patterns, xmlform
from hgs.wire.patterns import BASE64, PLAIN
from hgs.wire.xmlform import Element, Fields, Written, XmlFormError

SERVICE_NAMESPACE: Final = "http://schemas.microsoft.com/kps/2014/07/service"
CONTENT_TYPE: Final = "application/xml"
CONTENT_TYPES: Final = frozenset({"application/xml", "text/xml"})
METADATA_PATH: Final = "/KeyProtection/service/metadata/2014-07/metadata.xml"
ROLL_PATH: Final = "/KeyProtection/service/{version}/rolltransportkey"

PROTECTOR_MAX: Final = 256 * 1024
CERTIFICATE_MAX: Final = 8192
KEY_MAX: Final = 1024
MESSAGE_MAX: Final = 384 * 1024
ERROR_MAX: Final = 16 * 1024
_URI_MAX: Final = 256


@dataclass(frozen=True, slots=True)
class RollTransportKeyRequest:
    """2.2.2.1. `ingress_protector` is the protector document, `health_certificate` DER, algorithms are URIs."""

    ingress_protector: bytes
    health_certificate: bytes
    transfer_key_algorithm: str
    wrapping_key_algorithm: str
    transport_keys_algorithm: str


@dataclass(frozen=True, slots=True)
class RollTransportKeyResponse:
    """2.2.2.2. Transfer key ← health certificate; wrapping key ← transfer key; transport keys ← wrapping key."""

    egress_protector: bytes
    encrypted_transfer_key: bytes
    encrypted_wrapping_key: bytes
    encrypted_transport_keys: bytes


@dataclass(frozen=True, slots=True)
class KpsError:
    """2.2.2.5. `code` is a name such as HealthCertificateException."""

    code: str
    message: str


def api_version(text: str) -> int | None:
    """The API version (1 or 2) in the path: any case, with or without `v` and `.0`; None if it is neither."""
    bare = text.lower().removeprefix("v").removesuffix(".0")
    return {"1": 1, "2": 2}.get(bare)


def parse_request(data: bytes) -> RollTransportKeyRequest:
    """Raises XmlFormError."""
    return _match_request(data) or _read_request(data)


def _read_request(data: bytes) -> RollTransportKeyRequest:
    fields = _open(data, "RollTransportKeyRequest", MESSAGE_MAX)
    request = RollTransportKeyRequest(
        xmlform.bytes_of(fields.take("IngressProtector"), most=PROTECTOR_MAX),
        xmlform.bytes_of(fields.take("HealthCertificate"), most=CERTIFICATE_MAX),
        _uri(fields.take("TransferKeyEncryptionAlgorithm")),
        _uri(fields.take("WrappingKeyEncryptionAlgorithm")),
        _uri(fields.take("TransportKeysEncryptionAlgorithm")),
    )
    fields.end()
    return request


def _match_request(data: bytes) -> RollTransportKeyRequest | None:
    """A request that looks as `serialise_request` writes it; None where the strict reader has to look."""
    found = _request_pattern().fullmatch(data) if len(data) <= MESSAGE_MAX else None
    if found is None:
        return None
    protector, certificate, *algorithms = found.groups()
    if not all(len(uri) <= _URI_MAX for uri in algorithms):
        return None
    try:
        request = RollTransportKeyRequest(
            patterns.base64_value(protector, PROTECTOR_MAX),
            patterns.base64_value(certificate, CERTIFICATE_MAX),
            *(uri.decode() for uri in algorithms),
        )
    except ValueError:
        return None
    return request if serialise_request(request) == data else None


@cache
def _request_pattern() -> Pattern[bytes]:
    values = {patterns.text_of(value): BASE64 for value in (b"a" * 12, b"b" * 12)}
    sample = serialise_request(RollTransportKeyRequest(b"a" * 12, b"b" * 12, "urn:x:1", "urn:x:2", "urn:x:3"))
    return patterns.pattern_of(sample, values | {b"urn:x:1": PLAIN, b"urn:x:2": PLAIN, b"urn:x:3": PLAIN})


def serialise_request(request: RollTransportKeyRequest) -> bytes:
    """The one byte string for a request."""
    return _document(
        "RollTransportKeyRequest",
        _bytes("IngressProtector", request.ingress_protector),
        _bytes("HealthCertificate", request.health_certificate),
        _text("TransferKeyEncryptionAlgorithm", request.transfer_key_algorithm),
        _text("WrappingKeyEncryptionAlgorithm", request.wrapping_key_algorithm),
        _text("TransportKeysEncryptionAlgorithm", request.transport_keys_algorithm),
    )


def parse_response(data: bytes) -> RollTransportKeyResponse:
    """Raises XmlFormError."""
    fields = _open(data, "RollTransportKeyResponse", MESSAGE_MAX)
    response = RollTransportKeyResponse(
        xmlform.bytes_of(fields.take("EgressProtector"), most=PROTECTOR_MAX),
        xmlform.bytes_of(fields.take("EncryptedTransferKey"), most=KEY_MAX),
        xmlform.bytes_of(fields.take("EncryptedWrappingKey"), most=KEY_MAX),
        xmlform.bytes_of(fields.take("EncryptedTransportKeys"), most=KEY_MAX),
    )
    fields.end()
    return response


def serialise_response(response: RollTransportKeyResponse) -> bytes:
    """The one byte string for a response."""
    return _document(
        "RollTransportKeyResponse",
        _bytes("EgressProtector", response.egress_protector),
        _bytes("EncryptedTransferKey", response.encrypted_transfer_key),
        _bytes("EncryptedWrappingKey", response.encrypted_wrapping_key),
        _bytes("EncryptedTransportKeys", response.encrypted_transport_keys),
    )


def parse_error(data: bytes) -> KpsError:
    """Raises XmlFormError."""
    fields = _open(data, "Error", ERROR_MAX)
    error = KpsError(xmlform.text_of(fields.take("Code")), xmlform.text_of(fields.take("Message")))
    fields.end()
    return error


def serialise_error(error: KpsError) -> bytes:
    """The one byte string for an error."""
    return _document("Error", _text("Code", error.code), _text("Message", error.message))


def _open(data: bytes, name: str, limit: int) -> Fields:
    return Fields(xmlform.parse_document(data, namespace=SERVICE_NAMESPACE, name=name, limit=limit))


def _uri(element: Element) -> str:
    uri = xmlform.text_of(element)
    if not 0 < len(uri) <= _URI_MAX:
        raise XmlFormError("algorithm-length", f"An algorithm name has {len(uri)} characters.")
    return uri


def _document(name: str, *children: Written) -> bytes:
    return xmlform.canonical(xmlform.build(SERVICE_NAMESPACE, name, *children))


def _bytes(name: str, value: bytes) -> Written:
    return xmlform.build_bytes(SERVICE_NAMESPACE, name, value)


def _text(name: str, value: str) -> Written:
    return xmlform.build_text(SERVICE_NAMESPACE, name, value)
