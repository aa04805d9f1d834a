"""Reads made at every request, with their SQL built once.

Django builds the SQL of a query set anew each time it is read, which takes ten times as long as SQLite needs to answer.
A prepared query follows its models as any query set does, and reads the database each time: nothing is remembered but
the text.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from django.db import DEFAULT_DB_ALIAS, connection
from django.db.models import QuerySet

PARAMETER: Final = "\x00prepared parameter"
"""Stands in a filter on text for a value that is given at each read."""


@dataclass(frozen=True)
class _Statement:
    sql: str
    parameters: tuple[Any, ...]
    converters: tuple[tuple[int, tuple[Callable[..., Any], ...], Any], ...]
    """Position of a column, what turns the database's value into Python's, and the column's expression."""


class Prepared:
    """A query of one kind of rows as tuples, from ``build``: a query set made by ``values_list``."""

    def __init__(self, build: Callable[[], QuerySet[Any, Any]]) -> None:
        self._build = build

    def rows(self, *values: str) -> list[tuple[Any, ...]]:
        """Every row; ``values`` take the places of PARAMETER, in the order of the SQL."""
        statement = self._statement
        given = iter(values)
        parameters = [next(given) if item == PARAMETER else item for item in statement.parameters]
        with connection.cursor() as cursor:
            cursor.execute(statement.sql, parameters)
            found: Sequence[tuple[Any, ...]] = cursor.fetchall()
        return [_converted(row, statement) for row in found]

    def first(self, *values: str) -> tuple[Any, ...] | None:
        """The first row, or None."""
        return next(iter(self.rows(*values)), None)

    @cached_property
    def _statement(self) -> _Statement:
        compiler = self._build().query.get_compiler(DEFAULT_DB_ALIAS)
        sql, parameters = compiler.as_sql()
        converters = compiler.get_converters([column for column, _, _ in compiler.select or ()])
        listed = tuple((at, tuple(functions), column) for at, (functions, column) in converters.items())
        return _Statement(sql, tuple(parameters), listed)


def _converted(row: tuple[Any, ...], statement: _Statement) -> tuple[Any, ...]:
    if not statement.converters:
        return row
    values = list(row)
    for at, functions, column in statement.converters:
        for function in functions:
            values[at] = function(values[at], column, connection)
    return tuple(values)
