"""Transactions that need not wait for the disk."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction


@contextmanager
def unhurried_transaction() -> Iterator[None]:
    """A transaction whose commit does not wait until SQLite's log is on the disk.

    All or nothing holds as ever, and what is committed outlives the process. A power cut may take back the last
    transactions of this kind (those since the last one that waited, or since SQLite last wrote its log back); never a
    part of one, and never one of the others. For what can be had again by asking again. On PostgreSQL, and inside
    another transaction, it is an ordinary one.
    """
    if connection.vendor != "sqlite" or connection.in_atomic_block:
        with transaction.atomic():
            yield
        return
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA synchronous")
        (before,) = cursor.fetchone()
        cursor.execute("PRAGMA synchronous=NORMAL")
    try:
        with transaction.atomic():
            yield
    finally:
        # A number that SQLite itself gave; PRAGMA takes no parameters.
        with connection.cursor() as cursor:
            cursor.execute(f"PRAGMA synchronous={int(before)}")
