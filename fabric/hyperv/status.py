"""How a host is, from its state folder alone: for the command line on the host."""

from typing import Any

from fabric.hyperv.attestation import Attestor
from fabric.hyperv.config import HostConfig
from fabric.hyperv.errors import StateError
from fabric.hyperv.locks import Busy, exclusive
from fabric.hyperv.state import read_json


def agent_runs(config: HostConfig) -> bool:
    """Whether a process holds the host's state folder as its agent."""
    try:
        with exclusive(config.state.agent_lock, seconds=0, what="The host"):
            return False
    except Busy:
        return True


def host_status(config: HostConfig) -> dict[str, Any]:
    """Public facts about the host. Raises `StateError` if no host of that name ever booted here."""
    boot = read_json(config.state.boot)
    if boot is None:
        raise StateError(f"No host {config.name} has booted here.", f"Start it: manage.py host {config.name}.")
    state = Attestor(config).current()
    return {
        "name": config.name,
        "running": agent_runs(config),
        "boot": boot.get("counter"),
        "booted_at": boot.get("at"),
        "profile": boot.get("profile"),
        "attested": state.passed,
        "status": state.status,
        "sub_statuses": list(state.sub_statuses),
        "failing": list(state.failing),
        "message": state.message,
        "advice": state.advice,
        "at": state.at,
        "attestation_id": state.attestation_id,
        "certificate_not_after": state.certificate_not_after,
    }
