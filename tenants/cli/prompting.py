"""Questions of a wizard, on standard error: a wrong answer is explained and asked again, `<` goes back a step."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeVar

import click

from portal.cli.failure import CliError, friendly
from portal.cli.output import printable

BACK: Final = "<"
Answer = TypeVar("Answer")


class Back(Exception):  # noqa: N818 - it says what the user wants, not what is wrong
    """The user wants to see the step before."""


def say(text: str = "") -> None:
    """A line of a wizard; nothing in it steers the terminal."""
    click.echo(printable(text) if text else "", err=True)


def heading(text: str) -> None:
    """The title of a step."""
    click.echo(f"\n{click.style(printable(text), bold=True)}", err=True)


def ask(question: str, default: str = "", *, check: Callable[[str], Answer]) -> Answer:
    """A line of text that `check` accepts, as `check` gives it. Raises Back, CliError where nobody answers."""
    while True:
        try:
            text = click.prompt(question, default=default, show_default=bool(default), err=True)
        except click.Abort:
            if sys.stdin.isatty():
                raise
            raise CliError(
                f"{question}: nobody is there to ask.", "Give the choices by --from FILE or as flags."
            ) from None
        if text.strip() == BACK:
            raise Back
        try:
            return check(text.strip())
        except Exception as error:
            known = error if isinstance(error, click.ClickException) else friendly(error)
            if known is None:
                raise
            advice = getattr(known, "advice", "")
            say(f"  {known.format_message()} {advice}".rstrip())


def ask_text(question: str, default: str = "", *, needed: bool = True) -> str:
    """A line of text; `needed`: not an empty one."""

    def check(text: str) -> str:
        if needed and not text:
            raise click.UsageError("An answer is needed.")
        return text

    return ask(question, default, check=check)


def ask_file(question: str, default: Path | None = None, *, needed: bool = True) -> Path | None:
    """A file that exists; None for an empty answer where it is not needed."""

    def check(text: str) -> Path | None:
        if not text:
            if needed:
                raise click.UsageError("A file is needed.")
            return None
        path = Path(text).expanduser()
        if not path.is_file():
            raise click.UsageError(f"There is no file {text}.")
        return path

    return ask(question, str(default or ""), check=check)


def ask_files(question: str, present: Sequence[Path]) -> tuple[Path, ...]:
    """Files, asked for one after another until an empty answer; those `present` are kept unless `-` is answered."""
    found = list(present)
    for path in found:
        say(f"  {path}")
    hint = "Enter for no more, - to forget them" if found else "Enter for none"
    while True:
        answer = ask(f"{question} ({hint})", check=_dash_or_file)
        if answer is None:
            return tuple(found)
        if answer == Path("-"):
            found, hint = [], "Enter for none"
            continue
        found.append(answer)
        hint = "Enter for no more"


def _dash_or_file(text: str) -> Path | None:
    if text in ("", "-"):
        return Path("-") if text else None
    path = Path(text).expanduser()
    if not path.is_file():
        raise click.UsageError(f"There is no file {text}.")
    return path


def choose(question: str, options: Sequence[tuple[str, str]], default: str) -> str:
    """One of `options` (key, what it means), by its number or key."""
    keys = [key for key, _ in options]
    for number, (key, meaning) in enumerate(options, 1):
        say(f"  {number}  {key}: {meaning}" if meaning else f"  {number}  {key}")

    def check(text: str) -> str:
        if text in keys:
            return text
        if text.isdecimal() and 0 < int(text) <= len(keys):
            return keys[int(text) - 1]
        raise click.UsageError(f"Answer with a number from 1 to {len(keys)}.")

    return ask(question, str(keys.index(default) + 1), check=check)


def choose_some(question: str, options: Sequence[tuple[str, str]], default: Sequence[str]) -> tuple[str, ...]:
    """One or more of `options`, by numbers or keys with commas between."""
    keys = [key for key, _ in options]
    for number, (key, meaning) in enumerate(options, 1):
        say(f"  {number}  {key}: {meaning}")

    def check(text: str) -> tuple[str, ...]:
        found: list[str] = []
        for part in (one.strip() for one in text.split(",")):
            key = keys[int(part) - 1] if part.isdecimal() and 0 < int(part) <= len(keys) else part
            if key not in keys:
                raise click.UsageError(f"Answer with numbers from 1 to {len(keys)}, commas between them.")
            found.append(key)
        return tuple(dict.fromkeys(found))

    chosen = ",".join(str(keys.index(key) + 1) for key in default if key in keys)
    return ask(question, chosen, check=check)


def confirm(question: str, *, default: bool) -> bool:
    """Yes or no."""
    words = {"y": True, "yes": True, "n": False, "no": False}

    def check(text: str) -> bool:
        if text.lower() not in words:
            raise click.UsageError("Answer y or n.")
        return words[text.lower()]

    return ask(f"{question} [y/n]", "y" if default else "n", check=check)
