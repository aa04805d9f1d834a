import pytest

from fabric.shielding.answerfile import default_linux_answer_file, missing_values, parse_linux_answer_file
from fabric.shielding.errors import AnswerFileError
from fabric.shielding.linux_answers import LinuxAnswers, linux_answer_file
from tests.fabric.shielding.test_answerfile import HASH


def test_without_choices_it_is_the_answer_file_that_gf_pdk_new_makes() -> None:
    assert linux_answer_file(LinuxAnswers(password_hash=HASH)) == default_linux_answer_file(HASH)


@pytest.mark.parametrize(
    ("versions", "keys"),
    [
        (frozenset[int](), set()),
        (frozenset({4}), {"GF_IP4_ADDRESS", "GF_IP4_GATEWAY", "GF_DNS"}),
        (frozenset({6}), {"GF_IP6_ADDRESS", "GF_IP6_GATEWAY", "GF_DNS"}),
    ],
)
def test_the_network_is_static_only_where_asked(versions: frozenset[int], keys: set[str]) -> None:
    text = linux_answer_file(LinuxAnswers(password_hash=HASH, static_addresses=versions))
    assert set(parse_linux_answer_file(text)) - {"GF_COMPUTER_NAME", "GF_TIME_ZONE", "GF_ROOT_PASSWORD_HASH"} == keys


@pytest.mark.parametrize("locale", ["de_DE.UTF-8", "C.UTF-8", "sr_RS.UTF-8@latin", "ast_ES.UTF-8"])
def test_a_locale_is_one_with_utf_8(locale: str) -> None:
    text = linux_answer_file(LinuxAnswers(password_hash=HASH, locale=locale))
    assert parse_linux_answer_file(text)["GF_LOCALE"] == locale


@pytest.mark.parametrize("locale", ["de_DE", "de-DE", "de_DE.UTF-8;reboot", "../x.UTF-8", "de_DE.ISO-8859-1", "$(x)"])
def test_no_other_locale_is_taken(locale: str) -> None:
    with pytest.raises(AnswerFileError):
        linux_answer_file(LinuxAnswers(password_hash=HASH, locale=locale))


def test_missing_values_are_told_by_name() -> None:
    assert missing_values(("@ComputerName@", "@ProductKey@"), {"@ComputerName@": "web"}) == ("@ProductKey@",)
