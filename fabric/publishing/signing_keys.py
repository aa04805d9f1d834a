"""The keys that sign template disks: from a PFX file, from PEM files, or in a token by PKCS #11."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import pkcs12

from fabric.disks.catalog import SigningKey
from fabric.publishing.errors import PublishingError

_FILE_MAX: Final = 256 * 1024
_DIGEST_LENGTH: Final = 32


@dataclass(frozen=True, slots=True)
class Signer:
    """A certificate with its key, wherever that is."""

    certificate: x509.Certificate
    key: SigningKey


def from_pem(certificate: Path, key: Path, passphrase: bytes | None = None) -> Signer:
    """From two PEM files; the key may be encrypted. Raises `PublishingError`."""
    data = _read(key, "key-unreadable")
    try:
        private = serialization.load_pem_private_key(data, password=passphrase)
    except (ValueError, TypeError):
        sentence = f"{key} is not a PEM private key that opens" + (" with this passphrase." if passphrase else ".")
        raise PublishingError(
            "key-unreadable", sentence, "Give its passphrase with --passphrase-file if it has one."
        ) from None
    return Signer(load_certificate(certificate), _rsa(private))


def from_pfx(path: Path, passphrase: bytes | None) -> Signer:
    """From a PFX (PKCS #12) file. Raises `PublishingError`."""
    data = _read(path, "pfx-unreadable")
    try:
        private, certificate, _ = pkcs12.load_key_and_certificates(data, passphrase)
    except ValueError:
        raise PublishingError("pfx-unreadable", f"{path} is no PFX file, or its passphrase is another one.") from None
    if private is None or certificate is None:
        raise PublishingError("pfx-content", f"{path} does not hold both a certificate and its key.")
    return Signer(certificate, _rsa(private))


def from_token(uri: str, module: Path, pin: Callable[[], str], certificate: Path) -> Signer:
    """With the key in a token; `uri` names it by token= and object=. The certificate is a PEM file.

    Raises `PublishingError`.
    """
    found = load_certificate(certificate)
    public = found.public_key()
    if not isinstance(public, rsa.RSAPublicKey):
        raise PublishingError("key-kind", "Templates are signed with RSA keys.")
    return Signer(found, TokenSigningKey(module, *_names(uri), pin, public))


def load_certificate(path: Path) -> x509.Certificate:
    """Read a certificate, PEM or DER. Raises `PublishingError`."""
    data = _read(path, "certificate-unreadable")
    try:
        return x509.load_pem_x509_certificate(data) if b"-----" in data else x509.load_der_x509_certificate(data)
    except ValueError:
        raise PublishingError("certificate-unreadable", f"{path} is not a readable certificate.") from None


class TokenSigningKey:
    """A key that stays in its token: it signs RSASSA-PSS with SHA-256 there."""

    def __init__(self, module: Path, token: str, label: str, pin: Callable[[], str], public: rsa.RSAPublicKey) -> None:
        self._module = module
        self._token = token
        self._label = label
        self._pin = pin
        self._public = public

    def public_key(self) -> rsa.RSAPublicKey:
        """The public half, as the certificate says."""
        return self._public

    def sign(self, data: bytes, scheme: padding.PSS, algorithm: Any) -> bytes:  # noqa: ARG002 - both are the catalog's
        """Sign in the token. Raises `PublishingError`."""
        try:
            import pkcs11
        except ImportError:
            raise PublishingError(
                "token-library", "The package python-pkcs11 is not installed.", "Install this project with [hsm]."
            ) from None
        library: Any = None
        try:
            library = pkcs11.lib(str(self._module))
            library.reinitialize()  # a module reads its configuration once; a token may have come since
            token = library.get_token(token_label=self._token)
            with token.open(user_pin=self._pin()) as session:
                key = session.get_key(object_class=pkcs11.ObjectClass.PRIVATE_KEY, label=self._label)
                parameters = (pkcs11.Mechanism.SHA256, pkcs11.MGF.SHA256, _DIGEST_LENGTH)
                return bytes(key.sign(data, mechanism=pkcs11.Mechanism.SHA256_RSA_PKCS_PSS, mechanism_param=parameters))
        except (pkcs11.PKCS11Error, RuntimeError, AttributeError, OSError) as error:
            raise PublishingError(
                "token-failed",
                f"The token did not sign: {type(error).__name__}.",
                "Check the module's path, the names of token and key, and the PIN; a wrong PIN may lock the token.",
            ) from None
        finally:
            _let_go(library)


def _let_go(library: Any) -> None:
    """Nothing of the token stays open in a process that goes on."""
    if library is not None and library.initialized:
        library.finalize()


def _names(uri: str) -> tuple[str, str]:
    parts = dict(part.partition("=")[::2] for part in uri.removeprefix("pkcs11:").split(";"))
    if not uri.startswith("pkcs11:") or set(parts) != {"token", "object"} or not all(parts.values()):
        raise PublishingError("token-uri", "A key in a token is named as pkcs11:token=NAME;object=NAME.")
    return parts["token"], parts["object"]


def _rsa(key: object) -> rsa.RSAPrivateKey:
    if not isinstance(key, rsa.RSAPrivateKey):
        raise PublishingError("key-kind", "Templates are signed with RSA keys.")
    return key


def _read(path: Path, code: str) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(_FILE_MAX)
    except OSError as error:
        raise PublishingError(code, f"{path} cannot be read: {error.strerror}.") from None
