"""Addresses of the account pages, below `/account/`."""

from django.urls import path

from portal.accounts import views

app_name = "accounts"
urlpatterns = [
    path("", views.ProfileView.as_view(), name="profile"),
    path("sign-in/", views.SignInView.as_view(), name="sign-in"),
    path("sign-out/", views.SignOutView.as_view(), name="sign-out"),
    path("password/", views.PasswordView.as_view(), name="password"),
    path("tokens/", views.TokensView.as_view(), name="tokens"),
    path("tokens/new/", views.NewTokenView.as_view(), name="token-new"),
    path("tokens/<slug:key_id>/revoke/", views.RevokeTokenView.as_view(), name="token-revoke"),
    path("sessions/", views.SessionsView.as_view(), name="sessions"),
    path("sessions/<int:pk>/end/", views.EndSessionView.as_view(), name="session-end"),
]
