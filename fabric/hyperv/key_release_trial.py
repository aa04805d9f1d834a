"""A trial of key release: a throwaway owner protects a throwaway key for this HGS, and the host asks for it.

The keys involved protect nothing, so they may be opened here, outside the secure worker.
"""

import datetime as dt
import secrets
from enum import Enum
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from fabric.hyperv.attestation import Attestor
from fabric.hyperv.config import HostConfig
from fabric.hyperv.tpm import identity_decrypt
from hgs.client import HgsProtocolError, HgsRefused, KeyProtectionClient
from hgs.keyprotection.errors import KeyProtectionError
from hgs.keyprotection.guardian import create_guardian_keys
from hgs.keyprotection.metadata import parse_metadata
from hgs.keyprotection.protector import Protector, new_protector
from hgs.keyprotection.release import new_request, open_response
from hgs.wire import kps

_REFUSAL: Final = "HealthCertificateException"
_SECONDS: Final = 10.0


class KeyReleaseTrial(Enum):
    """How it ended; the value of a refusal is the specification's name."""

    RELEASED = "released"
    REFUSED = _REFUSAL
    RELEASED_WRONGLY = "released-wrongly"


def try_key_release(config: HostConfig, attestor: Attestor) -> KeyReleaseTrial:
    """Ask the HGS of `attestor` for the keys of a protector made now.

    The host shows the health certificate that this HGS gave it, or one that it signed itself.
    Raises `HgsError`, `StateError`, `TpmError`.
    """
    attested = attestor.current().passed
    certificate = attestor.kept_certificate() if attested else _own_certificate()
    client = KeyProtectionClient(attestor.address.key_protection, _SECONDS)
    try:
        request = new_request(_throwaway_protector(client.metadata()), certificate)
        answer = client.roll_transport_key(kps.serialise_request(request))
        if not attested:
            return KeyReleaseTrial.RELEASED_WRONGLY
        open_response(kps.parse_response(answer), request, lambda data: identity_decrypt(config.tpm_access, data))
    except HgsRefused as error:
        if error.reason == _REFUSAL and not attested:
            return KeyReleaseTrial.REFUSED
        raise
    except (KeyProtectionError, ValueError) as error:
        raise HgsProtocolError(f"What HGS answered does not hold: {error}") from error
    finally:
        client.close()
    return KeyReleaseTrial.RELEASED


def _throwaway_protector(metadata: bytes) -> Protector:
    guardian = parse_metadata(metadata).verify("hgs").guardian
    owner = create_guardian_keys("throwaway", dt.datetime.now(dt.UTC))
    protector, _key = new_protector(owner, [guardian], secrets.token_bytes)
    return protector


def _own_certificate() -> bytes:
    """A certificate in the shape of a health certificate that nobody but this host vouches for."""
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "0" * 64)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(Encoding.DER)
