"""What can be wrong with shielding data: a closed set of errors with stable codes and sentences without secrets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from hgs.keyprotection.errors import KeyProtectionError
from hgs.wire.xmlform import XmlFormError


class ShieldingError(Exception):
    """Base of all errors of this package. `code` is stable, `message` says what happened, `advice` what to do."""

    def __init__(self, code: str, message: str, advice: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.advice = advice


class ShieldingDataError(ShieldingError):
    """A file is not shielding data, or was changed after its owner signed it."""


class ShieldingContentError(ShieldingError):
    """What is to be put into shielding data, or was found in it, is not acceptable."""


class AnswerFileError(ShieldingError):
    """An answer file is malformed, or a placeholder in it cannot be filled in."""


class SpecializationKeysError(ShieldingError):
    """Specialization keys are malformed."""


class RecoveryKeyError(ShieldingError):
    """A recovery key escrow cannot be read, or not with what is at hand."""


class QualifierError(ShieldingError):
    """A volume ID qualifier is malformed."""


@contextmanager
def refusing(kind: type[ShieldingError], advice: str = "") -> Iterator[None]:
    """Turn errors of the XML layer and of key protection into errors of `kind`, keeping code and sentence."""
    try:
        yield
    except XmlFormError as error:
        raise kind(error.code, error.message, advice) from None
    except KeyProtectionError as error:
        raise kind(error.code, error.message, error.advice or advice) from None
