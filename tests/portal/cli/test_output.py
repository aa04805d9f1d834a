import json

import click
from click.testing import CliRunner

from portal.cli.output import Format, output_option, printable, show_record, show_rows

ROWS = [{"name": "web01", "state": "running", "more": 1}, {"name": "db\x1b[31m", "state": None, "more": 2}]


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


def test_json_has_everything() -> None:
    assert json.loads(CliRunner().invoke(rows, ["--output", "json"]).stdout) == ROWS


def test_a_record_takes_a_line_for_each_item() -> None:
    assert CliRunner().invoke(record, []).stdout.splitlines() == ["Name:  web01", "Ports: 22", "       80", "None:  -"]


def test_another_format_is_used_wrongly() -> None:
    assert CliRunner().invoke(rows, ["--output", "xml"]).exit_code == 2


def test_values_print_as_people_read_them() -> None:
    assert [printable(value) for value in (True, False, None, "", 0)] == ["yes", "no", "-", "-", "0"]
