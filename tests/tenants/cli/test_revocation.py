"""`gf key-protector send-notice` against a real portal over HTTP."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from portal.accounts.commands import create_token
from tenants.cli.key_protector import key_protector
from tests.cast import Cast
from tests.tenants.fake_key_log import FakeKeyLog
from tests.tenants.test_revocation import OWNER, altered, notice


@pytest.fixture
def cast(transactional_db: None) -> Cast:
    return Cast()


@pytest.fixture
def send(cast: Cast, key_log: FakeKeyLog, live_server: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    _, token = create_token(cast.as_owner, cast.owner, name="test")
    monkeypatch.setenv("GF_URL", live_server.url)
    monkeypatch.setenv("GF_TOKEN", token)

    def run(content: bytes, *options: str) -> Result:
        file = tmp_path / "notice.xml"
        file.write_bytes(content)
        return CliRunner().invoke(key_protector, ["send-notice", str(file), *options])

    return run


def test_a_notice_is_sent_and_what_became_of_it_is_shown(send: Any, key_log: FakeKeyLog) -> None:
    done = send(notice(), "--output", "json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == {"owner": OWNER, "named": 2, "revoked": 2}
    assert key_log.notices == [notice()]
    assert "Newly refused" in send(notice()).stdout


def test_a_changed_notice_never_leaves_the_machine(send: Any, key_log: FakeKeyLog) -> None:
    refused = send(altered())
    assert refused.exit_code == 1
    assert "was not signed by its owner" in str(refused.exception) + refused.stderr
    assert key_log.requests == []


def test_while_hgs_is_away_the_command_says_so(send: Any, key_log: FakeKeyLog) -> None:
    key_log.away = True
    refused = send(notice())
    assert refused.exit_code != 0
    assert "The Host Guardian Service does not answer" in refused.stderr
