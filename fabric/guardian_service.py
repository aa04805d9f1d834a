"""The portal's way to HGS: clients with our settings, and HGS's errors in the portal's own words."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings

from hgs.client import FabricClient, HgsError, HgsRefused, KeyProtectionClient
from portal.kernel.errors import Conflict, Unavailable

TIMEOUT_SECONDS = 5.0


@contextmanager
def fabric_client(timeout: float = TIMEOUT_SECONDS) -> Iterator[FabricClient]:
    """The fabric's door to HGS: submit and read, nothing else. `timeout` in seconds.

    Raises `Conflict` (`hgs-refused`) where HGS says no, `Unavailable` (`hgs-unavailable`) where it does not answer.
    """
    client = FabricClient(settings.HGS_URL, settings.HGS_FABRIC_TOKEN, timeout)
    try:
        with _in_our_words():
            yield client
    finally:
        client.close()


def guardian_metadata() -> bytes:
    """HGS's guardian metadata as it serves it, unverified (XML). Raises like `fabric_client`."""
    client = KeyProtectionClient(settings.HGS_URL, TIMEOUT_SECONDS)
    try:
        with _in_our_words():
            return client.metadata()
    finally:
        client.close()


@contextmanager
def _in_our_words() -> Iterator[None]:
    try:
        yield
    except HgsRefused as error:
        raise Conflict("hgs-refused", f"HGS refused: {error}", details={"reason": error.reason}) from error
    except HgsError as error:
        raise Unavailable(
            "hgs-unavailable",
            "The Host Guardian Service does not answer as it should.",
            "Nothing was changed. Try again in a minute; if it repeats, ask the HGS administrator.",
            details={"error": str(error)},
        ) from error
