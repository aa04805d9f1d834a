"""What gunicorn does in the processes that serve the portal; it reads this module as its configuration."""

from typing import Any

from portal.kernel.readiness import tell_ready


def when_ready(_server: Any) -> None:
    """The address is bound: only now it is this portal that answers there."""
    tell_ready()
