"""Receiving a file in parts: announced, sent piece by piece, used up by the command it was sent for, or expired."""

import shutil
import unicodedata
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from django.contrib.auth import get_user_model
from django.db import transaction

from fabric import partial_files
from fabric.file_types import HEAD_BYTES, check_beginning
from fabric.library import limit_of, readable_size
from fabric.models import BlobKind, Upload
from fabric.models.upload import incoming_folder
from fabric.policy import decide_upload
from portal.kernel.actor import Actor
from portal.kernel.errors import Conflict, Invalid, NotFound, Unavailable
from portal.kernel.models import OPEN_STATES, Job
from portal.kernel.policy import require

IDLE: Final = timedelta(hours=24)
"""How long an upload waits for its next piece."""
LONGEST: Final = timedelta(days=7)
"""How long it may take from beginning to end; as long, an expired one is still answered as such."""
AT_ONCE: Final = {BlobKind.SHIELDING_DATA: 8, BlobKind.TEMPLATE_DISK: 4}
"""How many unfinished uploads of a kind one account may have; with the limit of the kind's size, its quota of room."""
SPARE_BYTES: Final = 256 << 20
"""Room that uploads leave to everything else on the library's storage."""


def begin_upload(
    actor: Actor, *, kind: BlobKind, length: int, now: datetime, filename: str = "", metadata: str = ""
) -> Upload:
    """Announce a file of `length` bytes; room for it is set aside until it expires.

    Raises `Denied`, `Invalid` (`file-empty`, `file-too-large`), `Conflict` (`too-many-uploads`) and `Unavailable`
    (`library-full`).
    """
    require(decide_upload(actor, kind))
    _check_length(kind, length)
    with transaction.atomic():
        # The account's row orders its announcements, so that they are counted once.
        get_user_model().objects.select_for_update().filter(pk=actor.id).first()
        _check_quota(actor, kind, now)
        _check_room(length, now)
        upload = Upload.objects.create(
            owner_id=actor.id, kind=kind, filename=shown_name(filename), metadata=metadata, length=length,
            created_at=now, expires_at=now + IDLE,
        )  # fmt: skip
        partial_files.create(upload.path)
    return upload


def find_upload(actor: Actor, pk: UUID, now: datetime) -> Upload:
    """The actor's own upload; raises `NotFound` and, where it has expired, `Invalid` (`upload-expired`)."""
    upload = Upload.objects.visible_to(actor).filter(pk=pk).first()
    if upload is None:
        raise NotFound("upload-unknown", "There is no such upload.", "Begin again.")
    if upload.expires_at <= now:
        raise Invalid("upload-expired", "This upload has expired and what had arrived is gone.", "Begin again.")
    return upload


def append_to_upload(actor: Actor, *, upload: Upload, offset: int, pieces: Iterable[bytes], now: datetime) -> int:
    """Add pieces from `offset` on, as far as they come; returns where the upload then stands.

    A file that is not what it was announced as is refused as soon as its beginning is here, and dropped. Raises
    `Conflict` (`upload-offset`, `upload-busy`), `Invalid` (`file-too-large` and those of `check_beginning`),
    `NotFound`, `Unavailable` (`library-full`).
    """
    require_idle(upload)
    if offset != upload.offset:
        partial_files.append(upload.path, offset, b"")  # says where it stands
    Upload.objects.filter(pk=upload.pk).update(expires_at=min(now + IDLE, upload.created_at + LONGEST))
    for piece in pieces:
        if offset + len(piece) > upload.length:
            raise Invalid("file-too-large", "More was sent than announced.", "Nothing of the last piece was kept.")
        if offset < HEAD_BYTES:
            _check_beginning(actor, upload, offset, piece)
        offset = partial_files.append(upload.path, offset, piece)
    return offset


def cancel_upload(actor: Actor, *, upload: Upload) -> None:  # noqa: ARG001 - found as the actor's own
    """Drop an upload and what has arrived of it. Raises `Conflict` (`upload-busy`)."""
    with transaction.atomic():
        # The row orders this and a job that begins to work on the upload.
        row = Upload.objects.select_for_update().filter(pk=upload.pk).first()
        if row is not None:
            require_idle(row)
            row.delete()
    _remove_files(upload)


def drop(upload: Upload) -> None:
    """Forget an upload: it was used up, cancelled or refused."""
    Upload.objects.filter(pk=upload.pk).delete()
    _remove_files(upload)


