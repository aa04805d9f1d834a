"""Publishing a template disk that was uploaded in parts: a worker hashes it, however large, and no page waits for that.

Its SHA-256 is computed from what lies in the library once all of it is there. A running hash could not be kept from one
piece to the next: pieces come to different processes, and the state of a hash cannot be stored.
"""

from datetime import datetime
from typing import Final
from uuid import UUID

from django.contrib.auth import get_user_model
from django.db import transaction
from django.utils import timezone

from fabric import library, partial_files
from fabric.commands.templates import publish_template, require_new_identity
from fabric.commands.uploads import drop, require_idle
from fabric.dispatch import enqueue
from fabric.models import BlobKind, TemplateDisk, Upload
from fabric.policy import FabricAction, decide
from portal.kernel import jobs
from portal.kernel.actor import Actor, user_actor
from portal.kernel.errors import Conflict, DomainError
from portal.kernel.models import Job, JobState
from portal.kernel.policy import require

TASK: Final = "fabric.publish_template"
LONGEST: Final = 6 * 3600
"""Seconds that hashing and publishing may take; the largest disk needs 3 MB a second for that."""
_SAY_EVERY: Final = 1.0  # seconds


def begin_publishing(
    actor: Actor, *, catalog: bytes, upload: Upload, description: str = "", family: str = "", release: str = ""
) -> Job:
    """Have a worker publish a disk that has arrived; its upload stays until that is done, for another try.

    The template disk gets the upload's id, so that the job can name it before it is there.
    Raises `Denied`, `Invalid` (catalog, size) `Conflict` (`template-exists`, `upload-busy`) and `NotFound`.
    """
    require(decide(actor, FabricAction.PUBLISH_TEMPLATE))
    identity = require_new_identity(catalog)
    words = {"description": description[:500], "family": family, "release": release}
    with library.receive([catalog], BlobKind.CATALOG) as received, transaction.atomic():
        # The row orders two who finish the same upload.
        row = Upload.objects.select_for_update().filter(pk=upload.pk).first()
        if row is None:
            raise partial_files.gone()
        require_idle(row)
        job = jobs.create_job(
            actor, kind="publish-template", title=f"Publish {identity.disk_name} {identity.version}", scope="fabric",
            target_type="template-disk", target_id=upload.pk, target_name=f"{identity.disk_name} {identity.version}",
            steps=[jobs.Step("hash", "Compute its SHA-256", 9), jobs.Step("publish", "Put it into the library", 1)],
        )  # fmt: skip
        received.path.replace(upload.catalog_path)
        Upload.objects.filter(pk=upload.pk).update(job_id=job.pk, request=words)
        enqueue(TASK, {"job_id": str(job.pk), "upload_id": str(upload.pk)})
    return job


def publish_uploaded(job_id: UUID, upload_id: UUID) -> None:
    """The worker's part. A message that comes twice does nothing the second time."""
    upload = Upload.objects.filter(pk=upload_id, job_id=job_id).first()
    if upload is None or not jobs.start(job_id):
        return
    try:
        template = _publish(job_id, upload)
    except DomainError as error:
        jobs.fail(job_id, code=error.code, message=error.message, advice=error.advice)
        return
    except Exception:
        jobs.fail(
            job_id, code="publishing-failed", message="The portal failed while it published the disk.",
            advice="Try again; the worker's log says more.", state=JobState.ERRORED,
        )  # fmt: skip
        raise
    jobs.succeed(job_id, {"template": str(template.pk)})
    drop(upload)


def _publish(job_id: UUID, upload: Upload) -> TemplateDisk:
    catalog = upload.catalog_path.read_bytes()
    jobs.progress(job_id, "hash", 0)
    partial_files.settle(upload.path)
    sha256 = library.hash_of(upload.path, _Progress(job_id, upload.length).tell)
    jobs.progress(job_id, "publish", 0)
    received = library.Received(upload.path, sha256, upload.length, BlobKind.TEMPLATE_DISK)
    return publish_template(_sender(upload), catalog=catalog, disk=received, pk=upload.pk, **upload.request)


def _sender(upload: Upload) -> Actor:
    """Who sent it, as of now: somebody who has lost the right meanwhile publishes nothing."""
    return user_actor(get_user_model().objects.get(pk=upload.owner_id, is_active=True))


class _Progress:
    """Tells a job how much of a file is hashed, at most once a second; ends the work when the job has ended."""

    def __init__(self, job_id: UUID, length: int) -> None:
        self._job_id, self._length = job_id, length
        self._began = self._said = timezone.now()

    def tell(self, done: int) -> None:
        now = timezone.now()
        if (now - self._said).total_seconds() < _SAY_EVERY:
            return
        self._said = now
        if not jobs.progress(self._job_id, "hash", min(99, 100 * done // self._length), self._sentence(done, now)):
            raise Conflict("job-ended", "This job was ended.", "Publish the disk again.")

    def _sentence(self, done: int, now: datetime) -> str:
        rate = done / max((now - self._began).total_seconds(), 0.001)
        left = (self._length - done) / rate
        sizes = f"{library.readable_size(done)} of {library.readable_size(self._length)}"
        return f"{sizes}, {library.readable_size(int(rate))} a second, {left:.0f} s left"
