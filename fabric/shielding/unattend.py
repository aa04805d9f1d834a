"""Windows answer files: an unattend.xml for a new shielded VM (docs/formats/answer-file.md).

Two configuration passes. `specialize` names the computer, joins the domain, sets the network and opens Remote Desktop.
`oobeSystem` sets locale and administrator, signs in once, and then runs in order: import of the RDP certificate, the
configuration script, deletion of what held secrets, shutdown. The shutdown tells the fabric that the guest is done.

Local passwords stand in Windows Setup's own encoding (`PlainText` false): base64 of UTF-16 of the password and the
setting's name. That keeps them from being read over a shoulder, nothing more; the file is a secret. Setup knows no
such encoding for the password that joins a domain.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from lxml import etree

from fabric.shielding.answerfile import PLACEHOLDERS, check_answer_file, looks_like_placeholder
from fabric.shielding.content import CONFIGURATION_SCRIPT, RDP_CERTIFICATE, RDP_PASSWORD
from fabric.shielding.errors import AnswerFileError
from hgs.keyprotection.secret import Secret

UNATTEND: Final = "urn:schemas-microsoft-com:unattend"
WCM: Final = "http://schemas.microsoft.com/WMIConfig/2002/State"
FILES: Final = "C:\\temp"
"""Where a Windows guest finds the other files of its shielding data."""
ADMINISTRATOR: Final = "Administrator"
COMMAND_MAX: Final = 1024
_ADAPTER: Final = "Ethernet"
_LOCALE: Final = re.compile(r"[a-z]{2,3}(?:-[A-Za-z]{4})?-(?:[A-Z]{2}|[0-9]{3})")
_ACCOUNT: Final = re.compile(r"[^\"/\\\[\]:;|=,+*?<>@\x00-\x1f]{1,20}")

Element = etree._Element


@dataclass(frozen=True, slots=True)
class DomainJoin:
    """An Active Directory domain, and an account that may add computers to it. `unit` is a distinguished name."""

    domain: str
    user: str
    password: Secret
    unit: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowsAnswers:
    """What a Windows guest is told. A setting may be its substitution string.

    `static_addresses` holds the IP versions (4, 6) whose addresses come from the fabric's pool; the others come by
    DHCP or router advertisement. `rdp_certificate` and `configuration_script` say that the shielding data has those
    files.
    """

    administrator_password: Secret
    administrator: str = ADMINISTRATOR
    computer_name: str = "@ComputerName@"
    time_zone: str = "UTC"
    product_key: str = ""
    domain: DomainJoin | None = None
    static_addresses: frozenset[int] = frozenset({4})
    locale: str = ""
    rdp_certificate: bool = False
    configuration_script: bool = False


def windows_answer_file(answers: WindowsAnswers) -> Secret:
    """The unattend.xml, UTF-8. Raises AnswerFileError naming what cannot be written."""
    _check(answers)
    prefixes: dict[str | None, str] = {None: UNATTEND, "wcm": WCM}
    root = etree.Element(_name("unattend"), nsmap=prefixes)  # type: ignore[arg-type]  # the stubs forget None
    try:
        _specialize(_settings(root, "specialize"), answers)
        _out_of_box(_settings(root, "oobeSystem"), answers)
    except ValueError:
        raise AnswerFileError("bad-value", "A value holds a character that XML cannot carry.") from None
    data = etree.tostring(root, encoding="utf-8", xml_declaration=True, pretty_print=True)
    check_answer_file(data.decode())
    return Secret(data)


def needed_files(text: str) -> tuple[str, ...]:
    """The files with a role that an unattend.xml written here refers to."""
    roles = (RDP_CERTIFICATE, RDP_PASSWORD, CONFIGURATION_SCRIPT)
    return tuple(name for name in roles if re.search(rf"{re.escape(FILES)}\\{re.escape(name)}(?![\w.*-])", text))


def _check(answers: WindowsAnswers) -> None:
    fixed = [(answers.administrator, "the administrator's name"), (answers.locale, "the locale")]
    if answers.domain is not None:
        join = answers.domain
        fixed += [
            (join.domain, "the domain"),
            (join.user, "the account that joins the domain"),
            (join.unit, "the unit"),
        ]
        # Setup takes this one in the clear only.
        fixed.append((join.password.reveal().decode("utf-8", "replace"), "the password that joins the domain"))
        if not join.domain or not join.user:
            raise AnswerFileError("bad-value", "Joining a domain takes its name and an account of it.")
    for value, what in fixed:
        if looks_like_placeholder(value):
            raise AnswerFileError(
                "looks-like-placeholder", f"In {what} stands what looks like a substitution string (@Word@).",
                "Choose another one: the host would take it for a value of the fabric.",
            )  # fmt: skip
    if answers.locale and not _LOCALE.fullmatch(answers.locale):
        raise AnswerFileError("bad-value", "A Windows locale is a language and a region, such as de-DE.")
    if not _ACCOUNT.fullmatch(answers.administrator):
        raise AnswerFileError("bad-value", "The administrator's name cannot be that of a Windows account.")
    if not len(answers.administrator_password):
        raise AnswerFileError("bad-value", "The administrator's password is empty.")
    for name, value in (("@ComputerName@", answers.computer_name), ("@TimeZone@", answers.time_zone)):
        _check_setting(name, value)
    if answers.product_key:
        _check_setting("@ProductKey@", answers.product_key)


def _check_setting(placeholder: str, value: str) -> None:
    validator, meaning = PLACEHOLDERS[placeholder]
    if value != placeholder and not validator(value):
        raise AnswerFileError("bad-value", f"What stands for {placeholder} is not {meaning}.")


def _specialize(settings: Element, answers: WindowsAnswers) -> None:
    shell = _component(settings, "Microsoft-Windows-Shell-Setup")
    _add(shell, "ComputerName", answers.computer_name)
    if answers.product_key:
        _add(shell, "ProductKey", answers.product_key)
    _add(shell, "TimeZone", answers.time_zone)
    if answers.domain is not None:
        _join(_component(settings, "Microsoft-Windows-UnattendedJoin"), answers.domain)
    if answers.static_addresses:
        _network(settings, answers.static_addresses)
    sessions = _component(settings, "Microsoft-Windows-TerminalServices-LocalSessionManager")
    _add(sessions, "fDenyTSConnections", "false")
    # Only after network-level authentication does a stranger get as far as a sign-in screen.
    _add(_component(settings, "Microsoft-Windows-TerminalServices-RDP-WinStationExtensions"), "UserAuthentication", "1")
    groups = _add(_component(settings, "Networking-MPSSVC-Svc"), "FirewallGroups")
    group = _item(groups, "FirewallGroup", "RemoteDesktop")
    _add(group, "Active", "true")
    _add(group, "Group", "@FirewallAPI.dll,-28752")
    _add(group, "Profile", "all")


def _join(component: Element, join: DomainJoin) -> None:
    identification = _add(component, "Identification")
    credentials = _add(identification, "Credentials")
    _add(credentials, "Domain", join.domain)
    _add(credentials, "Password", join.password.reveal().decode())
    _add(credentials, "Username", join.user)
    _add(identification, "JoinDomain", join.domain)
    if join.unit:
        _add(identification, "MachineObjectOU", join.unit)


def _network(settings: Element, versions: frozenset[int]) -> None:
    interface = _item(_add(_component(settings, "Microsoft-Windows-TCPIP"), "Interfaces"), "Interface")
    _add(interface, "Identifier", _ADAPTER)
    for version in sorted(versions):
        _add(_add(interface, f"Ipv{version}Settings"), "DhcpEnabled", "false")
    addresses = _add(interface, "UnicastIpAddresses")
    for number, version in enumerate(sorted(versions), 1):
        _item(addresses, "IpAddress", str(number)).text = f"@IP{version}Addr-1@"
    routes = _add(interface, "Routes")
    for number, version in enumerate(sorted(versions)):
        route = _item(routes, "Route")
        _add(route, "Identifier", str(number))
        # The way to everything: it goes by the gateway whatever the prefix of the network itself.
        _add(route, "Prefix", "0.0.0.0/0" if version == 4 else "::/0")
        _add(route, "NextHopAddress", "@NextHop-1-1@" if version == 4 else "@NextHop-1-2@")
    resolver = _item(_add(_component(settings, "Microsoft-Windows-DNS-Client"), "Interfaces"), "Interface")
    _add(resolver, "Identifier", _ADAPTER)
    _item(_add(resolver, "DNSServerSearchOrder"), "IpAddress", "1").text = "@DnsAddr-1-1@"


def _out_of_box(settings: Element, answers: WindowsAnswers) -> None:
    if answers.locale:
        international = _component(settings, "Microsoft-Windows-International-Core")
        for name in ("InputLocale", "SystemLocale", "UILanguage", "UserLocale"):
            _add(international, name, answers.locale)
    shell = _component(settings, "Microsoft-Windows-Shell-Setup")
    sign_in = _add(shell, "AutoLogon")
    _password(sign_in, "Password", answers.administrator_password)
    _add(sign_in, "Domain", ".")
    _add(sign_in, "Enabled", "true")
    _add(sign_in, "LogonCount", "1")
    _add(sign_in, "Username", answers.administrator)
    commands = _add(shell, "FirstLogonCommands")
    for number, (what, line) in enumerate(_commands(answers), 1):
        if len(line) > COMMAND_MAX:
            raise AssertionError("a command of the answer file is too long")
        command = _item(commands, "SynchronousCommand")
        _add(command, "CommandLine", line)
        _add(command, "Description", what)
        _add(command, "Order", str(number))
    first = _add(shell, "OOBE")
    for name in ("HideEULAPage", "HideLocalAccountScreen", "HideOnlineAccountScreens", "HideWirelessSetupInOOBE"):
        _add(first, name, "true")
    _add(first, "ProtectYourPC", "1")
    accounts = _add(shell, "UserAccounts")
    _password(accounts, "AdministratorPassword", answers.administrator_password)
    if answers.administrator != ADMINISTRATOR:
        account = _item(_add(accounts, "LocalAccounts"), "LocalAccount")
        _password(account, "Password", answers.administrator_password)
        _add(account, "Group", "Administrators")
        _add(account, "Name", answers.administrator)


def _commands(answers: WindowsAnswers) -> Iterator[tuple[str, str]]:
    secret = list(_COPIES)
    if answers.rdp_certificate:
        yield "Use the owner's certificate for Remote Desktop", _powershell(_IMPORT_CERTIFICATE)
        secret += [f"{FILES}\\{RDP_CERTIFICATE}", f"{FILES}\\{RDP_PASSWORD}"]
    if answers.configuration_script:
        script = f"{FILES}\\{CONFIGURATION_SCRIPT}"
        yield (
            "Run the configuration script",
            (
                f"cmd.exe /c copy /y {script} {script}.ps1 && "
                f"powershell.exe -NoProfile -ExecutionPolicy Bypass -File {script}.ps1"
            ),
        )
        secret += [script, f"{script}.ps1"]
    yield "Delete what held secrets", f"cmd.exe /c del /f /q {' '.join(secret)}"
    yield "Tell the fabric that the guest is done", 'shutdown.exe /s /t 10 /c "Specialization is done"'


_COPIES: Final = (
    "%SystemRoot%\\Panther\\unattend.xml",
    "%SystemRoot%\\Panther\\Unattend\\unattend.xml",
    "%SystemRoot%\\System32\\Sysprep\\unattend.xml",
    "%SystemDrive%\\unattend.xml",
)
# Remote Desktop runs as NETWORK SERVICE (S-1-5-20), which has to read the private key.
_IMPORT_CERTIFICATE: Final = "; ".join(
    (
        "$ErrorActionPreference='Stop'",
        f"$p=ConvertTo-SecureString (Get-Content {FILES}\\{RDP_PASSWORD} -Raw) -AsPlainText -Force",
        f"$c=Import-PfxCertificate {FILES}\\{RDP_CERTIFICATE} -CertStoreLocation Cert:\\LocalMachine\\My -Password $p",
        "$x='Security.Cryptography.X509Certificates.'",
        "$k=($x+'RSACertificateExtensions' -as [type])::GetRSAPrivateKey($c)",
        "if(!$k){$k=($x+'ECDsaCertificateExtensions' -as [type])::GetECDsaPrivateKey($c)}",
        "icacls (Join-Path $env:ProgramData ('Microsoft\\Crypto\\Keys\\'+$k.Key.UniqueName)) /grant '*S-1-5-20:R'",
        "Get-CimInstance -Namespace root/cimv2/TerminalServices Win32_TSGeneralSetting "
        "-Filter 'TerminalName=''RDP-Tcp''' | Set-CimInstance -Property @{SSLCertificateSHA1Hash=$c.Thumbprint}",
    )
)


def _powershell(script: str) -> str:
    return f'powershell.exe -NoProfile -ExecutionPolicy Bypass -Command "{script}"'


def _password(parent: Element, setting: str, password: Secret) -> None:
    element = _add(parent, setting)
    text = password.reveal().decode() + setting
    _add(element, "Value", base64.b64encode(text.encode("utf-16-le")).decode())
    _add(element, "PlainText", "false")


def _name(name: str) -> str:
    return f"{{{UNATTEND}}}{name}"


def _settings(root: Element, configuration_pass: str) -> Element:
    return etree.SubElement(root, _name("settings"), {"pass": configuration_pass})


def _component(settings: Element, name: str) -> Element:
    attributes = {
        "name": name,
        "processorArchitecture": "amd64",
        "publicKeyToken": "31bf3856ad364e35",
        "language": "neutral",
        "versionScope": "nonSxS",
    }
    return etree.SubElement(settings, _name("component"), attributes)


def _add(parent: Element, name: str, text: str | None = None) -> Element:
    element = etree.SubElement(parent, _name(name))
    element.text = text
    return element


def _item(parent: Element, name: str, key: str | None = None) -> Element:
    """An element of a list, as Windows Setup wants it marked."""
    element = etree.SubElement(parent, _name(name), {f"{{{WCM}}}action": "add"})
    if key is not None:
        element.set(f"{{{WCM}}}keyValue", key)
    return element
