"""Private keys in a real token (SoftHSM): they work like others, never leave it, and say why where they do not."""

import copy
import multiprocessing
import os
import pickle
import threading
from typing import Any

import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from hgs import pkcs11 as tokens
from hgs.keyprotection import oaep
from hgs.pkcs11 import TokenKey, answers, public_key_in_token
from portal.kernel.errors import Unavailable
from tests.hgs.tokens import PIN, Token, forget, needs_token

pytestmark = needs_token
SHA256 = hashes.SHA256()
PSS = padding.PSS(padding.MGF1(SHA256), 32)


def scheme(label: bytes | None = None, algorithm: hashes.HashAlgorithm = SHA256) -> padding.OAEP:
    return padding.OAEP(mgf=padding.MGF1(algorithm), algorithm=algorithm, label=label)


@pytest.fixture
def key(token: Token, token_key_uri: str) -> TokenKey:
    return TokenKey(token_key_uri, public_key_in_token(token_key_uri))


# ---- what it does --------------------------------------------------------------------------------------------------


def test_it_is_a_private_key_like_any_other(key: TokenKey) -> None:
    assert isinstance(key, rsa.RSAPrivateKey)
    assert key.key_size == 2048
    assert key.public_key().key_size == 2048
    assert copy.copy(key) is key
    assert copy.deepcopy(key) is key


@pytest.mark.parametrize("way", [PSS, padding.PSS(padding.MGF1(SHA256), padding.PSS.DIGEST_LENGTH), padding.PKCS1v15()])
def test_its_signatures_verify(key: TokenKey, way: Any) -> None:
    key.public_key().verify(key.sign(b"data", way, SHA256), b"data", way, SHA256)


@pytest.mark.parametrize("label", [None, b"guarded-fabric transport-key"])
def test_it_decrypts_oaep_with_sha256_which_the_token_does_not_know(key: TokenKey, label: bytes | None) -> None:
    secret = os.urandom(32)
    assert key.decrypt(key.public_key().encrypt(secret, scheme(label)), scheme(label)) == secret
    assert not key._does_oaep


def test_a_token_that_knows_it_is_asked_for_it(key: TokenKey, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bytes] = []

    def in_token(found: Any, ciphertext: bytes, label: bytes) -> bytes:
        asked.append(label)
        return oaep.unpad(tokens._raw(found, ciphertext), label)

    monkeypatch.setattr(tokens, "_in_token", in_token)
    ciphertext = key.public_key().encrypt(b"secret", scheme(b"label"))
    assert key.decrypt(ciphertext, scheme(b"label")) == b"secret"
    assert asked == [b"", b"label"]


