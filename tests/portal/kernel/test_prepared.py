"""A prepared query answers as its query set does, each time anew."""

import uuid

import pytest
from django.utils import timezone

from portal.kernel import audit
from portal.kernel.actor import system_actor
from portal.kernel.models import AuditEvent, Job
from portal.kernel.prepared import PARAMETER, Prepared, PreparedObject

pytestmark = pytest.mark.django_db


def test_it_reads_what_is_there_now() -> None:
    query = Prepared(lambda: AuditEvent.objects.filter(event=PARAMETER).order_by("sequence").values_list("summary"))
    assert query.rows("vm:created") == []
    for number in range(2):
        audit.record(system_actor("test"), "vm:created", target_type="vm", target_id=number, summary=f"Made {number}")
    audit.record(system_actor("test"), "vm:removed", target_type="vm", target_id=0, summary="Gone")
    assert query.rows("vm:created") == [("Made 0",), ("Made 1",)]
    assert query.first("vm:removed") == ("Gone",)
    assert query.first("vm:started") is None


def test_values_are_pythons_own() -> None:
    columns = ("id", "created_at", "result", "percent")
    query = Prepared(lambda: Job.objects.filter(scope=PARAMETER, state="queued").values_list(*columns))
    job = Job.objects.create(id=uuid.uuid4(), kind="k", title="t", scope="one", result={"a": [1]}, percent=7)
    row = query.first("one")
    assert row == Job.objects.values_list(*columns).get()
    assert row == (job.id, job.created_at, {"a": [1]}, 7)
    assert row[1].tzinfo is not None
    assert row[1] <= timezone.now()
    assert query.first("two") is None


def test_an_object_is_the_row_with_what_was_not_read_left_for_later() -> None:
    query = PreparedObject(Job, lambda jobs: jobs.filter(scope=PARAMETER).defer("result"))
    job = Job.objects.create(kind="k", title="t", scope="one", result={"a": [1]})
    found = query.first("one")
    assert found == job
    assert found is not None
    assert found.get_deferred_fields() == {"result"}
    assert found.result == {"a": [1]}
    assert (found.created_at, found.title) == (job.created_at, "t")
    found.title = "another"
    found.save(update_fields=["title"])
    assert query.first("one").title == "another"  # type: ignore[union-attr]
    assert query.first("two") is None
