"""The option that names a policy version."""

from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

_F = TypeVar("_F", bound=Callable[..., Any])
_VERSIONS: Final = {"v1": 1, "v2": 2}


def version_option(command: _F) -> _F:
    """Add ``--policy-version v1|v2``, passed as ``version``: 1, 2, or None where it is not given."""
    return click.option(
        "--policy-version",
        "version",
        type=click.Choice(list(_VERSIONS)),
        callback=lambda _context, _option, value: _VERSIONS.get(value),
        help="Protocol version that it counts for; a host passes by what is of one version.",
    )(command)
