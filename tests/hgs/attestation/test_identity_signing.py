"""The identity signing key (result type 2): measured, or certified by the attestation key, and never two."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from hgs.attestation import judgement as j
from hgs.attestation import tpm
from hgs.attestation.endorsement import EndorsementKey
from hgs.attestation.errors import PayloadInvalid
from hgs.attestation.exchange import Outcome
from hgs.attestation.replies import error_reply
from hgs.attestation.tpm import Attributes
from hgs.attestation.verdict import CheckResult
from hgs.attestation.verdict import Outcome as CheckOutcome
from hgs.wire import hgsa
from hgs.wire.hgsa import AttestationResultType
from hgs.wire.rtpm import BlobType, RtpmContext, parse_context
from tests.hgs.attestation.boots import Boot
from tests.hgs.attestation.conftest import ENCRYPTION, Service
from tests.hgs.attestation.tpm_hosts import HELD, PythonTpm, answer, ecc_public, rsa_public, with_blob

SIGNING = AttestationResultType.VSM_IDENTITY_SIGNING_KEY_CERTIFICATE
INTERMEDIATE = AttestationResultType.VSM_CA_INTERMEDIATE_CERTIFICATE
SIGNING_ATTRIBUTES = HELD | Attributes.USER_WITH_AUTH | Attributes.SIGN
Change = Callable[[RtpmContext], RtpmContext]


class Attempt:
    """One attestation of the healthy host by what it measures and sends of a signing key."""

    def __init__(self, service: Service, host: PythonTpm, endorsement: EndorsementKey, healthy: Boot) -> None:
        self._service, self.host, self._endorsement, self._healthy = service, host, endorsement, healthy

    def __call__(
        self,
        *,
        measured: tuple[rsa.RSAPublicKey, ...] = (),
        sent: tpm.TpmtPublic | None = None,
        requested: tuple[AttestationResultType, ...] = (SIGNING,),
        nonce: bytes | None = None,
        change: Change = lambda context: context,
    ) -> Outcome:
        log = self.host.boot(replace(self._healthy, signing=measured).log())
        challenge = self._service.challenge(self.host, self._endorsement)
        reply = answer(self.host, challenge, log)
        if sent is not None:
            certify, signature = self.host.certify(nonce or challenge.find(BlobType.NONCE) or b"", sent)
            blobs = (
                (BlobType.SIGNING_KEY, sent.serialise()),
                (BlobType.SIGNING_CERTIFY, certify),
                (BlobType.SIGNING_CERTIFY_SIGNATURE, signature),
            )
            reply = replace(reply, blobs=(*reply.blobs, *blobs))
        wired = parse_context(change(reply).serialise())
        return self._service.finish(self._endorsement, wired, requested=requested)


@pytest.fixture
def attempt(service: Service, host: PythonTpm, endorsement: EndorsementKey, healthy: Boot) -> Attempt:
    return Attempt(service, host, endorsement, healthy)


@pytest.fixture
def signing_key(other_key: rsa.RSAPrivateKey) -> rsa.RSAPublicKey:
    return other_key.public_key()


@pytest.fixture(scope="module")
def third_key() -> rsa.RSAPublicKey:
    return rsa.generate_private_key(65537, 2048).public_key()


def area(key: rsa.RSAPublicKey, attributes: Attributes = SIGNING_ATTRIBUTES) -> tpm.TpmtPublic:
    return rsa_public(key, attributes, None)


def check_of(outcome: Outcome) -> CheckResult:
    return next(check for check in outcome.verdict.checks if check.code == j.SIGNING_KEY)


def assert_refused(outcome: Outcome, words: str) -> None:
    assert [check.code for check in outcome.verdict.failed_checks] == [j.SIGNING_KEY]
    assert words in check_of(outcome).sentence
    assert not outcome.keys
    assert isinstance(error_reply(outcome.verdict), hgsa.VirtualSecureModeErrorReply)


def test_a_measured_signing_key_is_certified(attempt: Attempt, signing_key: rsa.RSAPublicKey) -> None:
    outcome = attempt(measured=(signing_key,), requested=(SIGNING, ENCRYPTION))
    assert outcome.verdict.passed, outcome.verdict.summary
    assert outcome.keys == {SIGNING: signing_key, ENCRYPTION: attempt.host.identity.public_key()}
    assert check_of(outcome).evidence["source"] == "measured"


def test_a_signing_key_that_the_attestation_key_certified_is_certified(
    attempt: Attempt, signing_key: rsa.RSAPublicKey
) -> None:
    outcome = attempt(sent=area(signing_key))
    assert outcome.verdict.passed, outcome.verdict.summary
    assert outcome.keys == {SIGNING: signing_key}
    assert check_of(outcome).evidence["source"] == "certified"


def test_a_signing_key_may_be_proven_both_ways_if_both_name_it(
    attempt: Attempt, signing_key: rsa.RSAPublicKey, third_key: rsa.RSAPublicKey
) -> None:
    assert attempt(measured=(signing_key,), sent=area(signing_key)).keys == {SIGNING: signing_key}
    assert_refused(attempt(measured=(third_key,), sent=area(signing_key)), "not the one that this boot measured")


@pytest.mark.parametrize("requested", [(SIGNING,), (ENCRYPTION,)])
def test_two_measured_signing_keys_are_refused_whatever_is_asked_for(
    attempt: Attempt,
    signing_key: rsa.RSAPublicKey,
    third_key: rsa.RSAPublicKey,
    requested: tuple[AttestationResultType, ...],
) -> None:
    outcome = attempt(measured=(signing_key, third_key), requested=requested)
    assert_refused(outcome, "2 different identity signing keys were measured in one boot; only one may be.")


def test_the_same_signing_key_measured_twice_is_one(attempt: Attempt, signing_key: rsa.RSAPublicKey) -> None:
    assert attempt(measured=(signing_key, signing_key)).keys == {SIGNING: signing_key}


def test_a_signing_key_that_nothing_proves_is_refused(attempt: Attempt) -> None:
    assert_refused(attempt(), "measured none and the host sent none")


def test_a_signing_key_that_nobody_asked_for_is_checked_and_not_certified(
    attempt: Attempt, signing_key: rsa.RSAPublicKey
) -> None:
    outcome = attempt(measured=(signing_key,), requested=(ENCRYPTION,))
    assert outcome.verdict.passed
    assert set(outcome.keys) == {ENCRYPTION}
    assert check_of(attempt(requested=(ENCRYPTION,))).outcome is CheckOutcome.SKIPPED


@pytest.mark.parametrize(
    "attributes",
    [
        SIGNING_ATTRIBUTES | Attributes.RESTRICTED,
        SIGNING_ATTRIBUTES | Attributes.DECRYPT,
        SIGNING_ATTRIBUTES & ~Attributes.SIGN,
        SIGNING_ATTRIBUTES & ~Attributes.FIXED_TPM,
        SIGNING_ATTRIBUTES & ~Attributes.FIXED_PARENT,
        SIGNING_ATTRIBUTES & ~Attributes.SENSITIVE_DATA_ORIGIN,
    ],
)
def test_a_signing_key_of_other_attributes_is_refused(
    attempt: Attempt, signing_key: rsa.RSAPublicKey, attributes: Attributes
) -> None:
    assert_refused(attempt(sent=area(signing_key, attributes)), "not an RSA-2048 signing key")


def test_an_ecc_signing_key_is_refused(attempt: Attempt) -> None:
    public = ecc_public(attempt.host.ak.public_key(), SIGNING_ATTRIBUTES)
    assert_refused(attempt(sent=public), "not an RSA-2048 signing key")


def test_a_certification_of_another_session_is_refused(attempt: Attempt, signing_key: rsa.RSAPublicKey) -> None:
    assert_refused(attempt(sent=area(signing_key), nonce=b"\x07" * 32), "not over this nonce")


def test_the_identity_keys_certification_does_not_serve_for_the_signing_key(
    attempt: Attempt, signing_key: rsa.RSAPublicKey
) -> None:
    def swap(reply: RtpmContext) -> RtpmContext:
        certify = reply.find(BlobType.IDENTITY_CERTIFY) or b""
        signature = reply.find(BlobType.IDENTITY_CERTIFY_SIGNATURE) or b""
        swapped = with_blob(reply, BlobType.SIGNING_CERTIFY, lambda _: certify)
        return with_blob(swapped, BlobType.SIGNING_CERTIFY_SIGNATURE, lambda _: signature)

    assert_refused(attempt(sent=area(signing_key), change=swap), "certified another key")


@pytest.mark.parametrize(
    "left_out", [BlobType.SIGNING_KEY, BlobType.SIGNING_CERTIFY, BlobType.SIGNING_CERTIFY_SIGNATURE]
)
def test_part_of_a_certified_signing_key_is_no_request(
    attempt: Attempt, signing_key: rsa.RSAPublicKey, left_out: BlobType
) -> None:
    def drop(reply: RtpmContext) -> RtpmContext:
        return replace(reply, blobs=tuple(blob for blob in reply.blobs if blob[0] is not left_out))

    with pytest.raises(PayloadInvalid, match="comes with its certification"):
        attempt(sent=area(signing_key), change=drop)


def test_a_measured_signing_key_that_is_no_rsa_key_is_refused(attempt: Attempt, signing_key: rsa.RSAPublicKey) -> None:
    numbers = rsa.RSAPublicNumbers(2**32 - 2, signing_key.public_numbers().n)

    class Impossible:
        def public_numbers(self) -> rsa.RSAPublicNumbers:
            return numbers

    assert_refused(attempt(measured=(Impossible(),)), "not a usable RSA key")  # type: ignore[arg-type]


def test_a_certificate_of_the_secure_modes_own_authority_is_refused_with_its_reply(attempt: Attempt) -> None:
    outcome = attempt(requested=(ENCRYPTION, INTERMEDIATE))
    assert [check.code for check in outcome.verdict.failed_checks] == [j.VSM_REPORT]
    assert not outcome.keys
    reply = error_reply(outcome.verdict)
    assert isinstance(reply, hgsa.VsmReportValidationErrorReply)
    assert not reply.retryable
    assert j.VSM_REPORT not in {check.code for check in attempt(requested=(ENCRYPTION,)).verdict.checks}
