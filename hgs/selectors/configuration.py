"""What this HGS is."""

from hgs.models import ServiceConfiguration
from portal.kernel.errors import Unavailable


def configuration() -> ServiceConfiguration:
    """The configuration. Raises Unavailable while HGS is not initialised."""
    found = ServiceConfiguration.objects.first()
    if found is None:
        raise Unavailable("not-initialised", "HGS is not initialised.", "Run gf hgs init --trust-tpm on the HGS node.")
    return found
