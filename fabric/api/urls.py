"""REST routes of the fabric, below /api/v1/."""

from django.urls import path

from fabric.api import guardian, hosts, networks, signings, templates, uploads

app_name = "fabric-api"
urlpatterns = [
    path("hosts/", hosts.HostList.as_view(), name="hosts"),
    path("hosts/<str:reference>/", hosts.HostDetail.as_view(), name="host"),
    path("hosts/<str:reference>/token/", hosts.HostToken.as_view(), name="host-token"),
    path("hosts/<str:reference>/attest/", hosts.HostAttest.as_view(), name="host-attest"),
    path("hosts/<str:reference>/diagnose/", hosts.HostDiagnose.as_view(), name="host-diagnose"),
    path("hosts/<str:reference>/capture/", hosts.HostCapture.as_view(), name="host-capture"),
    path("captures/", hosts.Captures.as_view(), name="captures"),
    path("hosts/<str:reference>/attestations/", hosts.HostAttestations.as_view(), name="host-attestations"),
    path("hosts/<str:reference>/submissions/", hosts.HostSubmissions.as_view(), name="host-submissions"),
    path("template-disks/", templates.TemplateList.as_view(), name="template-disks"),
    path("template-disks/<uuid:pk>/", templates.TemplateDetail.as_view(), name="template-disk"),
    path("template-disks/<uuid:pk>/catalog/", templates.TemplateCatalog.as_view(), name="template-catalog"),
    path("template-disks/<uuid:pk>/retire/", templates.TemplateRetire.as_view(), name="template-retire"),
    path("template-disks/<uuid:pk>/unretire/", templates.TemplateUnretire.as_view(), name="template-unretire"),
    path("unsigned-disks/", signings.UnsignedDiskList.as_view(), name="unsigned-disks"),
    path("unsigned-disks/<uuid:pk>/", signings.UnsignedDiskDetail.as_view(), name="unsigned-disk"),
    path("import-folder/", signings.ImportFolder.as_view(), name="import-folder"),
    path("template-signers/", signings.Signers.as_view(), name="template-signers"),
    path("template-signings/", signings.SigningList.as_view(), name="template-signings"),
    path("template-signings/<uuid:pk>/", signings.SigningDetail.as_view(), name="template-signing"),
    path("template-signings/<uuid:pk>/start/", signings.SigningStart.as_view(), name="template-signing-start"),
    path("template-signings/<uuid:pk>/inspect/", signings.SigningInspect.as_view(), name="template-signing-inspect"),
    path("template-signings/<uuid:pk>/cancel/", signings.SigningCancel.as_view(), name="template-signing-cancel"),
    path("template-disks/<uuid:pk>/usage/", templates.TemplateUsage.as_view(), name="template-usage"),
    path("uploads/", uploads.UploadList.as_view(), name="uploads"),
    path("uploads/<uuid:pk>/", uploads.UploadDetail.as_view(), name="upload"),
    path("networks/", networks.NetworkList.as_view(), name="networks"),
    path("networks/<uuid:pk>/", networks.NetworkDetail.as_view(), name="network"),
    path("guardian/", guardian.Guardian.as_view(), name="guardian"),
    path("guardian/metadata/", guardian.GuardianMetadata.as_view(), name="guardian-metadata"),
]
