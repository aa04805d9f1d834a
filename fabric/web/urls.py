"""Pages of the fabric console, downloads for everybody signed in, and the library for hosts."""

from django.urls import URLPattern, path, re_path

from fabric.web import guardian, hosts, jobs, library, networks, signing, templates, unsigned_disks

app_name = "fabric"
urlpatterns: list[URLPattern] = [
    path("fabric/hosts/", hosts.HostList.as_view(), name="hosts"),
    path("fabric/hosts/new/", hosts.HostNew.as_view(), name="host-new"),
    path("fabric/hosts/capture/", hosts.HostsCapture.as_view(), name="hosts-capture"),
    path("fabric/hosts/<uuid:pk>/", hosts.HostPage.as_view(), name="host"),
    path("fabric/hosts/<uuid:pk>/attestations/", hosts.HostHistory.as_view(), name="host-history"),
    path("fabric/hosts/<uuid:pk>/submissions/", hosts.HostSubmissions.as_view(), name="host-submissions"),
    path("fabric/hosts/<uuid:pk>/attest/", hosts.HostAttest.as_view(), name="host-attest"),
    path("fabric/hosts/<uuid:pk>/capture/", hosts.HostCapture.as_view(), name="host-capture"),
    path("fabric/hosts/<uuid:pk>/diagnose/", hosts.HostDiagnose.as_view(), name="host-diagnose"),
    path("fabric/hosts/<uuid:pk>/token/", hosts.HostToken.as_view(), name="host-token"),
    path("fabric/template-disks/", templates.TemplateList.as_view(), name="templates"),
    path("fabric/template-disks/new/", templates.TemplateNew.as_view(), name="template-new"),
    path("fabric/template-disks/<uuid:pk>/", templates.TemplatePage.as_view(), name="template"),
    path("fabric/template-disks/<uuid:pk>/describe/", templates.TemplateDescribe.as_view(), name="template-describe"),
    path("fabric/template-disks/<uuid:pk>/retire/", templates.TemplateRetire.as_view(), name="template-retire"),
    path("fabric/template-disks/<uuid:pk>/unretire/", templates.TemplateUnretire.as_view(), name="template-unretire"),
    path("fabric/unsigned-disks/", unsigned_disks.UnsignedDiskList.as_view(), name="unsigned-disks"),
    path("fabric/unsigned-disks/new/", unsigned_disks.UnsignedDiskNew.as_view(), name="unsigned-disk-new"),
    path(
        "fabric/unsigned-disks/<uuid:pk>/discard/",
        unsigned_disks.UnsignedDiskDiscard.as_view(),
        name="unsigned-disk-discard",
    ),
    path("fabric/template-signings/", unsigned_disks.SigningList.as_view(), name="signings"),
    path("fabric/template-signings/new/", signing.SigningCertificate.as_view(), name="signing-new"),
    path("fabric/template-signings/<uuid:pk>/", signing.SigningPage.as_view(), name="signing"),
    path(
        "fabric/template-signings/<uuid:pk>/certificate/",
        signing.SigningCertificate.as_view(),
        name="signing-certificate",
    ),
    path("fabric/template-signings/<uuid:pk>/disk/", signing.SigningDisk.as_view(), name="signing-disk"),
    path("fabric/template-signings/<uuid:pk>/upload/", unsigned_disks.UnsignedDiskNew.as_view(), name="signing-upload"),
    path("fabric/template-signings/<uuid:pk>/name/", signing.SigningName.as_view(), name="signing-name"),
    path("fabric/template-signings/<uuid:pk>/review/", signing.SigningReview.as_view(), name="signing-review"),
    path("fabric/template-signings/<uuid:pk>/generate/", signing.SigningGenerate.as_view(), name="signing-generate"),
    path("fabric/template-signings/<uuid:pk>/summary/", signing.SigningSummary.as_view(), name="signing-summary"),
    path("fabric/template-signings/<uuid:pk>/cancel/", unsigned_disks.SigningCancel.as_view(), name="signing-cancel"),
    path(
        "fabric/template-signings/<uuid:pk>/discard/", unsigned_disks.SigningDiscard.as_view(), name="signing-discard"
    ),
    path("fabric/networks/", networks.NetworkList.as_view(), name="networks"),
    path("fabric/networks/new/", networks.NetworkNew.as_view(), name="network-new"),
    path("fabric/networks/<uuid:pk>/", networks.NetworkPage.as_view(), name="network"),
    path("fabric/jobs/", jobs.JobList.as_view(), name="jobs"),
    path("fabric/jobs/<uuid:pk>/end/", jobs.JobEnd.as_view(), name="job-end"),
    path("downloads/catalogs/<uuid:pk>/", templates.catalog, name="template-catalog"),
    path("downloads/guardian/", guardian.metadata, name="guardian-metadata"),
    re_path(r"^library/v1/blobs/(?P<sha256>[0-9a-f]{64})$", library.blob, name="library-blob"),
]
