"""A host serves no pages."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
