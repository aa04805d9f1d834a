"""Following the portal's jobs on the command line."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

import click

from portal.cli.failure import CliError
from portal.cli.output import printable
from portal.cli.rest import RestClient

_OPEN: Final = frozenset({"queued", "running"})
_POLL_SECONDS: Final = 1.0
wait_option = click.option("--wait", is_flag=True, help="Follow the job until it ends.")
timeout_option = click.option("--timeout", type=float, default=600.0, show_default=True, help="Seconds to wait.")


def job_of(started: Mapping[str, Any]) -> str:
    """The id of the job in an answer that begins one."""
    return str(started["job"]).rstrip("/").rpartition("/")[2]


def follow(rest: RestClient, job_id: str, timeout: float) -> None:
    """Say each step as it begins; raises CliError with the job's reason if it fails, or when `timeout` is over."""
    deadline, said = time.monotonic() + timeout, set[str]()
    while True:
        job = rest.get(f"/api/v1/jobs/{job_id}/")
        for step in job["steps"]:
            if step["state"] in ("running", "done", "failed") and step["key"] not in said:
                said.add(step["key"])
                click.echo(printable(step["title"]), err=True)
        if job["state"] not in _OPEN:
            break
        if time.monotonic() >= deadline:
            raise CliError(f"The job {job_id} still runs after {timeout:g} s.", "It goes on in the portal.")
        time.sleep(_POLL_SECONDS)
    if job["state"] != "succeeded":
        error = job.get("error") or {}
        raise CliError(str(error.get("message") or f"The job ended as {job['state']}."), str(error.get("advice") or ""))
