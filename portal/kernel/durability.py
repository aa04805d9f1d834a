"""Transactions that come often: they need not wait for the disk, and wait for one another in order."""

import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from django.db import connection, transaction

# Whoever leaves the system's queue wakes all who stand in it, so each process sends one thread there.
_one_of_us = threading.Lock()


@contextmanager
def unhurried_transaction() -> Iterator[None]:
    """A transaction whose commit does not wait until SQLite's log is on the disk.

    All or nothing holds as ever, and what is committed outlives the process. A power cut may take back the last
    transactions of this kind (those since the last one that waited, or since SQLite last wrote its log back); never a
    part of one, and never one of the others. For what can be had again by asking again. On PostgreSQL, and inside
    another transaction, it is an ordinary one.
    """
    with ExitStack() as stack:
        if connection.vendor != "sqlite" or connection.in_atomic_block:
            stack.enter_context(transaction.atomic())
        else:
            give_way = stack.enter_context(_turn())
            stack.enter_context(_without_waiting_for_the_disk())
            stack.enter_context(transaction.atomic())
            transaction.on_commit(give_way)  # before what else waits for the commit
        yield


@contextmanager
def orderly_transaction() -> Iterator[None]:
    """A transaction that waits for its turn in order, and whose commit waits for the disk, as the settings say.

    On PostgreSQL, and inside another transaction, it is an ordinary one.
    """
    with ExitStack() as stack:
        if connection.vendor == "sqlite" and not connection.in_atomic_block:
            stack.enter_context(_turn())
        stack.enter_context(transaction.atomic())
        yield


@contextmanager
def _turn() -> Iterator[Callable[[], None]]:
    """Wait for the database's one place to write, in a queue that the system keeps; gives what leaves it early.

    SQLite itself asks again and again, ever less often: with some threads writing all the time, one of them may not
    get its turn for seconds. Only order hangs on the queue: whoever cannot join it waits as SQLite does.
    """
    connection.ensure_connection()
    name = Path(str(connection.settings_dict["NAME"]))
    with ExitStack() as place:
        if name.is_absolute():
            place.enter_context(_one_of_us)
            with suppress(OSError):
                queue = os.open(f"{name}-queue", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                place.callback(os.close, queue)
                fcntl.flock(queue, fcntl.LOCK_EX)
        yield place.close


@contextmanager
def _without_waiting_for_the_disk() -> Iterator[None]:
    # SQLite's own connection: three settings through Django's cursors would take longer than the transaction.
    sqlite = connection.connection
    (before,) = sqlite.execute("PRAGMA synchronous").fetchone()
    sqlite.execute("PRAGMA synchronous=NORMAL")
    try:
        yield
    finally:
        sqlite.execute(f"PRAGMA synchronous={int(before)}")  # a number that SQLite itself gave; no parameters here
