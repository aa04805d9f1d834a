"""Writes XML in its exclusive canonical form at once.

What this project writes is a small part of XML: elements in a default namespace without prefixes, attributes without a
namespace, text. Its canonical form (http://www.w3.org/2001/10/xml-exc-c14n#) follows while it is written, so that no
tree is built first; a key release writes the same protector four times. Tests compare it with lxml's canonicalisation.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Final

from hgs.wire.errors import XmlFormError

_NOT_XML: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")
_TEXT: Final = re.compile("[&<>\r]")
_TEXT_REFERENCES: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#xD;"}
_VALUE: Final = re.compile('[&<"\t\n\r]')
_VALUE_REFERENCES: Final = {"&": "&amp;", "<": "&lt;", '"': "&quot;", "\t": "&#x9;", "\n": "&#xA;", "\r": "&#xD;"}


class Written:
    """An element as it will stand in its document; only its namespace declaration depends on where that is."""

    __slots__ = ("_attributes", "_body", "name", "namespace")

    def __init__(self, namespace: str, name: str, attributes: str, body: str) -> None:
        self.namespace = namespace
        self.name = name
        self._attributes = attributes
        self._body = body

    def append(self, child: Written) -> None:
        """Put a child behind the others."""
        self._body += child.within(self.namespace)

    def within(self, namespace: str) -> str:
        """The element below one of `namespace`; empty where it is below none."""
        declared = "" if namespace == self.namespace else f' xmlns="{self.namespace}"'
        return f"<{self.name}{declared}{self._attributes}>{self._body}</{self.name}>"


def build(namespace: str, name: str, *children: Written, attributes: Mapping[str, str] | None = None) -> Written:
    """An element in the default namespace `namespace` with these children. Raises XmlFormError as `build_text` does."""
    body = "".join([child.within(namespace) for child in children])
    return Written(namespace, name, _attributes(name, attributes) if attributes else "", body)


def build_text(namespace: str, name: str, text: str, attributes: Mapping[str, str] | None = None) -> Written:
    """An element that holds text. Raises XmlFormError for characters that XML cannot carry."""
    _check(name, text)
    body = _TEXT.sub(lambda found: _TEXT_REFERENCES[found[0]], text)
    return Written(namespace, name, _attributes(name, attributes) if attributes else "", body)


def build_bytes(namespace: str, name: str, value: bytes, attributes: Mapping[str, str] | None = None) -> Written:
    """An element that holds bytes as base64."""
    body = base64.b64encode(value).decode()
    return Written(namespace, name, _attributes(name, attributes) if attributes else "", body)


def build_canonical(namespace: str, name: str, children: bytes) -> Written:
    """An element around children that are canonical already, each on its own and none of them in `namespace`."""
    return Written(namespace, name, "", children.decode())


def _attributes(name: str, attributes: Mapping[str, str]) -> str:
    for value in attributes.values():
        _check(name, value)
    return "".join(f' {key}="{_escaped(value)}"' for key, value in sorted(attributes.items()))


def _escaped(value: str) -> str:
    return _VALUE.sub(lambda found: _VALUE_REFERENCES[found[0]], value)


def _check(name: str, text: str) -> None:
    if _NOT_XML.search(text):
        raise XmlFormError("not-xml-text", f"{name} contains characters that XML cannot carry.")
