"""Private RSA keys that stay in a token (a hardware security module, a smart card), by PKCS #11.

``TokenKey`` is a private key like any other to whoever signs and decrypts with it; the work is done in the token. The
module (``HGS_PKCS11_MODULE``) and the PIN (``HGS_PKCS11_PIN``) are settings of the node and in no database.

One thread of a process at a time speaks to the module, by one session for each token: the library initialises modules
without telling them that there are threads. A process that was forked begins anew, since sessions are not inherited.
After an error everything is opened anew and the operation is tried once more; so a token that was away is back without
a restart. A PIN that was refused is not shown to that token again: after a few wrong ones it would lock itself.

RSA-OAEP with SHA-256 is asked of the token. Tokens that do not know it (SoftHSM 2.6) do raw RSA instead, and the
encoding is taken off here (:mod:`hgs.keyprotection.oaep`). Which way it is, a ciphertext of our own decides, before any
of somebody else's is decrypted.
"""

import hashlib
import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from django.conf import settings

from hgs.keyprotection import oaep
from hgs.pkcs11_uri import TokenUri, parse_token_uri
from portal.kernel.errors import Unavailable

if TYPE_CHECKING:
    from pkcs11 import Session, Token

_R = TypeVar("_R")
_Key = Any
"""A private key as the library gives it; what it can do is mixed in when it is found."""
_PROBE: Final = b"which way does this token decrypt?"
_SHA256_LENGTH: Final = 32


