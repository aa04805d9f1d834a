"""Attacks on rolltransportkey, one test each: what the attacker gets, which is nothing, and what the log then shows."""

import os
from dataclasses import dataclass, replace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from django.test import Client

from hgs.attestation.healthcert import CertificateKind
from hgs.keyprotection import algorithms
from hgs.keyprotection.algorithms import RSA_OAEP, wrap_transport_key
from hgs.keyprotection.certificates import rsa_key_of
from hgs.keyprotection.errors import InvalidResponseError
from hgs.keyprotection.protector import Protector, new_protector, serialise_protector
from hgs.keyprotection.protector_form import wrappings_octets
from hgs.keyprotection.release import new_request, open_response
from hgs.keyprotection.secret import Secret
from hgs.models import KeyRelease, TpmHost
from hgs.selectors.key_log_check import damage
from hgs.wire import kps
from tests.hgs.keyprotection.guardians import branch, lab, owner, stranger
from tests.hgs.service.conftest import Clock, Trusting
from tests.hgs.service.hosts import ROLL, Host, forged_certificate

Signer = tuple[x509.Certificate, rsa.RSAPrivateKey]
V1 = "/KeyProtection/service/v1.0/rolltransportkey"


@dataclass
class Attacker:
    """Somebody on the network, with what could be copied from the host hv01: its certificate, and protectors."""

    client: Client
    certificate: bytes
    hv01: Host

    def send(self, request: kps.RollTransportKeyRequest, path: str = ROLL, **headers: Any) -> Any:
        return self.client.post(path, kps.serialise_request(request), content_type="application/xml", **headers)

    def refused(self, request: kps.RollTransportKeyRequest, fault: str, code: str) -> KeyRelease:
        """The request gets an error and nothing else; the log's newest entry says why."""
        response = self.send(request)
        assert response.status_code in (400, 403)
        assert kps.parse_error(response.content).code == fault
        row = KeyRelease.objects.latest("log_index")
        assert (row.released, row.reason, row.egress_hash) == (False, code, "")
        assert damage() is None
        return row

    def answered(self, request: kps.RollTransportKeyRequest) -> kps.RollTransportKeyResponse:
        response = self.send(request)
        assert response.status_code == 200, response.content
        return kps.parse_response(response.content)


@pytest.fixture
def attacker(client: Client, fabric: Trusting, hv01: Host) -> Attacker:
    return Attacker(client, hv01.attest(client).certificate, hv01)


def protector_of(*guardians: Any) -> Protector:
    return new_protector(owner(), [one.guardian for one in guardians or (lab(),)], os.urandom)[0]


# ---- the health certificate ----------------------------------------------------------------------------------------


def test_another_hosts_certificate_gives_keys_that_only_that_host_can_read(attacker: Attacker, hv02: Host) -> None:
    request = new_request(protector_of(), attacker.certificate)
    response = attacker.answered(request)
    with pytest.raises(InvalidResponseError) as caught:
        open_response(response, request, hv02.decrypt)
    assert caught.value.code == "transfer-key"
    row = KeyRelease.objects.latest("log_index")
    assert (row.released, row.host_name, row.owner_fingerprint) == (True, "hv01", owner().guardian.fingerprint)


def test_an_expired_certificate(attacker: Attacker, clock: Clock) -> None:
    attacker.answered(new_request(protector_of(), attacker.certificate))  # and so it is remembered
    clock.forward(hours=8, seconds=1)
    row = attacker.refused(
        new_request(protector_of(), attacker.certificate), "HealthCertificateException", "certificate-invalid"
    )
    assert row.owner_fingerprint == owner().guardian.fingerprint


def test_a_certificate_of_the_signing_profile(attacker: Attacker, signer: Signer, clock: Clock) -> None:
    key = attacker.hv01.tpm.identity.public_key()
    identity = TpmHost.objects.get().ek_hash
    signing = forged_certificate(signer, identity, key, clock.now, CertificateKind.SIGNING)
    attacker.refused(new_request(protector_of(), signing), "HealthCertificateException", "certificate-kind")


def test_a_certificate_by_a_signer_of_the_same_name(attacker: Attacker, stranger: Signer, clock: Clock) -> None:
    mine = rsa.generate_private_key(65537, 2048)
    forged = forged_certificate(stranger, TpmHost.objects.get().ek_hash, mine.public_key(), clock.now)
    row = attacker.refused(new_request(protector_of(), forged), "HealthCertificateException", "certificate-invalid")
    assert row.host_identity == row.host_name == ""


def test_a_certificate_with_one_bit_changed(attacker: Attacker) -> None:
    attacker.answered(new_request(protector_of(), attacker.certificate))  # and so it is remembered
    changed = bytearray(attacker.certificate)
    changed[-1] ^= 1
    attacker.refused(new_request(protector_of(), bytes(changed)), "HealthCertificateException", "certificate-invalid")


# ---- the protector -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [1, 200, 4000])
def test_a_truncated_protector(attacker: Attacker, cut: int) -> None:
    document = serialise_protector(protector_of())[:-cut]
    request = replace(new_request(protector_of(), attacker.certificate), ingress_protector=document)
    row = attacker.refused(request, "InvalidProtectorException", "not-well-formed")
    assert row.owner_fingerprint == "", "nobody's signature holds, so it is in nobody's account"


def test_wrappings_of_two_protectors_of_one_owner(attacker: Attacker) -> None:
    first, second = protector_of(lab(), branch()), protector_of(lab(), branch())
    mixed = replace(first, wrappings=(*first.wrappings[:2], second.wrappings[2]))
    attacker.refused(new_request(mixed, attacker.certificate), "InvalidProtectorException", "guardian-signature")


