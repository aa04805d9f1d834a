"""What a host needs, looked at one by one: each check says what it found and, when it failed, what to do.

The last check asks HGS to release the keys of a throwaway protector made here and now. A host without a health
certificate asks with one it signed itself, and shows that HGS refuses it.
"""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any, Final

import httpx2
from cryptography import x509
from kombu import Connection
from kombu.exceptions import OperationalError

from fabric.hyperv.attestation import FALLBACK
from fabric.hyperv.config import HostConfig
from fabric.hyperv.errors import StateError
from fabric.hyperv.hgs_client import NO_PROTECTION, HgsClient
from fabric.hyperv.key_release_trial import KeyReleaseTrial, try_key_release
from fabric.hyperv.measured_boot import MEASURED_PCRS, log_agrees
from fabric.hyperv.operations import DRY
from fabric.hyperv.status import agent_runs
from fabric.hyperv.tpm import open_tpm
from hgs.attestation.errors import AttestationError
from hgs.client import AttestationClient, HgsError, HgsUnreachable
from hgs.wire.hgsa import AttestationOperationMode
from portal.kernel.errors import DomainError

_MODES: Final = {
    AttestationOperationMode.TPM: "TPM",
    AttestationOperationMode.ACTIVE_DIRECTORY: "Active Directory",
    AttestationOperationMode.HOST_KEY: "host key",
}
_LARGEST_CLOCK_DIFFERENCE: Final = 60.0
_LEAST_SPACE: Final = 4 << 30
_QUICK: Final = httpx2.Timeout(5.0)
_TPM_SECONDS: Final = 15.0
_HOST_TOOLS: Final = ("swtpm", "swtpm_setup", "swtpm_localca", "qemu-img")
_VM_TOOLS: Final = ("cryptsetup", "debugfs", "qemu-system-x86_64")


