"""Proof that an account holds an owner's key, so that it may see all that happened to the owner's keys. Pure.

Shielding data names its owner, and everybody who has a copy of the file can upload it; so having the file proves
nothing. What proves it is the owner's signature over a challenge. Both are one line of text, so that they can be
carried to a machine without a network and back:

    gf-owner-challenge.1.<origin>.<account>.<owner>.<expires>.<token>
    gf-owner-proof.1.<challenge>.<certificate>.<signature>

``origin`` (of the portal), ``account`` (its user name), the whole challenge, the certificate (DER) and the signature
are base64url without padding. ``owner`` is the SHA-256 of the owner's signing certificate in hex, ``expires`` is in
seconds since 1970, ``token`` 64 characters that only the portal understands: they bind the challenge to one account and
to that portal. The signature is RSASSA-PSS-SHA256 over ``DOMAIN`` and the challenge: no other document that an owner
signs begins so, and a proof made for one account or portal is none for another. There is one way to write each.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import re
from dataclasses import dataclass
from typing import Final

from hgs.keyprotection import algorithms, certificates
from hgs.keyprotection.elements import Signature
from hgs.keyprotection.errors import GuardianError
from hgs.keyprotection.guardian import GuardianKeys

DOMAIN: Final = b"open-guarded-fabric: proof of an owner's key, version 1\n"
CHALLENGE_MAX: Final = 2048
PROOF_MAX: Final = 16 * 1024
TOKEN_LENGTH: Final = 64
_CHALLENGE: Final = "gf-owner-challenge.1"
_PROOF: Final = "gf-owner-proof.1"
_BASE64: Final = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_OWNER: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_EXPIRES: Final = re.compile(r"[1-9][0-9]{0,11}", re.ASCII)
_ORIGIN_MAX, _ACCOUNT_MAX = 300, 150


class OwnerProofError(Exception):
    """A challenge or proof that is refused. ``code`` is stable, ``message`` says what, ``advice`` what to do."""

    def __init__(
        self, code: str, message: str, advice: str = "Ask the portal for a new challenge and sign that."
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.advice = advice


@dataclass(frozen=True, slots=True)
class Challenge:
    """What the portal asks an owner to sign: account, place, owner, until when (aware, whole seconds)."""

    origin: str
    account: str
    owner: str
    expires_at: dt.datetime
    token: str


@dataclass(frozen=True, slots=True)
class VerifiedProof:
    """A proof whose signature is the owner's. Whether the challenge is ours and still holds is the portal's to say."""

    challenge: Challenge
    certificate: bytes


def write_challenge(challenge: Challenge) -> str:
    """One line of text. Raises OwnerProofError for what cannot be written."""
    text = ".".join((unsealed_text(challenge), challenge.token))
    if parse_challenge(text) != challenge:
        raise OwnerProofError("challenge-form", "This challenge cannot be written.")
    return text


def unsealed_text(challenge: Challenge) -> str:
    """The challenge without its token: what the token has to bind."""
    expires = int(challenge.expires_at.timestamp())
    parts = (_encode(challenge.origin.encode()), _encode(challenge.account.encode()), challenge.owner, str(expires))
    return ".".join((_CHALLENGE, *parts))


def parse_challenge(text: str) -> Challenge:
    """Read a challenge strictly. Raises OwnerProofError."""
    if len(text) > CHALLENGE_MAX:
        raise _no_challenge()
    parts = text.split(".")
    if len(parts) != 7 or ".".join(parts[:2]) != _CHALLENGE:
        raise _no_challenge()
    origin, account, owner, expires, token = parts[2:]
    if not (_OWNER.fullmatch(owner) and _EXPIRES.fullmatch(expires) and _BASE64.fullmatch(token)):
        raise _no_challenge()
    if len(token) != TOKEN_LENGTH:
        raise _no_challenge()
    try:
        expires_at = dt.datetime.fromtimestamp(int(expires), dt.UTC)
    except (OverflowError, ValueError, OSError):
        raise _no_challenge() from None
    return Challenge(_words(origin, _ORIGIN_MAX), _words(account, _ACCOUNT_MAX), owner, expires_at, token)


def prove(challenge_text: str, owner: GuardianKeys) -> str:
    """Sign a challenge as the owner it names. Raises OwnerProofError."""
    challenge = parse_challenge(challenge_text)
    if challenge.owner != owner.guardian.fingerprint:
        raise OwnerProofError(
            "another-owner",
            "The challenge is for another owner than this owner guardian.",
            "Give the owner guardian that made the shielding data, or ask for a challenge for this owner.",
        )
    signature = algorithms.sign(owner.signing_key, _signed(challenge_text))
    parts = challenge_text.encode(), owner.guardian.signing_certificate, signature.value
    return ".".join((_PROOF, *(_encode(part) for part in parts)))


def verify_proof(text: str) -> VerifiedProof:
    """Check that the owner named in the challenge signed it. Raises OwnerProofError."""
    if len(text) > PROOF_MAX:
        raise _no_proof()
    parts = text.split(".")
    if len(parts) != 5 or ".".join(parts[:2]) != _PROOF:
        raise _no_proof()
    challenge_bytes, certificate, signature = (_decode(part) for part in parts[2:])
    if not (challenge_bytes.isascii() and certificate and signature):
        raise _no_proof()
    challenge_text = challenge_bytes.decode("ascii")
    challenge = parse_challenge(challenge_text)
    if certificates.fingerprint(certificate) != challenge.owner:
        raise OwnerProofError("another-owner", "The proof was made with another key than the owner's.")
    try:
        key = certificates.rsa_key_of(certificate, "signing")
    except GuardianError as error:
        raise OwnerProofError("proof-certificate", f"The proof's certificate is not usable. {error.message}") from error
    made = Signature(algorithms.RSA_PSS_SHA256, signature)
    if not algorithms.is_signed(key, made, _signed(challenge_text)):
        raise OwnerProofError("proof-signature", "The signature of the proof is not the owner's.")
    return VerifiedProof(challenge, certificate)


def _signed(challenge_text: str) -> bytes:
    return DOMAIN + challenge_text.encode("ascii")


def _words(part: str, longest: int) -> str:
    """A part that people read: printable, so that what they are shown is what they sign."""
    try:
        text = _decode(part).decode()
    except UnicodeDecodeError:
        raise _no_challenge() from None
    if not text or len(text) > longest or not text.isprintable():
        raise _no_challenge()
    return text


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(part: str) -> bytes:
    """base64url without padding, in the one way to write it; empty for anything else."""
    if not _BASE64.fullmatch(part):
        return b""
    try:
        data = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except binascii.Error:
        return b""
    return data if _encode(data) == part else b""


def _no_challenge() -> OwnerProofError:
    return OwnerProofError(
        "challenge-form", "This is not a challenge of a portal.", "Copy the whole line that the portal shows."
    )


def _no_proof() -> OwnerProofError:
    return OwnerProofError(
        "proof-form", "This is not a proof of an owner's key.", "Copy the whole line that gf audit prove-owner prints."
    )
