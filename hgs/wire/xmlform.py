"""Strict reading and writing of the fabric's XML documents.

Every XML document of ours has exactly one encoding: its own Exclusive XML Canonicalization 1.0
(http://www.w3.org/2001/10/xml-exc-c14n#), UTF-8, with each element in a default namespace, no prefix, no XML
declaration, no white space between elements. A document that differs from its canonical form by one byte is refused,
so whatever parses serialises back to the same bytes, and no two readers can see different documents in one file.

Comments, processing instructions, document types, CDATA sections and entity references other than the five that
canonical XML itself writes are refused before the XML parser sees the document.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final

from lxml import etree

from hgs.wire.errors import XmlFormError
from hgs.wire.xmlwriting import Written, build, build_bytes, build_canonical, build_text

__all__ = [
    "Element",
    "Fields",
    "Written",
    "XmlFormError",
    "build",
    "build_bytes",
    "build_canonical",
    "build_text",
    "bytes_of",
    "canonical",
    "check_well_formed",
    "parse_document",
    "qualified",
    "text_of",
    "unsigned",
]

Element = etree._Element

UNSIGNED_INT_MAX: Final = 2**32 - 1
_REFERENCE: Final = re.compile(rb"&(?!(?:amp|lt|gt|quot|#xD|#x9|#xA);)")
_HAS_PREFIXES: Final = etree.XPath("boolean(//*[contains(name(), ':')])")
_UNSIGNED: Final = re.compile(r"0|[1-9][0-9]{0,9}")


def qualified(namespace: str, name: str) -> str:
    """The name lxml uses for an element: `{namespace}name`."""
    return f"{{{namespace}}}{name}"


def parse_document(data: bytes, *, namespace: str, name: str, limit: int) -> Element:
    """Parse a canonical document whose root is `name` in `namespace`.

    `limit` is the greatest size in bytes. Raises XmlFormError.
    """
    if len(data) > limit:
        raise XmlFormError("document-too-large", f"The document has {len(data)} bytes; at most {limit} are allowed.")
    if data[:1] != b"<" and not data.lstrip(b" \t\r\n").startswith(b"<"):
        raise XmlFormError("wrong-root", f"This is not a {name} document; it is not XML at all.")
    _refuse_markup(data)
    root = _parse(data)
    if _HAS_PREFIXES(root):
        raise XmlFormError("prefixed-name", f"The element {_first_prefix(root)}:… uses a namespace prefix.")
    if root.tag != qualified(namespace, name):
        raise XmlFormError("wrong-root", f"This is not a {name} document of the namespace {namespace}.")
    if not _is_canonical(root, data):
        raise XmlFormError("not-canonical", "The document is not in canonical form (exclusive C14N).")
    return root


def _first_prefix(root: Element) -> str:
    return next(str(element.prefix) for element in root.iter() if element.prefix)


def _is_canonical(root: Element, data: bytes) -> bool:
    try:
        return canonical(root) == data
    except etree.C14NError:  # such as a namespace whose name is a relative URI
        return False


def _refuse_markup(data: bytes) -> None:
    if b"<!" in data:
        if b"<!--" in data:
            raise XmlFormError("comment", "The document contains a comment.")
        if b"<!DOCTYPE" in data:
            raise XmlFormError("document-type", "The document contains a document type declaration.")
        raise XmlFormError("markup-declaration", "The document contains a CDATA section or a markup declaration.")
    if b"<?" in data:
        raise XmlFormError("processing-instruction", "The document contains a processing instruction or declaration.")
    if _REFERENCE.search(data):
        raise XmlFormError("entity", "The document contains an entity reference.")


def _parse(data: bytes) -> Element:
    parser = etree.XMLParser(
        encoding="utf-8", resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, collect_ids=False
    )
    try:
        # The source is untrusted on purpose; everything that makes XML parsers dangerous was refused above.
        return etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise XmlFormError("not-well-formed", f"The document is not well-formed XML: {error}") from None


def check_well_formed(data: bytes, *, limit: int) -> None:
    """Refuse what is not well-formed XML or carries a document type, for files of others that are only carried.

    Such a file may have a declaration, comments and white space. Raises XmlFormError.
    """
    if len(data) > limit:
        raise XmlFormError("document-too-large", f"The document has {len(data)} bytes; at most {limit} are allowed.")
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        raise XmlFormError("document-type", "The document contains a document type declaration.")
    _parse(data)


def canonical(element: Element | Written) -> bytes:
    """The exclusive canonical form of an element and its children, without comments: what signatures are made over."""
    if isinstance(element, Written):
        return element.within("").encode()
    return etree.tostring(element, method="c14n", exclusive=True, with_comments=False)


def _local_name(element: Element) -> str:
    return element.tag.rpartition("}")[2]


def _qualified_name(element: Element) -> tuple[str, str]:
    namespace, _, name = element.tag.rpartition("}")
    return namespace[1:], name


class Fields:
    """Reads an element's children strictly in order; `end()` refuses what was not taken.

    `attributes` are the names that must be there, `optional` those that may.
    """

    def __init__(self, element: Element, attributes: tuple[str, ...] = (), optional: tuple[str, ...] = ()) -> None:
        self.namespace, self.name = _qualified_name(element)
        self._attributes = {str(key): str(value) for key, value in element.items()}
        for key in self._attributes:
            if key not in attributes and key not in optional:
                raise XmlFormError("unknown-attribute", f"{self.name} has an attribute {key} that is not known.")
        for key in attributes:
            if key not in self._attributes:
                raise XmlFormError("missing-attribute", f"{self.name} lacks its attribute {key}.")
        self._children = list(element)
        if element.text or any(child.tail for child in self._children):
            raise XmlFormError("stray-text", f"{self.name} contains text where only elements are allowed.")

    def attribute(self, name: str) -> str | None:
        """The attribute's value, None if it is absent."""
        return self._attributes.get(name)

    def take(self, name: str, namespace: str | None = None) -> Element:
        """The next child, which must be `name`."""
        child = self.take_optional(name, namespace)
        if child is None:
            found = _local_name(self._children[0]) if self._children else "the end"
            raise XmlFormError("unexpected-element", f"{self.name} should go on with {name}, but {found} follows.")
        return child

    def take_optional(self, name: str, namespace: str | None = None) -> Element | None:
        """The next child if it is `name`, else None."""
        wanted = qualified(self.namespace if namespace is None else namespace, name)
        if self._children and self._children[0].tag == wanted:
            return self._children.pop(0)
        return None

    def take_all(self, name: str, most: int) -> list[Element]:
        """All following children named `name`, at most `most`."""
        found: list[Element] = []
        while (child := self.take_optional(name)) is not None:
            if len(found) == most:
                raise XmlFormError("too-many-elements", f"{self.name} has more than {most} {name} elements.")
            found.append(child)
        return found

    def rest(self) -> list[Element]:
        """All children not yet taken, whatever they are."""
        found, self._children = self._children, []
        return found

    def end(self) -> None:
        """Refuse any child not yet taken."""
        if self._children:
            child = _local_name(self._children[0])
            raise XmlFormError("unexpected-element", f"{self.name} contains {child} where nothing is allowed.")


