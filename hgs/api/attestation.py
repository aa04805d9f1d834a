"""The attestation service's resources of every mode, and those of TPM mode ([MS-HGSA] 3.1.5)."""

from typing import Final

from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from hgs.api.hgsa import answered, endpoint, message_of, reply, wrong_mode
from hgs.commands.attest import attest as attest_command
from hgs.models import OperationMode
from hgs.selectors import keys
from hgs.selectors.configuration import configuration
from hgs.selectors.in_force import in_force
from hgs.wire import certbag, hgsa

SUPPORTED_LEVELS: Final = (1, 2)
_REQUESTS: Final[dict[int, tuple[type[hgsa.Message], ...]]] = {
    1: (hgsa.TpmRequestInitial, hgsa.TpmRequestContinue),
    2: (hgsa.AttestationRequest,),
}


@endpoint("GET")
def getinfo(_request: HttpRequest) -> HttpResponse:
    """GetInfo, 3.1.5.4"""
    found = configuration()
    mode = hgsa.AttestationOperationMode(found.mode)
    levels = SUPPORTED_LEVELS[: found.functional_level]
    return reply(hgsa.ServiceInfoReply(found.functional_level, mode, levels))


@endpoint("GET")
def signing_certificates(_request: HttpRequest) -> HttpResponse:
    """GetSigningCertificates, 3.1.5.5: a PKCS#7 bag as a JSON array of byte numbers, whatever form is set."""
    configuration()
    bag = certbag.serialise_bag([signer.certificate for signer in keys.trusted_signers()])
    return HttpResponse(hgsa.serialise_certificate_bag(bag), content_type="application/json; charset=utf-8")


@endpoint("POST")
def attest(request: HttpRequest, version: int, is_rehearsal: bool = False) -> HttpResponse:
    """Attest, 3.1.5.1, of protocol version 1 or 2; or its rehearsal, which gives no certificate."""
    found = in_force()
    if (wrong := wrong_mode(OperationMode.TPM, is_rehearsal=is_rehearsal, mode=found.mode)) is not None:
        return wrong
    message = message_of(request, *_REQUESTS[version])
    if message is None:
        return reply(hgsa.PayloadErrorReply(retryable=False), version)
    return answered(attest_command(message, timezone.now(), found, is_rehearsal=is_rehearsal), version)
