"""Pages of the fabric console, and the library for hosts."""

from django.urls import URLPattern, re_path

from fabric.web import library

app_name = "fabric"
urlpatterns: list[URLPattern] = [
    re_path(r"^library/v1/blobs/(?P<sha256>[0-9a-f]{64})$", library.blob, name="library-blob"),
]
