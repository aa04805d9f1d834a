"""Routes of the wire protocols and of the fabric's API.

[MS-HGSA] paths are matched without regard to case; the version segment is optional where it means nothing, the
``.svc`` segment of the original's WCF service and a trailing slash are accepted everywhere.
"""

from django.urls import path, re_path

from hgs.api import attestation, fabric, keyprotection

_SERVICE = r"^(?i:attestation)(?:/(?i:attestationservice\.svc))?"
_ANY_VERSION = r"(?:/(?i:v)[0-9]{1,3}\.[0-9]{1,3})?"
_V2 = r"/(?i:v)2\.0"
_KPS = r"^(?i:keyprotection)/(?i:service)"

urlpatterns = [
    re_path(rf"{_SERVICE}{_ANY_VERSION}/(?i:getinfo)/?$", attestation.getinfo),
    re_path(rf"{_SERVICE}/(?i:v)1\.0/(?i:attest)/?$", attestation.attest, {"version": 1}),
    re_path(rf"{_SERVICE}{_V2}/(?i:attest)/?$", attestation.attest, {"version": 2}),
    re_path(rf"{_SERVICE}{_ANY_VERSION}/(?i:domainattest)/?$", attestation.attest_by_domain),
    re_path(rf"{_SERVICE}{_V2}/(?i:hostkeyattest)/?$", attestation.attest_by_host_key),
    re_path(rf"{_SERVICE}{_V2}/(?i:signingcertificates)/?$", attestation.signing_certificates),
    re_path(rf"{_KPS}/(?i:v)1(?:\.0)?/(?i:rolltransportkey)/?$", keyprotection.roll_transport_key, {"version": 1}),
    re_path(rf"{_KPS}/(?i:v)2(?:\.0)?/(?i:rolltransportkey)/?$", keyprotection.roll_transport_key, {"version": 2}),
    re_path(rf"{_KPS}/(?i:metadata)/2014-07/(?i:metadata\.xml)/?$", keyprotection.metadata),
    path("fabric/v1/status", fabric.status),
    path("fabric/v1/submissions", fabric.create_submission),
    path("fabric/v1/submissions/<uuid:submission_id>", fabric.show_submission),
    path("fabric/v1/attestations", fabric.list_attestations),
    path("fabric/v1/attestations/<uuid:attestation_id>", fabric.show_attestation),
]
