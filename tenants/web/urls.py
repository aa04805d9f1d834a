"""Pages of the tenant portal."""

from django.urls import URLPattern, path, re_path

from tenants.web import (
    key_account,
    key_protector,
    networks,
    offline_page,
    recovery_key,
    revocations,
    rollover,
    shielding_data,
    templates,
    virtual_machines,
    vm_commands,
)

app_name = "tenants"
_OWNER = r"^key-account/(?P<owner>[0-9a-f]{64})/"
urlpatterns: list[URLPattern] = [
    path("virtual-machines/", virtual_machines.VmList.as_view(), name="vms"),
    path("virtual-machines/new/", virtual_machines.VmNew.as_view(), name="vm-new"),
    path("virtual-machines/<uuid:pk>/", virtual_machines.VmPage.as_view(), name="vm"),
    path("virtual-machines/<uuid:pk>/configure/", virtual_machines.VmConfigure.as_view(), name="vm-configure"),
    path("virtual-machines/<uuid:pk>/activity/", virtual_machines.VmActivity.as_view(), name="vm-activity"),
    path("virtual-machines/<uuid:pk>/keys/", virtual_machines.VmKeys.as_view(), name="vm-keys"),
    path("virtual-machines/<uuid:pk>/start/", vm_commands.VmStart.as_view(), name="vm-start"),
    path("virtual-machines/<uuid:pk>/stop/", vm_commands.VmStop.as_view(), name="vm-stop"),
    path("virtual-machines/<uuid:pk>/retry/", vm_commands.VmRetry.as_view(), name="vm-retry"),
    path("virtual-machines/<uuid:pk>/console/", vm_commands.VmConsole.as_view(), name="vm-console"),
    path("virtual-machines/<uuid:pk>/remove/", vm_commands.VmRemove.as_view(), name="vm-remove"),
    path("virtual-machines/<uuid:pk>/key-protector/", key_protector.key_protector_file, name="vm-key-protector-file"),
    path(
        "virtual-machines/<uuid:pk>/key-protector/fetch/",
        key_protector.KeyProtectorFetch.as_view(),
        name="vm-key-protector-fetch",
    ),
    path(
        "virtual-machines/<uuid:pk>/key-protector/upload/",
        key_protector.KeyProtectorSet.as_view(),
        name="vm-key-protector-set",
    ),
    path("virtual-machines/<uuid:pk>/recovery-key/", recovery_key.recovery_key_file, name="vm-recovery-key"),
    path("shielding-data/", shielding_data.ShieldingDataList.as_view(), name="shielding-data"),
    path("shielding-data/new/", shielding_data.ShieldingDataNew.as_view(), name="shielding-data-new"),
    path("shielding-data/templates/", templates.TemplateList.as_view(), name="templates"),
    path("shielding-data/templates/<uuid:pk>/", templates.TemplatePage.as_view(), name="template"),
    path("shielding-data/guardian/", shielding_data.GuardianPage.as_view(), name="guardian"),
    path("shielding-data/offline/", offline_page.view, name="offline-page"),
    path("shielding-data/offline/shielding-data.html", offline_page.download, name="offline-page-file"),
    path("shielding-data/<uuid:pk>/", shielding_data.ShieldingDataPage.as_view(), name="shielding-data-file"),
    path(
        "shielding-data/<uuid:pk>/describe/",
        shielding_data.ShieldingDataDescribe.as_view(),
        name="shielding-data-describe",
    ),
    path(
        "shielding-data/<uuid:pk>/remove/", shielding_data.ShieldingDataRemove.as_view(), name="shielding-data-remove"
    ),
    path("key-account/", key_account.OwnerList.as_view(), name="key-accounts"),
    path("key-account/revoke/", revocations.SendNotice.as_view(), name="revoke"),
    re_path(f"{_OWNER}$", key_account.OwnerPage.as_view(), name="key-account"),
    re_path(f"{_OWNER}prove/$", key_account.OwnerProve.as_view(), name="key-account-prove"),
    re_path(f"{_OWNER}close/$", key_account.OwnerClose.as_view(), name="key-account-close"),
    re_path(f"{_OWNER}bundle/$", key_account.bundle, name="key-account-bundle"),
    path("key-rollover/", rollover.RolloverPage.as_view(), name="rollover"),
    path("key-rollover/fetch/", rollover.RolloverPrepare.as_view(), name="rollover-prepare"),
    path("key-rollover/work/", rollover.work_file, name="rollover-work"),
    path("key-rollover/upload/", rollover.RolloverUpload.as_view(), name="rollover-upload"),
    path("fabric/key-rollover/", rollover.FabricRollover.as_view(), name="fabric-rollover"),
    path("networks/", networks.NetworkList.as_view(), name="networks"),
    path("subscription/", networks.choose_subscription, name="subscription"),
]
