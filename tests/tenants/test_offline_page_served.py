"""The offline page as the portal hands it out: the very bytes of the package, under a policy of its own."""

import hashlib

import pytest
from django.test import Client
from django.urls import reverse

from tenants.offline_page.build import FILE_NAME, offline_page, published_sha256
from tests.cast import Cast

pytestmark = pytest.mark.django_db
VIEW, FILE = "tenants:offline-page", "tenants:offline-page-file"


@pytest.mark.parametrize("name", [VIEW, FILE])
def test_the_portal_serves_the_published_bytes_under_the_page_s_own_policy(
    cast: Cast, client: Client, name: str
) -> None:
    client.force_login(cast.owner)
    answer = client.get(reverse(name))
    assert answer.status_code == 200
    assert hashlib.sha256(answer.content).hexdigest() == published_sha256()
    assert answer["Content-Type"] == "text/html; charset=utf-8"
    assert answer["Content-Security-Policy"] == offline_page().served_policy
    assert "nonce" not in answer["Content-Security-Policy"]
    assert answer["X-Frame-Options"] == "DENY"
    assert "Set-Cookie" not in answer


def test_one_address_shows_it_and_one_saves_it(cast: Cast, client: Client) -> None:
    client.force_login(cast.owner)
    assert "Content-Disposition" not in client.get(reverse(VIEW))
    assert client.get(reverse(FILE))["Content-Disposition"] == f'attachment; filename="{FILE_NAME}"'


@pytest.mark.parametrize("name", [VIEW, FILE])
def test_it_is_only_read(cast: Cast, client: Client, name: str) -> None:
    client.force_login(cast.owner)
    assert client.post(reverse(name)).status_code == 405


def test_the_list_of_shielding_data_links_to_it_with_its_digest_and_the_reason(cast: Cast, client: Client) -> None:
    client.force_login(cast.owner)
    text = client.get(reverse("tenants:shielding-data")).content.decode()
    groups = " ".join(published_sha256()[at : at + 4].upper() for at in range(0, 64, 4))
    assert groups in text
    assert f'data-copy="{published_sha256()}"' in text
    assert f'href="{reverse(FILE)}" download' in text
    assert reverse(VIEW) in text
    assert "gf pdk page" in text
    assert "Trust the copy that you saved and checked" in text
