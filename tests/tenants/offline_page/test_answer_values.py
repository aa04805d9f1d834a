"""Which values an answer file asks for: found by the page as Python's code finds them, in whatever text."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fabric.shielding import answerfile
from fabric.shielding.content import CONFIGURATION_SCRIPT, RDP_CERTIFICATE, RDP_PASSWORD, ShieldingSecrets
from fabric.shielding.errors import ShieldingError
from fabric.shielding.linux_answers import LinuxAnswers, linux_answer_file
from fabric.shielding.unattend import WindowsAnswers, needed_files, windows_answer_file
from hgs.keyprotection.secret import Secret
from tests.tenants.offline_page.core import Core, Refused

pytestmark = pytest.mark.browser
ASKED = "(text) => { checkAnswerFile(text); return [isLinuxAnswerFile(text), ...substitutionStrings(text)]; }"
HASH = "$6$salt$" + "x" * 86
NAMES = st.sampled_from(list(answerfile.PLACEHOLDERS))
ALMOST = st.sampled_from(
    [
        *("@", "@@", "@ComputerName", "ComputerName@", "@computername@", "@Computer Name@", "@ComputerName-1@"),
        *("@IP4Addr@", "@IP4Addr-01@", "@IP4Addr-1-@", "@IP4Addr--1@", "@IP4Addr-1@@", "@1@", "@é@", "@A\u0660-1@"),
        *("@Prefix-1-3@", "@\ufeffTimeZone@", "@TimeZone\n@", "@__proto__@", "@constructor@", "@toString@", "@a@b@c@"),
    ]
)  # fmt: skip
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
PIECES = st.lists(st.one_of(NAMES, ALMOST, TEXT, st.text("@-1Ae", max_size=8)), max_size=12)


def expected(text: str) -> list[object] | str:
    """What Python makes of an answer file: its form and the strings it declares, or the code of its refusal."""
    try:
        answerfile.check_answer_file(text)
        declared = ShieldingSecrets(Secret(text.encode())).substitution_strings
    except ShieldingError as error:
        return error.code
    return [answerfile.is_linux_answer_file(text), *declared]


def found(core: Core, text: str) -> list[object] | str:
    try:
        asked = core.run(ASKED, text)
    except Refused as refused:
        return refused.code
    assert isinstance(asked, list)
    return asked


@settings(max_examples=300)
@given(PIECES)
def test_placeholders_in_any_text_are_found_alike(core: Core, pieces: list[str]) -> None:
    text = "".join(pieces)
    names = "(text) => substitutionStrings(text)"
    try:
        declared = sorted(answerfile.placeholders(text))
    except ShieldingError:
        assert not core.accepts(names, text)
        return
    assert core.run(names, text) == declared


LINES = st.builds(
    lambda key, value: f'{key}="{value}"',
    st.sampled_from([*answerfile.LINUX_KEYS, "GF_OTHER", "gf_dns", "constructor", "__proto__"]),
    st.one_of(
        NAMES, ALMOST, TEXT, st.sampled_from([HASH, "Europe/Berlin", "web-01", "10.0.0.5/24", "10.0.0.1", "C.UTF-8"])
    ),
)
KNOWN = {
    "GF_COMPUTER_NAME": ["@ComputerName@", "web-01"],
    "GF_TIME_ZONE": ["@TimeZone@", "Europe/Berlin", "Etc/GMT+5"],
    "GF_ROOT_PASSWORD_HASH": [HASH],
    "GF_IP4_ADDRESS": ["@IP4Addr-1@", "10.0.0.5/24"],
    "GF_IP4_GATEWAY": ["@NextHop-1-1@", "10.0.0.1"],
    "GF_DNS": ["@DnsAddr-1-1@", "2001:db8::1"],
    "GF_IP6_ADDRESS": ["@IP6Addr-1@", "2001:db8::5/64"],
    "GF_IP6_GATEWAY": ["@NextHop-1-2@", "fe80::1"],
    "GF_LOCALE": ["de_DE.UTF-8", "C.UTF-8"],
}
GOOD_LINES = st.lists(st.sampled_from(list(KNOWN)), unique=True, min_size=1).flatmap(
    lambda keys: st.tuples(*(st.sampled_from(KNOWN[key]).map(f'{key}="{{}}"'.format) for key in keys))
)


@settings(max_examples=200)
@given(st.one_of(GOOD_LINES, st.lists(LINES, max_size=6)), st.sampled_from(["\n", "", "\r\n", "\n\n"]))
def test_linux_answer_files_are_read_alike(core: Core, lines: list[str], end: str) -> None:
    text = "\n".join(lines) + end
    assert found(core, text) == expected(text)


@settings(max_examples=100)
@given(GOOD_LINES)
def test_good_linux_answer_files_are_not_refused(core: Core, lines: list[str]) -> None:
    text = "".join(f"{line}\n" for line in lines)
    asked = found(core, text)
    assert isinstance(asked, list)
    assert asked == expected(text)


def escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")


XML_TEXT = st.text(
    st.characters(codec="utf-8", exclude_characters="\r", exclude_categories=["Cs", "Cc", "Cn"]), max_size=12
)
MARKUP = st.sampled_from(
    [
        *("<!-- @ProductKey@ -->", "<!-- @Wrong@ -->", "<a>", "</a>", "<b/>", "&amp;", "&#64;TimeZone&#64;", "]]>"),
        "<?x @TimeZone@?>",
    ]
)
XML = st.builds(
    lambda start, attribute, pieces, end: f'{start}<unattend a="{attribute}">{"".join(pieces)}</unattend>{end}',
    st.sampled_from(["", "\ufeff", " \r\n\t", '<?xml version="1.0" encoding="utf-8"?>\n', "<!DOCTYPE a>"]),
    st.one_of(NAMES, st.just("x")),
    st.lists(st.one_of(NAMES, XML_TEXT.map(escaped), MARKUP), max_size=8),
    st.sampled_from(["", "\n", "<x/>", "@TimeZone@"]),
)


@settings(max_examples=300)
@given(XML)
def test_windows_answer_files_are_read_alike(core: Core, text: str) -> None:
    assert found(core, text) == expected(text)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "\ufeff<a/>",
            "\ufeff\ufeff<a/>",
            '\n<?xml version="1.0"?><a/>',
            "<a>\x01</a>",
            "<a>&#1;</a>",
            "<a>\ufffe</a>",
        ),
        *("<a>" * 256 + "</a>" * 256, "<a>" * 257 + "</a>" * 257, "<a:b/>", '<a:b xmlns:a="u"/>', '<a x="1" x="2"/>'),
        *('<a xmlns="x y"/>', '<a xmlns:p="{x}"><b/></a>', '<a><b xmlns="ä"/></a>', '<a xmlns:p=""/>', '<a b="x y"/>'),
        *(
            "<a><![CDATA[@TimeZone@]]></a>",
            "<a>&nbsp;</a>",
            '<?xml version="1.0" encoding="latin-1"?><a>ä</a>',
            "<a",
            "<",
        ),
    ],
    ids=lambda text: repr(text)[:30],
)
def test_what_a_browser_alone_would_take_or_refuse_is_read_alike(core: Core, text: str) -> None:
    assert found(core, text) == expected(text)


def test_what_the_command_line_writes_for_windows_is_read_alike(core: Core) -> None:
    for certificate in (False, True):
        for script in (False, True):
            answers = WindowsAnswers(
                administrator_password=Secret("pässwörd".encode()), product_key="@ProductKey@",
                static_addresses=frozenset({4, 6}), rdp_certificate=certificate, configuration_script=script,
            )  # fmt: skip
            text = windows_answer_file(answers).reveal().decode()
            assert found(core, text) == expected(text)
            assert core.run("(text) => neededFiles(text)", text) == list(needed_files(text))


@settings(max_examples=200)
@given(
    st.sampled_from([RDP_CERTIFICATE, RDP_PASSWORD, CONFIGURATION_SCRIPT, "rdp_certificateXpfx", ""]),
    st.sampled_from(["C:\\temp\\", "c:\\temp\\", "C:/temp/", "C:\\temp\\\\", ""]),
    st.one_of(TEXT, st.sampled_from([".ps1", "*", "-x", "_", "é", "²", "Ⅷ", " ", "<", "\u0301", "🔑"])),
)
def test_files_that_windows_needs_are_found_alike(core: Core, name: str, before: str, after: str) -> None:
    text = f"<a>{before}{name}{after}</a>"
    assert core.run("(text) => neededFiles(text)", text) == list(needed_files(text))


@pytest.mark.parametrize("zone", ["@TimeZone@", "Europe/Berlin"])
@pytest.mark.parametrize("locale", ["", "de_DE.UTF-8"])
@pytest.mark.parametrize("addresses", [(), (4,), (6,), (4, 6)])
def test_linux_answer_files_are_made_alike(core: Core, zone: str, locale: str, addresses: tuple[int, ...]) -> None:
    answers = LinuxAnswers(
        password_hash=HASH, time_zone=zone, static_addresses=frozenset(addresses), locale=locale
    )  # fmt: skip
    made = core.run(
        "(choices) => linuxAnswerFile(choices)",
        {"passwordHash": HASH, "timeZone": zone, "addresses": list(addresses), "locale": locale},
    )
    assert made == linux_answer_file(answers)


def test_a_linux_answer_file_without_choices_is_the_command_line_s(core: Core) -> None:
    made = core.run("(passwordHash) => linuxAnswerFile({ passwordHash })", HASH)
    assert made == answerfile.default_linux_answer_file(HASH)


def test_a_wrong_choice_makes_no_linux_answer_file(core: Core) -> None:
    make = "(choices) => linuxAnswerFile(choices)"
    for wrong in ({"timeZone": 'a"\nGF_DNS="1.1.1.1'}, {"timeZone": "@ComputerName@"}, {"locale": "de"}):
        assert not core.accepts(make, {"passwordHash": HASH} | wrong)
