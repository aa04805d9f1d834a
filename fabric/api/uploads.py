"""REST: files sent in parts, by the tus 1.0.0 protocol; and, as JSON, which of one's own are on their way."""

import hashlib
import hmac
from collections.abc import Iterator
from typing import Any, Final
from uuid import UUID

from django.http import UnreadablePostError
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.exceptions import APIException, MethodNotAllowed, UnsupportedMediaType
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from fabric.api import tus
from fabric.commands.uploads import append_to_upload, begin_upload, cancel_upload, find_upload
from fabric.library import limit_of
from fabric.models import BlobKind, Upload
from portal.api.views import ApiView
from portal.kernel.errors import Conflict, DomainError, Invalid
from portal.web.access import Access

PIECE_BYTES: Final = 256 << 10
CHECKED_MOST: Final = 8 << 20
"""The most bytes of a request with a checksum: they are held in memory until it is known to be right."""
_STATUS: Final = {
    "file-too-large": (413, "Content Too Large"),
    "piece-too-large": (413, "Content Too Large"),
    "upload-expired": (410, "Gone"),
    "upload-checksum": (460, "Checksum Mismatch"),
}
"""What the protocol answers to refusals that the portal answers otherwise."""


class UploadSerializer(serializers.ModelSerializer[Upload]):
    """A file on its way: `offset` of `length` bytes are here."""

    url = serializers.SerializerMethodField(help_text="Where the rest of it is sent.")
    offset = serializers.IntegerField(read_only=True)

    class Meta:
        model = Upload
        fields = ["id", "url", "kind", "filename", "length", "offset", "job_id", "created_at", "expires_at"]
        read_only_fields = fields

    def get_url(self, upload: Upload) -> str:
        return reverse("fabric-api:upload", args=[upload.pk], request=self.context.get("request"))


class _VersionNotSpoken(APIException):
    status_code = 412
    default_detail = f"This server speaks tus {tus.VERSION}. Say so by the header Tus-Resumable."


class _LengthRequired(APIException):
    status_code = 411
    default_detail = "Say how much is sent by the header Content-Length."


class _TusView(ApiView):
    """The protocol's own headers and statuses, on answers and refusals alike."""

    access = Access.SIGNED_IN
    parser_classes = ()

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if request.method not in ("OPTIONS", "GET") and request.headers.get("Tus-Resumable") != tus.VERSION:
            raise _VersionNotSpoken

    def handle_exception(self, exc: Exception) -> Response:
        answer = super().handle_exception(exc)
        if isinstance(exc, DomainError) and exc.code in _STATUS:
            answer.status_code, title = _STATUS[exc.code]
            answer.data = {**(answer.data or {}), "status": answer.status_code, "title": title}
        return answer

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        answer = super().finalize_response(request, response, *args, **kwargs)
        answer["Tus-Resumable"], answer["Cache-Control"] = tus.VERSION, "no-store"
        if answer.status_code in (204, 412):
            answer["Tus-Version"] = tus.VERSION
        return answer

    @extend_schema(exclude=True)
    def options(self, request: Any, *args: Any, **kwargs: Any) -> Response:  # noqa: ARG002 - theirs
        """What this server can do."""
        headers = {
            "Tus-Extension": tus.EXTENSIONS,
            "Tus-Max-Size": str(max(limit_of(BlobKind.TEMPLATE_DISK), limit_of(BlobKind.SHIELDING_DATA))),
            "Tus-Checksum-Algorithm": tus.ALGORITHMS,
        }
        return Response(status=status.HTTP_204_NO_CONTENT, headers=headers)


class UploadList(_TusView):
    """One's own uploads, and the address that begins one."""

    @extend_schema(responses=UploadSerializer(many=True))
    def get(self, request: Request) -> Response:
        """Files of the caller that have not arrived whole, or are not used yet."""
        found = Upload.objects.visible_to(self.actor).living(timezone.now())
        return Response(UploadSerializer(found, many=True, context={"request": request}).data)

    @extend_schema(request=None, responses={201: UploadSerializer})
    def post(self, request: Request) -> Response:
        """Announce a file (tus creation): Upload-Length, and in Upload-Metadata `kind` and perhaps `filename`."""
        length = tus.read_number(request.headers.get("Upload-Length"), "Upload-Length")
        metadata = tus.read_metadata(request.headers.get("Upload-Metadata", ""))
        upload = begin_upload(
            self.actor,
            kind=_kind(metadata.values.get("kind", "")),
            length=length,
            filename=metadata.values.get("filename", ""),
            metadata=metadata.header,
            now=timezone.now(),
        )
        shown = UploadSerializer(upload, context={"request": request}).data
        headers = {"Location": shown["url"], "Upload-Offset": "0", "Upload-Expires": tus.expires(upload.expires_at)}
        return Response(shown, status=status.HTTP_201_CREATED, headers=headers)


