import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric.shielding.answerfile import (
    PLACEHOLDERS,
    check_answer_file,
    check_value,
    default_linux_answer_file,
    parse_linux_answer_file,
    placeholders,
    serialise_linux_answer_file,
    substitute,
)
from fabric.shielding.errors import AnswerFileError

HASH = "$6$rounds=100000$abcdefghijklmnop$" + "x" * 86
VALUES = {
    "@ComputerName@": "web01",
    "@TimeZone@": "Europe/Berlin",
    "@ProductKey@": "ABCDE-FGHIJ-KLMNO-PQRST-UVWXY",
    "@IP4Addr-1@": "10.20.0.5/24",
    "@IP6Addr-1@": "fd00::5/64",
    "@MACAddr-1@": "52:54:00:12:34:56",
    "@Prefix-1-1@": "10.20.0.0/24",
    "@NextHop-1-1@": "10.20.0.1",
    "@Prefix-1-2@": "fd00::/64",
    "@NextHop-1-2@": "fd00::1",
    "@DnsAddr-1-1@": "10.20.0.1",
}
# What a hostile fabric would like to write into somebody else's answer file.
INJECTIONS = [
    'x"\nGF_ROOT_PASSWORD_HASH="$6$a$b',
    "x\n",
    "x\r",
    "x\0",
    "x\u2028y",
    'x"',
    "x'",
    "`reboot`",
    "$(reboot)",
    "a\\",
    "<a/>",
    "a&b",
    "a;b",
    "a b c\td",
    "",
    "@ComputerName@",
    "x" * 300,
    "../../etc/shadow",
    "/etc/shadow",
    "١٢٣",
]


def test_there_is_a_good_value_for_every_placeholder() -> None:
    assert set(VALUES) == set(PLACEHOLDERS)
    for placeholder, value in VALUES.items():
        check_value(placeholder, value)


@pytest.mark.parametrize("placeholder", sorted(PLACEHOLDERS))
@pytest.mark.parametrize("value", INJECTIONS)
def test_no_placeholder_takes_a_value_that_escapes(placeholder: str, value: str) -> None:
    with pytest.raises(AnswerFileError) as caught:
        check_value(placeholder, value)
    assert caught.value.code == "bad-value"
    assert placeholder in caught.value.message


@pytest.mark.parametrize(
    ("placeholder", "value"),
    [
        ("@ComputerName@", "-web"),
        ("@ComputerName@", "web.example"),
        ("@ComputerName@", "w" * 64),
        ("@IP4Addr-1@", "10.0.0.5"),
        ("@IP4Addr-1@", "10.0.0.05/24"),
        ("@IP4Addr-1@", "fd00::5/64"),
        ("@IP6Addr-1@", "10.0.0.5/24"),
        ("@IP6Addr-1@", 'fe80::1%"\nx/64'),
        ("@NextHop-1-1@", "fe80::1%eth0"),
        ("@NextHop-1-1@", "10.0.0.1/24"),
        ("@Prefix-1-1@", "10.0.0.1/24"),
        ("@MACAddr-1@", "52:54:00:12:34"),
        ("@MACAddr-1@", "52:54:00-12-34-56"),
        ("@TimeZone@", "Europe/../../etc/shadow"),
        ("@TimeZone@", ".hidden"),
        ("@ProductKey@", "ABCDE"),
    ],
)
def test_values_of_another_kind_are_refused(placeholder: str, value: str) -> None:
    with pytest.raises(AnswerFileError):
        check_value(placeholder, value)


@given(st.sampled_from(sorted(PLACEHOLDERS)), st.text(max_size=40))
def test_an_accepted_value_never_leaves_its_quotes(placeholder: str, value: str) -> None:
    try:
        check_value(placeholder, value)
    except AnswerFileError:
        return
    assert not set(value) & set("\"'\\`$<>&;\n\r\0\t%@")
    assert value.isprintable()
    assert value.isascii()


def test_substitution_fills_in_every_occurrence() -> None:
    text = substitute("<n>@ComputerName@</n><m>@ComputerName@</m> @DnsAddr-1-1@", VALUES)
    assert text == "<n>web01</n><m>web01</m> 10.20.0.1"


