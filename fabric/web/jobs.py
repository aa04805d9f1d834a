"""Pages: every job of the fabric."""

from typing import Any

import django_filters
import django_tables2 as tables
from django import forms
from django.db.models import QuerySet
from django.urls import reverse

from fabric.commands.jobs import end_job
from fabric.policy import decide_end_job
from portal.kernel.models import Job, JobState
from portal.web.access import Access
from portal.web.commands import ObjectCommand
from portal.web.jobs import job_status, visible_jobs
from portal.web.registry import Portal
from portal.web.tables import BaseTable, NameColumn, StatusColumn, TimeColumn
from portal.web.views import CommandView, Empty, ObjectListView, Outcome

END = ObjectCommand("end", "Mark failed", "x", "fabric:job-end", decide_end_job, destructive=True)


class JobTable(BaseTable):
    title = NameColumn(url=lambda job: reverse("web:fabric-job", args=[job.pk]), icon=lambda _: "activity")
    state = StatusColumn(of=job_status, accessor="state", verbose_name="Status")
    target_name = tables.Column(verbose_name="About")
    created_by = tables.Column(verbose_name="Asked for by")
    created_at = TimeColumn(verbose_name="Since")
    finished_at = TimeColumn(verbose_name="Ended")

    class Meta(BaseTable.Meta):
        narrow = ("title", "state")


class JobFilter(django_filters.FilterSet):  # type: ignore[misc] # it has no types
    state = django_filters.ChoiceFilter(choices=JobState.choices, label="Status", empty_label="All")
    target_name = django_filters.CharFilter(lookup_expr="icontains", label="About")


class JobList(ObjectListView):
    """Jobs of all tenants and of the fabric itself, newest first."""

    access, rail, title = Access.FABRIC, "jobs", "jobs"
    table_class, filterset_class = JobTable, JobFilter
    commands = (END,)
    empty = Empty("No job has run yet.")

    def get_rows(self) -> QuerySet[Job]:
        return visible_jobs(self.actor, Portal.FABRIC).order_by("-created_at")

    def in_transition(self, row: Job) -> bool:
        return row.is_open


class EndForm(forms.Form):
    reason = forms.CharField(max_length=200, required=False, help_text="Shown to whoever asked for the job.")


class JobEnd(CommandView):
    """Mark a job that hangs as failed."""

    access, rail, title, submit_label = Access.FABRIC, "jobs", "mark a job as failed", "Mark as failed"
    parent_url_name, parent_label, destructive, command = "fabric:jobs", "jobs", True, END
    form_class = EndForm

    def get_object(self) -> Job:
        return visible_jobs(self.actor, Portal.FABRIC).get(pk=self.kwargs["pk"])

    def consequences(self) -> list[str]:
        return [
            f"“{self.object.title}” ends as failed, and what it reserved is given back.",
            "A host that still works on it is asked to remove what it made.",
        ]

    def run(self, data: dict[str, Any]) -> Outcome:
        job = end_job(self.actor, job=self.object, reason=data["reason"])
        return Outcome(reverse("web:fabric-job", args=[job.pk]), f"“{job.title}” was marked as failed.")
