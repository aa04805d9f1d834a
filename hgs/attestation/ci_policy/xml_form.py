"""Names and small values that both directions of the XML form share (``urn:schemas-microsoft-com:sipolicy``)."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from lxml import etree

from hgs.attestation.ci_policy.header import MAX_VERSION, NO_VERSION, PolicyOption, Version
from hgs.attestation.ci_policy.model import FileRuleKind, SecureSetting
from hgs.attestation.ci_policy.wording import OPTION_NAMES
from hgs.attestation.errors import Malformed, TooLarge, Unsupported

NAMESPACE: Final = "urn:schemas-microsoft-com:sipolicy"
MAX_XML: Final = 16 * 1024 * 1024
BASE, SUPPLEMENTAL, TAGGING = "Base Policy", "Supplemental Policy", "AppID Tagging Policy"
RULE_NAMES: Final = {
    "FileName": "file_name",
    "InternalName": "internal_name",
    "FileDescription": "description",
    "ProductName": "product",
    "PackageFamilyName": "package_family",
    "FilePath": "path",
}
RULE_ELEMENTS: Final = {
    "Allow": FileRuleKind.ALLOW,
    "Deny": FileRuleKind.DENY,
    "FileAttrib": FileRuleKind.ATTRIBUTE,
}
OPTIONS: Final[dict[str, PolicyOption]] = {name: option for option, name in OPTION_NAMES.items()}
SETTING_OPTIONS: Final = {
    "Disabled:Default Windows Certificate Remapping": SecureSetting(
        "Microsoft", "PolicySettings", "DisabledDefaultWindowsCertificateRemappingValueName", True
    )
}
"""Options of the XML form that the binary has as secure settings."""
_DECLARATION: Final = re.compile(r"\A\s*<\?xml[^>]*\?>")
_FORBIDDEN: Final = re.compile(r"<!(?!--)|<\?")
_TIME: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,7})\d*)?(Z|[+-]\d\d:\d\d)?")
_EPOCH: Final = datetime(1601, 1, 1, tzinfo=UTC)
_TICKS: Final = 10_000_000


def default_minimum(kind: FileRuleKind, *, has_maximum: bool) -> Version:
    """The least version of a rule that names none: a deny rule then stops every version."""
    return MAX_VERSION if kind is FileRuleKind.DENY and not has_maximum else NO_VERSION


def parse_xml(data: bytes) -> etree._Element:
    """The root element of a policy's XML. Comments may stand anywhere; document types, entities and others may not.

    Raises ``TooLarge``, ``Malformed``.
    """
    if len(data) > MAX_XML:
        raise TooLarge(f"The policy's XML has {len(data)} bytes; the limit is {MAX_XML}.")
    text = _DECLARATION.sub("", _decoded(data), count=1)
    if _FORBIDDEN.search(text):
        raise Malformed("The policy's XML has a document type, an instruction or a CDATA section.")
    parser = etree.XMLParser(
        encoding="utf-8",
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=True,
        collect_ids=False,
    )
    try:
        # Whatever makes XML parsers dangerous was refused above.
        root = etree.fromstring(text.encode(), parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise Malformed(f"The policy is not well-formed XML: {error}.") from error
    if root.tag != f"{{{NAMESPACE}}}SiPolicy":
        raise Malformed(f"The XML is not a code-integrity policy: its root is not SiPolicy in {NAMESPACE}.")
    return root


def _decoded(data: bytes) -> str:
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise Malformed("The policy's XML is neither UTF-8 nor UTF-16.") from error


def filetime_of(text: str) -> int:
    """A dateTime as FILETIME; without a zone it is UTC. Raises ``Malformed``."""
    match = _TIME.fullmatch(text.strip())
    if match is None:
        raise Malformed(f"SignTimeAfter is no time: {text[:40]}.")
    try:
        moment = datetime.fromisoformat(match[1] + (match[3] or "Z"))
    except ValueError as error:
        raise Malformed(f"SignTimeAfter is no time: {text[:40]}.") from error
    if moment < _EPOCH:
        raise Malformed(f"SignTimeAfter lies before 1601: {text[:40]}.")
    return int((moment - _EPOCH) // timedelta(seconds=1)) * _TICKS + int((match[2] or "").ljust(7, "0"))


def time_of(filetime: int) -> str:
    """A FILETIME as dateTime in UTC. Raises ``Unsupported`` beyond the year 9999."""
    seconds, ticks = divmod(filetime, _TICKS)
    try:
        moment = _EPOCH + timedelta(seconds=seconds)
    except OverflowError as error:
        raise Unsupported("A signer's SignTimeAfter lies beyond the year 9999.") from error
    return f"{moment:%Y-%m-%dT%H:%M:%S}{f'.{ticks:07d}' if ticks else ''}Z"
