"""The exchange against a real TPM 2.0: what our structures say is what a TPM does."""

import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from hgs.attestation import judgement as j
from hgs.attestation import tpm
from hgs.attestation.baseline import baseline_from_log
from hgs.attestation.ekcert import load_trusted_certificate
from hgs.attestation.endorsement import (
    EndorsementKey,
    EndorsementTrust,
    KnownHost,
    endorsement_from_certificate,
    endorsement_from_public,
)
from hgs.attestation.exchange import Challenge
from hgs.attestation.policies import NamedBaseline, NamedDigest, PolicySet
from tests.hgs.attestation.boots import CI_DIGEST, Boot
from tests.hgs.attestation.conftest import ENCRYPTION, Service
from tests.hgs.attestation.swtpm_host import SwTpm, manufacture, running
from tests.hgs.attestation.tpm_hosts import answer

pytestmark = pytest.mark.tpm


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tpms")
    return manufacture(folder / "tpm")


@pytest.fixture
def real(authority: Path) -> Iterator[SwTpm]:
    with running(authority.parent / "tpm") as host:
        yield host


def real_service(host: SwTpm, authority: Path, reference: Boot) -> tuple[Service, EndorsementKey]:
    endorsement = endorsement_from_certificate(host.ek_certificate)
    roots = (load_trusted_certificate((authority / "swtpm-localca-rootca-cert.pem").read_bytes()),)
    intermediates = (load_trusted_certificate((authority / "issuercert.pem").read_bytes()),)
    baseline = baseline_from_log(reference.log().build().serialise())
    policies = PolicySet(
        baselines=(NamedBaseline("emulated", baseline),), ci_policies=(NamedDigest("Hosts", CI_DIGEST),)
    )
    known = {endorsement.ek_hash: KnownHost("hv01")}
    return Service(EndorsementTrust(known.get, roots, intermediates), policies), endorsement


def test_a_host_with_a_real_tpm_attests_and_can_use_the_certified_key(real: SwTpm, authority: Path) -> None:
    boot = Boot(identity=real.identity_key)
    service, endorsement = real_service(real, authority, boot)
    now = datetime.now(UTC)
    log = real.boot(boot.log())
    challenge = service.begin(real, endorsement, now=now)
    assert isinstance(challenge, Challenge), challenge
    outcome = service.finish(endorsement, answer(real, challenge.context, log), now=now)
    assert outcome.verdict.passed, outcome.verdict.summary
    secret = os.urandom(32)
    oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
    assert real.decrypt(outcome.keys[ENCRYPTION].encrypt(secret, oaep)) == secret  # type: ignore[union-attr]


def test_a_host_that_extends_a_register_after_its_log_is_refused(real: SwTpm, authority: Path) -> None:
    boot = Boot(identity=real.identity_key)
    service, endorsement = real_service(real, authority, boot)
    now = datetime.now(UTC)
    log = boot.log()
    claimed = log.build().serialise()
    log.measure(4, 0x80000003, b"another boot program")
    real.boot(log)
    challenge = service.begin(real, endorsement, now=now)
    outcome = service.finish(endorsement, answer(real, challenge.context, claimed), now=now)  # type: ignore[union-attr]
    assert [check.code for check in outcome.verdict.failed_checks] == [j.REPLAY]
    assert outcome.verdict.failed_checks[0].evidence["registers"] == "4"


def test_a_tampered_boot_is_told_what_is_wrong(real: SwTpm, authority: Path) -> None:
    boot = Boot(identity=real.identity_key)
    service, endorsement = real_service(real, authority, boot)
    now = datetime.now(UTC)
    log = real.boot(replace(boot, secure_boot=b"\x00").log())
    challenge = service.begin(real, endorsement, now=now)
    outcome = service.finish(endorsement, answer(real, challenge.context, log), now=now)  # type: ignore[union-attr]
    assert [check.code for check in outcome.verdict.failed_checks] == ["SecureBootEnabled", "SecureBootSettings"]


def test_the_endorsement_keys_public_area_is_the_one_the_tpm_has(real: SwTpm) -> None:
    assert endorsement_from_certificate(real.ek_certificate).public == real.ek_public
    assert endorsement_from_public(real.ek_public).ek_hash == endorsement_from_certificate(real.ek_certificate).ek_hash


def test_names_of_real_keys_are_what_the_tpm_says(real: SwTpm) -> None:
    name = real.esapi.tr_get_name(real._ak)
    assert bytes(name) == tpm.name_of(real.ak_public)


def test_what_a_real_tpm_signs_parses_to_the_same_bytes(real: SwTpm) -> None:
    quote, signature = real.quote(b"nonce", (tpm.PcrSelection.of(tpm.Algorithm.SHA256, (0, 7)),))
    certify, certify_signature = real.certify(b"nonce")
    for attest, signed in ((quote, signature), (certify, certify_signature)):
        assert tpm.TpmsAttest.parse(attest).serialise() == attest
        assert tpm.TpmtSignature.parse(signed).serialise() == signed
        tpm.verify_signature(real.ak_public, attest, tpm.TpmtSignature.parse(signed))
