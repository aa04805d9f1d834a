import json

import click
import pytest
from click.testing import CliRunner

from portal.cli.failure import CliError, friendly
from portal.cli.output import Format, json_text, output_option, printable, show_record, show_rows

ROWS: list[dict[str, object]] = [
    {"name": "web01", "state": "running", "more": 1},
    {"name": "db\x1b[31m", "state": None, "more": 2},
]


@click.command()
@output_option
def rows(output: Format) -> None:
    show_rows(ROWS, [("name", "NAME"), ("state", "STATE")], output)


@click.command()
@output_option
def record(output: Format) -> None:
    show_record(
        {"name": "web01", "ports": [22, 80], "none": []},
        [("name", "Name"), ("ports", "Ports"), ("none", "None")],
        output,
    )


def test_a_table_has_aligned_columns_and_no_control_characters() -> None:
    text = CliRunner().invoke(rows, []).stdout
    assert text.splitlines() == ["NAME     STATE", "web01    running", "db�[31m  -"]


STEERING = "a\x1b[2J\x7f\x9b31m\u202egnp\u2066\u200b\u2028\U000e0001z"


@click.command()
@click.argument("how")
@output_option
def hostile(how: str, output: Format) -> None:
    if how == "show":
        show_rows([{"name": STEERING}], [("name", "NAME")], output)
    elif how == "fail":
        raise CliError(f"Failed: {STEERING}\nno", f"Do {STEERING}", details=(f"name: {STEERING}",))
    else:
        raise friendly(OSError(2, STEERING, STEERING)) or AssertionError


@pytest.mark.parametrize("arguments", [["show"], ["show", "--output", "json"], ["fail"], ["file"]], ids="-".join)
def test_nothing_that_came_from_elsewhere_steers_the_terminal(arguments: list[str]) -> None:
    printed = CliRunner().invoke(hostile, arguments).output
    assert "gnp" in printed
    assert [character for line in printed.splitlines() for character in line if not character.isprintable()] == []


def test_json_keeps_what_it_escapes() -> None:
    assert json.loads(CliRunner().invoke(hostile, ["show", "--output", "json"]).stdout) == [{"name": STEERING}]


def test_a_message_stays_on_its_line_and_words_stay_as_they_are() -> None:
    lines = CliRunner().invoke(hostile, ["fail"]).output.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["error", "  name", "what to do"]
    assert json_text({"name": "Zoë 雪 – 👩"}) == '{\n  "name": "Zoë 雪 – 👩"\n}'


def test_json_has_everything() -> None:
    assert json.loads(CliRunner().invoke(rows, ["--output", "json"]).stdout) == ROWS


def test_a_record_takes_a_line_for_each_item() -> None:
    assert CliRunner().invoke(record, []).stdout.splitlines() == ["Name:  web01", "Ports: 22", "       80", "None:  -"]


def test_another_format_is_used_wrongly() -> None:
    assert CliRunner().invoke(rows, ["--output", "xml"]).exit_code == 2


def test_values_print_as_people_read_them() -> None:
    assert [printable(value) for value in (True, False, None, "", 0)] == ["yes", "no", "-", "-", "0"]