class UploadDetail(_TusView):
    """One upload of the caller."""

    @extend_schema(responses=UploadSerializer)
    def get(self, request: Request, pk: UUID) -> Response:
        """How far it is, as JSON."""
        return Response(UploadSerializer(self._find(pk), context={"request": request}).data)

    @extend_schema(exclude=True)
    def head(self, request: Request, pk: UUID) -> Response:  # noqa: ARG002
        """Where to go on (tus core)."""
        upload = self._find(pk)
        headers = {**_standing(upload), "Upload-Length": str(upload.length)}
        if upload.metadata:
            headers["Upload-Metadata"] = upload.metadata
        return Response(headers=headers)

    @extend_schema(request={tus.PIECE_TYPE: bytes}, responses={204: None})
    def patch(self, request: Request, pk: UUID) -> Response:
        """Add bytes at Upload-Offset (tus core), perhaps with their Upload-Checksum."""
        if request.content_type != tus.PIECE_TYPE:
            raise UnsupportedMediaType(request.content_type or "", f"Send the bytes as {tus.PIECE_TYPE}.")
        offset = tus.read_number(request.headers.get("Upload-Offset"), "Upload-Offset")
        upload, size = self._find(pk), _announced(request)
        if offset + size > upload.length and offset == upload.offset:
            raise Invalid("file-too-large", "More is sent than was announced.", "Nothing of it was kept.")
        checksum = request.headers.get("Upload-Checksum")
        pieces = _pieces(request) if checksum is None else _checked(request, size, tus.read_checksum(checksum))
        append_to_upload(self.actor, upload=upload, offset=offset, pieces=pieces, now=timezone.now())
        upload.refresh_from_db()
        return Response(status=status.HTTP_204_NO_CONTENT, headers=_standing(upload))

    @extend_schema(responses={204: None})
    def delete(self, request: Request, pk: UUID) -> Response:  # noqa: ARG002
        """Cancel it (tus termination)."""
        cancel_upload(self.actor, upload=self._find(pk))
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(exclude=True)
    def post(self, request: Request, pk: UUID) -> Response:
        """PATCH or DELETE of a client that cannot send them (X-HTTP-Method-Override)."""
        match request.headers.get("X-HTTP-Method-Override", "").upper():
            case "PATCH":
                return self.patch(request, pk)
            case "DELETE":
                return self.delete(request, pk)
        raise MethodNotAllowed("POST")

    def _find(self, pk: UUID) -> Upload:
        return find_upload(self.actor, pk, timezone.now())


def _kind(text: str) -> BlobKind:
    if text not in BlobKind.values:
        names = f"{BlobKind.SHIELDING_DATA.value} or {BlobKind.TEMPLATE_DISK.value}"
        raise Invalid("upload-kind", "Upload-Metadata does not say what is uploaded.", f"Set kind to {names}.")
    return BlobKind(text)


def _standing(upload: Upload) -> dict[str, str]:
    return {"Upload-Offset": str(upload.offset), "Upload-Expires": tus.expires(upload.expires_at)}


def _announced(request: Request) -> int:
    text = request.META.get("CONTENT_LENGTH") or ""
    if not (text.isascii() and text.isdigit()):
        raise _LengthRequired
    return int(text)


def _pieces(request: Request) -> Iterator[bytes]:
    """The body as far as it comes: what a connection that breaks has brought is kept."""
    while True:
        try:
            piece = request._request.read(PIECE_BYTES)
        except (UnreadablePostError, OSError):
            return
        if not piece:
            return
        yield piece


def _checked(request: Request, size: int, checksum: bytes) -> Iterator[bytes]:
    """The whole body, once it is what the sender says it is."""
    if size > CHECKED_MOST:
        raise Invalid("piece-too-large", f"With a checksum at most {CHECKED_MOST >> 20} MiB are taken at once.")
    body = b"".join(_pieces(request))
    if not hmac.compare_digest(hashlib.sha256(body).digest(), checksum):
        raise Conflict("upload-checksum", "These bytes were changed on the way.", "Send them again.")
    return iter((body,))
