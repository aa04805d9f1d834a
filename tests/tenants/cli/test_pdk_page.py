import hashlib
import json
from unittest.mock import patch

from tenants.offline_page.build import offline_page, published_sha256
from tests.tenants.cli.conftest import Desk


def test_the_page_is_written_with_its_published_digest(desk: Desk) -> None:
    shown = json.loads(desk.done("pdk", "page", "--out", desk.path("page.html"), "--output", "json"))
    written = (desk.folder / "page.html").read_bytes()
    assert shown == {"path": desk.path("page.html"), "sha256": hashlib.sha256(written).hexdigest()}
    assert shown["sha256"] == published_sha256()
    assert written == offline_page().content


def test_a_file_that_is_there_is_kept_unless_forced(desk: Desk) -> None:
    (desk.folder / "page.html").write_text("mine")
    assert desk.gf("pdk", "page", "--out", desk.path("page.html")).exit_code != 0
    assert (desk.folder / "page.html").read_text() == "mine"
    desk.done("pdk", "page", "--out", desk.path("page.html"), "--force")
    assert (desk.folder / "page.html").read_bytes() == offline_page().content


def test_a_package_whose_page_was_changed_writes_nothing(desk: Desk) -> None:
    with patch("tenants.cli.pdk_page.published_sha256", return_value="0" * 64):
        result = desk.gf("pdk", "page", "--out", desk.path("page.html"))
    assert result.exit_code != 0
    assert "install the package again" in result.stderr
    assert not (desk.folder / "page.html").exists()
