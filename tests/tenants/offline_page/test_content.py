"""What shielding data holds: answer files, password hashes, files, qualifiers; as the command line takes them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fabric.shielding import answerfile
from fabric.shielding.content import ROLES, ShieldingSecrets
from fabric.shielding.content import serialise_content as python_content
from fabric.shielding.errors import QualifierError, ShieldingError
from fabric.shielding.sha512_crypt import sha512_crypt
from fabric.shielding.viq import VersionRule, VolumeIdQualifier
from hgs.keyprotection.secret import Secret
from tests.tenants.offline_page.core import Core

pytestmark = pytest.mark.browser
DERIVE = "(password, salt, rounds) => sha512Crypt(password, salt, rounds)"


@pytest.mark.parametrize(
    ("salt", "rounds", "expected"),
    [
        # From the specification, "Unix crypt using SHA-256 and SHA-512".
        (
            "saltstring",
            5000,
            "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1",
        ),
        (
            "saltstringsaltst",
            10000,
            "$6$rounds=10000$saltstringsaltst$OW1/O6BYHV6BcXZu8QVeXbDWra3Oeqh0sbHbbMCVNSnCM/UrjmM0Dp8vOuZeHBy/YTBmSK6H9qs/y3RnOaw5v.",
        ),
    ],
)
def test_the_vectors_of_the_specification(core: Core, salt: str, rounds: int, expected: str) -> None:
    assert core.run(DERIVE, "Hello world!", salt, rounds) == expected


@settings(max_examples=15)
@given(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=150),
    st.from_regex(r"[./0-9A-Za-z]{1,16}", fullmatch=True),
)
def test_the_command_line_hashes_passwords_alike(core: Core, password: str, salt: str) -> None:
    assert core.run(DERIVE, password, salt, 1000) == sha512_crypt(Secret(password.encode()), salt, 1000)


def test_the_content_is_the_same_plaintext(core: Core) -> None:
    hashed = sha512_crypt(Secret(b"x"), "salt", 1000)
    answer = answerfile.default_linux_answer_file(hashed).encode()
    files = {"b.conf": b"", "a-1": b"\0\xff" * 500, "B2": b"x", "a.1": b"y", "authorized_keys": b"z"}
    expected = python_content(ShieldingSecrets(Secret(answer), {name: Secret(data) for name, data in files.items()}))
    made = """(passwordHash, ...pairs) => {
      const files = new Map();
      for (let at = 0; at < pairs.length; at += 2) files.set(pairs[at], pairs[at + 1]);
      return serialiseContent(new TextEncoder().encode(linuxAnswerFile({ passwordHash })), files);
    }"""
    pairs = [each for pair in files.items() for each in pair]
    assert core.run(made, hashed, *pairs) == expected.reveal()


def test_files_that_shielding_data_cannot_hold_are_refused(core: Core) -> None:
    check = "(...names) => checkFiles(new Map(names.map((name) => [name, new Uint8Array(1)])))"
    roles = "(...pairs) => checkFiles(new Map(pairs.map(([name, bytes]) => [name, new Uint8Array(bytes)])))"
    size = "(bytes) => checkFiles(new Map([['a', new Uint8Array(bytes - 1)], ['b', new Uint8Array(1)]]))"
    assert core.accepts(check, *(f"f{number}" for number in range(64)))
    assert not core.accepts(check, *(f"f{number}" for number in range(65)))
    assert not core.accepts(check, "App.conf", "app.conf")
    for name in ("", ".hidden", "a/b", "a b", "ä", "x" * 65, "a\n"):
        assert not core.accepts(check, name)
    assert core.accepts(roles, ["configuration-script", 64 * 1024])
    assert not core.accepts(roles, ["configuration-script", 64 * 1024 + 1])
    assert core.accepts(roles, ["rdp_certificate.pfx", 1], ["rdp_certificate.password", 1])
    assert not core.accepts(roles, ["rdp_certificate.pfx", 1])
    assert not core.accepts(roles, ["rdp_certificate.password", 1])
    assert core.accepts(size, 384 * 1024)
    assert not core.accepts(size, 384 * 1024 + 1)


HASH = "$6$salt$" + "x" * 86
INTERFACES = [
    *("10.0.0.5/24", "10.0.0.5", "10.0.0.05/24", "10.0.0.5/33", "10.0.0.256/8", "10.0.0.5/08", "0.0.0.0/0"),
    *("1.2.3.4.5/8", "1.2.3/8", "a/8", "::1/64", "10.0.0.5/24/1"),
]
ADDRESSES = [
    *("10.0.0.1", "fe80::1", "fe80::1%eth0", "FE80::1", "fe80:0::1", "::", "1::2::3", "2001:db8::1:0:0:1"),
    *("2001:db8:0:0:1::1", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7", "10.0.0.1/8", "::ffff:a00:1", "a.example"),
    *("0x7f000001", "2130706433"),
]
ANSWERS = [
    "",
    "\n",
    f'GF_ROOT_PASSWORD_HASH="{HASH}"\n',
    f'GF_ROOT_PASSWORD_HASH="{HASH}"',
    f'GF_ROOT_PASSWORD_HASH="{HASH}"\n\n',
    f'GF_ROOT_PASSWORD_HASH="{HASH}"\r\n',
    'GF_ROOT_PASSWORD_HASH="secret"\n',
    'GF_COMPUTER_NAME="web-01"\nGF_TIME_ZONE="Europe/Berlin"\n',
    'GF_COMPUTER_NAME="web"\nGF_COMPUTER_NAME="web"\n',
    'GF_COMPUTER_NAME="-web"\n',
    'GF_COMPUTER_NAME=""\n',
    'GF_COMPUTER_NAME="@Nonsense@"\n',
    'GF_COMPUTER_NAME="@TimeZone@"\n',
    'GF_TIME_ZONE="a`b"\n',
    'GF_TIME_ZONE="../etc"\n',
    'GF_UNKNOWN="x"\n',
    'gf_dns="x"\n',
    *(f'GF_IP4_ADDRESS="{value}"\n' for value in INTERFACES),
    *(f'GF_DNS="{value}"\n' for value in ADDRESSES),
    *(f'GF_IP4_GATEWAY="{value}"\n' for value in ("10.0.0.1", "@NextHop-1-1@", "@NextHop-1-2@", "@IP4Addr-1@")),
    "<unattend/>",
    '\ufeff<?xml version="1.0" encoding="utf-8"?>\n<unattend a="@ComputerName@"><!-- x --></unattend>\n',
    "<unattend>",
    "<unattend>@Nonsense@</unattend>",
    '<!DOCTYPE a><a/>',
    "<a/>" + " " * 64 * 1024,
    "words",
]  # fmt: skip


@pytest.mark.parametrize("text", ANSWERS)
def test_answer_files_are_taken_and_refused_alike(core: Core, text: str) -> None:
    try:
        answerfile.check_answer_file(text)
    except ShieldingError:
        expected = False
    else:
        expected = True
    assert core.accepts("(text) => checkAnswerFile(text)", text) is expected


def test_the_page_knows_no_key_and_no_placeholder_that_a_host_does_not(core: Core) -> None:
    assert core.run("() => Object.keys(LINUX_KEYS)") == list(answerfile.LINUX_KEYS)
    assert core.run("() => PLACEHOLDERS") == list(answerfile.PLACEHOLDERS)
    assert core.run("() => ROLES") == list(ROLES)


@pytest.mark.parametrize(
    ("name", "version", "rule"),
    [
        ("Debian 12", "1.0.0.0", "Equals"),
        ("Größe (3)", "0.0.0.65535", "GreaterThan"),
        ("🔑" * 64, "1.2.3.4", "GreaterThanOrEquals"),
        ("🔑" * 65, "1.2.3.4", "Equals"),
        ("", "1.0.0.0", "Equals"),
        ("a\nb", "1.0.0.0", "Equals"),
        ("a\u00a0b", "1.0.0.0", "Equals"),
        ("a\u200bb", "1.0.0.0", "Equals"),
        ("a", "1.0.0", "Equals"),
        ("a", "1.0.0.65536", "Equals"),
        ("a", "01.0.0.0", "Equals"),
        ("a", "1.0.0.0\n", "Equals"),
    ],
)
def test_qualifiers_are_taken_and_refused_alike(core: Core, name: str, version: str, rule: str) -> None:
    try:
        VolumeIdQualifier(name, b"s" * 32, version, VersionRule(rule))
    except QualifierError:
        expected = False
    else:
        expected = True
    made = "(name, signer, version, rule) => { qualifier(name, signer, version, rule); }"
    assert core.accepts(made, name, b"s" * 32, version, rule) is expected
