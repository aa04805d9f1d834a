"""Windows answer files, read back as Windows Setup would."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from fabric.shielding.answerfile import PLACEHOLDERS, looks_like_placeholder, placeholders, substitute
from fabric.shielding.errors import AnswerFileError
from fabric.shielding.unattend import (
    COMMAND_MAX,
    UNATTEND,
    WCM,
    DomainJoin,
    WindowsAnswers,
    needed_files,
    windows_answer_file,
)
from hgs.keyprotection.secret import Secret
from tests.fabric.shielding.test_answerfile import VALUES

PASSWORD = Secret("geheim & <sicher> ü€".encode())
NAMESPACES = {"u": UNATTEND}


def read(answers: WindowsAnswers) -> etree._Element:
    return etree.fromstring(windows_answer_file(answers).reveal())


def texts(root: etree._Element, path: str) -> list[str]:
    found = root.xpath("//" + "/".join(f"u:{step}" for step in path.split("/")), namespaces=NAMESPACES)
    assert isinstance(found, list)
    return [str(element.text) for element in found if isinstance(element, etree._Element)]


def encoded(setting: str, password: Secret = PASSWORD) -> str:
    return base64.b64encode((password.reveal().decode() + setting).encode("utf-16-le")).decode()


def test_passwords_are_encoded_as_windows_setup_decodes_them() -> None:
    root = read(WindowsAnswers(administrator_password=PASSWORD))
    assert texts(root, "AdministratorPassword/Value") == [encoded("AdministratorPassword")]
    assert texts(root, "AutoLogon/Password/Value") == [encoded("Password")]
    assert set(texts(root, "PlainText")) == {"false"}


def test_the_documented_example_comes_out_the_same() -> None:
    # Value of AdministratorPassword in the documentation of Microsoft-Windows-Shell-Setup.
    root = read(WindowsAnswers(administrator_password=Secret(b"pw")))
    documented = "cAB3AEEAZABtAGkAbgBpAHMAdAByAGEAdABvAHIAUABhAHMAcwB3AG8AcgBkAA=="
    assert texts(root, "AdministratorPassword/Value") == [documented]


def test_by_default_the_fabric_gives_name_and_ipv4_address() -> None:
    text = windows_answer_file(WindowsAnswers(administrator_password=PASSWORD)).reveal().decode()
    assert set(placeholders(text)) == {"@ComputerName@", "@IP4Addr-1@", "@NextHop-1-1@", "@DnsAddr-1-1@"}


@pytest.mark.parametrize(
    ("versions", "names"),
    [
        (frozenset[int](), set()),
        (frozenset({4}), {"@IP4Addr-1@", "@NextHop-1-1@", "@DnsAddr-1-1@"}),
        (frozenset({6}), {"@IP6Addr-1@", "@NextHop-1-2@", "@DnsAddr-1-1@"}),
        (frozenset({4, 6}), {"@IP4Addr-1@", "@NextHop-1-1@", "@IP6Addr-1@", "@NextHop-1-2@", "@DnsAddr-1-1@"}),
    ],
)
def test_static_addresses_are_those_of_the_pools_asked_for(versions: frozenset[int], names: set[str]) -> None:
    answers = WindowsAnswers(administrator_password=PASSWORD, static_addresses=versions)
    root = read(answers)
    assert set(placeholders(windows_answer_file(answers).reveal().decode())) - {"@ComputerName@"} == names
    assert texts(root, "Interface/UnicastIpAddresses/IpAddress") == [f"@IP{one}Addr-1@" for one in sorted(versions)]
    for version in (4, 6):
        expected = ["false"] if version in versions else []
        assert texts(root, f"Ipv{version}Settings/DhcpEnabled") == expected


def test_remote_desktop_is_open_and_asks_for_the_network_first() -> None:
    root = read(WindowsAnswers(administrator_password=PASSWORD))
    assert texts(root, "fDenyTSConnections") == ["false"]
    assert texts(root, "UserAuthentication") == ["1"]
    assert texts(root, "FirewallGroup/Active") == ["true"]


def test_it_ends_by_deleting_its_secrets_and_shutting_down() -> None:
    root = read(WindowsAnswers(administrator_password=PASSWORD, rdp_certificate=True, configuration_script=True))
    lines = texts(root, "SynchronousCommand/CommandLine")
    assert texts(root, "SynchronousCommand/Order") == ["1", "2", "3", "4"]
    assert "Import-PfxCertificate" in lines[0]
    assert "configuration-script.ps1" in lines[1]
    for name in ("unattend.xml", "rdp_certificate.pfx", "rdp_certificate.password"):
        assert name in lines[2]
    assert lines[-1].startswith("shutdown.exe /s")
    assert all(len(line) <= COMMAND_MAX for line in lines)


@pytest.mark.parametrize(
    ("certificate", "script", "names"),
    [
        (False, False, ()),
        (True, False, ("rdp_certificate.pfx", "rdp_certificate.password")),
        (False, True, ("configuration-script",)),
    ],
)
def test_which_files_it_needs_can_be_told(certificate: bool, script: bool, names: tuple[str, ...]) -> None:
    answers = WindowsAnswers(administrator_password=PASSWORD, rdp_certificate=certificate, configuration_script=script)
    assert needed_files(windows_answer_file(answers).reveal().decode()) == names


def test_a_domain_is_joined_with_the_account_given() -> None:
    join = DomainJoin("contoso.com", "joiner@contoso.com", PASSWORD, "OU=Servers,DC=contoso,DC=com")
    root = read(WindowsAnswers(administrator_password=PASSWORD, domain=join))
    assert texts(root, "Identification/JoinDomain") == ["contoso.com"]
    assert texts(root, "Credentials/Password") == [PASSWORD.reveal().decode()]
    assert texts(root, "Credentials/Username") == ["joiner@contoso.com"]
    assert texts(root, "MachineObjectOU") == ["OU=Servers,DC=contoso,DC=com"]


def test_another_administrator_gets_an_account_and_signs_in() -> None:
    root = read(WindowsAnswers(administrator_password=PASSWORD, administrator="anna"))
    assert texts(root, "LocalAccount/Name") == ["anna"]
    assert texts(root, "LocalAccount/Group") == ["Administrators"]
    assert texts(root, "AutoLogon/Username") == ["anna"]


def test_locale_and_product_key_are_set_where_given() -> None:
    answers = WindowsAnswers(administrator_password=PASSWORD, locale="de-DE", product_key="@ProductKey@")
    root = read(answers)
    assert texts(root, "UILanguage") == texts(root, "InputLocale") == ["de-DE"]
    assert texts(root, "ProductKey") == ["@ProductKey@"]


def test_every_list_item_is_marked_for_windows_setup() -> None:
    root = read(WindowsAnswers(administrator_password=PASSWORD, static_addresses=frozenset({4, 6})))
    for name in ("Interface", "IpAddress", "Route", "FirewallGroup", "SynchronousCommand"):
        for element in root.iter(f"{{{UNATTEND}}}{name}"):
            assert element.get(f"{{{WCM}}}action") == "add"


@pytest.mark.parametrize(
    "change",
    [
        {"locale": "de_DE.UTF-8"},
        {"locale": "<x/>"},
        {"administrator": ""},
        {"administrator": "a\\b"},
        {"computer_name": "web 01"},
        {"product_key": "ABC"},
        {"time_zone": "UTC<"},
        {"administrator_password": Secret(b"")},
        {"domain": DomainJoin("", "x", PASSWORD)},
        {"domain": DomainJoin("contoso.com", "x", Secret(b"\x00"))},
        {"domain": DomainJoin("contoso.com", "x", Secret(b"a@Word@b"))},
        {"domain": DomainJoin("@ComputerName@", "x", PASSWORD)},
    ],
)
def test_what_windows_could_not_take_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(AnswerFileError) as refused:
        windows_answer_file(WindowsAnswers(**{"administrator_password": PASSWORD, **change}))  # type: ignore[arg-type]
    assert PASSWORD.reveal().decode() not in refused.value.message


_PASSWORDS = st.text(st.characters(min_codepoint=32, exclude_categories=("Cs", "Cc")), min_size=1, max_size=60)


@given(_PASSWORDS, _PASSWORDS)
def test_any_password_comes_back_and_none_becomes_markup(password: str, joining: str) -> None:
    join = DomainJoin("contoso.com", "joiner", Secret(joining.encode()))
    answers = WindowsAnswers(administrator_password=Secret(password.encode()), domain=join)
    if looks_like_placeholder(joining) or "\ufffe" in joining or "\uffff" in joining:
        with pytest.raises(AnswerFileError):
            windows_answer_file(answers)
        return
    data = windows_answer_file(answers)
    root = etree.fromstring(substitute(data.reveal().decode(), VALUES).encode())
    assert texts(root, "Credentials/Password") == [joining]
    assert texts(root, "AdministratorPassword/Value") == [encoded("AdministratorPassword", Secret(password.encode()))]
    assert set(placeholders(data.reveal().decode())) <= set(PLACEHOLDERS)
