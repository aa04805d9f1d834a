"""How a host is, from its state folder alone: for the command line on the host."""

from typing import Any, Final

from fabric.hyperv.attestation import AttestationState, Attestor
from fabric.hyperv.config import HostConfig
from fabric.hyperv.errors import StateError
from fabric.hyperv.locks import Busy, exclusive
from fabric.hyperv.state import read_json
from hgs.attestation.verdict import MODE_AD, MODE_HOST_KEY, MODE_TPM, AttestationStatus, AttestationSubStatus


def agent_runs(config: HostConfig) -> bool:
    """Whether a process holds the host's state folder as its agent."""
    try:
        with exclusive(config.state.agent_lock, seconds=0, what="The host"):
            return False
    except Busy:
        return True


_OPERATION_MODES: Final = {MODE_TPM: "Tpm", MODE_AD: "ActiveDirectory", MODE_HOST_KEY: "HostKey"}


def client_configuration(config: HostConfig, state: AttestationState) -> dict[str, Any]:
    """The host's state under the original's own names (``MSFT_HgsClientConfiguration``).

    Operation mode and sub-statuses are those of the last attestation; there is no fallback HGS.
    """
    base = config.hgs_url.rstrip("/")
    return {
        "IsHostGuarded": state.passed,
        "Mode": "HostGuardianService" if base else "Local",
        "KeyProtectionServerUrl": f"{base}/KeyProtection" if base else "",
        "AttestationServerUrl": f"{base}/Attestation" if base else "",
        "AttestationOperationMode": _OPERATION_MODES.get(state.mode, "Unknown"),
        "AttestationStatus": state.status if base else AttestationStatus.NOT_CONFIGURED.value,
        "AttestationSubStatus": ", ".join(state.sub_statuses) or AttestationSubStatus.NO_INFORMATION.value,
        "FallbackKeyProtectionServerUrl": "",
        "FallbackAttestationServerUrl": "",
        "IsFallbackInUse": False,
    }


def host_status(config: HostConfig) -> dict[str, Any]:
    """Public facts about the host, the original's names beside ours.

    Raises `StateError` if no host of that name ever booted here.
    """
    boot = read_json(config.state.boot)
    if boot is None:
        raise StateError(f"No host {config.name} has booted here.", f"Start it: manage.py host {config.name}.")
    state = Attestor(config).current()
    return {
        **client_configuration(config, state),
        "name": config.name,
        "running": agent_runs(config),
        "boot": boot.get("counter"),
        "booted_at": boot.get("at"),
        "profile": boot.get("profile"),
        "refused_drivers": boot.get("refused_drivers", []),
        "audited_drivers": boot.get("audited_drivers", []),
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
