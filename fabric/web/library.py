"""GET /library/v1/blobs/<sha256>: where hosts fetch the files of the VMs placed on them. Not part of the REST API."""

import re
from collections.abc import Iterator
from pathlib import Path

from django.http import FileResponse, HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET

from fabric.host_tokens import host_of
from fabric.models import Host, LibraryBlob
from fabric.selectors.library import needed_by
from portal.web.access import Access, open_to

_RANGE = re.compile(r"bytes=([0-9]{1,18})-([0-9]{0,18})")
_CHUNK = 1 << 20


@csrf_exempt
@require_GET
@open_to(Access.HOST)
def blob(request: HttpRequest, sha256: str) -> HttpResponseBase:
    """A library file, whole or from a byte on (`Range: bytes=N-`), for the host whose VM needs it.

    401 without a valid host token, 404 for any file that no VM on this host needs.
    """
    host = _host(request)
    if host is None:
        answer = _problem(401, "host-token", "A valid host token is required.")
        answer["WWW-Authenticate"] = 'Bearer realm="library"'
        return answer
    found = LibraryBlob.objects.filter(pk=sha256).first()
    if found is None or not needed_by(host, sha256) or not found.path.is_file():
        return _problem(404, "no-such-blob", "No VM on this host needs such a file.")
    return _serve(request, found)


def _host(request: HttpRequest) -> Host | None:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return host_of(token.strip()) if scheme.lower() == "bearer" else None


def _serve(request: HttpRequest, found: LibraryBlob) -> HttpResponseBase:
    wanted = _RANGE.fullmatch(request.headers.get("Range", ""))
    headers = {"Accept-Ranges": "bytes", "ETag": f'"{found.sha256}"', "Cache-Control": "private, no-store"}
    if wanted is None:
        return FileResponse(found.path.open("rb"), content_type="application/octet-stream", headers=headers)
    first = int(wanted[1])
    last = min(int(wanted[2]), found.size - 1) if wanted[2] else found.size - 1
    if first > last:
        return HttpResponse(status=416, headers={"Content-Range": f"bytes */{found.size}"})
    answer = FileResponse(
        _part(found.path, first, last - first + 1), content_type="application/octet-stream", headers=headers
    )
    answer.status_code = 206
    answer["Content-Range"] = f"bytes {first}-{last}/{found.size}"
    answer["Content-Length"] = str(last - first + 1)
    return answer


def _part(path: Path, first: int, length: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(first)
        while length and (chunk := file.read(min(_CHUNK, length))):
            length -= len(chunk)
            yield chunk


def _problem(status: int, code: str, detail: str) -> JsonResponse:
    body = {"type": "about:blank", "status": status, "code": code, "detail": detail}
    return JsonResponse(body, status=status, content_type="application/problem+json")
