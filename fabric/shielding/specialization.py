"""Specialization keys (FSK): the values the fabric supplies for an answer file's substitution strings.

    <SpecializationKeys Version="1">     namespace urn:open-guarded-fabric:specialization-keys:1
      <Key Name="@ComputerName@">web01</Key>…
    </SpecializationKeys>

Not signed and not secret: the fabric writes them, the secure worker checks every value before it uses it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from fabric.shielding.answerfile import PLACEHOLDERS, check_value
from fabric.shielding.errors import AnswerFileError, SpecializationKeysError, refusing
from hgs.wire import xmlform
from hgs.wire.xmlform import Fields

NAMESPACE: Final = "urn:open-guarded-fabric:specialization-keys:1"
DOCUMENT_MAX: Final = 32 * 1024


def serialise_specialization_keys(values: Mapping[str, str]) -> bytes:
    """The one document for these values, sorted by name. Raises SpecializationKeysError."""
    _check(values)
    keys = (xmlform.build_text(NAMESPACE, "Key", values[name], {"Name": name}) for name in sorted(values))
    return xmlform.canonical(xmlform.build(NAMESPACE, "SpecializationKeys", *keys, attributes={"Version": "1"}))


def parse_specialization_keys(data: bytes) -> dict[str, str]:
    """Name → value, every value checked. Raises SpecializationKeysError."""
    with refusing(SpecializationKeysError):
        root = xmlform.parse_document(data, namespace=NAMESPACE, name="SpecializationKeys", limit=DOCUMENT_MAX)
        fields = Fields(root, attributes=("Version",))
        if fields.attribute("Version") != "1":
            raise SpecializationKeysError("version", "These specialization keys are of an unknown version.")
        found = fields.take_all("Key", len(PLACEHOLDERS))
        fields.end()
        pairs = [(str(key.attrib.get("Name", "")), xmlform.text_of(key, ("Name",))) for key in found]
    values = dict(pairs)
    if [name for name, _ in pairs] != sorted(values):
        raise SpecializationKeysError("order", "The specialization keys are not sorted by name, each named once.")
    _check(values)
    return values


def _check(values: Mapping[str, str]) -> None:
    for name, value in values.items():
        try:
            check_value(name, value)
        except AnswerFileError as error:
            raise SpecializationKeysError(error.code, error.message, error.advice) from None