def test_a_guardian_of_the_attackers_own_put_into_a_protector(attacker: Attacker) -> None:
    theirs, _ = new_protector(stranger(), [lab().guardian], os.urandom)
    mixed = replace(
        protector_of(), wrappings=(*protector_of().wrappings, replace(theirs.wrappings[0], id=9, parent_id=9))
    )
    attacker.refused(new_request(mixed, attacker.certificate), "InvalidProtectorException", "guardian-signature")


def test_a_protector_that_the_attacker_owns_around_somebody_elses_wrapping(attacker: Attacker) -> None:
    """The attacker signs as owner of his own protector, but cannot know the transport key in the stolen wrapping."""
    stolen = protector_of().wrappings[1]
    own, _ = new_protector(stranger(), [lab().guardian], os.urandom)
    wrapped = replace(own.wrappings[1], transport_key=stolen.transport_key)
    forged = _signed(replace(own, wrappings=(own.wrappings[0], wrapped)))
    row = attacker.refused(
        new_request(forged, attacker.certificate), "InvalidProtectorException", "transport-key-signature"
    )
    assert row.owner_fingerprint == stranger().guardian.fingerprint, "it is in the attacker's own account"


def test_a_transport_key_of_the_attackers_choice_in_the_owners_protector(attacker: Attacker) -> None:
    mine = Secret(bytes(32))
    protector = protector_of()
    public = rsa_key_of(protector.wrappings[1].encryption_certificate, "encryption")
    chosen = replace(protector.wrappings[1], transport_key=wrap_transport_key(public, mine))
    forged = replace(protector, wrappings=(protector.wrappings[0], chosen))
    attacker.refused(new_request(forged, attacker.certificate), "InvalidProtectorException", "guardian-signature")


def test_a_protector_of_another_fabric(attacker: Attacker) -> None:
    elsewhere = new_request(protector_of(branch()), attacker.certificate)
    attacker.refused(elsewhere, "InvalidProtectorException", "not-a-guardian")


# ---- algorithms ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("member", ["transfer_key_algorithm", "wrapping_key_algorithm", "transport_keys_algorithm"])
@pytest.mark.parametrize(
    "weaker",
    [
        "http://www.w3.org/2001/04/xmlenc#rsa-1_5",
        "http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p",
        "http://www.w3.org/2001/04/xmlenc#aes128-cbc",
        "http://www.w3.org/2000/09/xmldsig#none",
    ],
)
def test_a_weaker_algorithm_is_refused_by_name(attacker: Attacker, member: str, weaker: str) -> None:
    request = replace(new_request(protector_of(), attacker.certificate), **{member: weaker})
    row = attacker.refused(request, "InvalidRequestException", "unknown-algorithm")
    assert weaker in row.message


def test_oaep_without_its_parameters_which_would_mean_sha_1(attacker: Attacker) -> None:
    protector = protector_of()
    bare = replace(protector.wrappings[1].transport_key, algorithm=RSA_OAEP, parameters=b"")
    weaker = _signed(
        replace(protector, wrappings=(protector.wrappings[0], replace(protector.wrappings[1], transport_key=bare))),
        by_owner=True,
    )
    row = attacker.refused(new_request(weaker, attacker.certificate), "InvalidWrappingException", "unknown-parameters")
    assert "rsa-oaep" in row.message


def test_the_answer_of_version_1_is_not_taken_for_one_of_version_2(attacker: Attacker) -> None:
    request = new_request(protector_of(), attacker.certificate)
    response = kps.parse_response(attacker.send(request, V1).content)
    with pytest.raises(InvalidResponseError) as caught:
        open_response(response, request, attacker.hv01.decrypt)
    assert caught.value.code == "payload"


# ---- the answer, on its way ----------------------------------------------------------------------------------------


def test_the_answer_about_another_machine(attacker: Attacker) -> None:
    """A host's main process, or the network, gives the secure worker an answer that HGS made for another machine."""
    one, other = (new_request(protector_of(), attacker.certificate) for _ in range(2))
    answer = attacker.answered(other)
    with pytest.raises(InvalidResponseError) as caught:
        open_response(answer, one, attacker.hv01.decrypt)
    assert caught.value.code == "not-for-this-request"


def test_an_older_answer_after_the_machine_was_started_again(attacker: Attacker) -> None:
    first = new_request(protector_of(), attacker.certificate)
    old = attacker.answered(first)
    started = open_response(old, first, attacker.hv01.decrypt)
    second = new_request(started.egress_protector, attacker.certificate)
    with pytest.raises(InvalidResponseError):
        open_response(old, second, attacker.hv01.decrypt)


def test_the_same_request_again_gives_other_keys_and_another_entry(attacker: Attacker) -> None:
    request = new_request(protector_of(), attacker.certificate)
    released = [open_response(attacker.answered(request), request, attacker.hv01.decrypt) for _ in range(2)]
    assert released[0].egress != released[1].egress
    assert KeyRelease.objects.filter(released=True).count() == 2


def test_keys_of_two_answers_do_not_mix(attacker: Attacker) -> None:
    request = new_request(protector_of(), attacker.certificate)
    one, other = attacker.answered(request), attacker.answered(request)
    mixed = replace(one, egress_protector=other.egress_protector)
    with pytest.raises(InvalidResponseError):
        open_response(mixed, request, attacker.hv01.decrypt)


def _signed(protector: Protector, *, by_owner: bool = False) -> Protector:
    """The guardian signature that the protector's own owner would make over these wrappings."""
    keys = owner() if by_owner else stranger()
    return replace(
        protector, guardian_signature=algorithms.sign(keys.signing_key, wrappings_octets(protector.wrappings))
    )
