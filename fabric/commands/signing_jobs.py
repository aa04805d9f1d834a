"""What the control plane's worker does for a signing: look at the disk, and convert, sign and publish it.

A job may be begun again at any time, by a message that came twice or after its worker was killed: what was converted
and hashed is kept in the signing's folder, and nothing is published twice. A job that has ended, because somebody
cancelled it, stops the work at its next report.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import astuple
from pathlib import Path
from typing import Any
from uuid import UUID

import structlog
from cryptography import x509
from django.contrib.auth import get_user_model

from fabric.commands import signing_work
from fabric.commands.signing_work import Seen
from fabric.commands.templates import publish_template
from fabric.disks.catalog import SignedCatalog
from fabric.disks.errors import DiskError
from fabric.dispatch import enqueue
from fabric.library import CHUNK_BYTES
from fabric.models import TemplateDisk, TemplateSigning
from fabric.publishing.conversion import convert_watched
from fabric.publishing.errors import PublishingError
from fabric.publishing.findings import find_out, refusal
from fabric.publishing.images import Container, check_image, container_of, require_room
from fabric.publishing.pace import Pace
from fabric.publishing.signing import ToSign, sign_template
from fabric.signers import open_signer
from portal.kernel import jobs
from portal.kernel.actor import Actor, system_actor, user_actor
from portal.kernel.errors import Denied, DomainError
from portal.kernel.ids import short
from portal.kernel.models import Job, JobState

log = structlog.get_logger(__name__)
ASK_AGAIN_SECONDS = 3.0
REPORT_SECONDS = 1.0
TARGET_ACTOR = "template-signing"


class Stopped(Exception):  # noqa: N818 - reads as a word: raise Stopped
    """The job has ended while its work went on."""


def inspect(job_id: UUID, signing_id: UUID) -> None:
    """Look at a signing's disk and keep what was found, unless another disk was chosen meanwhile."""
    signing = _of(job_id, TemplateSigning.objects.filter(pk=signing_id, inspection_job=job_id))
    if signing is None:
        return
    with _outcome(job_id):
        jobs.progress(job_id, "inspect", 1)
        seen = Seen.of(signing_work.source_of(signing))
        with signing_work.inspection(signing) as disk:
            found = _findings(disk, signing)
        found["seen"] = list(astuple(seen))
        kept = TemplateSigning.objects.filter(pk=signing.pk, inspection_job=job_id)
        kept.update(inspection=found)
        jobs.succeed(job_id)


def sign(job_id: UUID, signing_id: UUID) -> None:
    """Convert, hash, sign and publish; or ask again later while another disk is being signed."""
    signing = _of(job_id, TemplateSigning.objects.filter(pk=signing_id, job=job_id))
    if signing is None:
        return
    with signing_work.turn() as mine:
        if not mine:
            jobs.heartbeat(job_id)
            again = {"job_id": str(job_id), "signing_id": str(signing_id)}
            enqueue("fabric.sign_template", again, countdown=ASK_AGAIN_SECONDS)
            return
        with _outcome(job_id):
            _sign(job_id, signing)


def _sign(job_id: UUID, signing: TemplateSigning) -> None:
    source = signing_work.source_of(signing)
    seen = _same_as_inspected(signing, Seen.of(source))
    jobs.start(job_id)
    folder = signing_work.folder_of(signing.pk)
    link = signing_work.linked(folder, signing)
    disk = _publishable(job_id, folder, link, signing_work.converted_of(folder, source, seen))
    order = ToSign(
        disk, signing.name, signing.version, open_signer(signing.signer, signing.signer_fingerprint),
        _boot_certificate(signing), signing_work.catalog_of(folder),
    )  # fmt: skip
    signed = sign_template(order, _reporter(job_id, "hash"))
    _publish(job_id, signing, signed, order, lambda: _require_same(Seen.of(source), seen))
    signing_work.forget(signing.pk)


def _publishable(job_id: UUID, folder: Path, link: Path, target: Path) -> Path:
    """The disk itself if hosts can read it, else `target`, a VHDX of it: what is signed is what will be published."""
    container = container_of(link)
    if container in (Container.RAW, Container.VHDX):
        return link
    length = check_image(link, container)
    if not target.exists():
        require_room(folder, length)
        convert_watched(link, target, container, lambda percent: _progress(job_id, "convert", min(percent, 99)))
    _progress(job_id, "convert", 100)
    return target


