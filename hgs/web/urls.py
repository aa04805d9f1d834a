"""Routes of the HGS console."""

from typing import Any

from django.urls import path, re_path
from django.urls.resolvers import URLPattern

from hgs.web import approvals, deeds, host_trust, verdicts, views
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
    path("approvals/", approvals.list_submissions, name="approvals"),
    path("approvals/decide/", approvals.decide_many, name="decide"),
    path("approvals/<uuid:submission_id>/", approvals.show_submission, name="approval"),
    path("approvals/<uuid:submission_id>/approve", deeds.approve_submission, name="approve"),
    path("approvals/<uuid:submission_id>/reject", deeds.reject_submission, name="reject"),
    path("hosts/", host_trust.list_hosts, name="hosts"),
    re_path(r"^hosts/(?P<identity>[0-9a-f]{64})/$", verdicts.show_host, name="host"),
    path("hosts/<uuid:host_id>/remove", host_trust.forget_host, name="remove-host"),
    path("host-groups/", host_trust.list_host_groups, name="host-groups"),
    path("host-groups/add", host_trust.add_group, name="add-host-group"),
    path("host-groups/<uuid:group_id>/remove", host_trust.forget_group, name="remove-host-group"),
    path("host-keys/", host_trust.list_host_keys, name="host-keys"),
    path("host-keys/add", host_trust.add_key, name="add-host-key"),
    path("host-keys/<uuid:key_id>/remove", host_trust.forget_key, name="remove-host-key"),
    path("baselines/", views.list_baselines, name="baselines"),
    *_switch("baselines/<uuid:artefact_id>", deeds.switch_baseline, "baseline"),
    path("ci-policies/", views.list_ci_policies, name="ci-policies"),
    *_switch("ci-policies/<uuid:artefact_id>", deeds.switch_ci_policy, "ci-policy"),
    path("policies/", views.list_policies, name="policies"),
    *_switch("policies/<slug:name>", deeds.switch_policy, "policy"),
    path("attestations/", verdicts.list_attestations, name="attestations"),
    path("attestations/capture/", verdicts.capture_many, name="capture-many"),
    path("attestations/<uuid:attestation_id>/", verdicts.show_attestation, name="attestation"),
    path("attestations/<uuid:attestation_id>/capture", verdicts.capture_one, name="capture"),
    path("releases/", views.list_releases, name="releases"),
    path("keys/", views.list_keys, name="keys"),
]
