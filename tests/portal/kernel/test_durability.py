"""A transaction that need not wait for the disk, and the others, which do."""

import fcntl
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection, transaction

from portal.kernel import audit
from portal.kernel.actor import system_actor
from portal.kernel.durability import unhurried_transaction
from portal.kernel.models import AuditEvent

NORMAL, FULL = 1, 2


@pytest.fixture
def sqlite() -> None:
    if connection.vendor != "sqlite":
        pytest.skip("only SQLite is told so")


def synchronous() -> int:
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA synchronous")
        return int(cursor.fetchone()[0])


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("usual", [NORMAL, FULL])
def test_only_this_transaction_does_not_wait(sqlite: None, usual: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"PRAGMA synchronous={usual}")
    with unhurried_transaction():
        assert synchronous() == NORMAL
    assert synchronous() == usual


@pytest.mark.django_db(transaction=True)
def test_a_failure_takes_everything_back_and_the_next_one_waits_again(sqlite: None) -> None:
    usual = synchronous()

    def fail_after_recording() -> None:
        with unhurried_transaction():
            audit.record(system_actor("test"), "vm:created", target_type="vm", target_id=1, summary="Made")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_after_recording()
    assert synchronous() == usual
    assert not AuditEvent.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_inside_a_transaction_that_waits_it_waits_too(sqlite: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"PRAGMA synchronous={FULL}")
    with transaction.atomic(), unhurried_transaction():
        assert synchronous() == FULL


@pytest.fixture
def queue(sqlite: None, tmp_path: Path) -> Iterator[Path]:
    """The queue's file, as if the database were a file."""
    name = connection.settings_dict["NAME"]
    connection.settings_dict["NAME"] = str(tmp_path / "hgs.sqlite3")
    yield tmp_path / "hgs.sqlite3-queue"
    connection.settings_dict["NAME"] = name


def is_taken(queue: Path) -> bool:
    with queue.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


@pytest.mark.django_db(transaction=True)
def test_it_has_the_queue_to_itself_until_it_is_committed(queue: Path) -> None:
    seen: list[bool] = []
    with unhurried_transaction():
        assert is_taken(queue)
        transaction.on_commit(lambda: seen.append(is_taken(queue)))
    assert seen == [False], "what waits for the commit keeps nobody waiting"
    assert not is_taken(queue)


@pytest.mark.django_db(transaction=True)
def test_a_failure_leaves_the_queue(queue: Path) -> None:
    def fail() -> None:
        with unhurried_transaction():
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert not is_taken(queue)


@pytest.mark.django_db(transaction=True)
def test_without_a_queue_it_waits_as_sqlite_does(queue: Path) -> None:
    queue.mkdir()
    with unhurried_transaction():
        audit.record(system_actor("test"), "vm:created", target_type="vm", target_id=1, summary="Made")
    assert AuditEvent.objects.count() == 1
