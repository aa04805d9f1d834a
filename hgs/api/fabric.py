"""The fabric's API: submit what an HGS administrator decides, and read verdicts. Bearer token, nothing else.

The token stands for the fabric as a whole (role ``fabric-admin`` in :mod:`hgs.policy`): with it nobody can approve,
change a policy or see a key. CSRF protection is off because no cookie is looked at.
"""

import base64
import binascii
import hmac
import json
from collections.abc import Callable
from functools import update_wrapper
from typing import Any, Concatenate, Final, ParamSpec
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt

from hgs.api.problems import problem, problem_of
from hgs.api.requests import BodyRefused, read_body
from hgs.commands.submissions import submit
from hgs.models import Attestation, Submission
from hgs.selectors import attestations, overview, submissions
from portal.kernel.actor import Actor, ActorKind, Role
from portal.kernel.errors import DomainError, Invalid

MAX_BODY: Final = 4 * 2**20
_JSON: Final = frozenset({"application/json"})
_P = ParamSpec("_P")


def _fabric_actor(request: HttpRequest) -> Actor | None:
    """The fabric, if the request carries its token; compared in constant time."""
    scheme, _, presented = request.headers.get("Authorization", "").partition(" ")
    expected = settings.HGS_FABRIC_TOKEN
    if not expected or scheme.lower() != "bearer":
        return None
    if not hmac.compare_digest(presented.strip().encode(), expected.encode()):
        return None
    return Actor(ActorKind.TOKEN, "fabric", "fabric", frozenset({Role.FABRIC_ADMIN}), via="fabric-token")


def fabric_endpoint(
    *methods: str,
) -> Callable[
    [Callable[Concatenate[HttpRequest, Actor, _P], HttpResponse]], Callable[Concatenate[HttpRequest, _P], HttpResponse]
]:
    """A view for the fabric's token: the wrapped function gets the actor; errors become problem documents."""

    def decorate(
        view: Callable[Concatenate[HttpRequest, Actor, _P], HttpResponse],
    ) -> Callable[Concatenate[HttpRequest, _P], HttpResponse]:
        def guarded(request: HttpRequest, /, *args: _P.args, **kwargs: _P.kwargs) -> HttpResponse:
            actor = _fabric_actor(request)
            if actor is None:
                response = problem(401, "fabric-token", "This needs the fabric's token as a bearer token.")
                response["WWW-Authenticate"] = 'Bearer realm="HGS"'
                return response
            if request.method not in methods:
                response = problem(405, "method-not-allowed", f"Use {' or '.join(methods)}.")
                response["Allow"] = ", ".join(methods)
                return response
            try:
                return view(request, actor, *args, **kwargs)
            except BodyRefused as error:
                return problem(error.status, error.code, error.message)
            except DomainError as error:
                return problem_of(error)

        update_wrapper(guarded, view)
        return csrf_exempt(never_cache(guarded))

    return decorate


@fabric_endpoint("GET")
def status(_request: HttpRequest, actor: Actor) -> HttpResponse:
    """GET /fabric/v1/status"""
    return JsonResponse(overview.fabric_status(actor))


@fabric_endpoint("POST")
def create_submission(request: HttpRequest, actor: Actor) -> HttpResponse:
    """POST /fabric/v1/submissions: 201 for a new one, 200 for one that was asked before."""
    kind, name, content, person = _submission_of(read_body(request, MAX_BODY, _JSON))
    if person:
        actor = Actor(actor.kind, actor.id, f"{actor.name} ({person})", actor.roles, actor.via)
    submission, created = submit(actor, kind, name, content)
    response = JsonResponse(_submission_json(submission), status=201 if created else 200)
    response["Location"] = f"/fabric/v1/submissions/{submission.id}"
    return response


@fabric_endpoint("GET")
def show_submission(_request: HttpRequest, actor: Actor, submission_id: UUID) -> HttpResponse:
    """GET /fabric/v1/submissions/{id}"""
    return JsonResponse(_submission_json(submissions.submission_for_fabric(actor, submission_id)))


@fabric_endpoint("GET")
def list_attestations(request: HttpRequest, actor: Actor) -> HttpResponse:
    """GET /fabric/v1/attestations?host=NAME&limit=N"""
    limit = request.GET.get("limit", "20")
    if not limit.isascii() or not limit.isdigit() or not 1 <= int(limit[:6]) <= attestations.MAX_LISTED:
        raise Invalid("limit", f"limit is a number from 1 to {attestations.MAX_LISTED}.")
    found = attestations.latest(actor, host=request.GET.get("host", ""), limit=int(limit))
    return JsonResponse({"attestations": [_attestation_json(item) for item in found]})


@fabric_endpoint("GET")
def show_attestation(_request: HttpRequest, actor: Actor, attestation_id: UUID) -> HttpResponse:
    """GET /fabric/v1/attestations/{id}"""
    return JsonResponse(_attestation_json(attestations.attestation(actor, attestation_id)))


def _submission_of(body: bytes) -> tuple[str, str, bytes, str]:
    """kind, name, content and the person behind it; a closed set of members, each a string."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise Invalid("json", "The request is not JSON.") from None
    required, optional = {"kind", "name", "content"}, {"submitted_by"}
    if not isinstance(value, dict) or not required <= set(value) <= required | optional:
        raise Invalid(
            "submission-members", "A submission has the members kind, name, content and, if known, submitted_by."
        )
    if not all(isinstance(member, str) for member in value.values()):
        raise Invalid("submission-members", "Every member of a submission is a string.")
    try:
        content = base64.b64decode(value["content"], validate=True)
    except (binascii.Error, ValueError):
        raise Invalid("submission-content", "content is not base64.", fields={"content": "not base64"}) from None
    person = "".join(character for character in value.get("submitted_by", "") if character.isprintable())
    return value["kind"], value["name"], content, person[:100]


def _submission_json(submission: Submission) -> dict[str, Any]:
    return {
        "id": str(submission.id),
        "kind": submission.kind,
        "name": submission.name,
        "state": submission.state,
        "reason": submission.reason,
        "submitted_at": submission.submitted_at.isoformat(),
        "decided_at": submission.decided_at.isoformat() if submission.decided_at else None,
    }


def _attestation_json(attestation: Attestation) -> dict[str, Any]:
    not_after = attestation.certificate_not_after
    return {
        "id": str(attestation.id),
        "at": attestation.at.isoformat(),
        "host_name": attestation.host_name,
        "ek_hash": attestation.ek_hash,
        "passed": attestation.passed,
        "status": attestation.status,
        "verdict": attestation.verdict,
        "certificate_serial": attestation.certificate_serial,
        "certificate_not_after": not_after.isoformat() if not_after else None,
    }
