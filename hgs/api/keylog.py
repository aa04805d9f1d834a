"""The key log as anybody may read it (https://c2sp.org/tlog-tiles), for witnesses, monitors and `gf audit`.

Anonymous on purpose: leaves disclose nothing, and a log that only some may read proves less. What is full never
changes and may be kept for ever; the checkpoint and partial tiles are new with every entry.
"""

from collections.abc import Callable
from functools import wraps
from typing import Final

from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt

from hgs.api.problems import problem_of
from hgs.selectors import key_log
from hgs.transparency.errors import TileError
from hgs.transparency.tiles import WIDTH, TilePath
from portal.kernel.errors import DomainError, NotFound

_TEXT: Final = "text/plain; charset=utf-8"
_BYTES: Final = "application/octet-stream"
_FOR_EVER: Final = "public, max-age=31536000, immutable"
_NOW: Final = "no-cache"


def _readable(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    @wraps(view)
    def guarded(request: HttpRequest, **arguments: str) -> HttpResponse:
        if request.method not in ("GET", "HEAD"):
            return HttpResponse(status=405, headers={"Allow": "GET, HEAD"})
        try:
            return view(request, **arguments)
        except DomainError as error:
            return problem_of(error)

    return csrf_exempt(guarded)


@_readable
def checkpoint(_request: HttpRequest) -> HttpResponse:
    """GET /KeyLog/checkpoint: the signed end of the log."""
    return HttpResponse(key_log.checkpoint(), content_type=_TEXT, headers={"Cache-Control": _NOW})


@_readable
def key(_request: HttpRequest) -> HttpResponse:
    """GET /KeyLog/key: the log's public key, to be compared by another way."""
    return HttpResponse(f"{key_log.vkey()}\n", content_type=_TEXT, headers={"Cache-Control": _NOW})


@_readable
def tile(_request: HttpRequest, path: str) -> HttpResponse:
    """GET /KeyLog/tile/…: hashes, or entries."""
    try:
        wanted = TilePath.parse(path)
    except TileError as error:
        raise NotFound(error.code, error.message) from error
    caching = _FOR_EVER if wanted.width == WIDTH else _NOW
    return HttpResponse(key_log.tile(wanted), content_type=_BYTES, headers={"Cache-Control": caching})
