"""A transaction that need not wait for the disk, and the others, which do."""

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
