"""What tenants bring to the shell and to the API."""

from portal.api.routes import ApiRoutes
from portal.api.routes import register as register_api


def register() -> None:
    """Register routes, rail entries and the rest."""
    register_api(
        ApiRoutes(
            "tenants",
            "tenants.api.urls",
            lists=("tenants-api:subscriptions", "tenants-api:virtual-machines", "tenants-api:shielding-data"),
        )
    )
