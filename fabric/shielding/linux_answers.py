"""Linux answer files made from choices (docs/formats/answer-file.md)."""

from __future__ import annotations

from dataclasses import dataclass

from fabric.shielding.answerfile import serialise_linux_answer_file


@dataclass(frozen=True, slots=True, kw_only=True)
class LinuxAnswers:
    """What a Linux guest is told. A setting may be its substitution string; an empty one is left out.

    `static_addresses` holds the IP versions (4, 6) whose addresses come from the fabric's pool; without any the guest
    asks DHCP.
    """

    password_hash: str
    computer_name: str = "@ComputerName@"
    time_zone: str = "@TimeZone@"
    static_addresses: frozenset[int] = frozenset({4})
    locale: str = ""


def linux_answer_file(answers: LinuxAnswers) -> str:
    """The answer file. Raises AnswerFileError for a value that is not of its key."""
    values = {
        "GF_COMPUTER_NAME": answers.computer_name,
        "GF_TIME_ZONE": answers.time_zone,
        "GF_ROOT_PASSWORD_HASH": answers.password_hash,
    }
    if 4 in answers.static_addresses:
        values |= {"GF_IP4_ADDRESS": "@IP4Addr-1@", "GF_IP4_GATEWAY": "@NextHop-1-1@"}
    if 6 in answers.static_addresses:
        values |= {"GF_IP6_ADDRESS": "@IP6Addr-1@", "GF_IP6_GATEWAY": "@NextHop-1-2@"}
    if answers.static_addresses:
        values["GF_DNS"] = "@DnsAddr-1-1@"
    values["GF_LOCALE"] = answers.locale
    return serialise_linux_answer_file({key: value for key, value in values.items() if value})
