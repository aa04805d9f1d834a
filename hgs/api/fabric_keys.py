"""The fabric's API, keys: what an owner may read of the account of keys, and what the fabric passes on to HGS.

The fabric shows each owner's entries to that owner; it can read them all, and can change none. What it might leave out,
an owner finds out from the bundle. A revocation is the owner's, by signature; the list of dependents is a help for
people, who are asked before anything is lost.
"""

import base64
import binascii
import json
from typing import Any, Final
from uuid import UUID

from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone

from hgs.api.fabric import JSON_TYPES, fabric_endpoint, members
from hgs.api.requests import read_body
from hgs.commands.dependents import record_dependents
from hgs.commands.revocations import revoke_protectors
from hgs.keyprotection.revocation import NOTICE_MAX
from hgs.selectors import key_events
from hgs.transparency.entry import KeyEvent
from portal.kernel.actor import Actor
from portal.kernel.errors import Invalid

MAX_DEPENDENTS: Final = 7 * 2**20
"""Bytes of the fabric's list: ten thousand entries with two guardians each take less than five."""
_INDEX_DIGITS: Final = 18


@fabric_endpoint("GET")
def list_events(request: HttpRequest, actor: Actor) -> HttpResponse:
    """GET /fabric/v1/key-events?owner=FINGERPRINT&vm=ID&before=INDEX&limit=N: newest first"""
    found = key_events.events(
        actor,
        owner=request.GET.get("owner", ""),
        vm=_id(request.GET.get("vm", "")),
        before=number(request, "before"),
        limit=number(request, "limit") or 50,
    )
    return JsonResponse({"events": [_event_json(index, event) for index, event in found]})


@fabric_endpoint("GET")
def bundle(request: HttpRequest, actor: Actor) -> HttpResponseBase:
    """GET /fabric/v1/key-log/bundle?owner=FINGERPRINT&from=SIZE: a ZIP file, made while it is sent"""
    begin = number(request, "from") or 0
    pieces = key_events.bundle(actor, owner=request.GET.get("owner", ""), begin=begin)
    return StreamingHttpResponse(pieces, content_type="application/zip")


@fabric_endpoint("POST")
def revoke(request: HttpRequest, actor: Actor) -> HttpResponse:
    """POST /fabric/v1/revocations: an owner's notice; 200 with how many protectors it newly revokes."""
    body = members(request, {"notice"}, set())
    try:
        notice = base64.b64decode(body["notice"][: 2 * NOTICE_MAX], validate=True)
    except (binascii.Error, ValueError):
        raise Invalid("notice", "notice is not base64.", fields={"notice": "not base64"}) from None
    return JsonResponse({"revoked": revoke_protectors(actor, notice, timezone.now())})


@fabric_endpoint("PUT")
def dependents(request: HttpRequest, actor: Actor) -> HttpResponse:
    """PUT /fabric/v1/dependents: what names which guardian, in place of what was said before; 200 with a count"""
    try:
        body = json.loads(read_body(request, MAX_DEPENDENTS, JSON_TYPES))
    except (ValueError, RecursionError):
        raise Invalid("json", "The request is not JSON.") from None
    if not isinstance(body, dict) or set(body) != {"dependents"}:
        raise Invalid("members", "The request has one member: dependents.")
    report = record_dependents(actor, body["dependents"], timezone.now())
    return JsonResponse({"dependents": len(report.dependents)})


def number(request: HttpRequest, name: str) -> int | None:
    """A number in the address; None where there is none. Raises Invalid."""
    text = request.GET.get(name, "")
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > _INDEX_DIGITS:
        raise Invalid(name, f"{name} is a whole number.", fields={name: "not a number"})
    return int(text)


def _id(text: str) -> UUID | None:
    try:
        return UUID(text) if text else None
    except ValueError:
        raise Invalid("vm", "A virtual machine is named by its id.", fields={"vm": "not an id"}) from None


def _event_json(index: int, event: KeyEvent) -> dict[str, Any]:
    fields = {name: getattr(event, name) for name in event.__slots__}
    return fields | {"index": index, "at": event.at.isoformat()}
