"""The boot of an emulated host: its TPM starts anew, its profile is measured, and log and registers agree as on metal.

A boot leaves in the state folder what an administrator submits to HGS (host identity, boot log as baseline, CI policy)
and what attestation needs (keys, log). It ends the health certificate of the last boot, because it ends its key.
"""

import logging
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from fabric.hyperv.code_integrity import LoadedDrivers, load_drivers, policy_in_force
from fabric.hyperv.config import HostConfig
from fabric.hyperv.errors import StateError, TpmError
from fabric.hyperv.firmware_events import Measurement, firmware_measurements
from fabric.hyperv.profile import HostProfile, parse_profile
from fabric.hyperv.state import HostState, read_json, write_json, write_whole
from fabric.hyperv.tpm import KeyBlob, TpmSession, open_tpm, start_up
from fabric.hyperv.windows_events import BootFacts, end_marker, loader_measurements, secure_kernel_measurements
from hgs.attestation.errors import AttestationError
from hgs.attestation.sipa import PCR_AUTHORITIES, PCR_DETAILS, PCR_SETTINGS, SiPolicyInfo, VsmKey
from hgs.attestation.tcglog import EventLogBuilder, parse_log, replay
from hgs.attestation.tpm import Algorithm, RsaParameters, TpmtPublic, spki_of, to_cryptography_key
from hgs.wire.platform_identifier import PlatformIdentifier, serialise_identifier

_log = logging.getLogger(__name__)
MEASURED_PCRS = (0, 1, 2, 3, 4, 5, 6, 7, 11, 12, 13, 14)


@dataclass(frozen=True, slots=True)
class Boot:
    """A boot that is under way: `fresh` unless it was found going on in a TPM that is not ours to restart."""

    counter: int
    profile: HostProfile
    fresh: bool


def boot_host(config: HostConfig) -> Boot:
    """Boot the host. Raises `ProfileError`, `TpmError`, `Busy` or `StateError`; then it has not booted."""
    state, locality = config.state, 0
    profile = parse_profile(state.require(state.profile, "profile"))
    policy = policy_in_force(profile.code_integrity_policy)
    drivers = load_drivers(profile, policy)
    if config.external_tcti:
        if _boot_goes_on(config):
            return Boot(_counter(state), profile, fresh=False)
    else:
        state.tpm.manufacture(config.tpm_ca, state.name)
        state.tpm.switch_on()
        locality = profile.firmware.startup_locality
        start_up(config.tcti, state.tpm_lock, locality)
    counter = _counter(state) + 1
    write_json(state.boot, _boot_record(counter, drivers))
    for old in (*state.of_one_boot, state.boot_log, state.identity_key):
        old.unlink(missing_ok=True)
    with open_tpm(config.tcti, state.tpm_lock) as tpm:
        _keep_attestation_key(state, tpm)
        facts = BootFacts(counter, secrets.token_bytes(32), locality)
        log = _measure(state, tpm, drivers.profile, facts, policy.info)
        _require_agreement(tpm, log)
        endorsement_key = to_cryptography_key(TpmtPublic.parse(tpm.ek_public()))
        identifier = PlatformIdentifier(state.name, spki_of(endorsement_key), tpm.find_ek_certificate())
    write_whole(state.boot_log, log)
    write_whole(state.ci_policy, policy.content)
    write_whole(state.platform_identifier, serialise_identifier(identifier))
    return Boot(counter, profile, fresh=True)


def log_agrees(log: bytes, pcrs: dict[int, bytes]) -> tuple[int, ...]:
    """The registers whose values the log does not replay to. Raises `AttestationError` for a log that is none."""
    expected = replay(parse_log(log), Algorithm.SHA256)
    return tuple(pcr for pcr, value in sorted(pcrs.items()) if expected.get(pcr, bytes(32)) != value)


def _boot_record(counter: int, drivers: LoadedDrivers) -> dict[str, Any]:
    for sentence in (*drivers.refused, *drivers.audited):
        _log.warning("%s%s", sentence, "" if sentence in drivers.refused else " Audit mode: it was loaded.")
    return {
        "counter": counter,
        "at": datetime.now(UTC).isoformat(),
        "profile": drivers.profile.description,
        "refused_drivers": list(drivers.refused),
        "audited_drivers": list(drivers.audited),
    }


def _measure(state: HostState, tpm: TpmSession, profile: HostProfile, facts: BootFacts, policy: SiPolicyInfo) -> bytes:
    builder = EventLogBuilder(locality=facts.locality or None)

    def measure(measurements: Iterable[Measurement]) -> None:
        for item in measurements:
            builder.record(item.pcr, item.kind, ((int(Algorithm.SHA256), item.digest),), item.data)
            tpm.extend(item.pcr, item.digest)

    measure(firmware_measurements(profile))
    measure(loader_measurements(profile, facts, policy))
    measure((end_marker(PCR_DETAILS), end_marker(PCR_AUTHORITIES)))
    # The identity key is bound to every register that is complete by now, and is itself measured into PCR 12.
    identity_key = tpm.create_identity_key()
    write_whole(state.identity_key, identity_key.serialise())
    measure(secure_kernel_measurements(profile, _public_numbers(identity_key)))
    measure((end_marker(PCR_SETTINGS),))
    return builder.build().serialise()


def _public_numbers(key: KeyBlob) -> VsmKey:
    public = TpmtPublic.parse(key.public_area)
    if not isinstance(public.parameters, RsaParameters) or not isinstance(public.unique, bytes):
        raise TpmError("The TPM made an identity key that is not an RSA key.")
    return VsmKey(int.from_bytes(public.unique, "big"), 65537)


def _keep_attestation_key(state: HostState, tpm: TpmSession) -> None:
    if not state.attestation_key.exists():
        write_whole(state.attestation_key, tpm.create_attestation_key().serialise())


def _require_agreement(tpm: TpmSession, log: bytes) -> None:
    wrong = log_agrees(log, tpm.read_pcrs(MEASURED_PCRS))
    if wrong:
        raise TpmError(
            f"PCR {', '.join(map(str, wrong))} held something before this boot was measured.",
            "Reset the TPM (a TPM of metal: restart the machine) and start the host again.",
        )


def _boot_goes_on(config: HostConfig) -> bool:
    """Whether an external TPM still holds the boot whose log and key are in the state folder."""
    state = config.state
    try:
        log = state.require(state.boot_log, "boot log")
        state.require(state.identity_key, "identity key")
        with open_tpm(config.tcti, state.tpm_lock) as tpm:
            return not log_agrees(log, tpm.read_pcrs(MEASURED_PCRS))
    except (StateError, AttestationError):
        return False


def _counter(state: HostState) -> int:
    counter = (read_json(state.boot) or {}).get("counter", 0)
    return counter if isinstance(counter, int) and counter >= 0 else 0
