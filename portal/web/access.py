"""Every route states who may open it; a route that states nothing opens for nobody.

A class-based view has a class attribute `access`, a function is wrapped in `@open_to(Access.…)`, and either may be
given `access` in `as_view(access=…)` where one view serves two portals. `ShellMiddleware` enforces the decision before
the view runs, and `portal.api.permissions` does the same for REST views, which know bearer tokens. Finer rules (which
rows, which action) belong to each aggregate's `visible_to` and `policy`.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Any, TypeVar

from portal.kernel.actor import Actor, Role

View = TypeVar("View", bound=Callable[..., Any])


class Access(StrEnum):
    """Who may open a route."""

    PUBLIC = "public"  # anybody; reviewed one by one in tests/portal/web/test_access.py
    SIGNED_IN = "signed-in"  # any signed-in person: their own account, jobs and notifications
    TENANT = "tenant"  # the tenant portal
    FABRIC = "fabric"  # the fabric console
    HOST = "host"  # a host with its own token; the view authenticates it
    TOKEN = "token"  # noqa: S105 - REST: a person by session or token; the view's policy decides further


_ROLE_OF = {Access.TENANT: Role.TENANT, Access.FABRIC: Role.FABRIC_ADMIN}


def open_to(access: Access) -> Callable[[View], View]:
    """Mark a function view with its decision."""

    def mark(view: View) -> View:
        view.access = access  # type: ignore[attr-defined]
        return view

    return mark


def decision_of(view: Callable[..., Any]) -> Access | None:
    """What a resolved view function declares, or None where nobody decided."""
    declared = getattr(view, "view_initkwargs", {}).get("access")
    view_class = getattr(view, "view_class", None) or getattr(view, "cls", None)
    if declared is None and view_class is not None:
        declared = getattr(view_class, "access", None)
    if declared is None:
        declared = getattr(view, "access", None)
    return declared if isinstance(declared, Access) else None


def admits(access: Access, actor: Actor) -> bool:
    """Whether a signed-in actor belongs behind a decision; the wrong portal answers as if it had no such page."""
    role = _ROLE_OF.get(access)
    return role is None or role in actor.roles
