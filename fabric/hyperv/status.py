"""How a host is, from its state folder alone: for the command line on the host."""

from typing import Any, Final

from fabric.hyperv.attestation import FALLBACK, AttestationState
from fabric.hyperv.config import HostConfig
from fabric.hyperv.errors import HostError, StateError
from fabric.hyperv.hgs_client import HgsClient
from fabric.hyperv.locks import Busy, exclusive
from fabric.hyperv.operations import virtual_machines
from fabric.hyperv.state import read_json
from hgs.attestation.endorsement import endorsement_from_certificate, endorsement_from_spki
from hgs.attestation.errors import AttestationError
from hgs.attestation.verdict import MODE_AD, MODE_HOST_KEY, MODE_TPM, AttestationSubStatus
from hgs.wire.errors import WireError
from hgs.wire.platform_identifier import parse_identifier


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

    Operation mode and sub-statuses are those of the last attestation, by the HGS that is in use.
    """
    base, other = config.hgs_url, config.fallback
    return {
        "IsHostGuarded": state.passed,
        "Mode": "Local" if config.local_mode else "HostGuardianService",
        "KeyProtectionServerUrl": f"{base}/KeyProtection" if base else "",
        "AttestationServerUrl": f"{base}/Attestation" if base else "",
        "AttestationOperationMode": _OPERATION_MODES.get(state.mode, "Unknown"),
        "AttestationStatus": state.status,
        "AttestationSubStatus": ", ".join(state.sub_statuses) or AttestationSubStatus.NO_INFORMATION.value,
        "FallbackKeyProtectionServerUrl": f"{other.key_protection}/KeyProtection" if other else "",
        "FallbackAttestationServerUrl": f"{other.attestation}/Attestation" if other else "",
        "IsFallbackInUse": state.service == FALLBACK,
    }


def require_booted(config: HostConfig) -> dict[str, Any]:
    """What the host's last boot left. Makes nothing; raises `StateError` if no host of that name ever booted here."""
    boot = read_json(config.state.boot)
    if boot is None:
        raise StateError(f"No host {config.name} has booted here.", f"Start it: manage.py host {config.name}.")
    return boot


def endorsement_key_hash(name: str, content: bytes) -> str:
    """What HGS knows the host by: SHA-256 of the endorsement key in its platform identifier, 64 lower-case hex digits.

    Raises `StateError` for a file that HGS would not take.
    """
    advice = f"Start the host again, which writes the file anew: manage.py host {name}."
    try:
        identifier = parse_identifier(content)
        if identifier.certificate is None:
            return endorsement_from_spki(identifier.endorsement_key).ek_hash
        endorsement = endorsement_from_certificate(identifier.certificate)
    except (AttestationError, WireError) as error:
        raise StateError(f"The platform identifier of {name} cannot be read: {error}", advice) from error
    if endorsement.spki != identifier.endorsement_key:
        raise StateError(f"The platform identifier of {name} has another key than its certificate.", advice)
    return endorsement.ek_hash


def host_status(config: HostConfig) -> dict[str, Any]:
    """Public facts about the host, the original's names beside ours.

    Raises `StateError` if no host of that name ever booted here.
    """
    boot = require_booted(config)
    hgs = HgsClient(config)
    state = hgs.current()
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
        "certificate_by": state.service if state.passed else "",
        "offline_starts": _offline_starts(config, hgs),
    }


def _offline_starts(config: HostConfig, hgs: HgsClient) -> dict[str, int] | None:
    """VM id -> starts without HGS that are left; None where the TPM, which counts them, does not answer."""
    if not config.state.virtual_machines.is_dir():
        return {}
    try:
        return virtual_machines(config, hgs).offline_starts()
    except HostError:
        return None