class Outcome(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Check:
    """One check. `remedy` is empty unless it failed."""

    code: str
    title: str
    outcome: Outcome
    sentence: str
    remedy: str = ""

    def to_json(self) -> dict[str, str]:
        return {
            "code": self.code,
            "title": self.title,
            "outcome": self.outcome.value,
            "sentence": self.sentence,
            "remedy": self.remedy,
        }


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All checks of one host."""

    host: str
    at: str
    checks: tuple[Check, ...]

    @property
    def healthy(self) -> bool:
        return all(check.outcome is not Outcome.FAILED for check in self.checks)

    def to_json(self) -> dict[str, Any]:
        return {
            "host": self.host,
            "at": self.at,
            "healthy": self.healthy,
            "checks": [check.to_json() for check in self.checks],
        }


class _Fail(Exception):  # noqa: N818 - never leaves this module
    def __init__(self, sentence: str, remedy: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.remedy = remedy


class _Skip(Exception):  # noqa: N818 - never leaves this module
    pass


@dataclass(slots=True)
class _Findings:
    """What later checks need to know of earlier ones."""

    config: HostConfig
    failed: set[str] = field(default_factory=set)

    @property
    def hgs(self) -> HgsClient:
        return HgsClient(self.config)

    def need_hgs(self) -> None:
        """Skip what is about HGS in local mode."""
        if self.config.local_mode:
            raise _Skip(NO_PROTECTION)

    def need(self, code: str, title: str) -> None:
        if code in self.failed:
            raise _Skip(f"Not tried, because this failed before: {title}.")


_Examine = Callable[[_Findings], str]


def diagnose_host(config: HostConfig) -> Diagnosis:
    """Run every check; nothing that one meets keeps another from running. Raises `StateError` for an unknown host."""
    if not config.state.directory.is_dir():
        raise StateError(f"There is no host {config.name} here.", f"Start it: manage.py host {config.name}.")
    findings = _Findings(config)
    wanted = [check for check in _CHECKS if config.fallback or check[0] != "fallback"]
    checks = tuple(_run(findings, code, title, examine) for code, title, examine in wanted)
    return Diagnosis(config.name, datetime.now(UTC).isoformat(timespec="seconds"), checks)


def _run(findings: _Findings, code: str, title: str, examine: _Examine) -> Check:
    try:
        return Check(code, title, Outcome.PASSED, examine(findings))
    except _Skip as skipped:
        return Check(code, title, Outcome.SKIPPED, str(skipped))
    except _Fail as failure:
        findings.failed.add(code)
        return Check(code, title, Outcome.FAILED, failure.sentence, failure.remedy)
    except OSError as error:
        findings.failed.add(code)
        return Check(code, title, Outcome.FAILED, f"{error.strerror}: {error.filename}.", "Look at the host's own log.")
    except (DomainError, HgsError) as error:
        findings.failed.add(code)
        return Check(code, title, Outcome.FAILED, error.message, error.advice or "Look at the host's own log.")


def _tools(findings: _Findings) -> str:
    wanted: Sequence[str] = _HOST_TOOLS if findings.config.hypervisor == DRY else (*_HOST_TOOLS, *_VM_TOOLS)
    missing = [tool for tool in wanted if shutil.which(tool) is None]
    if missing:
        raise _Fail(f"Not installed: {', '.join(missing)}.", "Install the Debian packages listed in docs/hosts.md.")
    return f"All {len(wanted)} are installed."


def _disk_space(findings: _Findings) -> str:
    free = shutil.disk_usage(findings.config.state.directory).free
    if free < _LEAST_SPACE:
        remedy = "Remove virtual machines, or give HOST_STATE_DIR a larger disk."
        raise _Fail(f"Only {free / 2**30:.1f} GiB are free; a new virtual machine needs 4 GiB.", remedy)
    return f"{free / 2**30:.1f} GiB are free."


def _agent(findings: _Findings) -> str:
    if agent_runs(findings.config):
        return "The host's agent runs."
    name = findings.config.name
    raise _Fail("The host's agent does not run.", f"Start it: manage.py host {name}.")


def _tpm(findings: _Findings) -> str:
    config = findings.config
    with open_tpm(config.tcti, config.state.tpm_lock, _TPM_SECONDS) as tpm:
        certificate = tpm.find_ek_certificate()
    if certificate is None:
        return "It answers; it has no endorsement key certificate, so that HGS can know it in version 1 alone."
    return f"It answers; its endorsement key certificate has {len(certificate)} bytes."


def _boot_log(findings: _Findings) -> str:
    findings.need("tpm", "TPM")
    config = findings.config
    log = config.state.require(config.state.boot_log, "boot log")
    with open_tpm(config.tcti, config.state.tpm_lock, _TPM_SECONDS) as tpm:
        pcrs = tpm.read_pcrs(MEASURED_PCRS)
    try:
        wrong = log_agrees(log, pcrs)
    except AttestationError as error:
        raise _Fail(f"The log cannot be read: {error.message}", "Restart the host.") from error
    if wrong:
        registers = ", ".join(map(str, wrong))
        raise _Fail(f"The log does not replay to PCR {registers} of the TPM.", "Restart the host: both start anew.")
    return f"The log ({len(log)} bytes) replays to all {len(pcrs)} registers."


def _hgs(findings: _Findings) -> str:
    findings.need_hgs()
    try:
        return _answers(findings.config.primary.attestation)
    except HgsUnreachable as error:
        if not findings.hgs.in_use.current().passed:
            raise
        by = (
            "the fallback serves this host"
            if findings.hgs.in_use.service == FALLBACK
            else "its certificate still holds"
        )
        raise _Fail(f"{error.message} Meanwhile {by}.", error.advice) from error


def _fallback(findings: _Findings) -> str:
    findings.need_hgs()
    fallback = findings.hgs.fallback
    if fallback is None:
        raise _Skip("There is none.")
    known = fallback.current()
    said = f"{known.status}: {known.message}" if known.at else "This host has not needed it yet."
    return f"{_answers(fallback.address.attestation)} {said}"


def _answers(url: str) -> str:
    client = AttestationClient(url, 5.0)
    try:
        info = client.get_info()
    finally:
        client.close()
    if info.operation_mode not in _MODES:
        raise _Fail("HGS is in a mode that this host does not know.", "Check that host and HGS are of one version.")
    return f"HGS at {url} answers, in {_MODES[info.operation_mode]} mode."


def _need_one_hgs(findings: _Findings) -> str:
    """The address of the HGS in use, unless that one failed to answer."""
    findings.need_hgs()
    attestor = findings.hgs.in_use
    findings.need(*(("fallback", "Fallback HGS") if attestor.service == FALLBACK else ("hgs", "HGS")))
    return attestor.address.attestation


def _clock(findings: _Findings) -> str:
    url = _need_one_hgs(findings)
    try:
        answer = httpx2.get(f"{url}/Attestation/getinfo", timeout=_QUICK, trust_env=False)
        theirs = parsedate_to_datetime(answer.headers["date"])
    except (httpx2.HTTPError, KeyError, ValueError) as error:
        raise _Skip("HGS did not say what time it is.") from error
    difference = (datetime.now(UTC) - theirs).total_seconds()
    if abs(difference) > _LARGEST_CLOCK_DIFFERENCE:
        side = "ahead of" if difference > 0 else "behind"
        remedy = "Set both clocks by NTP; health certificates depend on them."
        raise _Fail(f"This host's clock is {abs(difference):.0f} s {side} that of HGS.", remedy)
    return f"It differs from that of HGS by less than {max(abs(difference), 1) + 1:.0f} s."


def _attestation(findings: _Findings) -> str:
    findings.need_hgs()
    state = findings.hgs.current()
    if not state.passed:
        listed = f" ({', '.join(state.sub_statuses)})" if state.sub_statuses else ""
        remedy = state.advice or "Attest: gf host attest NAME."
        raise _Fail(f"{state.status}{listed}: {state.message}", remedy)
    return f"Passed at {state.at}, at the {state.service} HGS."


def _certificate(findings: _Findings) -> str:
    findings.need_hgs()
    findings.need("attestation", "Last attestation")
    der = findings.hgs.in_use.kept_certificate()
    end = x509.load_der_x509_certificate(der).not_valid_after_utc
    left = (end - datetime.now(UTC)).total_seconds()
    if left <= 0:
        raise _Fail(f"It ran out at {end:%Y-%m-%d %H:%M} UTC.", "Attest: gf host attest NAME.")
    return f"Valid until {end:%Y-%m-%d %H:%M} UTC ({left / 3600:.1f} h)."


def _key_release(findings: _Findings) -> str:
    _need_one_hgs(findings)
    result = try_key_release(findings.config, findings.hgs.in_use)
    if result is KeyReleaseTrial.RELEASED:
        return "HGS released the keys of a throwaway protector, and the TPM opened them."
    if result is KeyReleaseTrial.RELEASED_WRONGLY:
        remedy = "Stop using this HGS and tell its administrator."
        raise _Fail("HGS released keys to a certificate that it did not issue.", remedy)
    raise _Fail(
        f"HGS gives this host no keys ({result.value}): it has no health certificate, and one of its own is refused.",
        "See the last attestation; a host gets keys only while it is attested.",
    )


def _broker(findings: _Findings) -> str:
    try:
        with Connection(findings.config.broker_url, connect_timeout=3) as connection:
            connection.ensure_connection(max_retries=1, timeout=3)
    except (OperationalError, OSError) as error:
        remedy = "Check REDIS_URL and that the broker runs."
        raise _Fail("The broker does not answer; the portal cannot reach this host.", remedy) from error
    return "The broker answers."


def _library(findings: _Findings) -> str:
    remedy = "Give the host its token (HOST_TOKEN or HOST_TOKEN_FILE); gf host register prints one."
    if not findings.config.library.token:
        raise _Fail("This command has no token, so the library was not asked.", remedy)
    try:
        with findings.config.library.client() as client:
            status = client.get(f"/library/v1/blobs/{'0' * 64}", timeout=_QUICK).status_code
    except httpx2.HTTPError as error:
        advice = "Check PORTAL_URL and that the portal runs."
        raise _Fail("The portal's library does not answer.", advice) from error
    if status != httpx2.codes.NOT_FOUND:
        raise _Fail(f"The library does not let this host in (HTTP {status}).", remedy)
    return "The library answers and accepts this host's token."


_CHECKS: Final[tuple[tuple[str, str, _Examine], ...]] = (
    ("tools", "Tools", _tools),
    ("disk-space", "Disk space", _disk_space),
    ("agent", "Agent", _agent),
    ("tpm", "TPM", _tpm),
    ("boot-log", "Boot log", _boot_log),
    ("hgs", "HGS", _hgs),
    ("fallback", "Fallback HGS", _fallback),
    ("clock", "Clock", _clock),
    ("attestation", "Last attestation", _attestation),
    ("certificate", "Health certificate", _certificate),
    ("key-release", "Key release", _key_release),
    ("broker", "Broker", _broker),
    ("library", "Library", _library),
)
