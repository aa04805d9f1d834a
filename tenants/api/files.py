"""One file as the request's body, or as `file` of a multipart form."""

from typing import Any

from rest_framework import serializers
from rest_framework.parsers import BaseParser, MultiPartParser
from rest_framework.request import Request


class FileUpload(serializers.Serializer[Any]):
    """A multipart form with a file."""

    file = serializers.FileField()


class RawBody(BaseParser):
    """The file itself as the body; read no further than one byte past the limit."""

    most: int

    def parse(self, stream, media_type=None, parser_context=None):  # type: ignore[no-untyped-def] # noqa: ARG002
        return {"raw": stream.read(self.most + 1)}


def file_parsers(most: int, *media_types: str) -> list[type[BaseParser]]:
    """Parsers for a file of at most `most` bytes, in a form or as a body of one of the media types."""
    named = ("application/octet-stream", *media_types)
    raw = [type("RawBodyOf", (RawBody,), {"media_type": each, "most": most}) for each in named]
    return [MultiPartParser, *raw]


def received_file(request: Request, most: int) -> bytes:
    """The file's bytes, cut one byte past the limit. Raises ValidationError where a form has none."""
    raw = request.data.get("raw") if isinstance(request.data, dict) else None
    if isinstance(raw, bytes):
        return raw
    asked = FileUpload(data=request.data)
    asked.is_valid(raise_exception=True)
    return bytes(asked.validated_data["file"].read(most + 1))
