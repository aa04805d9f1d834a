"""How the command line fails: `error: what happened`, `what to do: …` on stderr, and an exit code for scripts.

0 done · 1 refused or failed · 2 used wrongly (click's own) · 3 a server could not be reached.
"""

from __future__ import annotations

from typing import IO, Any, Final, Protocol, runtime_checkable

import click

from portal.cli.output import printable

FAILED: Final = 1
USAGE: Final = 2
UNREACHABLE: Final = 3


@runtime_checkable
class Reportable(Protocol):
    """What errors of every package have in common: a stable code and a sentence without secrets.

    They may also have `advice`, `fields` (name → problem) and `exit_code`.
    """

    code: str
    message: str


class CliError(click.ClickException):
    """An error to show and end with. `advice` says what to do, `details` are further lines."""

    def __init__(
        self, message: str, advice: str = "", *, exit_code: int = FAILED, details: tuple[str, ...] = ()
    ) -> None:
        super().__init__(message)
        self.advice = advice
        self.details = details
        self.exit_code = exit_code  # type: ignore[misc]  # click's stubs say class, click reads the instance

    def show(self, file: IO[Any] | None = None) -> None:
        """Write the error to stderr."""
        click.echo(f"error: {_line(self.message)}", file=file, err=file is None)
        for detail in self.details:
            click.echo(f"  {_line(detail)}", file=file, err=file is None)
        if self.advice:
            click.echo(f"what to do: {_line(self.advice)}", file=file, err=file is None)


def _line(text: str) -> str:
    """One line; nothing in it that a server, a file or a name brought along can steer the terminal."""
    return printable(" ".join(text.splitlines()))


def friendly(error: Exception) -> CliError | None:
    """The error as a user should see it, None if it is none that a user can do anything about."""
    if isinstance(error, Reportable):
        fields = getattr(error, "fields", None) or {}
        details = tuple(f"{name}: {problem}" for name, problem in fields.items())
        code = getattr(error, "exit_code", FAILED)
        return CliError(error.message, str(getattr(error, "advice", "")), exit_code=code, details=details)
    if isinstance(error, OSError) and error.filename is not None:
        return CliError(f"{error.filename}: {error.strerror}.", "Check the path and its permissions.")
    return None
