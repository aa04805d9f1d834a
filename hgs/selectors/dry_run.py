"""What a switch of the mode would do: which known hosts would pass in another mode, and why the others would not.

Judged is the latest evidence of each host, an attestation or a rehearsal. In TPM mode that is the stored boot log, by
the policies of today; in the other modes it is the last answer. Where there is none, the forecast says how to get it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.utils import timezone

from hgs.attestation.domain import GROUP
from hgs.attestation.verdict import Verdict
from hgs.models import Attestation, DomainHost, HostGroup, HostKey, OperationMode, TpmHost
from hgs.policy import Action, may
from hgs.selectors.in_force import in_force
from hgs.selectors.stored_boots import Expectation, HostForecast, evidence_of, judge_host, rehearse, tpm_hosts
from portal.kernel.actor import Actor
from portal.kernel.policy import require

Judge = Callable[[str], HostForecast]


@dataclass(frozen=True)
class ModeForecast:
    """Every host that HGS knows in any mode, by name, as it would fare in ``mode``."""

    mode: OperationMode
    at: datetime
    hosts: tuple[HostForecast, ...]

    def count(self, expectation: Expectation) -> int:
        """How many hosts are expected to fare so."""
        return sum(1 for host in self.hosts if host.expectation is expectation)


def mode_forecast(actor: Actor, mode: OperationMode) -> ModeForecast:
    """How every known host would fare in ``mode``, without any effect on the service."""
    require(may(actor, Action.READ))
    judge = _JUDGES[mode]()
    return ModeForecast(mode, timezone.now(), tuple(judge(name) for name in _known_names()))


def _known_names() -> list[str]:
    """Names of hosts of every mode, each once."""
    names: dict[str, str] = {}
    for model in (TpmHost, HostKey, DomainHost):
        for name in model.objects.values_list("name", flat=True):
            names.setdefault(_same(name), name)
    return sorted(names.values(), key=str.lower)


def _same(name: str) -> str:
    """What the names of one host have in common in every mode: a domain adds a dollar sign to a machine's account."""
    return name.lower().removesuffix("$")


def _tpm() -> Judge:
    trusted, hosts = in_force().trusted, {_same(host.name): host for host in tpm_hosts()}

    def judge(name: str) -> HostForecast:
        host = hosts.get(_same(name))
        if host is not None:
            return judge_host(evidence_of(host, trusted.authorities), trusted.policies)
        advice = f"Submit its identity and approve it: gf host submit {name}. Then, {_lower(rehearse(name, 'tpm'))}"
        return HostForecast(name, Expectation.FAILS, ("HGS knows no TPM of this host.",), advice)

    return judge


def _host_key() -> Judge:
    hosts = {_same(key.name): key for key in HostKey.objects.all()}

    def judge(name: str) -> HostForecast:
        key = hosts.get(_same(name))
        if key is None:
            advice = f"Register it: gf hgs host-key add {name} FILE. Then, {_lower(rehearse(name, 'host-key'))}"
            return HostForecast(name, Expectation.FAILS, ("HGS knows no key of this host.",), advice)
        return _by_last_answer(name, key)

    return judge


def _by_last_answer(name: str, key: HostKey) -> HostForecast:
    """A host whose key is known passes as it did the last time: this mode looks at nothing but its key."""
    shown = Attestation.objects.filter(identity=key.fingerprint, mode=OperationMode.HOST_KEY, proven=True)
    last = shown.order_by("-at").first()
    if last is None:
        reason = "It is registered, but has not attested or rehearsed in this mode."
        return HostForecast(name, Expectation.UNKNOWN, (reason,), rehearse(name, "host-key"))
    if last.passed:
        return HostForecast(name, Expectation.PASSES, evidence_id=last.id, evidence_at=last.at)
    reasons = tuple(check.sentence for check in Verdict.from_json(last.verdict).failed_checks)
    return HostForecast(name, Expectation.FAILS, reasons, rehearse(name, "host-key"), last.id, last.at)


def _domain() -> Judge:
    registered = dict(HostGroup.objects.values_list("sid", "name"))

    def judge(name: str) -> HostForecast:
        if not registered:
            advice = f"Register one: gf hgs host-group add NAME SID. Then, {_lower(rehearse(name, 'ad'))}"
            return HostForecast(name, Expectation.FAILS, ("HGS knows no host group.",), advice)
        accounts = _accounts(name)
        if len(accounts) > 1:
            reason = "Several accounts of this name have shown tickets, so which of them is the host is not clear."
            return HostForecast(
                name, Expectation.UNKNOWN, (reason,), f"Compare them: gf hgs attestations --host {name}"
            )
        shown = Attestation.objects.filter(identity__in=accounts, mode=OperationMode.ACTIVE_DIRECTORY)
        last = shown.order_by("-at").first()
        if last is None:
            reason = "This host has shown no ticket yet, in an attestation or a rehearsal."
            return HostForecast(name, Expectation.UNKNOWN, (reason,), rehearse(name, "ad"))
        return _by_ticket(name, last, registered)

    return judge


def _accounts(name: str) -> set[str]:
    """Identities of the domain's accounts that a host's name stands for: those known as hosts, or else those seen.

    Seen is also what was refused, since the group may have been registered after it: a ticket names its account always.
    """
    known = DomainHost.objects.filter(name__iexact=_same(name)).values_list("identity", flat=True)
    shown = Attestation.objects.filter(host_name__iexact=_same(name), mode=OperationMode.ACTIVE_DIRECTORY)
    return set(known) or set(shown.order_by().values_list("identity", flat=True).distinct())


def _by_ticket(name: str, last: Attestation, registered: Mapping[str, str]) -> HostForecast:
    """The groups that a host's last ticket named, against the groups that are registered today."""
    verdict = Verdict.from_json(last.verdict)
    group = next((check for check in verdict.checks if check.code == GROUP), None)
    held = f"{group.evidence.get('sid', '')},{group.evidence.get('groups', '')}" if group else ""
    failed = [check for check in verdict.failed_checks if check.code != GROUP]
    if not failed and not registered.keys().isdisjoint(sid.strip() for sid in held.split(",")):
        return HostForecast(name, Expectation.PASSES, evidence_id=last.id, evidence_at=last.at)
    reasons = tuple(check.sentence for check in failed) or ("Its last ticket names no group that is registered now.",)
    return HostForecast(name, Expectation.FAILS, reasons, rehearse(name, "ad"), last.id, last.at)


def _lower(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]


_JUDGES: Final[dict[OperationMode, Callable[[], Judge]]] = {
    OperationMode.TPM: _tpm,
    OperationMode.ACTIVE_DIRECTORY: _domain,
    OperationMode.HOST_KEY: _host_key,
}
