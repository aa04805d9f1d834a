"""Output of the command line: a table for people, JSON for programs, chosen by `--output`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeVar

import click

Format = Literal["table", "json"]
Command = TypeVar("Command", bound=Callable[..., Any])


def output_option(command: Command) -> Command:
    """Add `--output table|json`, passed as `output`."""
    return click.option(
        "--output", type=click.Choice(["table", "json"]), default="table", show_default=True, help="How to print."
    )(command)


def show_rows(rows: Sequence[Mapping[str, Any]], columns: Sequence[tuple[str, str]], output: Format) -> None:
    """Print rows. `columns` are (key, title) for the table; JSON gets the rows whole."""
    if output == "json":
        _json(list(rows))
        return
    table = [[title for _, title in columns], *([printable(row.get(key)) for key, _ in columns] for row in rows)]
    widths = [max(len(line[index]) for line in table) for index in range(len(columns))]
    for line in table:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def show_record(record: Mapping[str, Any], fields: Sequence[tuple[str, str]], output: Format) -> None:
    """Print one record, a line for each of `fields` (key, title); a list takes one line for each item."""
    if output == "json":
        _json(dict(record))
        return
    width = max(len(title) for _, title in fields) + 2
    for key, title in fields:
        value = record.get(key)
        lines = list(value) if isinstance(value, list | tuple) else [value]
        for index, line in enumerate(lines or ["-"]):
            click.echo((f"{title}:" if index == 0 else "").ljust(width) + printable(line))


def printable(value: object) -> str:
    """A value for a table: control characters replaced, so that nothing read from elsewhere can steer a terminal."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "".join(character if character.isprintable() else "�" for character in str(value))


def json_text(value: object, *, sort_keys: bool = False) -> str:
    """JSON for a program or a person: words as they are, whatever could steer a terminal escaped."""
    text = json.dumps(value, indent=2, ensure_ascii=False, sort_keys=sort_keys)
    if text.isascii() and "\x7f" not in text:
        return text
    return "".join(one if one.isprintable() or one == "\n" else json.dumps(one)[1:-1] for one in text)


def _json(value: object) -> None:
    click.echo(json_text(value, sort_keys=True))