@pytest.mark.parametrize("does_oaep", [False, True])
def test_a_ciphertext_that_does_not_open_is_one_error(
    key: TokenKey, does_oaep: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pkcs11 import GeneralError

    def in_token(found: Any, ciphertext: bytes, label: bytes) -> bytes:
        try:
            return oaep.unpad(tokens._raw(found, ciphertext), label)
        except ValueError:
            raise GeneralError from None

    if does_oaep:
        monkeypatch.setattr(tokens, "_in_token", in_token)
    modulus = key.public_key().public_numbers().n
    wrong = [
        bytes(256),
        b"\0" * 255 + b"\1",
        (modulus - 1).to_bytes(256),
        modulus.to_bytes(256),
        b"\xff" * 256,
        bytes(255),
        bytes(257),
        b"",
        key.public_key().encrypt(b"secret", scheme(b"another label")),
        key.public_key().encrypt(b"secret", padding.PKCS1v15()),
    ]
    for ciphertext in wrong:
        with pytest.raises(ValueError) as refused:
            key.decrypt(ciphertext, scheme(b"label"))
        assert refused.value.args == (oaep.FAILED,)
    assert key.decrypt(key.public_key().encrypt(b"secret", scheme()), scheme()) == b"secret"


# ---- what it does not do -------------------------------------------------------------------------------------------


def test_it_does_not_leave_the_token(key: TokenKey) -> None:
    with pytest.raises(TypeError, match="does not leave"):
        key.private_numbers()
    with pytest.raises(TypeError, match="does not leave"):
        key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises((TypeError, AttributeError)):
        pickle.loads(pickle.dumps(key)).private_numbers()  # noqa: S301 - nothing comes back


def test_other_algorithms_are_refused(key: TokenKey) -> None:
    sha1 = hashes.SHA1()  # noqa: S303 - refused is the point
    for call in (
        lambda: key.sign(b"", PSS, sha1),
        lambda: key.sign(b"", padding.PSS(padding.MGF1(SHA256), 20), SHA256),
        lambda: key.sign(b"", padding.PSS(padding.MGF1(sha1), 32), SHA256),
        lambda: key.sign(b"", scheme(), SHA256),
        lambda: key.decrypt(bytes(256), scheme(algorithm=sha1)),
        lambda: key.decrypt(bytes(256), padding.PKCS1v15()),
    ):
        with pytest.raises(UnsupportedAlgorithm):
            call()


# ---- threads, processes, errors ------------------------------------------------------------------------------------


def test_threads_use_it_at_once(key: TokenKey) -> None:
    failures: list[Exception] = []
    ciphertexts = [(bytes([number]) * 32, number) for number in range(4)]

    def work(secret: bytes) -> None:
        try:
            for _ in range(5):
                assert key.decrypt(key.public_key().encrypt(secret, scheme()), scheme()) == secret
                key.public_key().verify(key.sign(secret, PSS, SHA256), secret, PSS, SHA256)
        except Exception as error:  # noqa: BLE001 - told below
            failures.append(error)

    threads = [threading.Thread(target=work, args=(secret,)) for secret, _ in ciphertexts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert failures == []


def test_a_process_that_was_forked_opens_its_own_session(key: TokenKey) -> None:
    key.sign(b"in the parent", PSS, SHA256)
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    child = context.Process(target=lambda: theirs.send(key.sign(b"in the child", PSS, SHA256)))
    child.start()
    assert ours.poll(60)
    key.public_key().verify(ours.recv(), b"in the child", PSS, SHA256)
    child.join(60)
    key.public_key().verify(key.sign(b"after it", PSS, SHA256), b"after it", PSS, SHA256)


def test_a_session_that_ended_is_opened_anew(key: TokenKey) -> None:
    key.sign(b"before", PSS, SHA256)
    for session in tokens._tokens._sessions.values():
        session.close()
    key.public_key().verify(key.sign(b"after", PSS, SHA256), b"after", PSS, SHA256)


def test_a_token_that_was_away_is_back_without_a_restart(token: Token) -> None:
    passing = Token("passing", token.environment)
    passing.initialise()
    uri = passing.generate("key")
    key = TokenKey(uri, public_key_in_token(uri))
    passing.delete()
    for _ in range(2):
        with pytest.raises(Unavailable) as refused:
            key.sign(b"", PSS, SHA256)
        assert refused.value.code in ("token-missing", "token-failed")
    passing.initialise()
    passing.generate("key")
    answers(uri)
    passing.delete()


def test_another_token_works_while_one_is_away(token: Token, key: TokenKey) -> None:
    with pytest.raises(Unavailable, match="is not there"):
        answers("pkcs11:token=elsewhere;object=one")
    assert key.sign(b"data", PSS, SHA256)


# ---- what is said where it cannot work -----------------------------------------------------------------------------


def why(uri: str) -> Unavailable:
    with pytest.raises(Unavailable) as refused:
        answers(uri)
    assert PIN not in repr(refused.value.__dict__)
    assert refused.value.advice
    return refused.value


def test_no_module_is_set(token: Token, token_key_uri: str, settings: Any) -> None:
    settings.HGS_PKCS11_MODULE = ""
    assert why(token_key_uri).code == "token-module"


def test_the_module_is_missing(token: Token, token_key_uri: str, settings: Any) -> None:
    settings.HGS_PKCS11_MODULE = "/nowhere/module.so"
    assert why(token_key_uri).code == "token-module"


def test_the_token_is_missing(token: Token) -> None:
    assert why("pkcs11:token=another;object=one").code == "token-missing"
    assert why("pkcs11:token=hgs;serial=0000;object=one").code == "token-missing"


def test_the_key_is_missing(token: Token) -> None:
    assert why("pkcs11:token=hgs;object=nothing").code == "token-key"
    assert why("pkcs11:token=hgs;object=one;id=%00").code == "token-key"


def test_there_is_no_pin(token: Token, token_key_uri: str, settings: Any) -> None:
    settings.HGS_PKCS11_PIN = ""
    assert why(token_key_uri).code == "token-pin"


def test_a_wrong_pin_is_shown_to_the_token_once(
    token: Token, token_key_uri: str, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pkcs11 import Token as AnyToken

    settings.HGS_PKCS11_PIN = "wrong pin 5678"
    assert why(token_key_uri).code == "token-pin"
    monkeypatch.setattr(AnyToken, "open", lambda *_, **__: pytest.fail("shown again"))
    refused = why(token_key_uri)
    assert refused.code == "token-pin"
    assert "wrong pin 5678" not in refused.message + refused.advice


def test_the_right_pin_works_after_a_restart(
    token: Token, token_key_uri: str, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.HGS_PKCS11_PIN = "wrong pin 5678"
    assert why(token_key_uri).code == "token-pin"
    settings.HGS_PKCS11_PIN = PIN
    forget(monkeypatch)
    answers(token_key_uri)


def test_the_software_for_tokens_is_not_installed(token_key_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pkcs11", None)
    assert why(token_key_uri).code == "token-software"


def test_a_key_that_may_only_sign_does_not_decrypt(token: Token) -> None:
    uri = token.generate("signs", only_signs=True)
    key = TokenKey(uri, public_key_in_token(uri))
    assert key.sign(b"data", PSS, SHA256)
    with pytest.raises(Unavailable) as refused:
        key.decrypt(key.public_key().encrypt(b"secret", scheme()), scheme())
    assert refused.value.code == "token-use"
