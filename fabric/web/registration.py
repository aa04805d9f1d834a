"""What the fabric brings to the shell and to the API."""

from portal.api.routes import ApiRoutes
from portal.api.routes import register as register_api
from portal.web.registry import Routes
from portal.web.registry import register as register_shell


def register() -> None:
    """Register routes, rail entries and the rest."""
    register_api(
        ApiRoutes(
            "fabric",
            "fabric.api.urls",
            lists=("fabric-api:hosts", "fabric-api:template-disks", "fabric-api:networks", "fabric-api:guardian"),
        )
    )
    register_shell(Routes("fabric", "fabric.web.urls"))
