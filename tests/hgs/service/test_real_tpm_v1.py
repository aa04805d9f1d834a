"""Version 1 with a real TPM over HTTP: a bare endorsement key, admitted by force, attests and can use its key."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from django.test import Client

from hgs.attestation import tpm
from hgs.models import Attestation
from hgs.wire.platform_identifier import PlatformIdentifier, serialise_identifier
from tests.hgs.attestation.boots import CI_POLICY, Boot
from tests.hgs.attestation.swtpm_host import SwTpm, manufacture, running
from tests.hgs.attestation.tpm_hosts import Manufacturer
from tests.hgs.service.hosts import Host
from tests.hgs.service.test_policy_versions import V1, admit

pytestmark = [pytest.mark.tpm, pytest.mark.django_db]


@pytest.fixture
def real(tmp_path: Path) -> Iterator[SwTpm]:
    manufacture(tmp_path / "tpm")
    with running(tmp_path / "tpm") as started:
        yield started


def test_a_real_tpm_without_a_certificate_attests_by_version_1(
    client: Client, initialised: None, manufacturer: Manufacturer, real: SwTpm
) -> None:
    host = Host("hv01", _as_host(real), manufacturer, Boot(identity=real.identity_key))
    bare = serialise_identifier(PlatformIdentifier("hv01", tpm.spki_of(tpm.to_cryptography_key(real.ek_public)), None))
    admit("host", "hv01", bare, V1, force=True)
    admit("baseline", "r1", host.log, V1)
    admit("ci-policy", "hosts", CI_POLICY, V1)
    certificate = x509.load_der_x509_certificate(host.attest_v1(client).certificate)
    key = certificate.public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    secret = os.urandom(32)
    oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
    assert real.decrypt(key.encrypt(secret, oaep)) == secret
    assert Attestation.objects.get().verdict["warnings"]


def _as_host(real: SwTpm) -> "SwTpm":
    """What ``Host`` asks a TPM for beside its commands: the endorsement key, to make a certificate that is not used."""

    class Endorsement:
        def public_key(self) -> tpm.PublicKey:
            return tpm.to_cryptography_key(real.ek_public)

    real.ek = Endorsement()  # type: ignore[attr-defined]
    return real