class TokenKey(rsa.RSAPrivateKey):
    """A private key in a token, named by its URI. ``public`` is the public half, from its certificate.

    Signs RSASSA-PSS (salt as long as the digest) and PKCS #1 v1.5, decrypts RSA-OAEP, all with SHA-256 alone. Every
    operation raises Unavailable where the token does not do it.
    """

    def __init__(self, uri: str, public: rsa.RSAPublicKey) -> None:
        self._uri = parse_token_uri(uri)
        self._public = public
        self._probe = b""
        self._does_oaep = False

    def __repr__(self) -> str:
        return f"<TokenKey {self._uri}>"

    @property
    def key_size(self) -> int:
        """The bit length of the modulus."""
        return self._public.key_size

    def public_key(self) -> rsa.RSAPublicKey:
        """The public half."""
        return self._public

    def sign(self, data: bytes, padding: Any, algorithm: Any) -> bytes:
        """Sign ``data`` in the token."""
        from pkcs11 import MGF, Mechanism

        _check_sha256(algorithm)
        parameters = None
        if _is_pss(padding):
            mechanism = Mechanism.SHA256_RSA_PKCS_PSS
            parameters = Mechanism.SHA256, MGF.SHA256, _SHA256_LENGTH
        elif padding.name == "EMSA-PKCS1-v1_5":
            mechanism = Mechanism.SHA256_RSA_PKCS
        else:
            raise UnsupportedAlgorithm("A key in a token signs PSS with SHA-256 and PKCS #1 v1.5 alone.")
        return _tokens.use(
            self._uri, lambda key: bytes(_able(key, "sign")(data, mechanism=mechanism, mechanism_param=parameters))
        )

    def decrypt(self, ciphertext: bytes, padding: Any) -> bytes:
        """Decrypt in the token. Raises ValueError, always the same one, for a ciphertext that does not open."""
        label = _label_of(padding)
        numbers = self._public.public_numbers()
        if len(ciphertext) != -(-self.key_size // 8) or int.from_bytes(ciphertext) >= numbers.n:
            raise ValueError(oaep.FAILED)
        return _tokens.use(self._uri, lambda key: self._decrypt(key, ciphertext, label))

    def _decrypt(self, key: _Key, ciphertext: bytes, label: bytes) -> bytes:
        from pkcs11 import PKCS11Error

        if not self._probe:
            self._find_the_way(key)
        if not self._does_oaep:
            return oaep.unpad(_raw(key, ciphertext), label)
        try:
            return _in_token(key, ciphertext, label)
        except PKCS11Error:
            # Tokens name many reasons. One that still opens what is ours works, so it was the ciphertext.
            _in_token(key, self._probe, b"")
        raise ValueError(oaep.FAILED)

    def _find_the_way(self, key: _Key) -> None:
        """Raises PKCS11Error or ValueError where the token decrypts in neither way."""
        from pkcs11 import PKCS11Error

        probe = self._public.encrypt(_PROBE, _oaep_sha256())
        try:
            self._does_oaep = _in_token(key, probe, b"") == _PROBE
        except PKCS11Error:
            self._does_oaep = False
        if not self._does_oaep and oaep.unpad(_raw(key, probe), b"") != _PROBE:
            raise ValueError(oaep.FAILED)
        self._probe = probe

    def private_numbers(self) -> NoReturn:
        """Not possible."""
        raise TypeError("A private key in a token does not leave it.")

    def private_bytes(self, encoding: Any, format: Any, encryption_algorithm: Any) -> NoReturn:  # noqa: A002, ARG002 - the names are the interface's
        """Not possible."""
        raise TypeError("A private key in a token does not leave it.")

    def __copy__(self) -> "TokenKey":
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> "TokenKey":
        return self


def public_key_in_token(uri: str) -> rsa.RSAPublicKey:
    """The public half of a key in a token, as the token gives it. Raises Invalid and Unavailable."""
    return _tokens.use(parse_token_uri(uri), _public_of)


def _public_of(key: _Key) -> rsa.RSAPublicKey:
    from pkcs11 import Attribute

    modulus = int.from_bytes(key[Attribute.MODULUS])
    exponent = int.from_bytes(key[Attribute.PUBLIC_EXPONENT])
    return rsa.RSAPublicNumbers(exponent, modulus).public_key()


def answers(uri: str) -> None:
    """Look whether a key can be reached. Raises Unavailable that says why not."""
    _tokens.use(parse_token_uri(uri), lambda _key: None)


def _in_token(key: _Key, ciphertext: bytes, label: bytes) -> bytes:
    from pkcs11 import MGF, Mechanism

    parameters = Mechanism.SHA256, MGF.SHA256, label or None
    return bytes(_able(key, "decrypt")(ciphertext, mechanism=Mechanism.RSA_PKCS_OAEP, mechanism_param=parameters))


def _raw(key: _Key, ciphertext: bytes) -> bytes:
    from pkcs11 import Mechanism

    return bytes(_able(key, "decrypt")(ciphertext, mechanism=Mechanism.RSA_X_509)).rjust(len(ciphertext), b"\0")


def _able(key: _Key, operation: str) -> Callable[..., Any]:
    """The operation, which a key has where its attributes in the token allow it. Raises Unavailable."""
    found: Callable[..., Any] | None = getattr(key, operation, None)
    if found is None:
        raise Unavailable(
            "token-use", f"The key in the token was not made to {operation}.", "Make or choose a key for this use."
        )
    return found


def _oaep_sha256() -> padding.OAEP:
    return padding.OAEP(mgf=padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=None)


def _check_sha256(algorithm: object) -> None:
    if not isinstance(algorithm, hashes.SHA256):
        raise UnsupportedAlgorithm("A key in a token works with SHA-256 alone.")


def _is_pss(scheme: Any) -> bool:
    if not isinstance(scheme, padding.PSS):
        return False
    _check_sha256(scheme.mgf._algorithm)
    if scheme._salt_length not in (_SHA256_LENGTH, padding.PSS.DIGEST_LENGTH):
        raise UnsupportedAlgorithm("A key in a token signs with a salt of 32 bytes alone.")
    return True


def _label_of(scheme: Any) -> bytes:
    if not isinstance(scheme, padding.OAEP):
        raise UnsupportedAlgorithm("A key in a token decrypts RSA-OAEP alone.")
    _check_sha256(scheme.algorithm)
    _check_sha256(scheme.mgf._algorithm)
    return scheme._label or b""


class _Tokens:
    """The module of this process, a session for each token, and the keys that were found."""

    def __init__(self) -> None:
        self._begin()
        self._refused: set[bytes] = set()
        self._library: Any = None
        os.register_at_fork(after_in_child=self._after_fork)

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._stale = False
        self._sessions: dict[TokenUri, Session] = {}
        self._keys: dict[TokenUri, _Key] = {}

    def _after_fork(self) -> None:
        self._begin()
        self._stale = True

    def use(self, uri: TokenUri, operation: Callable[[_Key], _R]) -> _R:
        """What ``operation`` makes of the key. Raises Unavailable; errors of the operation's own pass through."""
        with self._lock:
            errors = _errors()
            try:
                return self._try(uri, operation)
            except errors:
                pass  # the session may have ended, or the token may have been away: once more, from the beginning
            try:
                return self._try(uri, operation)
            except errors as error:
                raise Unavailable(
                    "token-failed",
                    f"The token does not do what it is asked to: {type(error).__name__}.",
                    "Look at the token and at the log of its software; the key may not be made for this use.",
                    {"uri": str(uri)},
                ) from error

    def _try(self, uri: TokenUri, operation: Callable[[_Key], _R]) -> _R:
        """Whatever the token does not do, the module is asked anew next time: it may know better by then."""
        try:
            return operation(self._key(uri))
        except Exception as error:
            self._stale = isinstance(error, (*_errors(), Unavailable))
            raise

    def _key(self, uri: TokenUri) -> _Key:
        if self._stale:
            self._restart()
        if uri not in self._keys:
            self._keys[uri] = _find_key(self._session(uri.of_token), uri)
        return self._keys[uri]

    def _restart(self) -> None:
        """Forget every session. A module must be initialised once more in a process that was forked."""
        self._sessions, self._keys = {}, {}
        if self._library is not None:
            try:
                self._library.finalize()
            except _errors():
                pass  # it was not initialised in this process, or is in disorder; what counts is what follows
            self._library.initialize()
        self._stale = False

    def _session(self, of: TokenUri) -> "Session":
        if of not in self._sessions:
            if self._library is None:
                self._library = _load_module()
            self._sessions[of] = self._sign_in(_find_token(self._library, of), of)
        return self._sessions[of]

    def _sign_in(self, token: "Token", of: TokenUri) -> "Session":
        from pkcs11 import PinIncorrect, PinInvalid, PinLenRange, PinLocked, UserAlreadyLoggedIn

        pin: str = settings.HGS_PKCS11_PIN
        shown = hashlib.sha256(f"{of} {pin}".encode()).digest()
        if not pin or shown in self._refused:
            raise _no_pin(of) if not pin else _wrong_pin(of)
        try:
            return token.open(user_pin=pin)
        except UserAlreadyLoggedIn:  # the same token under another name
            return token.open()
        except (PinIncorrect, PinInvalid, PinLenRange):
            self._refused.add(shown)
            raise _wrong_pin(of) from None
        except PinLocked:
            raise Unavailable(
                "token-locked",
                f"The token {_named(of)} has locked itself after wrong PINs.",
                "Its security officer can unlock it.",
            ) from None


def _errors() -> tuple[type[Exception], ...]:
    try:
        from pkcs11 import PKCS11Error
    except ImportError:
        raise Unavailable(
            "token-software",
            "This node has no software for tokens.",
            "Install it: pip install 'open-guarded-fabric[hsm]'",
        ) from None
    return (PKCS11Error,)


def _load_module() -> Any:
    import pkcs11

    path: str = settings.HGS_PKCS11_MODULE
    if not path:
        raise Unavailable(
            "token-module", "This node knows no PKCS #11 module.", "Set HGS_PKCS11_MODULE to the path of your token's."
        )
    try:
        return pkcs11.lib(path)
    except pkcs11.PKCS11Error as error:
        raise Unavailable(
            "token-module",
            f"The PKCS #11 module {path} cannot be used.",
            "Check HGS_PKCS11_MODULE, and that HGS may read that file and what it needs.",
            {"reason": str(error) or type(error).__name__},
        ) from error


def _find_token(library: Any, of: TokenUri) -> "Token":
    found: list[Token] = [token for token in library.get_tokens() if _is(token, of)]
    if len(found) != 1:
        how_many = "is not there" if not found else "is there more than once"
        raise Unavailable(
            "token-missing",
            f"The token {_named(of)} {how_many}.",
            "Plug it in or start it, and check the name." if not found else "Name it by its serial number.",
        )
    return found[0]


def _is(token: "Token", of: TokenUri) -> bool:
    serial = token.serial.decode(errors="replace").strip()
    given = token.label, token.manufacturer_id, token.model, serial
    wanted = of.token, of.manufacturer, of.model, of.serial
    return all(not want or want == have for want, have in zip(wanted, given, strict=True))


def _find_key(session: "Session", uri: TokenUri) -> _Key:
    from pkcs11 import Attribute, KeyType, ObjectClass

    sought: dict[Attribute, Any] = {Attribute.CLASS: ObjectClass.PRIVATE_KEY, Attribute.KEY_TYPE: KeyType.RSA}
    if uri.object:
        sought[Attribute.LABEL] = uri.object
    if uri.id:
        sought[Attribute.ID] = uri.id
    found = list(session.get_objects(sought))
    if len(found) != 1:
        how_many = "no RSA key" if not found else "several RSA keys"
        raise Unavailable(
            "token-key",
            f"The token {_named(uri)} has {how_many} of this name.",
            "Check the URI: name the key by its label and its id.",
            {"uri": str(uri)},
        )
    return found[0]


def _named(of: TokenUri) -> str:
    return of.token or f"with the serial number {of.serial}"


def _no_pin(of: TokenUri) -> Unavailable:
    return Unavailable(
        "token-pin", f"The token {_named(of)} asks for a PIN, and there is none.", "Set HGS_PKCS11_PIN or its _FILE."
    )


def _wrong_pin(of: TokenUri) -> Unavailable:
    return Unavailable(
        "token-pin",
        f"The token {_named(of)} refuses the PIN. It is not shown again, lest the token lock itself.",
        "Correct HGS_PKCS11_PIN or its _FILE, and restart HGS.",
    )


_tokens: Final = _Tokens()
