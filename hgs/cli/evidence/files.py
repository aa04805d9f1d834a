"""Files given on the command line: read up to a limit, and every problem with them a sentence and exit code 2."""

import sys
import warnings
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar

import click

from hgs.attestation.errors import AttestationError
from portal.cli.failure import CliError
from portal.cli.output import json_text

UNUSABLE: Final = 2
"""Exit code: what was given cannot be read, so nothing was checked."""
DIFFERENT: Final = 1
"""Exit code: read and checked, and the answer is no."""
FAULT: Final = "This program met something in the file that it does not handle"
_P = ParamSpec("_P")
_R = TypeVar("_R")


def file_type() -> click.Path:
    """A file to read; its absence is reported by :func:`read_file`."""
    return click.Path(path_type=Path)


def read_file(path: Path, limit: int) -> bytes:
    """The file's bytes, one more than ``limit`` at most, so that a parser can refuse it by its size.

    Raises ``CliError`` with exit code 2.
    """
    try:
        if str(path) == "-":
            return sys.stdin.buffer.read(limit + 1)
        with path.open("rb") as file:
            return file.read(limit + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CliError(f"{path}: {reason}.", "Check the path and its permissions.", exit_code=UNUSABLE) from error


def offline(command: Callable[_P, _R]) -> Callable[_P, _R]:
    """Turn whatever a file brings about into a sentence and exit code 2."""

    @wraps(command)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            # Libraries remark on odd certificates; what matters of that is in the command's own words.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return command(*args, **kwargs)
        except AttestationError as error:
            raise CliError(error.message, exit_code=UNUSABLE) from error
        except (click.ClickException, click.Abort, click.exceptions.Exit):
            raise
        except Exception as error:
            name = type(error).__name__
            raise CliError(f"{FAULT} ({name}).", "Report it with the file.", exit_code=UNUSABLE) from error

    return run


def show_json(value: Any) -> None:
    """Print as JSON, in the order given."""
    click.echo(json_text(value))


def json_option(command: Callable[_P, _R]) -> Callable[_P, _R]:
    """Add ``--json``, passed as ``as_json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")(command)
