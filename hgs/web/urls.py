"""Routes of the HGS console."""

from django.urls import path, re_path
from django.urls.resolvers import URLPattern

from hgs.web import approvals, deeds, denial, guardian_keys, host_trust, releases, switching, verdicts, views
from hgs.web.signing_in import SignIn, SignOut


def _artefacts(kind: str, route: str) -> list[URLPattern]:
    """Enabling, disabling and removing one kind of artefact."""
    prefix, more = f"{route}/<uuid:artefact_id>", {"kind": kind}
    return [
        path(f"{prefix}/enable", switching.switch_artefact, more | {"enabled": True}, name=f"{kind}-enable"),
        path(f"{prefix}/disable", switching.switch_artefact, more | {"enabled": False}, name=f"{kind}-disable"),
        path(f"{prefix}/remove", switching.forget_artefact, more, name=f"{kind}-remove"),
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
    *_artefacts("baseline", "baselines"),
    path("ci-policies/", views.list_ci_policies, name="ci-policies"),
    *_artefacts("ci-policy", "ci-policies"),
    path("dump-keys/", views.list_dump_keys, name="dump-keys"),
    path("dump-keys/add", deeds.add_key, name="add-dump-key"),
    *_artefacts("dump-key", "dump-keys"),
    path("policies/", views.list_policies, name="policies"),
    path("policies/<slug:name>/enable", switching.switch_policy, {"enabled": True}, name="policy-enable"),
    path("policies/<slug:name>/disable", switching.switch_policy, {"enabled": False}, name="policy-disable"),
    path("mode/", switching.show_mode, name="mode"),
    path("mode/<slug:key>/", switching.change_mode, name="change-mode"),
    path("attestations/", verdicts.list_attestations, name="attestations"),
    path("attestations/capture/", verdicts.capture_many, name="capture-many"),
    path("attestations/<uuid:attestation_id>/", verdicts.show_attestation, name="attestation"),
    path("attestations/<uuid:attestation_id>/capture", verdicts.capture_one, name="capture"),
    path("releases/", releases.list_releases, name="releases"),
    path("diagnostics/", views.show_diagnostics, name="diagnostics"),
    path("keys/", views.list_keys, name="keys"),
    path("keys/guardian/add", guardian_keys.add, name="add-guardian-key"),
    path("keys/guardian/new-pair", guardian_keys.new_pair, name="new-guardian-pair"),
    path("keys/guardian/<uuid:key_id>/dependents", guardian_keys.show_dependents, name="guardian-key-dependents"),
    path("keys/guardian/<uuid:key_id>/primary", guardian_keys.make_primary, name="guardian-key-primary"),
    path("keys/guardian/<uuid:key_id>/enable", guardian_keys.enable, name="guardian-key-enable"),
    path("keys/guardian/<uuid:key_id>/disable", guardian_keys.disable, name="guardian-key-disable"),
    path("keys/guardian/<uuid:key_id>/remove", guardian_keys.remove, name="guardian-key-remove"),
    path("keys/offline-starts", deeds.set_offline_starts, name="offline-starts"),
    path("keys/signer/renew", switching.renew, name="renew-signer"),
    path("keys/signer/deny", denial.deny, name="deny"),
    path("keys/signer/deny/clear", denial.clear, name="clear-deny"),
    path("keys/signer/<uuid:signer_id>/deny", denial.deny, name="deny-of-signer"),
    path("keys/signer/<uuid:signer_id>/deny/clear", denial.clear, name="clear-deny-of-signer"),
    path("keys/tpm-roots/add", deeds.add_root, name="add-tpm-root"),
    path("keys/tpm-roots/<uuid:root_id>/remove", deeds.forget_root, name="remove-tpm-root"),
]
