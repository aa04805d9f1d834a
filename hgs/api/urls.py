"""Routes of the wire protocols and of the fabric's API.

[MS-HGSA] paths are matched without regard to case; the version segment is optional where it means nothing, the
``.svc`` segment of the original's WCF service and a trailing slash are accepted everywhere.
"""

import re

from django.urls import URLPattern, path, re_path

from hgs.api import attestation, domain_attestation, fabric, fabric_keys, host_key_attestation, keylog, keyprotection

PREFIXES = ("/attestation/", "/keyprotection/", "/keylog/", "/fabric/v1/")
"""How the paths of these routes begin, in lower case."""


def _any_case(text: str) -> str:
    """A pattern for ``text`` in any case; an inline flag would keep Django from reversing any route."""
    return "".join(f"[{c.lower()}{c.upper()}]" if c.isalpha() else re.escape(c) for c in text)


_SERVICE = rf"^{_any_case('attestation')}(?:/{_any_case('attestationservice.svc')})?"
_ANY_VERSION = r"(?:/[vV][0-9]{1,3}\.[0-9]{1,3})?"
_OTHER_VERSION = r"(?:/[vV](?!1\.0/)[0-9]{1,3}\.[0-9]{1,3})?"
_V1, _V2 = r"/[vV]1\.0", r"/[vV]2\.0"
_KPS = rf"^{_any_case('keyprotection')}/{_any_case('service')}"
_ROLL = _any_case("rolltransportkey")


def _attest(service: str, *, is_rehearsal: bool) -> list[URLPattern]:
    """The resources by which hosts attest, in each mode; a rehearsal has the same ones under a folder of its own."""
    domain, attest = _any_case("domainattest"), _any_case("attest")
    mode = {"is_rehearsal": is_rehearsal}
    return [
        re_path(rf"{service}{_V1}/{attest}/?$", attestation.attest, {"version": 1} | mode),
        re_path(rf"{service}{_V2}/{attest}/?$", attestation.attest, {"version": 2} | mode),
        re_path(rf"{service}{_V1}/{domain}/?$", domain_attestation.attest_by_domain, {"version": 1} | mode),
        re_path(rf"{service}{_OTHER_VERSION}/{domain}/?$", domain_attestation.attest_by_domain, {"version": 2} | mode),
        re_path(rf"{service}{_V2}/{_any_case('hostkeyattest')}/?$", host_key_attestation.attest_by_host_key, mode),
    ]


urlpatterns = [
    re_path(rf"{_SERVICE}{_ANY_VERSION}/{_any_case('getinfo')}/?$", attestation.getinfo),
    *_attest(_SERVICE, is_rehearsal=False),
    *_attest(rf"{_SERVICE}/{_any_case('rehearsal')}", is_rehearsal=True),
    re_path(rf"{_SERVICE}{_V2}/{_any_case('signingcertificates')}/?$", attestation.signing_certificates),
    re_path(rf"{_KPS}/[vV]1(?:\.0)?/{_ROLL}/?$", keyprotection.roll_transport_key, {"version": 1}),
    re_path(rf"{_KPS}/[vV]2(?:\.0)?/{_ROLL}/?$", keyprotection.roll_transport_key, {"version": 2}),
    re_path(rf"{_KPS}/{_any_case('metadata')}/2014-07/{_any_case('metadata.xml')}/?$", keyprotection.metadata),
    path("fabric/v1/status", fabric.status),
    path("fabric/v1/submissions", fabric.create_submission),
    path("fabric/v1/submissions/<uuid:submission_id>", fabric.show_submission),
    path("fabric/v1/attestations", fabric.list_attestations),
    path("fabric/v1/attestations/<uuid:attestation_id>", fabric.show_attestation),
    path("fabric/v1/attestations/<uuid:attestation_id>/capture", fabric.capture),
    path("fabric/v1/captures", fabric.capture_many),
    path("fabric/v1/key-events", fabric_keys.list_events),
    path("fabric/v1/key-log/bundle", fabric_keys.bundle),
    path("fabric/v1/dependents", fabric_keys.dependents),
    path("fabric/v1/revocations", fabric_keys.revoke),
    re_path(rf"^{_any_case('keylog')}/checkpoint$", keylog.checkpoint),
    re_path(rf"^{_any_case('keylog')}/key$", keylog.key),
    re_path(rf"^{_any_case('keylog')}/(?P<path>tile/[a-z0-9./]{{1,80}})$", keylog.tile),
]