def _publish(
    job_id: UUID, signing: TemplateSigning, signed: SignedCatalog, order: ToSign, check: Callable[[], None]
) -> None:
    def ended(template: TemplateDisk) -> None:
        roots = {volume.role.value: volume.root.hex() for volume in signed.catalog.volumes}
        result = {"issuer": signed.certificate.issuer.rfc4514_string(), "roots": roots}
        TemplateSigning.objects.filter(pk=signing.pk).update(template=template, result=result)
        if not jobs.succeed(job_id, {"template": str(template.pk)}):
            raise Stopped

    _progress(job_id, "publish", 0)
    publish_template(
        _who_started(signing), catalog=order.catalog.read_bytes(), description=signing.description, also=ended,
        disk=_chunks(order.disk, _reporter(job_id, "publish"), check),
    )  # fmt: skip


def _who_started(signing: TemplateSigning) -> Actor:
    """The person, with the rights of now. Raises `Denied`."""
    if not signing.started_by:
        return system_actor(TARGET_ACTOR)
    user: Any = get_user_model().objects.filter(pk=signing.started_by, is_active=True).first()
    if user is None:
        raise Denied("account-gone", "Whoever started this has no account any more.", "Start it again.")
    return user_actor(user)


def _chunks(path: Path, report: Callable[[int, int], None], check: Callable[[], None]) -> Iterator[bytes]:
    total, done = path.stat().st_size, 0
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            yield chunk
            done += len(chunk)
            report(done, total)
    check()


def _reporter(job_id: UUID, step: str) -> Callable[[int, int], None]:
    """Writes the job's progress about once a second; raises `Stopped` when the job has ended."""
    pace, last = Pace(), 0.0

    def report(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        words = pace.sentence(done, total, now)
        if now - last >= REPORT_SECONDS:
            last = now
            _progress(job_id, step, min(done * 100 // max(total, 1), 99), words)

    return report


def _progress(job_id: UUID, step: str, percent: int, message: str = "") -> None:
    if not jobs.progress(job_id, step, percent, message):
        raise Stopped


def _findings(disk: Path, signing: TemplateSigning) -> dict[str, Any]:
    try:
        return find_out(disk, _boot_certificate(signing))
    except (PublishingError, DiskError) as error:
        if isinstance(error, PublishingError) and error.code == "tool-missing":
            raise
        return {"refusal": refusal(error)}


def _boot_certificate(signing: TemplateSigning) -> x509.Certificate:
    return x509.load_pem_x509_certificate(signing.boot_certificate.encode("ascii"))


def _same_as_inspected(signing: TemplateSigning, seen: Seen) -> Seen:
    inspection = signing.inspection or {}
    _require_same(seen, Seen(*inspection["seen"]) if "seen" in inspection else None)
    return seen


def _require_same(now: Seen, before: Seen | None) -> None:
    if now != before:
        raise PublishingError(
            "disk-changed", "The disk changed since it was looked at.", "Let nothing write to it, and inspect it again."
        )


def _of(job_id: UUID, found: Any) -> TemplateSigning | None:
    """The signing if its job is this one and has not ended."""
    signing: TemplateSigning | None = found.select_related("disk__blob").first()
    return signing if signing and Job.objects.get(pk=job_id).is_open else None


@contextmanager
def _outcome(job_id: UUID) -> Iterator[None]:
    """End the job by whatever stops the work, with its reason."""
    try:
        yield
    except Stopped:
        log.info("signing-stopped", job=str(job_id))
    except (PublishingError, DiskError, DomainError) as error:
        jobs.fail(job_id, code=error.code, message=error.message, advice=error.advice)
    except OSError as error:
        said = f"A file could not be read or written: {error.strerror or type(error).__name__}."
        jobs.fail(job_id, code="file-trouble", message=said, advice="Look at the library's disk, then try again.")
    except Exception:
        log.exception("job-errored", job=str(job_id), error_id=short(job_id))
        jobs.fail(
            job_id, state=JobState.ERRORED, code="signing-error",
            message=f"A fault in the worker stopped this. Error id {short(job_id)}.",
            advice="Try again. If it repeats, find the id in the worker's log.",
        )  # fmt: skip