def test_a_missing_value_is_named() -> None:
    with pytest.raises(AnswerFileError, match="@TimeZone@") as caught:
        substitute("@ComputerName@ @TimeZone@", {"@ComputerName@": "web01"})
    assert caught.value.code == "missing-value"


def test_a_value_that_is_not_asked_for_is_checked_all_the_same() -> None:
    with pytest.raises(AnswerFileError):
        substitute("nothing", {"@ComputerName@": "a b"})
    with pytest.raises(AnswerFileError):
        substitute("nothing", {"@Password@": "x"})


def test_an_unknown_placeholder_in_the_text_is_named() -> None:
    with pytest.raises(AnswerFileError, match="@Domain@") as caught:
        placeholders("@ComputerName@ @Domain@")
    assert caught.value.code == "unknown-placeholder"


def test_placeholders_are_listed_once_in_order() -> None:
    assert placeholders("@TimeZone@ a@b.example @ComputerName@ @TimeZone@") == ("@TimeZone@", "@ComputerName@")


def test_the_default_answer_file_works_from_end_to_end() -> None:
    text = default_linux_answer_file(HASH)
    check_answer_file(text)
    assert parse_linux_answer_file(substitute(text, VALUES)) == {
        "GF_COMPUTER_NAME": "web01",
        "GF_TIME_ZONE": "Europe/Berlin",
        "GF_ROOT_PASSWORD_HASH": HASH,
        "GF_IP4_ADDRESS": "10.20.0.5/24",
        "GF_IP4_GATEWAY": "10.20.0.1",
        "GF_DNS": "10.20.0.1",
    }


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('GF_COMPUTER_NAME="web01"', "answer-file-line"),
        ('\nGF_COMPUTER_NAME="web01"\n', "answer-file-line"),
        ('# comment\nGF_COMPUTER_NAME="web01"\n', "answer-file-line"),
        ("GF_COMPUTER_NAME=web01\n", "answer-file-line"),
        ("GF_COMPUTER_NAME='web01'\n", "answer-file-line"),
        ('GF_COMPUTER_NAME="web01" \n', "answer-file-line"),
        ('GF_COMPUTER_NAME="web01"\r\n', "answer-file-line"),
        ('GF_COMPUTER_NAME="we\\"b"\n', "answer-file-line"),
        ('PATH="/tmp"\n', "answer-file-key"),
        ('GF_DNS="10.0.0.1"\nGF_DNS="10.0.0.2"\n', "answer-file-key"),
        ('GF_DNS="nowhere"\n', "answer-file-value"),
        ('GF_DNS="@ComputerName@"\n', "answer-file-value"),
        ('GF_ROOT_PASSWORD_HASH="secret"\n', "answer-file-value"),
        ('GF_ROOT_PASSWORD_HASH="$1$salt$hash"\n', "answer-file-value"),
    ],
)
def test_a_linux_answer_file_of_another_form_is_refused(text: str, code: str) -> None:
    with pytest.raises(AnswerFileError) as caught:
        parse_linux_answer_file(text)
    assert caught.value.code == code


def test_a_refused_value_is_not_repeated_in_the_message() -> None:
    with pytest.raises(AnswerFileError) as caught:
        parse_linux_answer_file('GF_ROOT_PASSWORD_HASH="canary"\n')
    assert "canary" not in caught.value.message + caught.value.advice


@given(st.text(max_size=100))
def test_whatever_parses_is_written_the_same_way(text: str) -> None:
    try:
        values = parse_linux_answer_file(text)
    except AnswerFileError:
        return
    assert serialise_linux_answer_file(values) == text


def test_an_unattend_file_must_be_well_formed_and_have_no_document_type() -> None:
    check_answer_file('<?xml version="1.0"?>\n<unattend><!-- a --><n>@ComputerName@</n></unattend>')
    for bad in ("<unattend>", "<!DOCTYPE a><a/>", "<a>@Other@</a>"):
        with pytest.raises(AnswerFileError):
            check_answer_file(bad)


def test_a_large_answer_file_is_refused() -> None:
    with pytest.raises(AnswerFileError) as caught:
        check_answer_file("<a>" + "x" * 70_000 + "</a>")
    assert caught.value.code == "answer-file-size"
