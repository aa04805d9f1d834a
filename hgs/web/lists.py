"""What pages with lists share: pages of rows, the rows that somebody ticked, a file that somebody chose."""

from collections.abc import Sequence
from typing import Any, Final, TypeVar
from uuid import UUID

from django.core.paginator import Page, Paginator
from django.db.models import Model, QuerySet
from django.http import HttpRequest

from portal.kernel.errors import Invalid, NotFound

PAGE_LENGTH: Final = 50
MAX_FILE: Final = 4 * 2**20
_M = TypeVar("_M", bound=Model)


def page_of(request: HttpRequest, found: QuerySet[Any] | Sequence[Any]) -> Page[Any]:
    """The page of rows that the address asks for."""
    return Paginator(found, PAGE_LENGTH).get_page(request.GET.get("page"))


def chosen_ids(request: HttpRequest, name: str = "id") -> list[UUID]:
    """The ids of ticked rows, each once; what is no id is left out."""
    given = request.POST if request.method == "POST" else request.GET
    found: dict[UUID, None] = {}
    for text in given.getlist(name):
        try:
            found[UUID(text)] = None
        except ValueError:
            continue
    return list(found)


def one_of(found: QuerySet[_M], pk: UUID, what: str) -> _M:
    """The one row of that id. Raises NotFound."""
    one = found.filter(pk=pk).first()
    if one is None:
        raise NotFound(f"no-such-{what.replace(' ', '-')}", f"There is no such {what}.")
    return one


def uploaded(request: HttpRequest, name: str) -> bytes:
    """The content of an uploaded file. Raises Invalid where there is none, or one that is too large."""
    file = request.FILES.get(name)
    if file is None:
        raise Invalid("file-missing", "No file was chosen.", "Choose one and try again.")
    content = file.read(MAX_FILE + 1)
    if len(content) > MAX_FILE:
        raise Invalid("file-too-large", f"A file has at most {MAX_FILE} bytes.")
    return bytes(content)
