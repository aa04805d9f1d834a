"""What can go wrong in key protection: a closed set of errors.

`code` is stable and fine-grained; `fault` is the name [MS-KPS] gives the class of failure on the wire
(HealthCertificateException, InvalidProtectorException, InvalidWrappingException), empty where the specification names
none. `message` says what happened, `advice` what to do. Neither ever contains a secret.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from hgs.wire.xmlform import XmlFormError


class KeyProtectionError(Exception):
    """Base of all errors of this package."""

    fault: str = ""

    def __init__(self, code: str, message: str, advice: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.advice = advice


class HealthCertificateError(KeyProtectionError):
    """The health certificate cannot receive keys ([MS-KPS] 3.1.5.1.1.3, step 1)."""

    fault = "HealthCertificateException"


class InvalidProtectorError(KeyProtectionError):
    """The key protector's form, guardian signature or transport key signature is wrong (step 2)."""

    fault = "InvalidProtectorException"


class InvalidWrappingError(KeyProtectionError):
    """A wrapping's certificates, signatures or chain to the owner are wrong (step 3)."""

    fault = "InvalidWrappingException"


class NoWrappingError(InvalidProtectorError):
    """None of the protector's wrappings is for the keys at hand (step 4)."""


class InvalidRequestError(KeyProtectionError):
    """A roll request that is not of the documented form. The specification names no fault; this is ours."""

    fault = "InvalidRequestException"


class InvalidResponseError(KeyProtectionError):
    """The reply of a key protection service is not to be believed: nothing of it may be used."""


class UnknownAlgorithmError(KeyProtectionError):
    """An algorithm URI that this implementation does not know."""

    def __init__(self, role: str, uri: str, problem: str = "is not known", code: str = "unknown-algorithm") -> None:
        super().__init__(
            code,
            f"The {role} algorithm {uri or '(empty)'} {problem}.",
            "Use an algorithm listed in docs/formats/key-protector.md.",
        )
        self.uri = uri


class UnknownParametersError(UnknownAlgorithmError):
    """A known algorithm with other parameters than the table gives."""

    def __init__(self, role: str, uri: str) -> None:
        super().__init__(role, uri, "has parameters that are not known", "unknown-parameters")


class GuardianError(KeyProtectionError):
    """A guardian's certificates, metadata or owner file are not acceptable."""


class RevocationError(KeyProtectionError):
    """A revocation notice that cannot be read or that its owner did not sign."""


class WrongPassphraseError(GuardianError):
    """The passphrase does not open the owner guardian file."""

    def __init__(self) -> None:
        super().__init__(
            "wrong-passphrase",
            "The passphrase does not open this owner guardian.",
            "Try again; without its passphrase an owner guardian cannot be used or recovered.",
        )


class PfxPassphraseError(GuardianError):
    """The passphrase does not open the PKCS #12 file, or it is none."""

    def __init__(self) -> None:
        super().__init__(
            "pfx-passphrase",
            "The passphrase does not open the PFX file, or it is no PFX file.",
            "Check the file and the passphrase it was exported with.",
        )


@contextmanager
def refusing(kind: type[KeyProtectionError], advice: str = "") -> Iterator[None]:
    """Turn errors of the XML layer and of the algorithm table into errors of `kind`, keeping code and sentence."""
    try:
        yield
    except XmlFormError as error:
        raise kind(error.code, error.message, advice) from None
    except UnknownAlgorithmError as error:
        raise kind(error.code, error.message, error.advice) from None
