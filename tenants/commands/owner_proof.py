"""Opening the account of an owner's keys by a proof of the owner's key, and closing it again."""

import base64
import secrets
from datetime import timedelta
from typing import Final

from django.db import transaction
from django.utils import timezone
from django.utils.crypto import constant_time_compare, salted_hmac

from portal.kernel import audit
from portal.kernel.actor import Actor
from portal.kernel.errors import Conflict, Invalid, NotFound
from portal.kernel.policy import require
from tenants.models import ProvenOwner
from tenants.owner_proof import Challenge, OwnerProofError, unsealed_text, verify_proof, write_challenge
from tenants.pdk_file import common_name
from tenants.policy import decide_own_keys
from tenants.selectors.key_account import account_of

VALID_FOR: Final = timedelta(minutes=10)
_SALT: Final = "tenants.owner-challenge"
_NONCE_LENGTH: Final = 16


def new_challenge(actor: Actor, *, owner: str, origin: str) -> str:
    """A challenge for the owner's key, one line, good for ten minutes and for this account alone.

    `origin` is the portal's as the person sees it: scheme, host and port. Raises `NotFound` for an owner that none of
    the actor's shielding data names.
    """
    account_of(actor, owner)
    expires = (timezone.now() + VALID_FOR).replace(microsecond=0)
    nonce = secrets.token_bytes(_NONCE_LENGTH)
    open_challenge = Challenge(origin, actor.name, owner, expires, "")
    return write_challenge(Challenge(origin, actor.name, owner, expires, _token(actor, open_challenge, nonce)))


def prove_owner(actor: Actor, *, proof: str) -> ProvenOwner:
    """Open the owner's account of keys to the actor. Giving a proof twice opens it once.

    Raises `Denied`, `Invalid` (code of the refusal; field `proof`), `Conflict` (`challenge-expired`).
    """
    require(decide_own_keys(actor))
    try:
        verified = verify_proof("".join(proof.split()))
    except OwnerProofError as error:
        raise _refused(error.code, error.message, error.advice) from error
    _check_challenge(actor, verified.challenge)
    with transaction.atomic():
        proven, created = ProvenOwner.objects.update_or_create(
            user_id=actor.id,
            owner_fingerprint=verified.challenge.owner,
            defaults={
                "owner_name": common_name(verified.certificate)[:200],
                "proven_at": timezone.now(),
                "proven_via": actor.via[:64],
            },
        )
        if created:
            _record(actor, proven.owner_fingerprint, "key-account:opened", "Opened the account of keys of an owner")
    return proven


def close_key_account(actor: Actor, *, owner: str) -> None:
    """Take back the actor's own proof: the owner's account of keys needs a new one. Raises `NotFound`."""
    with transaction.atomic():
        deleted, _ = ProvenOwner.objects.visible_to(actor).filter(owner_fingerprint=owner).delete()
        if not deleted:
            raise NotFound("key-account-closed", "You have not opened the account of this owner's keys.")
        _record(actor, owner, "key-account:closed", "Closed the account of keys of an owner")


def _check_challenge(actor: Actor, challenge: Challenge) -> None:
    """Raise unless this portal made the challenge for this account, and lately."""
    padded = base64.urlsafe_b64decode(challenge.token)
    if not constant_time_compare(challenge.token, _token(actor, challenge, padded[:_NONCE_LENGTH])):
        raise _refused(
            "challenge-of-another",
            "The challenge that was signed is not one of this portal for your account.",
            "Ask for a new challenge here, signed in as yourself, and sign that.",
        )
    if timezone.now() > challenge.expires_at:
        raise Conflict(
            "challenge-expired", "The challenge that was signed is over.", "Ask for a new one; it holds ten minutes."
        )


def _token(actor: Actor, challenge: Challenge, nonce: bytes) -> str:
    """Nonce and seal, 64 characters. The seal binds the account by its id, since a name can be given again."""
    told = f"{actor.id}\n{unsealed_text(challenge)}\n{nonce.hex()}"
    seal = salted_hmac(_SALT, told, algorithm="sha256").digest()
    return base64.urlsafe_b64encode(nonce + seal).decode()


def _refused(code: str, message: str, advice: str) -> Invalid:
    return Invalid(code, message, advice, fields={"proof": f"{message} {advice}"})


def _record(actor: Actor, owner: str, event: str, summary: str) -> None:
    audit.record(
        actor, event, target_type="owner", target_id=owner, summary=f"{summary} ({owner[:16]}…)", data={"owner": owner}
    )
