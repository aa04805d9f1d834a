"""The page that makes owner guardians and shielding data in the tenant's browser: as a view and as a file to keep.

The portal hands out the bytes of the installed package and no others. Its own policy for pages does not apply: the page
brings a stricter one, and gets an origin of its own so that it can do nothing in the name of who is signed in.
"""

from csp.constants import HEADER
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_GET

from portal.web.access import Access, open_to
from tenants.offline_page.build import FILE_NAME, offline_page


@require_GET
@open_to(Access.SIGNED_IN)
def view(request: HttpRequest) -> HttpResponse:  # noqa: ARG001
    """The page, to look at or to use by those who trust this portal."""
    return _answer()


@require_GET
@open_to(Access.SIGNED_IN)
def download(request: HttpRequest) -> HttpResponse:  # noqa: ARG001
    """The page as a file, to check and to keep."""
    answer = _answer()
    answer["Content-Disposition"] = f'attachment; filename="{FILE_NAME}"'
    return answer


def _answer() -> HttpResponse:
    page = offline_page()
    return HttpResponse(
        page.content,
        content_type="text/html; charset=utf-8",
        headers={HEADER: page.served_policy, "Referrer-Policy": "no-referrer", "ETag": f'"{page.sha256}"'},
    )
