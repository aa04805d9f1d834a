"""One element of a policy's XML, read strictly."""

import re
from collections.abc import Iterable
from typing import Final

from lxml import etree

from hgs.attestation.ci_policy.header import Version
from hgs.attestation.ci_policy.xml_form import NAMESPACE
from hgs.attestation.errors import Malformed, Unsupported

_SCHEMA: Final = "{http://www.w3.org/2001/XMLSchema-instance}"
_VERSION: Final = re.compile(r"\d{1,5}(\.\d{1,5}){0,3}", re.ASCII)
_NUMBER: Final = re.compile(r"\d{1,10}", re.ASCII)


class XmlElement:
    """An element that is read strictly: what is wrong raises ``Malformed``, what is unknown ``Unsupported``."""

    def __init__(self, element: etree._Element) -> None:
        self._element = element
        self.name = etree.QName(element).localname
        if etree.QName(element).namespace != NAMESPACE:
            raise Malformed(f"The policy's XML has an element of another namespace: {self.name}.")

    def only(self, attributes: Iterable[str] = (), children: Iterable[str] = ()) -> "XmlElement":
        """Refuse every other attribute and child."""
        unknown = {str(key) for key in self._element.attrib if not str(key).startswith(_SCHEMA)} - set(attributes)
        if unknown:
            raise Unsupported(f"The policy's {self.name} has an attribute that is not supported: {min(unknown)}.")
        unknown = {child.name for child in self.children()} - set(children)
        if unknown:
            raise Unsupported(f"The policy's {self.name} has an element that is not supported: {min(unknown)}.")
        return self

    def children(self) -> list["XmlElement"]:
        """All children, in order."""
        return [XmlElement(child) for child in self._element]

    def child(self, name: str) -> "XmlElement | None":
        """The one child of that name, None if there is none."""
        found = [child for child in self.children() if child.name == name]
        if len(found) > 1:
            raise Malformed(f"The policy's {self.name} has more than one {name}.")
        return found[0] if found else None

    def listed(self, name: str, *items: str) -> list["XmlElement"]:
        """The children of the child ``name``, which are all called one of ``items``; none if there is no such child."""
        child = self.child(name)
        return child.only(("Workaround",), items).children() if child else []

    def need(self, name: str) -> "XmlElement":
        """The one child of that name, which must be there."""
        found = self.child(name)
        if found is None:
            raise Malformed(f"The policy's {self.name} lacks {name}.")
        return found

    @property
    def text(self) -> str:
        """The text of an element that holds nothing else."""
        self.only()
        return self._element.text or ""

    def get(self, name: str, default: str = "") -> str:
        """An attribute, or the default."""
        return str(self._element.get(name, default))

    def must(self, name: str) -> str:
        """An attribute that must be there."""
        value = self.get(name)
        if not value:
            raise Malformed(f"A {self.name} of the policy lacks {name}.")
        return value

    def hex(self, name: str) -> bytes:
        """An attribute as bytes, none if it is absent."""
        try:
            return bytes.fromhex(self.get(name))
        except ValueError as error:
            raise Malformed(f"A {self.name} of the policy has a {name} that is not hexadecimal.") from error

    def number(self, name: str, most: int, default: int = 0) -> int:
        """An attribute as a number."""
        return read_number(self.get(name, str(default)), most, f"{self.name}'s {name}")

    def version(self, name: str) -> Version | None:
        """An attribute as a version, None if it is absent."""
        value = self.get(name)
        return read_version(value, f"{self.name}'s {name}") if value else None


def read_number(text: str, most: int, what: str) -> int:
    """A number up to ``most``. Raises ``Malformed``; ``what`` says where it stands."""
    if not _NUMBER.fullmatch(text.strip()) or int(text) > most:
        raise Malformed(f"The policy's {what} is no number up to {most}.")
    return int(text)


def read_version(text: str, what: str) -> Version:
    """A version; what it leaves out is zero. Raises ``Malformed``; ``what`` says where it stands."""
    parts = [int(part) for part in text.strip().split(".")] if _VERSION.fullmatch(text.strip()) else [1 << 16]
    if max(parts) > 0xFFFF:
        raise Malformed(f"The policy's {what} is no version such as 10.0.0.0.")
    major, minor, build, revision = (*parts, 0, 0, 0)[:4]
    return major, minor, build, revision
