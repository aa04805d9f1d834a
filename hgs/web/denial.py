"""A moment before which no health certificate may have been issued, in the console: of one signer, or of any."""

from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from hgs.commands.deny_issued_before import clear_deny_issued_before, deny_issued_before
from hgs.models import KeyPurpose, ServiceKey
from hgs.web.access import deed, form
from hgs.web.lists import one_of
from hgs.web.questions import Question, ask, done
from portal.kernel.actor import Actor
from portal.kernel.errors import Invalid

_BACK: Final = "hgs:keys"


@form(_BACK)
def deny(request: HttpRequest, actor: Actor, signer_id: UUID | None = None) -> HttpResponse:
    """Refuse what was issued before a moment."""
    signer = _signer(signer_id)
    if request.method == "POST":
        moment = _moment(request.POST.get("moment", ""))
        deny_issued_before(actor, moment, signer)
        sentence = f"Health certificates of {_whose(signer)} issued before {moment:%Y-%m-%d %H:%M:%S} UTC open nothing."
        return done(request, sentence, _BACK)
    question = Question(
        f"Refuse health certificates of {_whose(signer)} by their age?",
        "Refuse them",
        _BACK,
        "keys",
        [
            "Health certificates that were issued before the moment open no key from the next request on, on any node.",
            "Hosts that are well attest again by themselves. What is being started meanwhile fails and can be started "
            "again.",
        ],
        asks_moment=True,
        is_danger=True,
    )
    return ask(request, actor, question)


@deed(_BACK)
def clear(_request: HttpRequest, actor: Actor, signer_id: UUID | None = None) -> str:
    """Let what was issued at any time count again."""
    signer = _signer(signer_id)
    clear_deny_issued_before(actor, signer)
    return f"Health certificates of {_whose(signer)} count again whenever they were issued."


def _signer(signer_id: UUID | None) -> ServiceKey | None:
    if signer_id is None:
        return None
    return one_of(ServiceKey.objects.filter(purpose=KeyPurpose.ATTESTATION_SIGNER), signer_id, "signer")


def _whose(signer: ServiceKey | None) -> str:
    return f"signer {signer.fingerprint[:8].upper()}" if signer else "any signer"


def _moment(text: str) -> datetime:
    """What a field for a local time gives, taken as UTC; empty is now."""
    if not text.strip():
        return timezone.now()
    try:
        return datetime.fromisoformat(text.strip()).replace(tzinfo=UTC)
    except ValueError:
        raise Invalid("moment", "The moment cannot be read.", "Give a date and a time, or leave it empty.") from None
