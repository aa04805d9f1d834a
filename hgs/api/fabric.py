"""The fabric's API: submit what an HGS administrator decides, and read verdicts. Bearer token, nothing else.

The token stands for the fabric as a whole (role ``fabric-admin`` in :mod:`hgs.policy`): with it nobody can approve,
change a policy or see a key. CSRF protection is off because no cookie is looked at.
"""

import base64
import binascii
import hmac
import json
from collections.abc import Callable, Iterable
from functools import update_wrapper
from typing import Any, Concatenate, Final, ParamSpec
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt

from hgs.api.problems import problem, problem_of
from hgs.api.requests import BodyRefused, read_body
from hgs.commands.capture import MOST, Captured, capture_baseline, capture_baselines
from hgs.commands.submissions import submit
from hgs.models import Attestation, OperationMode, PolicyVersion, Submission
from hgs.selectors import attestations, overview, submissions
from portal.kernel.actor import Actor, ActorKind, Role
from portal.kernel.errors import DomainError, Invalid

MAX_BODY: Final = 4 * 2**20
MAX_LIST: Final = 3 * 2**20
"""Bytes of a list of attestations: the portal takes 4 MiB of an answer."""
_LIST_HEAD, _LIST_TAIL = '{"attestations": [', "]}"
JSON_TYPES: Final = frozenset({"application/json"})
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
    [Callable[Concatenate[HttpRequest, Actor, _P], HttpResponseBase]],
    Callable[Concatenate[HttpRequest, _P], HttpResponseBase],
]:
    """A view for the fabric's token: the wrapped function gets the actor; errors become problem documents."""

    def decorate(
        view: Callable[Concatenate[HttpRequest, Actor, _P], HttpResponseBase],
    ) -> Callable[Concatenate[HttpRequest, _P], HttpResponseBase]:
        def guarded(request: HttpRequest, /, *args: _P.args, **kwargs: _P.kwargs) -> HttpResponseBase:
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
    body = members(request, {"kind", "name", "content"}, {"submitted_by", "policy_version"})
    submission, created = submit(
        _on_behalf(actor, body),
        body["kind"],
        body["name"],
        _content(body["content"]),
        version=_policy_version(body.get("policy_version", PolicyVersion.V2.label)),
    )
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
    if not limit.isascii() or not limit.isdigit() or len(limit) > 6 or not 1 <= int(limit) <= attestations.MAX_LISTED:
        raise Invalid("limit", f"limit is a number from 1 to {attestations.MAX_LISTED}.")
    found = attestations.latest(actor, host=request.GET.get("host", ""), limit=int(limit))
    return HttpResponse(_listed(map(_attestation_json, found)), content_type="application/json")


def _listed(items: Iterable[dict[str, Any]]) -> bytes:
    """The list, as many of the first ones as fit; one at least."""
    shown: list[str] = []
    size = len(_LIST_HEAD + _LIST_TAIL)
    for item in items:
        text = json.dumps(item)  # ASCII: a character is a byte
        size += len(text) + 2
        if shown and size > MAX_LIST:
            break
        shown.append(text)
    return f"{_LIST_HEAD}{', '.join(shown)}{_LIST_TAIL}".encode()


@fabric_endpoint("GET")
def show_attestation(_request: HttpRequest, actor: Actor, attestation_id: UUID) -> HttpResponse:
    """GET /fabric/v1/attestations/{id}"""
    return JsonResponse(_attestation_json(attestations.attestation(actor, attestation_id)))


@fabric_endpoint("POST")
def capture(request: HttpRequest, actor: Actor, attestation_id: UUID) -> HttpResponse:
    """POST /fabric/v1/attestations/{id}/capture: submit what it measured as a baseline; 201 with the submission."""
    body = members(request, set(), {"name", "submitted_by"})
    found = attestations.attestation(actor, attestation_id)
    submission = capture_baseline(_on_behalf(actor, body), found, body.get("name", ""))
    response = JsonResponse(_submission_json(submission), status=201)
    response["Location"] = f"/fabric/v1/submissions/{submission.id}"
    return response


