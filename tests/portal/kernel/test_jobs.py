"""Jobs end once, move forward only, and are found when their worker dies."""

from datetime import timedelta

import pytest
from django.utils import timezone

from portal.kernel import jobs
from portal.kernel.actor import system_actor
from portal.kernel.models import Job, JobState, StepState

pytestmark = pytest.mark.django_db
STEPS = [jobs.Step("place", "Choose a host"), jobs.Step("fetch", "Fetch"), jobs.Step("boot", "Boot", 2)]


@pytest.fixture
def job() -> Job:
    return jobs.create_job(
        system_actor("test"),
        kind="create-vm",
        title="Create web01",
        scope="subscription:1",
        target_type="vm",
        target_id="1",
        target_name="web01",
        steps=STEPS,
    )


def states(job: Job) -> list[str]:
    return [step.state for step in job.steps.all()]


def test_progress_starts_the_job_and_finishes_the_steps_before(job: Job) -> None:
    assert jobs.progress(job.pk, "place", 50)
    assert jobs.progress(job.pk, "fetch", 10, "template")
    job.refresh_from_db()
    assert job.state == JobState.RUNNING
    assert states(job) == [StepState.DONE, StepState.RUNNING, StepState.PENDING]
    assert job.percent == (100 + 10) // 4


def test_a_finished_step_keeps_its_result_and_forgets_what_it_was_doing(job: Job) -> None:
    jobs.progress(job.pk, "place", 100, "Placed on hv01")
    jobs.progress(job.pk, "fetch", 40, "Copying the template disk")
    jobs.progress(job.pk, "boot", 0, "Starting")
    assert [step.message for step in job.steps.all()] == ["Placed on hv01", "", "Starting"]
    jobs.succeed(job.pk)
    assert job.steps.get(key="boot").message == ""


def test_a_step_never_moves_backwards(job: Job) -> None:
    jobs.progress(job.pk, "fetch", 80)
    jobs.progress(job.pk, "fetch", 20, "late message")
    assert job.steps.get(key="fetch").percent == 80


def test_an_ended_job_takes_no_more_progress(job: Job) -> None:
    assert jobs.fail(job.pk, code="no-host", message="No host.")
    assert not jobs.progress(job.pk, "fetch", 10)
    assert not jobs.succeed(job.pk)
    job.refresh_from_db()
    assert (job.state, job.error_code) == (JobState.FAILED, "no-host")


def test_success_is_a_hundred_percent_and_closes_every_step(job: Job) -> None:
    jobs.progress(job.pk, "fetch", 30)
    assert jobs.succeed(job.pk, {"address": "10.0.0.4"})
    job.refresh_from_db()
    assert (job.percent, job.result) == (100, {"address": "10.0.0.4"})
    assert states(job) == [StepState.SKIPPED, StepState.DONE, StepState.SKIPPED]


def test_an_unknown_step_is_refused(job: Job) -> None:
    assert not jobs.progress(job.pk, "no-such-step", 10)


def test_a_job_whose_worker_went_silent_is_lost(job: Job) -> None:
    jobs.progress(job.pk, "fetch", 30)
    assert jobs.reap_lost(timezone.now()) == []
    lost = jobs.reap_lost(timezone.now() + jobs.LEASE + timedelta(seconds=1))
    assert [j.pk for j in lost] == [job.pk]
    assert lost[0].state == JobState.LOST
    assert job.steps.get(key="fetch").state == StepState.FAILED
