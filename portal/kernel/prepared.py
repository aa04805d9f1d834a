"""Reads made at every request, with their SQL built once.

Django builds the SQL of a query set anew each time it is read, which takes ten times as long as SQLite needs to answer.
A prepared query follows its models as any query set does, and reads the database each time: nothing is remembered but
the text.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Generic, TypeVar

from django.db import DEFAULT_DB_ALIAS, connection
from django.db.models import Model, QuerySet

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


_M = TypeVar("_M", bound=Model)


class PreparedObject(Generic[_M]):
    """A query of one row as an object, from ``choose``: what is taken of all rows of the model."""

    def __init__(self, model: type[_M], choose: Callable[[QuerySet[_M]], QuerySet[_M]]) -> None:
        self._model = model
        self._choose = choose

    def first(self, *values: str) -> _M | None:
        """The object, or None; fields that ``choose`` defers are read when they are looked at, as ever."""
        row = self._rows.first(*values)
        return None if row is None else self._model.from_db(DEFAULT_DB_ALIAS, self._names, row)

    @cached_property
    def _rows(self) -> Prepared:
        return Prepared(lambda: self._choose(self._model._default_manager.all()).order_by().values_list(*self._names))

    @cached_property
    def _names(self) -> list[str]:
        deferred, is_deferred = self._choose(self._model._default_manager.all()).query.deferred_loading
        fields = self._model._meta.concrete_fields
        return [field.attname for field in fields if (field.name in deferred) is not is_deferred]


def _converted(row: tuple[Any, ...], statement: _Statement) -> tuple[Any, ...]:
    if not statement.converters:
        return row
    values = list(row)
    for at, functions, column in statement.converters:
        for function in functions:
            values[at] = function(values[at], column, connection)
    return tuple(values)
