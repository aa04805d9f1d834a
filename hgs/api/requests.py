"""Reading a request body within its limit, before anything looks at it."""

from collections.abc import Collection

from django.http import HttpRequest


class BodyRefused(Exception):  # noqa: N818 - reads as a sentence where it is raised
    """A body that is not read; ``status`` is the HTTP status that says why."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


def read_body(request: HttpRequest, limit: int, media_types: Collection[str]) -> bytes:
    """The body, at most ``limit`` bytes of one of ``media_types``.

    The announced length is checked before a byte is read. Raises BodyRefused with 411, 413 or 415.
    """
    announced = request.headers.get("Content-Length", "")
    if not announced.isascii() or not announced.isdigit():
        raise BodyRefused(411, "length-required", "The request must announce its length.")
    if len(announced) > 12 or int(announced) > limit:
        raise BodyRefused(413, "body-too-large", f"The request may have at most {limit} bytes.")
    if (request.content_type or "").lower() not in media_types:
        raise BodyRefused(415, "media-type", f"The request must be of the type {' or '.join(sorted(media_types))}.")
    body = request.read(limit + 1)
    if len(body) != int(announced):
        raise BodyRefused(400, "body-cut-short", "The request is shorter than it announced.")
    return body
