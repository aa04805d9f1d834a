"""Writes made at every attestation, with their SQL built once; `portal.kernel.prepared` has the reads.

A row is written as its model says: each field gives the value that the database gets. Signals are not sent.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Final, Generic, TypeAlias, TypeVar

from django.db import DEFAULT_DB_ALIAS, connection, connections
from django.db.models import AutoField, Field, Model

_M = TypeVar("_M", bound=Model)
_AnyField: TypeAlias = "Field[Any, Any]"
_MOST_PARAMETERS: Final = 10_000
"""Of one statement, where the database names no number."""


class PreparedInsert(Generic[_M]):
    """Inserts rows of one model."""

    def __init__(self, model: type[_M]) -> None:
        self._model = model

    def save(self, row: _M) -> None:
        """Insert ``row`` as ``save(force_insert=True)`` does. Raises what the database raises."""
        database = connections[DEFAULT_DB_ALIAS]  # looked up once, not by each field
        values = [field.get_db_prep_save(field.pre_save(row, True), database) for field in self._fields]
        with database.cursor() as cursor:
            cursor.execute(self._sql, values)
            if self._has_number:
                (row.pk,) = cursor.fetchone()
        row._state.adding = False
        row._state.db = DEFAULT_DB_ALIAS

    def save_all(self, rows: Sequence[_M]) -> None:
        """Insert rows whose keys are set, as few statements as there can be. Raises what the database raises.

        SQLite lets other threads go on during each statement, and this one waits for Python then: holding the lock on
        the database for all.
        """
        database = connections[DEFAULT_DB_ALIAS]
        most = (database.features.max_query_params or _MOST_PARAMETERS) // len(self._fields)
        with database.cursor() as cursor:
            for batch in (rows[begin : begin + most] for begin in range(0, len(rows), most)):
                values = [
                    field.get_db_prep_save(field.pre_save(row, True), database)
                    for row in batch
                    for field in self._fields
                ]
                cursor.execute(self._sql_for(len(batch)), values)

    @cached_property
    def _has_number(self) -> bool:
        """Whether the database gives the row its key."""
        return isinstance(self._model._meta.pk, AutoField)

    @cached_property
    def _fields(self) -> list[_AnyField]:
        return [field for field in self._model._meta.concrete_fields if not isinstance(field, AutoField)]

    @cached_property
    def _sql(self) -> str:
        returning = f" RETURNING {_column(_key(self._model))}" if self._has_number else ""
        return f"{self._sql_for(1)}{returning}"

    def _sql_for(self, rows: int) -> str:
        places = f"({', '.join('%s' for _ in self._fields)})"
        return f"{self._beginning}{', '.join([places] * rows)}"

    @cached_property
    def _beginning(self) -> str:
        columns = ", ".join(_column(field) for field in self._fields)
        return f"INSERT INTO {_quoted(self._model._meta.db_table)} ({columns}) VALUES "  # noqa: S608 - names are the models' own


class PreparedUpdate(Generic[_M]):
    """Sets the same fields of one row of a model, found by its key."""

    def __init__(self, model: type[_M], *names: str) -> None:
        self._model = model
        self._names = names

    def set(self, key: object, *values: object) -> None:
        """Set the fields, in the order they were named. Raises what the database raises."""
        fields = [*self._fields, _key(self._model)]
        given = zip(fields, (*values, key), strict=True)
        with connection.cursor() as cursor:
            cursor.execute(self._sql, [field.get_db_prep_save(value, connection) for field, value in given])

    @cached_property
    def _fields(self) -> list[_AnyField]:
        by_name = {field.name: field for field in self._model._meta.concrete_fields}
        return [by_name[name] for name in self._names]

    @cached_property
    def _sql(self) -> str:
        settings = ", ".join(f"{_column(field)} = %s" for field in self._fields)
        table, key = _quoted(self._model._meta.db_table), _column(_key(self._model))
        return f"UPDATE {table} SET {settings} WHERE {key} = %s"  # noqa: S608 - names are the models' own


def _key(model: type[Model]) -> _AnyField:
    key: _AnyField = model._meta.pk
    return key


def _column(field: _AnyField) -> str:
    return _quoted(str(field.column))


def _quoted(name: str) -> str:
    return connection.ops.quote_name(name)
