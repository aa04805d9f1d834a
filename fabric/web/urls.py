"""Pages of the fabric console, downloads for everybody signed in, and the library for hosts."""

from django.urls import URLPattern, path, re_path

from fabric.web import guardian, hosts, jobs, library, networks, templates

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
    path("fabric/networks/", networks.NetworkList.as_view(), name="networks"),
    path("fabric/networks/new/", networks.NetworkNew.as_view(), name="network-new"),
    path("fabric/networks/<uuid:pk>/", networks.NetworkPage.as_view(), name="network"),
    path("fabric/jobs/", jobs.JobList.as_view(), name="jobs"),
    path("fabric/jobs/<uuid:pk>/end/", jobs.JobEnd.as_view(), name="job-end"),
    path("downloads/catalogs/<uuid:pk>/", templates.catalog, name="template-catalog"),
    path("downloads/guardian/", guardian.metadata, name="guardian-metadata"),
    re_path(r"^library/v1/blobs/(?P<sha256>[0-9a-f]{64})$", library.blob, name="library-blob"),
]
