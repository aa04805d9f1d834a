"""What the embedded deployment writes down for its processes, and keeps from one start to the next."""

from pathlib import Path

import pytest

from portal.embedded import credentials, layout


@pytest.fixture
def environments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(layout, "VAR", tmp_path)
    monkeypatch.setattr(layout, "ENVIRONMENTS", tmp_path / "env")
    monkeypatch.delenv("HGS_AUTO_APPROVE", raising=False)
    return tmp_path / "env"


def test_a_laboratory_approves_by_itself_until_it_is_told_otherwise_and_keeps_that(
    environments: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    credentials.prepare()
    assert "HGS_AUTO_APPROVE=true\n" in (environments / "hgs.env").read_text()
    monkeypatch.setenv("HGS_AUTO_APPROVE", "false")
    credentials.prepare()
    monkeypatch.delenv("HGS_AUTO_APPROVE")
    credentials.prepare()
    for role in ("hgs", "portal"):
        assert "HGS_AUTO_APPROVE=false\n" in (environments / f"{role}.env").read_text()