@fabric_endpoint("POST")
def capture_many(request: HttpRequest, actor: Actor) -> HttpResponse:
    """POST /fabric/v1/captures: submit what many measured, once for each different baseline; 200 with each result."""
    body = members(request, {"attestations"}, {"submitted_by"}, lists={"attestations"})
    chosen = attestations.chosen(actor, _ids(body["attestations"]))
    results = capture_baselines(_on_behalf(actor, body), chosen)
    return JsonResponse({"captures": [_captured_json(item) for item in results]})


def members(
    request: HttpRequest, required: set[str], optional: set[str], lists: frozenset[str] | set[str] = frozenset()
) -> dict[str, Any]:
    """The JSON object in the body: a closed set of members, each a string, those of ``lists`` a list of strings."""
    try:
        value = json.loads(read_body(request, MAX_BODY, JSON_TYPES))
    except (ValueError, RecursionError):
        raise Invalid("json", "The request is not JSON.") from None
    if not isinstance(value, dict) or not required <= set(value) <= required | optional:
        needed, known = ", ".join(sorted(required)) or "none", ", ".join(sorted(optional))
        raise Invalid("members", f"The request's members are not the right ones: needed {needed}; optional {known}.")
    for name, member in value.items():
        items = member if name in lists and isinstance(member, list) else [member]
        if (name in lists) != isinstance(member, list) or not all(isinstance(item, str) for item in items):
            raise Invalid("members", f"{name} is not a {'list of strings' if name in lists else 'string'}.")
    return value


def _on_behalf(actor: Actor, body: dict[str, Any]) -> Actor:
    """The fabric, with the name of the person behind it, if it says who that is."""
    person = "".join(character for character in body.get("submitted_by", "") if character.isprintable())[:100]
    return Actor(actor.kind, actor.id, f"{actor.name} ({person})", actor.roles, actor.via) if person else actor


def _policy_version(text: str) -> PolicyVersion:
    for version in PolicyVersion:
        if text == version.label:
            return version
    raise Invalid("policy-version", "A policy version is v1 or v2.", fields={"policy_version": text[:16]})


def _content(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Invalid("submission-content", "content is not base64.", fields={"content": "not base64"}) from None


def _ids(texts: list[str]) -> list[UUID]:
    if not 1 <= len(texts) <= MOST:
        raise Invalid("attestations", f"Name 1 to {MOST} attestations.")
    try:
        return [UUID(text) for text in texts]
    except ValueError:
        raise Invalid("attestations", "An attestation is named by its id.") from None


def _captured_json(item: Captured) -> dict[str, Any]:
    return {
        "outcome": item.outcome.value,
        "hosts": list(item.hosts),
        "sentence": item.sentence,
        "submission": _submission_json(item.submission) if item.submission else None,
    }


def _submission_json(submission: Submission) -> dict[str, Any]:
    return {
        "id": str(submission.id),
        "kind": submission.kind,
        "name": submission.name,
        "state": submission.state,
        "reason": submission.reason,
        "policy_version": submission.policy_version,
        "content_sha256": submission.content_hash,
        "size": len(submission.content),
        "captured_from": str(submission.captured_from_id) if submission.captured_from_id else None,
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
        "identity": attestation.identity,
        "mode": OperationMode(attestation.mode).name.lower().replace("_", "-"),
        "policy_version": attestation.policy_version,
        "is_rehearsal": attestation.is_rehearsal,
        "log_sha256": attestation.log_id,
        "passed": attestation.passed,
        "status": attestation.status,
        "verdict": attestation.verdict,
        "certificate_serial": attestation.certificate_serial,
        "certificate_not_after": not_after.isoformat() if not_after else None,
    }
