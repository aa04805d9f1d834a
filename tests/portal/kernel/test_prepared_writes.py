"""Prepared writes leave in the database what the models' own do."""

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from portal.kernel.models import AuditEvent, AuditHead, Job
from portal.kernel.prepared_writes import PreparedInsert, PreparedUpdate

pytestmark = pytest.mark.django_db


def event(sequence: int) -> AuditEvent:
    return AuditEvent(
        sequence=sequence,
        at=timezone.now(),
        actor_kind="user",
        actor_id="ann",
        actor_name="ann",
        event="vm:created",
        target_type="vm",
        target_id="1",
        summary="Ünïcode, 'quotes' and %s",
        data={"a": [1, None, "ä"]},
        digest=bytes(range(32)),
    )


def test_an_inserted_row_is_the_row_that_save_writes() -> None:
    prepared, usual = event(1), event(2)
    usual.at = prepared.at
    PreparedInsert(AuditEvent).save(prepared)
    usual.save(force_insert=True)
    assert prepared.pk is not None
    assert prepared == AuditEvent.objects.get(sequence=1)
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM kernel_auditevent ORDER BY sequence")
        first, second = cursor.fetchall()
    assert first[2:] == second[2:]
    prepared.summary = "changed"
    prepared.save()
    assert AuditEvent.objects.count() == 2


def test_a_row_with_a_key_of_its_own_keeps_it() -> None:
    job = Job(kind="k", title="t", scope="s", result={"x": 1})
    PreparedInsert(Job).save(job)
    assert Job.objects.get(pk=job.pk).result == {"x": 1}
    assert job.created_at is not None


def test_what_the_database_refuses_is_refused() -> None:
    insert = PreparedInsert(AuditEvent)
    insert.save(event(1))
    with pytest.raises(IntegrityError), transaction.atomic():
        insert.save(event(1))


def test_an_update_sets_the_named_fields_of_one_row() -> None:
    AuditHead.objects.create(pk=1)
    AuditHead.objects.create(pk=2)
    PreparedUpdate(AuditHead, "sequence", "digest").set(1, 7, b"\x01\xff")
    assert [(head.sequence, bytes(head.digest)) for head in AuditHead.objects.order_by("pk")] == [
        (7, b"\x01\xff"),
        (0, b""),
    ]


def test_many_rows_are_the_rows_that_save_writes() -> None:
    count = 3 * (connection.features.max_query_params or 999) // len(Job._meta.concrete_fields) + 1
    jobs = [Job(kind="k", title=f"{number}", scope="s", result={"x": number}) for number in range(count)]
    PreparedInsert(Job).save_all(jobs)
    usual = Job(kind="k", title="7", scope="s", result={"x": 7})
    usual.save(force_insert=True)
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM kernel_job WHERE title = '7' ORDER BY id = %s", [usual.pk.hex])
        names = [column[0] for column in cursor.description]
        own = {"id": None, "created_at": None}
        first, second = (dict(zip(names, row, strict=True)) | own for row in cursor.fetchall())
    assert first == second
    assert Job.objects.count() == count + 1
    PreparedInsert(Job).save_all([])
    assert Job.objects.count() == count + 1


def test_of_many_rows_none_is_there_when_one_is_refused() -> None:
    insert, job = PreparedInsert(Job), Job(kind="k", title="t", scope="s")
    with pytest.raises(IntegrityError), transaction.atomic():
        insert.save_all([Job(kind="k", title="u", scope="s"), job, job])
    assert not Job.objects.exists()
