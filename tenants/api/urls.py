"""REST routes of tenants, below /api/v1/."""

from django.urls import path

from tenants.api import shielding_data, virtual_machines

app_name = "tenants-api"
urlpatterns = [
    path("subscriptions/", virtual_machines.SubscriptionList.as_view(), name="subscriptions"),
    path("virtual-machines/", virtual_machines.VmList.as_view(), name="virtual-machines"),
    path("virtual-machines/<uuid:pk>/", virtual_machines.VmDetail.as_view(), name="virtual-machine"),
    path("virtual-machines/<uuid:pk>/start/", virtual_machines.VmStart.as_view(), name="vm-start"),
    path("virtual-machines/<uuid:pk>/stop/", virtual_machines.VmStop.as_view(), name="vm-stop"),
    path("virtual-machines/<uuid:pk>/retry/", virtual_machines.VmRetry.as_view(), name="vm-retry"),
    path("virtual-machines/<uuid:pk>/console/", virtual_machines.VmConsole.as_view(), name="vm-console"),
    path("shielding-data/", shielding_data.ShieldingDataList.as_view(), name="shielding-data"),
    path("shielding-data/<uuid:pk>/", shielding_data.ShieldingDataDetail.as_view(), name="shielding-data-file"),
    path("shielding-data/<uuid:pk>/templates/", shielding_data.Templates.as_view(), name="shielding-data-templates"),
]
