"""Routes of the HGS console."""

from typing import Any

from django.urls import path
from django.urls.resolvers import URLPattern

from hgs.web import deeds, views
from hgs.web.signing_in import SignIn, SignOut


def _switch(prefix: str, view: Any, name: str) -> list[URLPattern]:
    return [
        path(f"{prefix}/enable", view, {"enabled": True}, name=f"{name}-enable"),
        path(f"{prefix}/disable", view, {"enabled": False}, name=f"{name}-disable"),
    ]


urlpatterns = [
    path("sign-in/", SignIn.as_view(), name="sign-in"),
    path("sign-out/", SignOut.as_view(), name="sign-out"),
    path("", views.show_overview, name="overview"),
    path("approvals/", views.list_submissions, name="approvals"),
    path("approvals/<uuid:submission_id>/", views.show_submission, name="approval"),
    path("approvals/<uuid:submission_id>/approve", deeds.approve_submission, name="approve"),
    path("approvals/<uuid:submission_id>/reject", deeds.reject_submission, name="reject"),
    path("hosts/", views.list_hosts, name="hosts"),
    path("hosts/<uuid:host_id>/remove", deeds.forget_host, name="remove-host"),
    path("baselines/", views.list_baselines, name="baselines"),
    *_switch("baselines/<uuid:artefact_id>", deeds.switch_baseline, "baseline"),
    path("ci-policies/", views.list_ci_policies, name="ci-policies"),
    *_switch("ci-policies/<uuid:artefact_id>", deeds.switch_ci_policy, "ci-policy"),
    path("policies/", views.list_policies, name="policies"),
    *_switch("policies/<slug:name>", deeds.switch_policy, "policy"),
    path("attestations/", views.list_attestations, name="attestations"),
    path("attestations/<uuid:attestation_id>/", views.show_attestation, name="attestation"),
    path("releases/", views.list_releases, name="releases"),
    path("keys/", views.list_keys, name="keys"),
]