def arrived_upload(actor: Actor, pk: UUID, kind: BlobKind, now: datetime) -> Upload:
    """The actor's own upload of this kind, all of it here.

    Raises `NotFound`, `Invalid` (`upload-expired`, `upload-kind`, `upload-incomplete`), `Conflict` (`upload-busy`).
    """
    upload = find_upload(actor, pk, now)
    if upload.kind != kind:
        raise Invalid("upload-kind", f"What was uploaded is no {kind.label.lower()}.", "Upload the right file.")
    if not upload.is_complete:
        raise Invalid(
            "upload-incomplete",
            f"Only {readable_size(upload.offset)} of {readable_size(upload.length)} have arrived.",
            "Send the rest first.",
        )
    require_idle(upload)
    return upload


def require_idle(upload: Upload) -> None:
    """Refuse while a job works on the upload; raises `Conflict` (`upload-busy`)."""
    if _has_open_job(upload):
        raise Conflict("upload-busy", "This upload is being worked on.", "Wait for its job to end.")


def sweep_uploads(now: datetime) -> int:
    """Remove the files of expired uploads, long-expired rows, and files that a crash left; returns how many files."""
    removed = 0
    for upload in Upload.objects.exclude(pk__in=Upload.objects.living(now).values("pk")):
        if not _has_open_job(upload):
            removed += _remove_files(upload)
    Upload.objects.filter(expires_at__lt=now - LONGEST).delete()
    return removed + _remove_leftovers(now)


def shown_name(text: str) -> str:
    """A sender's name for its file, fit to be shown: the last part of a path, without control characters."""
    name = text.replace("\\", "/").rpartition("/")[2]
    return "".join(one for one in name if unicodedata.category(one)[0] != "C").strip()[:255]


def _check_length(kind: BlobKind, length: int) -> None:
    if length < 1:
        raise Invalid("file-empty", "The file is empty.", "Choose the file again.")
    if length > limit_of(kind):
        raise Invalid(
            "file-too-large",
            f"The file is larger than {readable_size(limit_of(kind))}, the limit for a {kind.label.lower()}.",
            "Check that this is the right file.",
        )


def _check_quota(actor: Actor, kind: BlobKind, now: datetime) -> None:
    unfinished = Upload.objects.filter(owner_id=actor.id, kind=kind).living(now).count()
    if unfinished >= AT_ONCE[kind]:
        raise Conflict(
            "too-many-uploads",
            f"You have {unfinished} unfinished uploads already.",
            "Finish or forget one on the page that uploads, or wait: one that gets nothing for a day expires.",
        )


def _check_room(length: int, now: datetime) -> None:
    incoming_folder().mkdir(parents=True, exist_ok=True)
    promised = sum(upload.length - upload.offset for upload in Upload.objects.living(now))
    free = shutil.disk_usage(incoming_folder()).free - promised - SPARE_BYTES
    if length > free:
        raise Unavailable(
            "library-full",
            f"The library has room for {readable_size(max(free, 0))} more, and this file has {readable_size(length)}.",
            "Ask the fabric administrator for room, or try again later.",
        )


def _check_beginning(actor: Actor, upload: Upload, offset: int, piece: bytes) -> None:
    with upload.path.open("rb") as file:
        head = file.read(offset) + piece[: HEAD_BYTES - offset]
    try:
        check_beginning(BlobKind(upload.kind), head, is_whole=offset + len(piece) == upload.length)
    except Invalid:
        cancel_upload(actor, upload=upload)
        raise


def _remove_files(upload: Upload) -> int:
    present = [path for path in (upload.path, upload.catalog_path) if path.exists()]
    for path in present:
        path.unlink(missing_ok=True)
    return len(present)


def _has_open_job(upload: Upload) -> bool:
    return upload.job_id is not None and Job.objects.filter(pk=upload.job_id, state__in=OPEN_STATES).exists()


def _remove_leftovers(now: datetime) -> int:
    """Files that no row speaks for: half of a form, or of an announcement that was rolled back."""
    known = {str(pk) for pk in Upload.objects.values_list("pk", flat=True)}
    folder, removed = incoming_folder(), 0
    for path in folder.iterdir() if folder.is_dir() else ():
        try:
            old = path.stat().st_mtime < (now - LONGEST).timestamp()
        except FileNotFoundError:
            continue
        if old and path.stem not in known:
            path.unlink(missing_ok=True)
            removed += 1
    return removed
