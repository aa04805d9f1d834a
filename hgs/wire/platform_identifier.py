"""Platform identifier: the file by which a host is registered (``docs/formats/platform-identifier.md``).

XML in one canonical form, so that ``serialise_identifier(parse_identifier(b)) == b``::

    <PlatformIdentifier xmlns="urn:guarded-fabric:platform-identifier:1" Name="hv01">
      <EndorsementKey>base64 of the SubjectPublicKeyInfo</EndorsementKey>
      <EndorsementKeyCertificate>base64 of the DER certificate</EndorsementKeyCertificate>
    </PlatformIdentifier>
"""

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Any, Final

from lxml import etree

from hgs.wire.errors import PlatformIdentifierError

NAMESPACE: Final = "urn:guarded-fabric:platform-identifier:1"
MAX_FILE: Final = 32 * 1024
MAX_CERTIFICATE: Final = 8192
MAX_KEY: Final = 1024
NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,61}[A-Za-z0-9])?")
_NAMESPACES: Final[Any] = {None: NAMESPACE}
_DECLARATION: Final = b"<?xml version='1.0' encoding='UTF-8'?>\n"


@dataclass(frozen=True)
class PlatformIdentifier:
    """Who a host says it is. ``endorsement_key``: SPKI (DER); ``certificate``: DER, None on a TPM without one."""

    name: str
    endorsement_key: bytes
    certificate: bytes | None = None


def serialise_identifier(identifier: PlatformIdentifier) -> bytes:
    """The file. Raises :class:`PlatformIdentifierError` for values that the format does not allow."""
    _check(identifier)
    root = etree.Element(f"{{{NAMESPACE}}}PlatformIdentifier", nsmap=_NAMESPACES)
    root.set("Name", identifier.name)
    root.text = "\n  "
    key = etree.SubElement(root, f"{{{NAMESPACE}}}EndorsementKey")
    key.text = base64.b64encode(identifier.endorsement_key).decode()
    last = key
    if identifier.certificate is not None:
        key.tail = "\n  "
        last = etree.SubElement(root, f"{{{NAMESPACE}}}EndorsementKeyCertificate")
        last.text = base64.b64encode(identifier.certificate).decode()
    last.tail = "\n"
    return _DECLARATION + etree.tostring(root, encoding="UTF-8", xml_declaration=False) + b"\n"


def parse_identifier(data: bytes) -> PlatformIdentifier:
    """Read the file. Nothing in it is proven. Raises :class:`PlatformIdentifierError`."""
    if len(data) > MAX_FILE:
        raise PlatformIdentifierError(f"The platform identifier has {len(data)} bytes; the limit is {MAX_FILE}.")
    root = _root(data)
    children = list(root)
    names = [str(child.tag).removeprefix(f"{{{NAMESPACE}}}") for child in children]
    if names not in (["EndorsementKey"], ["EndorsementKey", "EndorsementKeyCertificate"]):
        raise PlatformIdentifierError("The platform identifier does not hold an endorsement key.")
    values = [_decode(child.text or "") for child in children]
    identifier = PlatformIdentifier(root.get("Name", ""), values[0], values[1] if len(values) > 1 else None)
    if serialise_identifier(identifier) != data:
        raise PlatformIdentifierError(
            "The platform identifier is not in its canonical form: it was changed after it was written."
        )
    return identifier


def _root(data: bytes) -> etree._Element:
    if b"<!" in data:
        raise PlatformIdentifierError("The platform identifier has a document type or a comment, which it may not.")
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise PlatformIdentifierError("The platform identifier is not XML.") from error
    if root.tag != f"{{{NAMESPACE}}}PlatformIdentifier":
        raise PlatformIdentifierError("This XML file is not a platform identifier.")
    return root


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise PlatformIdentifierError("The platform identifier holds a value that is not base64.") from error


def _check(identifier: PlatformIdentifier) -> None:
    if not NAME.fullmatch(identifier.name):
        raise PlatformIdentifierError("The host name is not one: letters, digits, hyphens and dots, at most 63.")
    if not 0 < len(identifier.endorsement_key) <= MAX_KEY:
        raise PlatformIdentifierError("The endorsement key is of an impossible size.")
    if identifier.certificate is not None and not 0 < len(identifier.certificate) <= MAX_CERTIFICATE:
        raise PlatformIdentifierError("The endorsement-key certificate is of an impossible size.")
