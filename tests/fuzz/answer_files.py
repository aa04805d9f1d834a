"""Answer files of both forms, substituted; and an owner's file of choices."""

from contextlib import suppress
from pathlib import Path

from fabric.shielding.answerfile import (
    check_answer_file,
    is_linux_answer_file,
    parse_linux_answer_file,
    placeholders,
    serialise_linux_answer_file,
    substitute,
)
from fabric.shielding.errors import AnswerFileError
from portal.cli.failure import CliError
from tenants.cli.pdk.choices_file import parse_choices, write_choices
from tests.fabric.shielding.test_answerfile import VALUES
from tests.fuzz.harness import run

BASE = Path("/folder")


def check(data: bytes) -> None:
    """Only the packages' own errors; a value changes no structure; choices that were read are written to read alike."""
    text = data.decode("utf-8", "replace")
    with suppress(AnswerFileError):
        check_answer_file(text)
        filled = substitute(text, VALUES)
        assert not placeholders(filled)
        if is_linux_answer_file(text):
            found = parse_linux_answer_file(text)
            assert serialise_linux_answer_file(found) == text
            assert list(parse_linux_answer_file(filled)) == list(found)
    with suppress(CliError):
        choices = parse_choices(text, BASE)
        assert parse_choices(write_choices(choices, BASE), BASE) == choices


if __name__ == "__main__":
    run("answer_files")
