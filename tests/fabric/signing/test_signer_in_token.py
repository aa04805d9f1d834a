"""A template signed by a key that never leaves its token (SoftHSM)."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from fabric.commands.signing import start_signing
from fabric.disks.catalog import parse_catalog
from fabric.models import TemplateSigning
from portal.kernel.models import JobState
from tests.cast import Cast
from tests.fabric.signing.conftest import SIGNER, Worker
from tests.fabric.signing.test_signing_commands import drafted, published
from tests.hgs.tokens import MODULE, PIN, Token, made_token, needs_token, token_folder

__all__ = ["made_token", "token_folder"]
pytestmark = [pytest.mark.django_db, needs_token]


def public_key(token: Token, label: str) -> rsa.RSAPublicKey:
    import pkcs11
    from pkcs11.util.rsa import encode_rsa_public_key

    library: Any = pkcs11.lib(MODULE)
    with library.get_token(token_label=token.label).open(user_pin=PIN) as session:
        key = session.get_key(object_class=pkcs11.ObjectClass.PUBLIC_KEY, label=label)
        found = serialization.load_der_public_key(encode_rsa_public_key(key))
    assert isinstance(found, rsa.RSAPublicKey)
    return found


@pytest.fixture(scope="session")
def template_key_uri(made_token: Token) -> str:
    return made_token.generate("templates", only_signs=True)


@pytest.fixture
def pin_file(folders: Path, made_token: Token, template_key_uri: str) -> Path:
    """The signer `laboratory`, its key in the token; gives the file with the PIN."""
    import pkcs11

    for library in pkcs11._loaded.values():  # type: ignore[attr-defined] # as in a worker that has just started
        if library.initialized:
            library.finalize()
    name, now = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "In a token")]), datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, public_key(made_token, "templates"), 7, now, now + timedelta(days=9))
    certificate = builder.sign(rsa.generate_private_key(public_exponent=65537, key_size=2048), hashes.SHA256())
    place, pin = folders / "signers", folders / "pin"
    (place / f"{SIGNER}.key").unlink()
    (place / f"{SIGNER}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    named = place / f"{SIGNER}.token"
    named.write_text(f'module = "{MODULE}"\nkey = "{template_key_uri}"\npin-file = "{pin}"\n')
    named.chmod(0o600)
    pin.touch(mode=0o600)
    pin.write_text(PIN + "\n")
    return pin


def test_a_template_is_signed_in_the_token(cast: Cast, worker: Worker, pin_file: Path) -> None:
    signing = drafted(cast)
    worker.work()
    start_signing(cast.as_admin, signing=signing)
    worker.work()
    signed = parse_catalog(published(signing).catalog.path.read_bytes()).verify()
    assert signed.certificate.subject.rfc4514_string() == "CN=In a token"


def test_a_pin_that_others_can_read_is_not_used(cast: Cast, worker: Worker, pin_file: Path) -> None:
    pin_file.chmod(0o644)
    signing = drafted(cast)
    worker.work()
    job = start_signing(cast.as_admin, signing=signing)
    worker.work()
    job.refresh_from_db()
    assert (job.state, job.error_code) == (JobState.FAILED, "signer-exposed")
    assert PIN not in repr(list(TemplateSigning.objects.values())) + job.error_message
