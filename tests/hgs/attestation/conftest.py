"""Fixtures of the attestation tests: a manufacturer, TPMs with keys made once, and an HGS that knows one host."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from hgs.attestation.baseline import baseline_from_log
from hgs.attestation.ekcert import parse_ek_certificate
from hgs.attestation.endorsement import EndorsementKey, EndorsementTrust, KnownHost, endorsement_from_certificate
from hgs.attestation.exchange import Challenge, Outcome, Refusal, begin, finish
from hgs.attestation.policies import NamedBaseline, NamedDigest, PolicySet
from hgs.wire.hgsa import AttestationResultType
from hgs.wire.rtpm import BlobType, RtpmContext
from tests.hgs.attestation.boots import CI_DIGEST, Boot
from tests.hgs.attestation.tpm_hosts import NOW, Manufacturer, PythonTpm, answer, random_bytes

ENCRYPTION = AttestationResultType.VSM_IDENTITY_ENCRYPTION_KEY_CERTIFICATE


@dataclass
class Service:
    """An HGS as the pure functions see it: what it trusts, its policies and its sealing key."""

    trust: EndorsementTrust
    policies: PolicySet
    seal_keys: tuple[bytes, ...] = (b"\x11" * 32,)
    session: UUID = field(default_factory=uuid4)

    def begin(self, host: Any, endorsement: EndorsementKey, **changes: Any) -> Challenge | Refusal:
        context = changes.pop("context", RtpmContext(None, ((BlobType.AK_PUBLIC, host.ak_public.serialise()),)))
        arguments: dict[str, Any] = {
            "trust": self.trust,
            "seal_keys": self.seal_keys,
            "now": NOW,
            "random_bytes": random_bytes,
        }
        return begin(self.session, endorsement, context, **(arguments | changes))

    def challenge(self, host: Any, endorsement: EndorsementKey) -> RtpmContext:
        reply = self.begin(host, endorsement)
        assert isinstance(reply, Challenge), reply
        return reply.context

    def finish(self, endorsement: EndorsementKey, context: RtpmContext, **changes: Any) -> Outcome:
        arguments: dict[str, Any] = {
            "requested": (ENCRYPTION,),
            "trust": self.trust,
            "policies": self.policies,
            "seal_keys": self.seal_keys,
            "now": NOW + timedelta(seconds=5),
        }
        return finish(changes.pop("session", self.session), endorsement, context, **(arguments | changes))

    def attest(
        self,
        host: Any,
        endorsement: EndorsementKey,
        log: bytes,
        change: Callable[[RtpmContext], RtpmContext] = lambda context: context,
    ) -> Outcome:
        """Both rounds; ``change`` tampers with the second request."""
        return self.finish(endorsement, change(answer(host, self.challenge(host, endorsement), log)))


@pytest.fixture(scope="session")
def manufacturer() -> Manufacturer:
    return Manufacturer()


@pytest.fixture(scope="session")
def ek_keys() -> dict[str, Any]:
    return {"rsa": rsa.generate_private_key(65537, 2048), "ecc": ec.generate_private_key(ec.SECP256R1())}


@pytest.fixture(scope="session")
def identity_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture(scope="session")
def other_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture
def host(ek_keys: dict[str, Any], identity_key: rsa.RSAPrivateKey) -> PythonTpm:
    return PythonTpm(ek_keys["ecc"], identity=identity_key)


@pytest.fixture
def endorsement(host: PythonTpm, manufacturer: Manufacturer) -> EndorsementKey:
    return endorsement_from_certificate(manufacturer.certify(host.ek.public_key()))


@pytest.fixture
def healthy(identity_key: rsa.RSAPrivateKey) -> Boot:
    return Boot(identity=identity_key.public_key())


def service_for(endorsement: EndorsementKey, manufacturer: Manufacturer, reference: Boot, **known: Any) -> Service:
    """An HGS that knows the host, one baseline taken from a reference boot, and the CI policy."""
    hosts = {endorsement.ek_hash: KnownHost("hv01", **known)}
    baseline = baseline_from_log(replace(reference, boot_counter=77).log().build().serialise())
    return Service(
        EndorsementTrust(hosts.get, (parse_ek_certificate(manufacturer.root),)),
        PolicySet(baselines=(NamedBaseline("Acme R1", baseline),), ci_policies=(NamedDigest("Hosts", CI_DIGEST),)),
    )


@pytest.fixture
def service(endorsement: EndorsementKey, manufacturer: Manufacturer, healthy: Boot) -> Service:
    return service_for(endorsement, manufacturer, healthy)


@pytest.fixture
def later() -> Callable[[float], datetime]:
    return lambda seconds: NOW + timedelta(seconds=seconds)
