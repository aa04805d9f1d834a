"""`--value NAME=VALUE`: values for substitution strings, as a fabric would give them. They are not secret."""

from __future__ import annotations

from collections.abc import Iterable

import click

VALUE_OPTION = click.option(
    "--value", "values", multiple=True, help="A value that the fabric would give, NAME=VALUE. Repeatable."
)


def values_from(arguments: Iterable[str]) -> dict[str, str]:
    """Substitution string → value. `ComputerName` and `@ComputerName@` are the same. Raises click.BadParameter."""
    found: dict[str, str] = {}
    for argument in arguments:
        name, separator, value = argument.partition("=")
        name = f"@{name.strip('@')}@"
        if not separator:
            raise click.BadParameter(f"expected NAME=VALUE, not {argument[:64]}")
        if name in found:
            raise click.BadParameter(f"{name[:64]} is given twice")
        found[name] = value
    return found
