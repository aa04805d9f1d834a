"""The elements all key protection documents share: Signature, EncryptedData, KeyDerivationMethod ([MS-KPS] 6.5).

Grammar only: what an algorithm URI means is the business of `hgs.keyprotection.algorithms`. The elements resemble the
W3C's ds:Signature and xenc:EncryptedData but are not those. They live in the namespace of the document that
holds them, so that our own documents (shielding data, signature catalogs) can use the same shapes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from hgs.wire import xmlform
from hgs.wire.xmlform import Element, Fields, Written, XmlFormError

KPS_NAMESPACE: Final = "http://schemas.microsoft.com/kps/2014/07"
PARAMETERS_MAX: Final = 4096
SIGNATURE_MAX: Final = 1024
URI_MAX: Final = 256


@dataclass(frozen=True, slots=True)
class Signature:
    """`<Signature Algorithm="uri"><Parameters/>?<SignatureValue/></Signature>`.

    `parameters` is the exclusive canonical form of the children of Parameters, empty where there is no Parameters.
    """

    algorithm: str
    value: bytes
    parameters: bytes = b""


@dataclass(frozen=True, slots=True)
class EncryptedData:
    """`<EncryptedData Algorithm="uri"><Parameters/>?<CipherValue/></EncryptedData>`."""

    algorithm: str
    value: bytes
    parameters: bytes = b""


@dataclass(frozen=True, slots=True)
class KeyDerivationMethod:
    """`<KeyDerivationMethod Algorithm="uri"><Parameters/>?</KeyDerivationMethod>`."""

    algorithm: str
    parameters: bytes = b""


def read_signature(element: Element) -> Signature:
    """Read an element of type Signature, whatever its name."""
    fields = Fields(element, attributes=("Algorithm",))
    parameters = _read_parameters(fields)
    value = xmlform.bytes_of(fields.take("SignatureValue"), most=SIGNATURE_MAX)
    fields.end()
    return Signature(_uri(fields), value, parameters)


def read_encrypted_data(element: Element, most: int) -> EncryptedData:
    """Read an element of type EncryptedData whose cipher value has at most `most` bytes."""
    fields = Fields(element, attributes=("Algorithm",))
    parameters = _read_parameters(fields)
    value = xmlform.bytes_of(fields.take("CipherValue"), most=most)
    fields.end()
    return EncryptedData(_uri(fields), value, parameters)


def read_key_derivation(element: Element) -> KeyDerivationMethod:
    """Read an element of type KeyDerivationMethod."""
    fields = Fields(element, attributes=("Algorithm",))
    parameters = _read_parameters(fields)
    fields.end()
    return KeyDerivationMethod(_uri(fields), parameters)


def _uri(fields: Fields) -> str:
    uri = fields.attribute("Algorithm") or ""
    if not 0 < len(uri) <= URI_MAX:
        raise XmlFormError("algorithm-length", f"{fields.name} has an algorithm name of {len(uri)} characters.")
    return uri


def _read_parameters(fields: Fields) -> bytes:
    element = fields.take_optional("Parameters")
    if element is None:
        return b""
    inner = Fields(element)
    if any(child.tag.startswith(f"{{{inner.namespace}}}") for child in element):
        raise XmlFormError("parameters-namespace", f"{fields.name} has Parameters of its own namespace.")
    octets = b"".join(xmlform.canonical(child) for child in inner.rest())
    if not 0 < len(octets) <= PARAMETERS_MAX:
        raise XmlFormError("parameters-length", f"{fields.name} has Parameters of {len(octets)} bytes.")
    return octets


def write_signature(namespace: str, signature: Signature, name: str = "Signature") -> Written:
    """The element for a signature; `name` where the schema gives the type another element name."""
    value = xmlform.build_bytes(namespace, "SignatureValue", signature.value)
    return _write(namespace, name, signature.algorithm, signature.parameters, value)


def write_encrypted_data(namespace: str, data: EncryptedData, name: str = "EncryptedData") -> Written:
    """The element for encrypted data."""
    value = xmlform.build_bytes(namespace, "CipherValue", data.value)
    return _write(namespace, name, data.algorithm, data.parameters, value)


def write_key_derivation(namespace: str, method: KeyDerivationMethod) -> Written:
    """The element for a key derivation method."""
    return _write(namespace, "KeyDerivationMethod", method.algorithm, method.parameters)


def _write(namespace: str, name: str, algorithm: str, parameters: bytes, *children: Written) -> Written:
    # Our own octets, or octets the strict reader made: they hold no markup but elements, each in canonical form.
    inner = [xmlform.build_canonical(namespace, "Parameters", parameters)] if parameters else []
    return xmlform.build(namespace, name, *inner, *children, attributes={"Algorithm": algorithm})
