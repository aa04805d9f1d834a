"""REST routes of tenants, below /api/v1/."""

from django.urls import path, re_path

from tenants.api import (
    key_account,
    key_protector,
    recovery_key,
    revocations,
    rollover,
    shielding_data,
    virtual_machines,
)

app_name = "tenants-api"
urlpatterns = [
    path("subscriptions/", virtual_machines.SubscriptionList.as_view(), name="subscriptions"),
    path("virtual-machines/", virtual_machines.VmList.as_view(), name="virtual-machines"),
    path("virtual-machines/<uuid:pk>/", virtual_machines.VmDetail.as_view(), name="virtual-machine"),
    path("virtual-machines/<uuid:pk>/start/", virtual_machines.VmStart.as_view(), name="vm-start"),
    path("virtual-machines/<uuid:pk>/stop/", virtual_machines.VmStop.as_view(), name="vm-stop"),
    path("virtual-machines/<uuid:pk>/retry/", virtual_machines.VmRetry.as_view(), name="vm-retry"),
    path("virtual-machines/<uuid:pk>/console/", virtual_machines.VmConsole.as_view(), name="vm-console"),
    path("virtual-machines/<uuid:pk>/key-protector/", key_protector.KeyProtector.as_view(), name="vm-key-protector"),
    path(
        "virtual-machines/<uuid:pk>/key-protector/fetch/",
        key_protector.KeyProtectorFetch.as_view(),
        name="vm-key-protector-fetch",
    ),
    path("virtual-machines/<uuid:pk>/recovery-key/", recovery_key.RecoveryKey.as_view(), name="vm-recovery-key"),
    path("key-account/", key_account.Entries.as_view(), name="key-account"),
    path("key-account/owners/", key_account.Owners.as_view(), name="key-account-owners"),
    path("key-account/challenges/", key_account.Challenges.as_view(), name="key-account-challenges"),
    path("key-account/proofs/", key_account.Proofs.as_view(), name="key-account-proofs"),
    re_path(r"^key-account/proofs/(?P<owner>[0-9a-f]{64})/$", key_account.Proof.as_view(), name="key-account-proof"),
    path("key-account/bundle/", key_account.Bundle.as_view(), name="key-account-bundle"),
    path("key-account/revocations/", revocations.Revocations.as_view(), name="key-account-revocations"),
    path("key-account/log-key/", key_account.LogKey.as_view(), name="key-account-log-key"),
    path("key-rollover/", rollover.RolloverView.as_view(), name="rollover"),
    path("key-rollover/fetch/", rollover.Fetch.as_view(), name="rollover-fetch"),
    path("key-rollover/work/", rollover.WorkFile.as_view(), name="rollover-work"),
    path("key-rollover/result/", rollover.Result.as_view(), name="rollover-result"),
    path("shielding-data/", shielding_data.ShieldingDataList.as_view(), name="shielding-data"),
    path("shielding-data/<uuid:pk>/", shielding_data.ShieldingDataDetail.as_view(), name="shielding-data-file"),
    path("shielding-data/<uuid:pk>/templates/", shielding_data.Templates.as_view(), name="shielding-data-templates"),
]
