"""Errors of the wire formats: what was received does not follow its format."""

from typing import ClassVar


class WireError(Exception):
    """Base of the set. ``code`` is stable; ``message`` is safe to send back to whoever sent the bytes."""

    code: ClassVar[str] = "wire"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class RtpmError(WireError):
    """An RTPM context that cannot be read."""

    code = "rtpm-malformed"


class HgsaError(WireError):
    """An MS-HGSA message that cannot be read."""

    code = "hgsa-malformed"


class CertificateBagError(WireError):
    """A certificate bag that cannot be read."""

    code = "certificate-bag-malformed"


class PlatformIdentifierError(WireError):
    """A platform identifier file that cannot be read."""

    code = "platform-identifier-malformed"


class NegotiateError(WireError):
    """A header of HTTP's Negotiate scheme that cannot be read."""

    code = "negotiate-malformed"


class XmlFormError(Exception):
    """The bytes are not a document of the form this project writes. `code` is stable, `message` a sentence."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
