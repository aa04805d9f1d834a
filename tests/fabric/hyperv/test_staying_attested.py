"""An agent attests when it starts, before its certificate ends, and again and again while it is refused."""

import datetime as dt
import threading
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from fabric.hyperv.agent import Agent
from fabric.hyperv.attestation import AttestationState
from fabric.hyperv.config import host_config
from fabric.hyperv.state import write_json
from hgs.client import HgsRefused


def state(left: float, *, status: str = "Passed") -> AttestationState:
    """A host whose certificate of eight hours has `left` hours."""
    if status != "Passed":
        return AttestationState(status=status)
    end = dt.datetime.now(dt.UTC) + dt.timedelta(hours=left)
    return AttestationState(
        status=status,
        certificate_not_before=(end - dt.timedelta(hours=8)).isoformat(),
        certificate_not_after=end.isoformat(),
    )


class Host:
    """An agent's attestor and operations in one: what it knows, and what comes of asking."""

    def __init__(self, known: list[AttestationState], answers: list[AttestationState]) -> None:
        self.known, self.answers = known, answers
        self.asked: list[str] = []

    def current(self) -> AttestationState:
        return self.known.pop(0)

    def attest(self, reason: str) -> AttestationState:
        self.asked.append(reason)
        return self.answers.pop(0)

    def retry_primary(self) -> AttestationState:
        return self.attest("primary-retry")


class Waiting:
    """The agent's events of its end and of being roused: notes how long it would wait, ends after so many rounds."""

    def __init__(self, rounds: int) -> None:
        self.rounds = rounds
        self.waits: list[float] = []

    def is_set(self) -> bool:
        return len(self.waits) >= self.rounds

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        return False


@pytest.fixture
def agent(settings: Any, tmp_path: Path) -> Agent:
    settings.HOST_STATE_DIR = tmp_path / "hosts"
    config = host_config("hv01")
    config.state.create()
    return Agent(config, Celery(broker="memory://", set_as_current=False), stop_vms=False)


def live(agent: Agent, host: Host) -> Waiting:
    waiting = Waiting(len(host.known))
    agent._hgs = agent._operations = host  # type: ignore[assignment]
    agent._ending = agent._roused = waiting  # type: ignore[assignment]
    agent._stay_attested()
    return waiting


def test_a_host_that_starts_attests(agent: Agent) -> None:
    host = Host([AttestationState()], [state(8)])
    live(agent, host)
    assert host.asked == ["host-started"]


def test_a_certificate_is_renewed_before_it_ends(agent: Agent) -> None:
    host = Host([state(7), state(2.5), state(1.9), state(7.9)], [state(8)])
    waiting = live(agent, host)
    assert host.asked == ["renewal"]
    assert max(waiting.waits) <= 60, "it looks often enough to notice"


def test_a_refused_host_goes_on_asking(agent: Agent) -> None:
    refused = state(0, status="InsecureHostConfiguration")
    host = Host([AttestationState(), refused, refused], [refused, refused, state(8)])
    live(agent, host)
    assert host.asked == ["host-started", "retry", "retry"]


def test_an_hgs_that_is_away_is_asked_again_soon_and_then_less_often(agent: Agent) -> None:
    away = state(0, status="TransientError")
    host = Host([AttestationState(), *[away] * 6], [away] * 7)
    waiting = live(agent, host)
    assert waiting.waits == [2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]


def test_while_the_fallback_serves_each_round_asks_the_primary(agent: Agent) -> None:
    by_fallback, by_primary = replace(state(8), service="fallback"), replace(state(8), service="primary")
    host = Host([by_fallback, by_fallback, by_primary], [by_fallback, by_primary])
    waiting = live(agent, host)
    assert host.asked == ["primary-retry", "primary-retry"]
    assert max(waiting.waits) <= 60


def test_a_host_in_local_mode_asks_nobody(settings: Any, tmp_path: Path) -> None:
    settings.HOST_STATE_DIR, settings.HOST_LOCAL_MODE = tmp_path / "hosts", True
    agent = Agent(host_config("hv01"), Celery(broker="memory://", set_as_current=False), stop_vms=False)
    host = Host([AttestationState()], [])
    live(agent, host)
    assert host.asked == []


def test_a_certificate_that_hgs_refuses_for_keys_is_replaced_at_once(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pause after a good attestation is a minute; the loop attests again within seconds, for that reason."""
    looked, attested = threading.Event(), threading.Event()
    reasons: list[str] = []
    primary = agent._hgs.primary
    write_json(agent._config.state.attestation, asdict(state(8)))

    def attest(reason: str) -> AttestationState:
        reasons.append(reason)
        write_json(agent._config.state.attestation, asdict(state(8)))
        attested.set()
        return primary.current()

    def current() -> AttestationState:
        looked.set()
        return primary.current()

    class Refusing:
        def __init__(self, *_address: object) -> None: ...

        def roll_transport_key(self, _request: bytes, _vm_id: str) -> bytes:
            raise HgsRefused("The host must attest again.", reason="HealthCertificateException", status=403)

        def close(self) -> None: ...

    agent._hgs._connect_keys = Refusing  # type: ignore[assignment]
    monkeypatch.setattr(agent._operations, "attest", attest)
    monkeypatch.setattr(agent._hgs, "current", current)
    loop = threading.Thread(target=agent._stay_attested, daemon=True)
    loop.start()
    try:
        assert looked.wait(20)
        with pytest.raises(HgsRefused):
            agent._hgs.requests("6f0a1d0e-7a55-4c43-9d3b-0d8f3e6a2b11")(b"request")
        assert attested.wait(20)
    finally:
        agent._ending.set()
        agent._roused.set()
        loop.join(20)
    assert not loop.is_alive()
    assert len(reasons) == 1
    assert agent._config.state.refusal.exists()
