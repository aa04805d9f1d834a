"""Messages of the key protection service, in both directions."""

from contextlib import suppress

from hgs.wire import kps
from hgs.wire.xmlform import XmlFormError
from tests.fuzz.harness import run


def check(data: bytes) -> None:
    """Only the XML layer's own errors; a message has one form."""
    with suppress(XmlFormError):
        assert kps.serialise_request(kps.parse_request(data)) == data
    with suppress(XmlFormError):
        assert kps.serialise_response(kps.parse_response(data)) == data
    with suppress(XmlFormError):
        assert kps.serialise_error(kps.parse_error(data)) == data


if __name__ == "__main__":
    run("kps_messages")
