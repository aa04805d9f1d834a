"""MS-HGSA messages (JSON), the RTPM context and TPM_DEVICE_INFO inside them, and certificate bags."""

from contextlib import suppress

from hgs.wire import certbag, hgsa, rtpm
from hgs.wire.errors import WireError
from tests.fuzz.harness import run


def check(data: bytes) -> None:
    """Only the package's own errors; every message survives both forms, every binary has one encoding."""
    with suppress(WireError):
        message = hgsa.parse_message(data)
        for form in (hgsa.JSON_FORM, hgsa.Form(bytes_as_numbers=True, guid_as_base64=True)):
            assert hgsa.parse_message(hgsa.serialise(message, form)) == message
    with suppress(WireError):
        assert rtpm.parse_context(data).serialise() == data
    with suppress(WireError):
        assert rtpm.parse_device_info(data).serialise() == data
    with suppress(WireError):
        hgsa.parse_certificate_bag(data)
    with suppress(WireError):
        assert certbag.serialise_bag(certbag.parse_bag(data)) == data


if __name__ == "__main__":
    run("hgsa_messages")
