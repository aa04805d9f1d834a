"""The whole exchange with an honest host, and with every lie we could think of."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hgs.attestation import judgement as j
from hgs.attestation import tpm
from hgs.attestation.endorsement import (
    EndorsementKey,
    EndorsementTrust,
    KnownHost,
    endorsement_from_certificate,
    endorsement_from_public,
)
from hgs.attestation.errors import AttestationError, PayloadInvalid
from hgs.attestation.exchange import Challenge, Outcome, Refusal, is_first_round
from hgs.attestation.policies import BUILT_IN_POLICIES, PolicySet
from hgs.attestation.replies import error_reply
from hgs.attestation.tcglog import EventLogBuilder
from hgs.attestation.tpm import Attributes
from hgs.attestation.verdict import AttestationStatus, AttestationSubStatus, Failure, Verdict
from hgs.attestation.verdict import Outcome as CheckOutcome
from hgs.wire import hgsa
from hgs.wire.rtpm import BlobType, RtpmContext, parse_context
from tests.hgs.attestation.boots import Boot
from tests.hgs.attestation.conftest import ENCRYPTION, Service, service_for
from tests.hgs.attestation.tpm_hosts import NOW, Manufacturer, PythonTpm, answer, ecc_public, with_blob


def only_failure(verdict: Verdict) -> str:
    """The code of the one check that failed."""
    assert len(verdict.failed_checks) == 1, [check.sentence for check in verdict.failed_checks]
    return verdict.failed_checks[0].code


# ---- what must work ------------------------------------------------------------------------------------------------


def test_a_healthy_host_passes_and_gets_its_own_identity_key_certified(
    service: Service, host: PythonTpm, endorsement: EndorsementKey, healthy: Boot
) -> None:
    log = host.boot(healthy.log())
    outcome = service.attest(host, endorsement, log)
    assert outcome.verdict.passed, outcome.verdict.summary
    assert outcome.keys == {ENCRYPTION: host.identity.public_key()}
    assert outcome.log == log
    assert outcome.verdict.host_name == "hv01"
    assert outcome.expires_at == NOW + timedelta(seconds=120)
    assert outcome.verdict.sub_statuses == (AttestationSubStatus.NO_INFORMATION,)


def test_every_verdict_lists_all_evidence_checks_and_all_policies(
    service: Service, host: PythonTpm, endorsement: EndorsementKey, healthy: Boot
) -> None:
    codes = {*j.EVIDENCE_CHECKS, *(policy.code for policy in BUILT_IN_POLICIES)}
    log = host.boot(healthy.log())
    good = service.attest(host, endorsement, log).verdict
    bad = service.attest(
        host, endorsement, log, lambda c: with_blob(c, BlobType.ACTIVATED_SECRET, lambda _: b"x")
    ).verdict
    for verdict in (good, bad):
        assert {check.code for check in verdict.checks} == codes
        assert len(verdict.checks) == len(codes)
        assert Verdict.from_json(verdict.to_json()) == verdict


@pytest.mark.parametrize("kind", ["rsa", "ecc"])
def test_both_kinds_of_endorsement_key_work(
    kind: str, ek_keys: dict[str, Any], identity_key: rsa.RSAPrivateKey, manufacturer: Manufacturer, healthy: Boot
) -> None:
    host = PythonTpm(ek_keys[kind], identity=identity_key)
    endorsement = endorsement_from_certificate(manufacturer.certify(host.ek.public_key()))
    service = service_for(endorsement, manufacturer, healthy)
    assert service.attest(host, endorsement, host.boot(healthy.log())).verdict.passed


def test_a_boot_from_locality_3_passes(
    service: Service, host: PythonTpm, endorsement: EndorsementKey, healthy: Boot
) -> None:
    log = host.boot(replace(healthy, locality=3).log(), locality=3)
    assert service.attest(host, endorsement, log).verdict.passed


def test_another_node_finishes_what_one_began(
    service: Service, host: PythonTpm, endorsement: EndorsementKey, healthy: Boot
) -> None:
    reply = answer(host, service.challenge(host, endorsement), host.boot(healthy.log()))
    other = replace(service, seal_keys=(b"\x22" * 32, *service.seal_keys))
    assert other.finish(endorsement, reply).verdict.passed


def test_a_host_registered_without_certificate_passes_with_a_warning(
    manufacturer: Manufacturer, host: PythonTpm, healthy: Boot
) -> None:
    endorsement = endorsement_from_public(host.ek_public)
    service = service_for(endorsement, manufacturer, healthy, without_certificate=True)
    verdict = service.attest(host, endorsement, host.boot(healthy.log())).verdict
    assert verdict.passed
    assert verdict.warnings


def test_contexts_survive_the_wire(
    service: Service, host: PythonTpm, endorsement: EndorsementKey, healthy: Boot
) -> None:
    challenge = service.challenge(host, endorsement)
    reply = answer(host, parse_context(challenge.serialise()), host.boot(healthy.log()))
    assert not is_first_round(reply)
    assert service.finish(endorsement, parse_context(reply.serialise())).verdict.passed


def test_a_fresh_challenge_never_repeats(service: Service, host: PythonTpm, endorsement: EndorsementKey) -> None:
    one, two = service.begin(host, endorsement), service.begin(host, endorsement)
    assert isinstance(one, Challenge)
    assert isinstance(two, Challenge)
    assert one.context_id != two.context_id
    assert one.context.find(BlobType.NONCE) != two.context.find(BlobType.NONCE)


# ---- round 1 -------------------------------------------------------------------------------------------------------


def refusal(reply: Challenge | Refusal) -> Verdict:
    assert isinstance(reply, Refusal)
    return reply.verdict


def test_an_unknown_endorsement_key_is_unauthorized(
    service: Service, host: PythonTpm, endorsement: EndorsementKey
) -> None:
    stranger = EndorsementTrust(lambda _: None, service.trust.roots)
    verdict = refusal(service.begin(host, endorsement, trust=stranger))
    assert verdict.status is AttestationStatus.UNAUTHORIZED_HOST
    assert only_failure(verdict) == j.EK_KNOWN
    assert isinstance(error_reply(verdict), hgsa.UnauthorizedErrorReply)


def test_a_certificate_of_an_untrusted_manufacturer_is_refused(service: Service, host: PythonTpm) -> None:
    other = Manufacturer("Acme TPM Root")
    endorsement = endorsement_from_certificate(other.certify(host.ek.public_key()))
    verdict = refusal(service.begin(host, endorsement))
    assert only_failure(verdict) == j.EK_CERTIFICATE
    assert "Acme TPM Root" in verdict.failed_checks[0].sentence


def test_a_certificate_for_something_else_than_an_ek_is_refused(
    service: Service, host: PythonTpm, manufacturer: Manufacturer
) -> None:
    platform = endorsement_from_certificate(manufacturer.certify(host.ek.public_key(), usage="2.23.133.8.2"))
    assert only_failure(refusal(service.begin(host, platform))) == j.EK_CERTIFICATE


def test_a_bare_key_is_refused_where_a_certificate_is_demanded(service: Service, host: PythonTpm) -> None:
    verdict = refusal(service.begin(host, endorsement_from_public(host.ek_public)))
    assert only_failure(verdict) == j.EK_CERTIFICATE


@pytest.mark.parametrize(
    "attributes",
    [
        lambda a: a & ~Attributes.RESTRICTED,
        lambda a: a & ~Attributes.FIXED_TPM,
        lambda a: a & ~Attributes.FIXED_PARENT,
        lambda a: a & ~Attributes.SENSITIVE_DATA_ORIGIN,
        lambda a: a & ~Attributes.SIGN,
        lambda a: a | Attributes.DECRYPT,
    ],
)
def test_an_attestation_key_that_could_sign_anything_is_refused(
    service: Service, host: PythonTpm, endorsement: EndorsementKey, attributes: Callable[[Attributes], Attributes]
) -> None:
    host.ak_attributes = attributes(host.ak_attributes)
    verdict = refusal(service.begin(host, endorsement))
    assert only_failure(verdict) == j.ATTESTATION_KEY
    assert verdict.status is AttestationStatus.TPM_ERROR


def test_round_1_with_a_state_or_a_missing_or_foreign_blob_is_no_request(
    service: Service, host: PythonTpm, endorsement: EndorsementKey
) -> None:
    ak = (BlobType.AK_PUBLIC, host.ak_public.serialise())
    for context in (
        RtpmContext(b"\x01" * 64, (ak,)),
        RtpmContext(None, ()),
        RtpmContext(None, (ak, (BlobType.QUOTE, b"q"))),
        RtpmContext(None, ((BlobType.AK_PUBLIC, b"nonsense"),)),
    ):
        with pytest.raises(AttestationError):
            service.begin(host, endorsement, context=context)


# ---- the state -----------------------------------------------------------------------------------------------------


@pytest.fixture
def reply(service: Service, host: PythonTpm, endorsement: EndorsementKey, healthy: Boot) -> RtpmContext:
    return answer(host, service.challenge(host, endorsement), host.boot(healthy.log()))


def assert_state_refused(outcome: Outcome) -> None:
    assert only_failure(outcome.verdict) == j.STATE
    assert isinstance(error_reply(outcome.verdict), hgsa.RtpmErrorReply)
    assert not outcome.keys


def test_a_state_of_another_session_is_refused(
    service: Service, endorsement: EndorsementKey, reply: RtpmContext
) -> None:
    assert_state_refused(service.finish(endorsement, reply, session=uuid4()))


def test_a_state_under_an_unknown_key_is_refused(
    service: Service, endorsement: EndorsementKey, reply: RtpmContext
) -> None:
    assert_state_refused(service.finish(endorsement, reply, seal_keys=(b"\x33" * 32,)))


def test_an_expired_state_is_refused_and_may_be_retried(
    service: Service, endorsement: EndorsementKey, reply: RtpmContext, later: Callable[[float], datetime]
) -> None:
    outcome = service.finish(endorsement, reply, now=later(120))
    assert_state_refused(outcome)
    assert outcome.verdict.retryable


def test_a_state_begun_with_another_endorsement_key_is_refused(
    service: Service, manufacturer: Manufacturer, ek_keys: dict[str, Any], reply: RtpmContext
) -> None:
    other = endorsement_from_certificate(manufacturer.certify(ek_keys["rsa"].public_key()))
    trust = replace(service.trust, find_host=lambda _: KnownHost("hv02"))
    assert_state_refused(service.finish(other, reply, trust=trust))


def test_every_flipped_byte_of_the_state_is_refused(
    service: Service, endorsement: EndorsementKey, reply: RtpmContext
) -> None:
    assert reply.state is not None
    for at in range(len(reply.state)):
        state = bytearray(reply.state)
        state[at] ^= 1
        assert_state_refused(service.finish(endorsement, replace(reply, state=bytes(state))))


def test_a_second_use_can_be_recognised(service: Service, endorsement: EndorsementKey, reply: RtpmContext) -> None:
    one, two = service.finish(endorsement, reply), service.finish(endorsement, reply)
    assert one.context_id == two.context_id
    assert one.context_id is not None


def test_round_2_without_state_or_with_missing_parts_is_no_request(
    service: Service, endorsement: EndorsementKey, reply: RtpmContext
) -> None:
    with pytest.raises(PayloadInvalid):
        service.finish(endorsement, replace(reply, state=None))
    for kind, _ in reply.blobs:
        less = replace(reply, blobs=tuple(pair for pair in reply.blobs if pair[0] is not kind))
        if kind is not BlobType.PCR_VALUES:
            with pytest.raises(PayloadInvalid, match=kind.name):
                service.finish(endorsement, less)


# ---- credential, quote, nonce, selection ---------------------------------------------------------------------------


def test_a_key_outside_the_tpm_cannot_open_the_credential(
    service: Service, host: PythonTpm, endorsement: EndorsementKey
) -> None:
    challenge = dict(service.challenge(host, endorsement).blobs)
    thief = PythonTpm(host.ek, identity=host.identity)
    with pytest.raises(ValueError, match="INTEGRITY"):
        thief.activate(challenge[BlobType.CREDENTIAL], challenge[BlobType.ENCRYPTED_SECRET])


def test_a_wrong_activation_secret_ends_the_evaluation(
    service: Service, endorsement: EndorsementKey, reply: RtpmContext
) -> None:
    verdict = service.finish(endorsement, with_blob(reply, BlobType.ACTIVATED_SECRET, lambda s: bytes(len(s)))).verdict
    assert only_failure(verdict) == j.ACTIVATION
    assert verdict.status is AttestationStatus.TPM_ERROR
    assert all(check.outcome is CheckOutcome.SKIPPED for check in verdict.checks if check.policy)


def flip(at: int, data: bytes) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.parametrize(
    ("kind", "codes"),
    [
        (BlobType.QUOTE, {j.QUOTE_SIGNATURE}),
        (BlobType.QUOTE_SIGNATURE, {j.QUOTE_SIGNATURE}),
        (BlobType.IDENTITY_KEY, {j.IDENTITY_KEY}),
        (BlobType.IDENTITY_CERTIFY, {j.IDENTITY_KEY}),
        (BlobType.IDENTITY_CERTIFY_SIGNATURE, {j.IDENTITY_KEY}),
        (BlobType.ACTIVATED_SECRET, {j.ACTIVATION}),
    ],
)
def test_every_flipped_byte_of_evidence_is_refused(
    service: Service, endorsement: EndorsementKey, reply: RtpmContext, kind: BlobType, codes: set[str]
) -> None:
    size = len(reply.find(kind) or b"")
    for at in range(size):
        outcome = service.finish(endorsement, with_blob(reply, kind, partial(flip, at)))
        assert not outcome.verdict.passed, (kind, at)
        assert {check.code for check in outcome.verdict.failed_checks} <= codes
        assert not outcome.keys


def test_a_quote_over_another_nonce_is_refused(
    service: Service, host: PythonTpm, endorsement: EndorsementKey, healthy: Boot
) -> None:
    log = host.boot(healthy.log())
    old = answer(host, service.challenge(host, endorsement), log)
    new = answer(host, service.challenge(host, endorsement), log)
    replayed = with_blob(new, BlobType.QUOTE, lambda _: old.find(BlobType.QUOTE) or b"")
    replayed = with_blob(replayed, BlobType.QUOTE_SIGNATURE, lambda _: old.find(BlobType.QUOTE_SIGNATURE) or b"")
    verdict = service.finish(endorsement, replayed).verdict
    assert only_failure(verdict) == j.NONCE
    assert isinstance(error_reply(verdict), hgsa.RtpmErrorReply)


@pytest.mark.parametrize("wrong", [b"", b"\x00" * 32])
def test_a_quote_without_the_nonce_is_refused(
    service: Service, host: PythonTpm, endorsement: EndorsementKey, reply: RtpmContext, wrong: bytes
) -> None:
    selections = (tpm.PcrSelection.of(tpm.Algorithm.SHA256, (0, 1, 2, 3, 4, 5, 6, 7, 11, 12, 13, 14)),)
    assert only_failure(service.finish(endorsement, quoted(reply, *host.quote(wrong, selections))).verdict) == j.NONCE


def quoted(reply: RtpmContext, quote: bytes, signature: bytes) -> RtpmContext:
    return with_blob(with_blob(reply, BlobType.QUOTE, lambda _: quote), BlobType.QUOTE_SIGNATURE, lambda _: signature)


ALL = (0, 1, 2, 3, 4, 5, 6, 7, 11, 12, 13, 14)


@pytest.mark.parametrize(
    "selections",
    [
        (),
        (tpm.PcrSelection(tpm.Algorithm.SHA256, b""),),
        (tpm.PcrSelection(tpm.Algorithm.SHA256, bytes(3)),),
        (tpm.PcrSelection.of(tpm.Algorithm.SHA256, ALL[:-1]),),
        (tpm.PcrSelection.of(tpm.Algorithm.SHA256, (*ALL, 23)),),
        (tpm.PcrSelection.of(tpm.Algorithm.SHA256, ALL), tpm.PcrSelection.of(tpm.Algorithm.SHA256, (23,))),
    ],
)
def test_a_quote_over_other_registers_is_refused_even_an_empty_one(
    service: Service,
    host: PythonTpm,
    endorsement: EndorsementKey,
    reply: RtpmContext,
    selections: tuple[tpm.PcrSelection, ...],
) -> None:
    nonce = nonce_of(reply)
    verdict = service.finish(endorsement, quoted(reply, *host.quote(nonce, selections))).verdict
    assert only_failure(verdict) == j.SELECTION


def nonce_of(reply: RtpmContext) -> bytes:
    return tpm.TpmsAttest.parse(reply.find(BlobType.QUOTE) or b"").extra_data


def test_a_quote_of_another_bank_is_refused(
    service: Service, host: PythonTpm, endorsement: EndorsementKey, reply: RtpmContext
) -> None:
    selection = tpm.PcrSelection.of(tpm.Algorithm.SHA1, ALL)
    attest = host.attest(nonce_of(reply), tpm.QuoteInfo((selection,), bytes(32)))
    assert only_failure(service.finish(endorsement, quoted(reply, *host.sign(attest))).verdict) == j.SELECTION


def test_a_certify_structure_is_not_taken_for_a_quote(
    service: Service, host: PythonTpm, endorsement: EndorsementKey, reply: RtpmContext
) -> None:
    verdict = service.finish(endorsement, quoted(reply, *host.certify(nonce_of(reply)))).verdict
    assert only_failure(verdict) == j.QUOTE_SIGNATURE
    assert "not a quote" in verdict.failed_checks[0].sentence


def test_a_quote_by_another_key_is_refused(
    service: Service, host: PythonTpm, endorsement: EndorsementKey, reply: RtpmContext
) -> None:
    thief = PythonTpm(host.ek, identity=host.identity, pcrs=host.pcrs)
    selections = (tpm.PcrSelection.of(tpm.Algorithm.SHA256, ALL),)
    verdict = service.finish(endorsement, quoted(reply, *thief.quote(nonce_of(reply), selections))).verdict
    assert only_failure(verdict) == j.QUOTE_SIGNATURE


# ---- the log -------------------------------------------------------------------------------------------------------


def test_a_log_that_is_not_this_boots_names_the_registers(
    service: Service, host: PythonTpm, endorsement: EndorsementKey, healthy: Boot
) -> None:
    host.boot(replace(healthy, secure_boot=b"\x00").log())
    verdict = service.attest(host, endorsement, healthy.log().build().serialise()).verdict
    assert only_failure(verdict) == j.REPLAY
    assert verdict.sub_statuses == (AttestationSubStatus.TCG_LOG_VERIFICATION,)
    assert verdict.failed_checks[0].evidence["registers"] == "7"
    assert isinstance(error_reply(verdict), hgsa.TcgLogValidationErrorReply)


def test_false_register_values_change_nothing(
    service: Service, host: PythonTpm, endorsement: EndorsementKey, healthy: Boot
) -> None:
    host.boot(replace(healthy, secure_boot=b"\x00").log())
    log = healthy.log().build().serialise()
    lying = PythonTpm(host.ek, identity=host.identity)
    lying.boot(healthy.log())
    values = b"".join(lying.pcrs[pcr] for pcr in ALL)
    verdict = service.attest(
        host, endorsement, log, lambda c: with_blob(c, BlobType.PCR_VALUES, lambda _: values)
    ).verdict
    assert only_failure(verdict) == j.REPLAY
    assert "registers" not in verdict.failed_checks[0].evidence


def test_a_log_in_another_bank_than_the_quoted_one_is_refused(
    service: Service, host: PythonTpm, endorsement: EndorsementKey, healthy: Boot
) -> None:
    host.boot(healthy.log())
    sha1 = EventLogBuilder((tpm.Algorithm.SHA1,))
    for event in healthy.log().build().events:
        sha1.measure(event.pcr, event.type, event.data)
    assert only_failure(service.attest(host, endorsement, sha1.build().serialise()).verdict) == j.REPLAY


@pytest.mark.parametrize("data", [b"", b"nonsense", bytes(600), b"\xff" * 64])
def test_a_log_that_is_none_is_refused(
    service: Service, host: PythonTpm, endorsement: EndorsementKey, healthy: Boot, data: bytes
) -> None:
    host.boot(healthy.log())
    verdict = service.attest(host, endorsement, data).verdict
    assert only_failure(verdict) == j.REPLAY
    assert verdict.failure is Failure.TCG_LOG


def test_a_log_without_end_markers_is_refused(
    service: Service, host: PythonTpm, endorsement: EndorsementKey, healthy: Boot
) -> None:
    outcome = service.attest(host, endorsement, host.boot(replace(healthy, markers=(12, 13)).log()))
    assert only_failure(outcome.verdict) == j.READABLE
    assert "PCR 14 has no end marker" in outcome.verdict.summary


# ---- the identity key ----------------------------------------------------------------------------------------------


def test_an_identity_key_that_was_not_measured_is_refused(
    service: Service, host: PythonTpm, endorsement: EndorsementKey, healthy: Boot, other_key: rsa.RSAPrivateKey
) -> None:
    log = host.boot(healthy.log())
    host.identity = other_key
    outcome = service.attest(host, endorsement, log)
    assert only_failure(outcome.verdict) == j.IDENTITY_KEY
    assert outcome.verdict.sub_statuses == (AttestationSubStatus.VIRTUAL_SECURE_MODE,)
    assert isinstance(error_reply(outcome.verdict), hgsa.VirtualSecureModeErrorReply)


def test_a_boot_without_identity_key_fails_by_policy(
    service: Service, host: PythonTpm, endorsement: EndorsementKey, healthy: Boot
) -> None:
    outcome = service.attest(host, endorsement, host.boot(replace(healthy, identity=None).log()))
    assert only_failure(outcome.verdict) == "VsmIdkPresent"
    assert not outcome.keys


@pytest.mark.parametrize(
    "attributes",
    [
        lambda a: a | Attributes.RESTRICTED,
        lambda a: a | Attributes.SIGN,
        lambda a: a & ~Attributes.DECRYPT,
        lambda a: a & ~Attributes.FIXED_TPM,
        lambda a: a & ~Attributes.SENSITIVE_DATA_ORIGIN,
    ],
)
def test_an_identity_key_that_could_leave_the_tpm_is_refused(
    service: Service,
    host: PythonTpm,
    endorsement: EndorsementKey,
    healthy: Boot,
    attributes: Callable[[Attributes], Attributes],
) -> None:
    host.identity_attributes = attributes(host.identity_attributes)
    assert only_failure(service.attest(host, endorsement, host.boot(healthy.log())).verdict) == j.IDENTITY_KEY


def test_a_quote_is_not_taken_for_a_certification(
    service: Service, endorsement: EndorsementKey, reply: RtpmContext
) -> None:
    swapped = with_blob(reply, BlobType.IDENTITY_CERTIFY, lambda _: reply.find(BlobType.QUOTE) or b"")
    signature = reply.find(BlobType.QUOTE_SIGNATURE) or b""
    swapped = with_blob(swapped, BlobType.IDENTITY_CERTIFY_SIGNATURE, lambda _: signature)
    assert only_failure(service.finish(endorsement, swapped).verdict) == j.IDENTITY_KEY


def test_a_certification_over_another_nonce_is_refused(
    service: Service, host: PythonTpm, endorsement: EndorsementKey, reply: RtpmContext
) -> None:
    certify, signature = host.certify(b"\x07" * 32)
    stale = with_blob(reply, BlobType.IDENTITY_CERTIFY, lambda _: certify)
    stale = with_blob(stale, BlobType.IDENTITY_CERTIFY_SIGNATURE, lambda _: signature)
    assert only_failure(service.finish(endorsement, stale).verdict) == j.IDENTITY_KEY


def test_an_ecc_identity_key_is_refused(
    service: Service, host: PythonTpm, endorsement: EndorsementKey, reply: RtpmContext
) -> None:
    public = ecc_public(host.ak.public_key(), host.identity_attributes)
    name = tpm.name_of(public)
    certify, signature = host.sign(host.attest(nonce_of(reply), tpm.CertifyInfo(name, name)))
    changed = with_blob(reply, BlobType.IDENTITY_KEY, lambda _: public.serialise())
    changed = with_blob(changed, BlobType.IDENTITY_CERTIFY, lambda _: certify)
    changed = with_blob(changed, BlobType.IDENTITY_CERTIFY_SIGNATURE, lambda _: signature)
    assert only_failure(service.finish(endorsement, changed).verdict) == j.IDENTITY_KEY


# ---- policies through the exchange ---------------------------------------------------------------------------------


def test_a_tampered_host_gets_every_reason_and_no_key(
    service: Service, host: PythonTpm, endorsement: EndorsementKey, healthy: Boot
) -> None:
    tampered = replace(healthy, secure_boot=b"\x00", ci_digests=("ab" * 32,))
    outcome = service.attest(host, endorsement, host.boot(tampered.log()))
    assert [check.code for check in outcome.verdict.failed_checks] == [
        "SecureBootEnabled",
        "SecureBootSettings",
        "SystemIntegrityCiKnownGood",
    ]
    assert outcome.verdict.status is AttestationStatus.INSECURE_HOST_CONFIGURATION
    assert not outcome.keys
    reply = error_reply(outcome.verdict)
    assert isinstance(reply, hgsa.PolicyEvaluationErrorReply)
    failed = {str(item.reason) for item in reply.reasons if not item.result}
    assert failed == {check.guid for check in outcome.verdict.failed_checks}


def test_an_hgs_without_baselines_and_policies_passes_nobody(
    service: Service, host: PythonTpm, endorsement: EndorsementKey, healthy: Boot
) -> None:
    empty = replace(service, policies=PolicySet())
    verdict = empty.attest(host, endorsement, host.boot(healthy.log())).verdict
    assert [check.code for check in verdict.failed_checks] == ["SecureBootSettings", "SystemIntegrityCiKnownGood"]


def test_a_passed_verdict_has_no_error_reply(
    service: Service, host: PythonTpm, endorsement: EndorsementKey, healthy: Boot
) -> None:
    with pytest.raises(ValueError, match="no error reply"):
        error_reply(service.attest(host, endorsement, host.boot(healthy.log())).verdict)


def test_the_endorsement_hash_is_that_of_the_key_not_of_the_certificate(
    host: PythonTpm, manufacturer: Manufacturer
) -> None:
    spki = host.ek.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    bare = endorsement_from_public(host.ek_public)
    certified = endorsement_from_certificate(manufacturer.certify(host.ek.public_key()))
    assert bare.ek_hash == certified.ek_hash == hashlib.sha256(spki).hexdigest()
