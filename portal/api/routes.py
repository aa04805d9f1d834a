"""Routes that applications bring to the API."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ApiRoutes:
    """`urlconf` mounted at `/api/v1/<prefix>`; `lists` names its collections for the API's root."""

    key: str
    urlconf: str
    prefix: str = ""
    lists: tuple[str, ...] = ()


_routes: dict[str, ApiRoutes] = {}


def register(routes: ApiRoutes) -> None:
    """Add an application's routes.

    Raises:
        ValueError: other routes have that key.
    """
    if _routes.get(routes.key, routes) != routes:
        raise ValueError(f"API routes {routes.key} are registered twice")
    _routes[routes.key] = routes


def registered() -> list[ApiRoutes]:
    return [_routes[key] for key in sorted(_routes)]
