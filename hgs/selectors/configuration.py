"""What this HGS is."""

from typing import Final

from hgs.models import ServiceConfiguration
from portal.kernel.errors import Unavailable
from portal.kernel.prepared import PreparedObject

_CONFIGURATION: Final = PreparedObject(ServiceConfiguration, lambda rows: rows.all())


def configuration() -> ServiceConfiguration:
    """The configuration. Raises Unavailable while HGS is not initialised."""
    found = _CONFIGURATION.first()
    if found is None:
        raise not_initialised()
    return found


def not_initialised() -> Unavailable:
    """What is raised until somebody has initialised HGS."""
    return Unavailable("not-initialised", "HGS is not initialised.", "Run gf hgs init --trust-tpm on the HGS node.")