def text_of(element: Element, attributes: tuple[str, ...] = ()) -> str:
    """The text of an element that has no children and only the named attributes."""
    if len(element):
        name = _local_name(element)
        raise XmlFormError("unexpected-element", f"{name} contains an element where only text is allowed.")
    if set(element.keys()) != set(attributes):
        name = _local_name(element)
        raise XmlFormError("unknown-attribute", f"{name} does not have exactly the attributes it should have.")
    return element.text or ""


def bytes_of(element: Element, *, most: int, least: int = 1, attributes: tuple[str, ...] = ()) -> bytes:
    """The base64 content of an element: canonical base64, `least` to `most` bytes."""
    name = _local_name(element)
    text = text_of(element, attributes)
    if len(text) > (most + 2) // 3 * 4:
        raise XmlFormError("value-too-long", f"{name} holds more than {most} bytes.")
    try:
        value = base64.b64decode(text.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        raise XmlFormError("not-base64", f"{name} is not base64.") from None
    if base64.b64encode(value).decode() != text:
        raise XmlFormError("not-base64", f"{name} is not in the one canonical base64 form.")
    if not least <= len(value) <= most:
        raise XmlFormError("value-length", f"{name} holds {len(value)} bytes; {least} to {most} are allowed.")
    return value


def unsigned(text: str, name: str) -> int:
    """An xs:unsignedInt in its shortest decimal form."""
    if not _UNSIGNED.fullmatch(text) or (value := int(text)) > UNSIGNED_INT_MAX:
        raise XmlFormError("not-a-number", f"{name} is not an unsigned 32-bit number in decimal.")
    return value
