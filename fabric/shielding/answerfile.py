"""Answer files: what a new VM is told on its first boot, and the placeholders the fabric fills in.

The owner writes the answer file; the values for its placeholders come from the fabric, which the owner does not
trust. So each placeholder has a validator strict enough that a value can neither end the line or the quotes it stands
in nor be markup, and a placeholder without a value is an error by name.

The Linux answer file is a list of KEY="value" lines as in os-release(5), read line by line and never run by a shell:
a value has no quotes, backslashes or control characters, so there is nothing to escape and one way to write it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Container, Iterable, Mapping
from typing import Final

from fabric.shielding.errors import AnswerFileError
from hgs.wire import xmlform
from hgs.wire.xmlform import XmlFormError

ANSWER_FILE_MAX: Final = 64 * 1024
VALUE_MAX: Final = 256

_PLACEHOLDER: Final = re.compile(r"@[A-Za-z][A-Za-z0-9]*(?:-[0-9]+)*@")
_COMPUTER_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_TIME_ZONE: Final = re.compile(r"[A-Za-z0-9(][A-Za-z0-9 ._+()-]*(?:/[A-Za-z0-9(][A-Za-z0-9 ._+()-]*)*")
_PRODUCT_KEY: Final = re.compile(r"[A-Z0-9]{5}(?:-[A-Z0-9]{5}){4}")
_LOCALE: Final = re.compile(r"(?:C|[a-z]{2,3}(?:_[A-Z]{2})?)\.UTF-8(?:@[a-z]{1,16})?")
_MAC: Final = re.compile(r"[0-9A-F]{2}(?:-[0-9A-F]{2}){5}|[0-9a-f]{2}(?::[0-9a-f]{2}){5}")


def _interface(version: int) -> Callable[[str], bool]:
    def check(value: str) -> bool:
        try:
            interface = ipaddress.ip_interface(value)
        except ValueError:
            return False
        return interface.version == version and str(interface) == value and _has_no_scope(value)

    return check


def _is_network(value: str) -> bool:
    try:
        network = ipaddress.ip_network(value)
    except ValueError:
        return False
    return str(network) == value and _has_no_scope(value)


def _is_address(value: str) -> bool:
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        return False
    return str(address) == value and _has_no_scope(value)


def _has_no_scope(value: str) -> bool:
    # ipaddress takes anything after a % as an IPv6 scope, quotes and newlines included.
    return "%" not in value


def _matches(pattern: re.Pattern[str]) -> Callable[[str], bool]:
    return lambda value: pattern.fullmatch(value) is not None


PLACEHOLDERS: Final[Mapping[str, tuple[Callable[[str], bool], str]]] = {
    "@ComputerName@": (_matches(_COMPUTER_NAME), "a host name of 1 to 63 letters, digits and hyphens"),
    "@TimeZone@": (_matches(_TIME_ZONE), "a time zone's name, such as Europe/Berlin"),
    "@ProductKey@": (_matches(_PRODUCT_KEY), "a product key of five groups of five"),
    "@IP4Addr-1@": (_interface(4), "an IPv4 address with prefix length, such as 10.20.0.5/24"),
    "@IP6Addr-1@": (_interface(6), "an IPv6 address with prefix length"),
    "@MACAddr-1@": (_matches(_MAC), "a MAC address"),
    "@Prefix-1-1@": (_is_network, "a network prefix, such as 10.20.0.0/24"),
    "@NextHop-1-1@": (_is_address, "an IP address"),
    "@Prefix-1-2@": (_is_network, "a network prefix, such as 10.20.0.0/24"),
    "@NextHop-1-2@": (_is_address, "an IP address"),
    "@DnsAddr-1-1@": (_is_address, "an IP address"),
}
"""Each substitution string with its validator and what it stands for. The first digit is the network adapter."""


def check_value(placeholder: str, value: str) -> None:
    """Raise AnswerFileError unless `placeholder` is known and `value` may stand in its place."""
    if placeholder not in PLACEHOLDERS:
        raise AnswerFileError("unknown-placeholder", f"{placeholder[:64]} is not a substitution string.")
    validator, meaning = PLACEHOLDERS[placeholder]
    if not 0 < len(value) <= VALUE_MAX or not validator(value):
        raise AnswerFileError(
            "bad-value", f"The value for {placeholder} is not {meaning}.", "Correct the value and start again."
        )


def placeholders(text: str) -> tuple[str, ...]:
    """The substitution strings in a text, each once, in order. Raises AnswerFileError for unknown ones."""
    found = tuple(dict.fromkeys(_PLACEHOLDER.findall(text)))
    for placeholder in found:
        if placeholder not in PLACEHOLDERS:
            raise AnswerFileError(
                "unknown-placeholder",
                f"The answer file uses {placeholder[:64]}, which is not a substitution string.",
                f"Use only {', '.join(PLACEHOLDERS)}.",
            )
    return found


def substitute(text: str, values: Mapping[str, str]) -> str:
    """Replace every substitution string by its value. Raises AnswerFileError naming a missing or bad value."""
    for name, value in values.items():
        check_value(name, value)
    for name in placeholders(text):
        if name not in values:
            raise AnswerFileError(
                "missing-value",
                f"The answer file asks for {name}, and there is no value for it.",
                "Give the value when creating the VM, or leave it out of the answer file.",
            )
    return _PLACEHOLDER.sub(lambda match: values[match.group()], text)


def looks_like_placeholder(text: str) -> bool:
    """Whether a text that is meant as it is would be taken for a substitution string."""
    return _PLACEHOLDER.search(text) is not None


def missing_values(needed: Iterable[str], values: Container[str]) -> tuple[str, ...]:
    """The substitution strings for which there is no value, in the order given."""
    return tuple(name for name in needed if name not in values)


def check_answer_file(text: str) -> None:
    """Raise AnswerFileError unless this is an answer file: the Linux form, or well-formed XML (unattend.xml)."""
    if len(text.encode()) > ANSWER_FILE_MAX:
        raise AnswerFileError("answer-file-size", f"The answer file has more than {ANSWER_FILE_MAX // 1024} KiB.")
    placeholders(text)
    if text.lstrip("\ufeff \r\n\t").startswith("<"):
        _check_unattend(text)
    else:
        parse_linux_answer_file(text)


def _check_unattend(text: str) -> None:
    try:
        xmlform.check_well_formed(text.encode(), limit=ANSWER_FILE_MAX)
    except XmlFormError as error:
        raise AnswerFileError(error.code, f"The answer file: {error.message}") from None


def is_linux_answer_file(text: str) -> bool:
    """Whether a checked answer file is of the Linux form."""
    return not text.lstrip("\ufeff \r\n\t").startswith("<")


# The Linux answer file.

_LINE: Final = re.compile(r'([A-Z][A-Z0-9_]*)="([^"\\`\x00-\x1f\x7f]*)"')
_PASSWORD_HASH: Final = re.compile(r"\$6\$(?:rounds=[1-9][0-9]{3,8}\$)?[./0-9A-Za-z]{1,16}\$[./0-9A-Za-z]{86}")


def _is(placeholder: str) -> Callable[[str], bool]:
    return lambda value: value == placeholder or PLACEHOLDERS[placeholder][0](value)


LINUX_KEYS: Final[Mapping[str, Callable[[str], bool]]] = {
    "GF_COMPUTER_NAME": _is("@ComputerName@"),
    "GF_TIME_ZONE": _is("@TimeZone@"),
    "GF_ROOT_PASSWORD_HASH": _matches(_PASSWORD_HASH),
    "GF_IP4_ADDRESS": _is("@IP4Addr-1@"),
    "GF_IP4_GATEWAY": _is("@NextHop-1-1@"),
    "GF_DNS": _is("@DnsAddr-1-1@"),
    "GF_IP6_ADDRESS": _is("@IP6Addr-1@"),
    "GF_IP6_GATEWAY": _is("@NextHop-1-2@"),
    "GF_LOCALE": _matches(_LOCALE),
}
"""The keys a Linux answer file may have, each with its validator; a value may be the placeholder for itself."""


def parse_linux_answer_file(text: str) -> dict[str, str]:
    """Key → value, placeholders still in place if they were not substituted. Raises AnswerFileError with the line."""
    if not text.endswith("\n"):
        raise AnswerFileError("answer-file-line", "The answer file does not end with a line break.")
    found: dict[str, str] = {}
    for number, line in enumerate(text[:-1].split("\n"), start=1):
        match = _LINE.fullmatch(line)
        if match is None:
            raise AnswerFileError("answer-file-line", f'Line {number} of the answer file is not KEY="value".')
        key, value = match.groups()
        if key not in LINUX_KEYS:
            raise AnswerFileError(
                "answer-file-key",
                f"Line {number} of the answer file has the key {key[:40]}, which is not known.",
                f"Use only {', '.join(LINUX_KEYS)}.",
            )
        if key in found:
            raise AnswerFileError("answer-file-key", f"Line {number} of the answer file gives {key} a second time.")
        if not LINUX_KEYS[key](value):
            raise AnswerFileError(
                "answer-file-value", f"Line {number} of the answer file: the value of {key} is wrong."
            )
        found[key] = value
    return found


def serialise_linux_answer_file(values: Mapping[str, str]) -> str:
    """The one text for these keys and values, in the order given. Raises AnswerFileError."""
    text = "".join(f'{key}="{value}"\n' for key, value in values.items())
    parse_linux_answer_file(text)
    return text


def default_linux_answer_file(password_hash: str) -> str:
    """An answer file that lets the fabric choose name, time zone and network, and the owner the password."""
    return serialise_linux_answer_file(
        {
            "GF_COMPUTER_NAME": "@ComputerName@",
            "GF_TIME_ZONE": "@TimeZone@",
            "GF_ROOT_PASSWORD_HASH": password_hash,
            "GF_IP4_ADDRESS": "@IP4Addr-1@",
            "GF_IP4_GATEWAY": "@NextHop-1-1@",
            "GF_DNS": "@DnsAddr-1-1@",
        }
    )
