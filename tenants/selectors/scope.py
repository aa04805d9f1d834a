"""The subscription a tenant works in: chosen in the header, kept in the session."""

from django.http import HttpRequest

from portal.kernel.actor import Actor
from tenants.models import Subscription
from tenants.selectors.virtual_machines import subscription_for, subscriptions

SESSION_KEY = "subscription"


def current_subscription(request: HttpRequest) -> Subscription:
    """The chosen subscription, or the first; raises `NotFound` where the tenant has none."""
    actor: Actor = request.actor  # type: ignore[attr-defined]
    wanted = request.session.get(SESSION_KEY)
    chosen = subscriptions(actor).filter(pk=str(wanted)).first() if wanted else None
    return chosen or subscription_for(actor, None)
